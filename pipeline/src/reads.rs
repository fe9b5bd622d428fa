//! What a stage reads that is not an artifact.

use std::path::{Path, PathBuf};

/// What a stage reads outside the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reads {
    /// A file, or a folder and everything in it.
    All(PathBuf),
    /// Some files of a folder: they count as a folder does in which nothing else is.
    Chosen {
        /// The folder.
        folder: PathBuf,
        /// Paths of files in it, parts joined by `/`.
        files: Vec<String>,
    },
}

impl Reads {
    /// The file or folder.
    pub fn path(&self) -> &Path {
        match self {
            Self::All(path) | Self::Chosen { folder: path, .. } => path,
        }
    }
}

impl From<PathBuf> for Reads {
    fn from(path: PathBuf) -> Self {
        Self::All(path)
    }
}
