//! Which CLIP is used: its files by name and content, not the files themselves, which stay in the hub's
//! cache or in the user's folder.

use std::path::Path;

use pipeline::artifact::Artifact;
use pipeline::error::{Error, OrFail, Result};
use serde::{Deserialize, Serialize};

/// One file of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFile {
    /// Its name in the repository.
    pub name: String,
    /// The commit it was found on; empty for a folder.
    pub revision: String,
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 of its content, in hexadecimal.
    pub sha256: String,
}

/// The files of one CLIP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// The files, sorted by name.
    pub files: Vec<ModelFile>,
    /// Trained numbers in both towers.
    pub parameters: u64,
}

impl Artifact for Model {
    fn save(&self, folder: &Path) -> Result<()> {
        let path = folder.join("model.json");
        let cannot = || Error::new("cannot write the list of the model's files").at(&path);
        let text = serde_json::to_string_pretty(self).or_fail(cannot)?;
        std::fs::write(&path, text + "\n").or_fail(cannot)
    }

    fn load(folder: &Path) -> Result<Self> {
        let path = folder.join("model.json");
        let cannot = || Error::new("cannot read the list of the model's files").at(&path);
        serde_json::from_slice(&std::fs::read(&path).or_fail(cannot)?).or_fail(cannot)
    }
}
