//! The user's images: a folder of them, Parquet tables or IDX files, and a text file of classes, become a
//! [`DataSet`] like those of the catalog.
//!
//! Everything that can be known from names and headers is decided and checked here, before any stage runs.
//! The images themselves are read by the stage `download`, through [`UserImages`].

pub(crate) mod classes;
mod folder;
mod form;
mod idx;
mod import;
mod part;
mod tables;
mod walk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pipeline::error::{Error, Result};
use pipeline::stage::{Context, Reads};
use pipeline::store::Store;
use serde::{Deserialize, Serialize};

use super::catalog::{Classes, DataSet, Schedule, Source};
use super::download::Found;
use super::set_name;
use super::split::SplitRule;
use form::Form;
use walk::Tree;

pub use folder::Folder;
pub use idx::Idx;
pub use import::ImportImages;
pub use tables::Tables;

/// The arguments by which the user names images.
#[derive(Clone, Debug, Default)]
pub struct UserDataSet {
    /// A folder, or a Parquet file.
    pub images: PathBuf,
    /// A text file with a class a line; where folders or tables name the classes it may be left out.
    pub classes: Option<PathBuf>,
    /// The data set's name; by default the folder's.
    pub name: Option<String>,
}

/// Where the rows of a data set of one's own are. Of all paths only what lies below the place that the user named
/// is part of the key, and the files' content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UserImages {
    /// Image files.
    Folder(Folder),
    /// Parquet files in the hub's image schema.
    Tables(Tables),
    /// IDX files, as MNIST and its like are published.
    Idx(Idx),
}

/// What is at the place that the user named.
struct Described {
    source: UserImages,
    classes: Classes,
    form: Form,
    split: SplitRule,
}

/// Share of the images that test where the user has put none aside.
const TEST_SHARE: f64 = 0.2;

impl UserDataSet {
    /// The data set.
    ///
    /// # Errors
    /// A path that is not there or holds no image, an arrangement that does not say what is what, classes that
    /// contradict the images, a name that cannot name a folder.
    pub fn describe(&self) -> Result<DataSet> {
        let (name, title) = self.names()?;
        let list = self.classes.as_deref().map(classes::read).transpose()?;
        let Described { source, classes, form, split } = self.find_images(list)?;
        if classes.names.len() < 2 {
            let only = classes.names.first().map_or_else(String::new, |name| format!(": `{name}`"));
            return Err(Error::new(format!("{} class is nothing to tell apart{only}", classes.names.len()))
                .at(self.classes.as_deref().unwrap_or(&self.images))
                .help("name at least two classes: one a line in CLASSES=classes.txt, or one a folder"));
        }
        let set = DataSet {
            name,
            title,
            note: None,
            notes: Vec::new(),
            clip: None,
            prompts: Vec::new(),
            source: Source::UserImages(source),
            split,
            classes,
            image: form.image(),
            augmentation: form.augmentation(),
            schedule: Schedule { warm_up: 50, total: 100 },
            profile: BTreeMap::new(),
        };
        set.validated(&self.images)
    }

    fn find_images(&self, list: Option<Classes>) -> Result<Described> {
        let path = &self.images;
        let metadata = std::fs::metadata(path).map_err(|error| {
            Error::new("cannot find the images")
                .at(path)
                .because(error)
                .help("IMAGES names a folder of images, or a Parquet file")
        })?;
        if metadata.is_file() {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if walk::kind(&name) != Some(walk::FileKind::Table) {
                return Err(Error::new("this is neither a folder nor a Parquet file")
                    .at(path)
                    .help("name the folder that the images are in, or a file whose name ends in .parquet"));
            }
            let folder = path.parent().unwrap_or(Path::new(""));
            return Tables::describe(folder, &[name], list);
        }
        let tree = walk::walk(path, &holds_artifacts)?;
        match &tree {
            Tree { images, .. } if !images.is_empty() => Folder::describe(path, &tree, list),
            Tree { idx, .. } if !idx.is_empty() => Idx::describe(path, &tree.idx, list),
            Tree { tables, .. } if !tables.is_empty() => Tables::describe(path, &tree.tables, list),
            _ => Err(Error::new("there is no image").at(path).because(tree.left_out()).help(format!(
                "images are files that end in {}; Parquet and IDX files are read as well",
                walk::EXTENSIONS.join(", ")
            ))),
        }
    }

    /// The name for folders, and the name for people.
    fn names(&self) -> Result<(String, String)> {
        match &self.name {
            Some(title) => Ok((set_name::asked_for(title)?, title.clone())),
            None => Ok(set_name::of_place(&self.images)),
        }
    }
}

impl UserImages {
    /// What the stage reads outside the store.
    pub(super) fn files(&self) -> Vec<Reads> {
        match self {
            Self::Folder(folder) => folder.files(),
            Self::Tables(tables) => tables.files(),
            Self::Idx(idx) => idx.files(),
        }
    }

    /// All rows; those of a folder are without their bytes until [`ImportImages`] reads the ones that are kept.
    pub(super) fn rows(&self, classes: &Classes, context: &Context) -> Result<Found> {
        match self {
            Self::Folder(folder) => Ok(folder.rows(context)),
            Self::Tables(tables) => tables.rows(classes, context),
            Self::Idx(idx) => idx.rows(classes, context),
        }
    }
}

/// Whether a folder is where results are kept, with their readable view: it would count as images, and change with each
/// run.
fn holds_artifacts(folder: &Path) -> bool {
    Store::is_at(folder.join("store"))
}

/// The first few of a list, each in quotes, and how many more there are.
pub(crate) fn first_few<S: AsRef<str>>(list: impl IntoIterator<Item = S>) -> String {
    const FEW: usize = 5;
    let all: Vec<S> = list.into_iter().collect();
    let shown: Vec<String> = all.iter().take(FEW).map(|name| format!("`{}`", name.as_ref())).collect();
    let more = if all.len() > FEW { format!(" and {} more", all.len() - FEW) } else { String::new() };
    shown.join(", ") + &more
}

#[cfg(test)]
mod tests;
