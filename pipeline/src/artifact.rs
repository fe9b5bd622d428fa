//! A value that is a folder of files.

use std::path::Path;

use crate::error::Result;

/// A value that saves itself to, and loads itself from, a folder.
///
/// The same value must always give the same bytes: no time stamps, no hash-ordered maps, no library
/// versions. Only plain files and folders may be written, and only files count: an empty folder is as
/// good as none. The folder given to [`save`](Artifact::save) exists and is empty; the one given to
/// [`load`](Artifact::load) was verified against its digest a moment ago and must not be written to.
pub trait Artifact: Sized + Send + Sync + 'static {
    /// Writes the value as files in `folder`.
    fn save(&self, folder: &Path) -> Result<()>;
    /// Reads the value back from `folder`.
    fn load(folder: &Path) -> Result<Self>;
}

/// An artifact that reads a part of the folder of another: a stage that needs that part alone takes it as its input with
/// [`Handle::part`](crate::graph::Handle::part).
pub trait PartOf<Whole: Artifact>: Artifact {}
