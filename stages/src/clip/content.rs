//! A file of a CLIP: on disk, or part of the program.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use pipeline::error::Result;

use crate::runtime::{lfs, text};

/// One file. Where a path is wanted, for messages, a built-in one gives its name in the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// On disk.
    File(PathBuf),
    /// Part of the program.
    BuiltIn {
        /// Its path in the repository, `data/demo/clip/config.json`.
        path: &'static str,
        /// What it holds.
        bytes: &'static [u8],
    },
}

/// Bytes that can be read from anywhere.
pub(super) trait Bytes: Read + Seek {}
impl<T: Read + Seek> Bytes for T {}

impl Content {
    /// All of it.
    pub(super) fn read(&self) -> io::Result<Cow<'static, [u8]>> {
        match self {
            Self::File(path) => std::fs::read(path).map(Cow::Owned),
            Self::BuiltIn { bytes, .. } => Ok(Cow::Borrowed(bytes)),
        }
    }

    /// All of it as text, without a byte order mark.
    pub(super) fn text(&self) -> io::Result<String> {
        text::decode(&self.read()?)
    }

    /// Refuses a Git LFS pointer in place of the file.
    pub(super) fn refuse_pointer(&self) -> Result<()> {
        match self {
            Self::File(path) => lfs::refuse(path),
            Self::BuiltIn { .. } => Ok(()),
        }
    }

    /// Its name in the repository, without folders.
    pub fn name(&self) -> &str {
        self.as_ref().file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// Its length in bytes and a reader.
    pub(super) fn open(&self) -> io::Result<(u64, Box<dyn Bytes>)> {
        match self {
            Self::File(path) => {
                let file = File::open(path)?;
                Ok((file.metadata()?.len(), Box::new(file)))
            }
            Self::BuiltIn { bytes, .. } => Ok((bytes.len() as u64, Box::new(Cursor::new(*bytes)))),
        }
    }
}

impl AsRef<Path> for Content {
    fn as_ref(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::BuiltIn { path, .. } => Path::new(path),
        }
    }
}

impl From<PathBuf> for Content {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}
