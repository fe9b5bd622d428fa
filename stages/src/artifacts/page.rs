//! `report/index.html`: a page to be opened in a browser.

use std::fs;
use std::path::Path;

use pipeline::artifact::Artifact;
use pipeline::error::{Error, OrFail, Result};

const FILE: &str = "index.html";

/// A page that stands alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page(pub String);

impl Artifact for Page {
    fn save(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        fs::write(&path, &self.0).or_fail(|| Error::new("cannot write the page").at(&path))
    }

    fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        fs::read_to_string(&path).map(Self).or_fail(|| Error::new("cannot read the page").at(&path))
    }
}
