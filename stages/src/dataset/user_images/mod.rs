//! The user's images: a folder of them, tables, IDX files or tar archives, and a text file of classes, become a
//! [`DataSet`] like those of the catalog.
//!
//! Everything that can be known from names, headers and labels is decided and checked here, before any stage runs; what
//! is assumed is said. The images themselves are read by the stage `download`, through [`UserImages`].

pub(super) mod alone;
pub(crate) mod classes;
mod columns;
mod folder;
mod form;
mod found_classes;
mod idx;
mod layout;
mod metadata;
mod part;
mod place;
pub mod reading;
mod split_names;
mod tables;
mod tar;
mod walk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pipeline::error::{Error, Result};
use pipeline::stage::Reads;
use serde::{Deserialize, Serialize};

use super::catalog::{Classes, DataSet, Schedule, Source};
use super::first_few;
use super::listing::ImageSource;
use super::names::{Found, NameIndex};
use super::set_name;
use super::split::SplitRule;
use super::table_file::TableFile;
use classes::ClassList;
use form::Form;
use place::Place;
use reading::{Format, LabelsFrom, Reading};
use walk::Tree;

pub use folder::Folder;
pub use idx::Idx;
pub use tables::Tables;
pub use tar::TarArchives;

/// The arguments by which the user names images.
#[derive(Clone, Debug, Default)]
pub struct UserDataSet {
    /// A folder, a table, an archive, or a pattern of such.
    pub images: PathBuf,
    /// A text file with a class a line; where folders or tables name the classes it may be left out.
    pub classes: Option<PathBuf>,
    /// The data set's name; by default the folder's.
    pub name: Option<String>,
    /// How the images are to be read.
    pub reading: Reading,
}

/// Where the rows of a data set of one's own are. Of all paths only what lies below the place that the user named
/// is part of the key, and the files' content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UserImages {
    /// Image files.
    Folder(Folder),
    /// Parquet or Arrow files in the hub's image schema.
    Tables(Tables),
    /// IDX files, as MNIST and its like are published.
    Idx(Idx),
    /// Tar archives, as WebDataset writes them.
    Tar(TarArchives),
}

/// What is at the place that the user named.
struct Described {
    source: UserImages,
    classes: Classes,
    form: Form,
    split: SplitRule,
    /// What is assumed, and what overrides it.
    notes: Vec<String>,
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
        let list = self.classes.as_deref().map(classes::list).transpose()?;
        let Described { source, classes, form, split, notes } = self.find_images(list)?;
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
            notes,
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

    fn find_images(&self, list: Option<ClassList>) -> Result<Described> {
        let both = list.iter().flat_map(|list| list.written.iter().chain([&list.classes]));
        let index = NameIndex::new(both.flat_map(|classes| &classes.names));
        let keep = |name: &str| !matches!(index.find(name), Found::Nothing);
        let Place { root, tree } = place::look(&self.images, self.reading.skip_unreadable, &keep)?;
        let mut notes: Vec<String> = tree.unusable_in_words().into_iter().collect();
        let mut reading = self.reading.clone();
        let (list, written) = match list {
            None => (None, None),
            Some(ClassList { classes, notes: said, written, first }) => {
                let folders: Vec<&str> =
                    tree.folders.iter().map(|folder| folder.rsplit('/').next().unwrap_or(folder)).collect();
                match written {
                    Some(written) if belong_to(&folders, &written, &classes) => {
                        notes.push(
                            "the lines of CLASSES are taken as they are written, as folders are called so"
                                .to_owned(),
                        );
                        (Some(written), None)
                    }
                    written => {
                        notes.extend(said);
                        reading.first_label = reading.first_label.or(first);
                        (Some(classes), written)
                    }
                }
            }
        };
        let format = self.format(&root, &tree, &mut notes)?;
        if matches!(
            self.reading.labels,
            LabelsFrom::TopFolder | LabelsFrom::ParentFolder | LabelsFrom::Metadata
        ) && format != Format::Files
        {
            return Err(Error::new(format!(
                "download.labels asks for folders or a table of labels, and the images are in {}",
                format.name()
            ))
            .at(&self.images)
            .help("SET=download.labels=auto takes the labels that are with the images, =none takes none"));
        }
        let mut described = match format {
            Format::Files | Format::Auto => Folder::describe(&root, &tree, list, &reading)?,
            Format::Tables => Tables::describe(&root, &self.tables(&tree), (list, written), &reading)?,
            Format::Idx => Idx::describe(&root, &tree.idx, list, &reading)?,
            Format::Tar => TarArchives::describe(&root, &tree.tars, list, &reading)?,
        };
        notes.append(&mut described.notes);
        Ok(Described { notes, ..described })
    }

    /// The tables that may hold images: `metadata.parquet` where it is the only one.
    fn tables(&self, tree: &Tree) -> Vec<String> {
        let metadata = tree.metadata.iter().filter(|name| name.ends_with(".parquet"));
        if tree.tables.is_empty() { metadata.cloned().collect() } else { tree.tables.clone() }
    }

    /// In what the images are: what holds most of them, if what holds others has half as many at most.
    fn format(&self, root: &Path, tree: &Tree, notes: &mut Vec<String>) -> Result<Format> {
        let mut counts = vec![
            (Format::Files, tree.images.len(), &tree.images),
            (Format::Idx, idx::count(root, &tree.idx), &tree.idx),
            (Format::Tar, tree.tars.len(), &tree.tars),
        ];
        let tables = self.tables(tree);
        let rows = |name: &String| match TableFile::open(&root.join(name)) {
            Ok(table) if columns::may_hold_images(&table) => table.rows(),
            Ok(_) => 0,
            // A damaged table is for its reader to refuse.
            Err(_) => 1,
        };
        let others_hold = counts.iter().any(|(_, count, _)| *count > 0);
        let in_tables = if others_hold { tables.iter().map(rows).sum() } else { tables.len() };
        counts.push((Format::Tables, in_tables, &tables));
        if self.reading.format != Format::Auto {
            let there =
                counts.iter().any(|(format, _, files)| *format == self.reading.format && !files.is_empty());
            return match there {
                true => Ok(self.reading.format),
                false => {
                    let format = self.reading.format.name();
                    Err(Error::new(format!("download.format = {format}, and there is nothing of the kind"))
                        .at(&self.images)
                        .because(tree.left_out())
                        .help("SET=download.format=auto takes what is there"))
                }
            };
        }
        counts.sort_by_key(|(_, count, _)| std::cmp::Reverse(*count));
        let (format, most, _) = counts[0];
        if most == 0 {
            return Err(Error::new("there is no image").at(&self.images).because(tree.left_out()).help(format!(
                "images are files that end in {} or begin as such; Parquet, Arrow, IDX and tar files are read as well",
                walk::EXTENSIONS.join(", ")
            )));
        }
        for (other, count, files) in counts.into_iter().skip(1).filter(|(_, count, _)| *count > 0) {
            let words = format!("{} ({count})", first_few(files));
            // An archive's images are not counted.
            if 2 * count > most || format == Format::Tar || other == Format::Tar {
                return Err(Error::new(format!(
                    "images are in {} and in {}: {words}",
                    format.name(),
                    other.name()
                ))
                .at(&self.images)
                .help(format!(
                    "say which are meant: SET=download.format={} or SET=download.format={}",
                    format.name(),
                    other.name()
                )));
            }
            notes.push(format!(
                "the images are in {}; passed over: {words}; download.format={} takes those",
                format.name(),
                other.name()
            ));
        }
        Ok(format)
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
            Self::Tar(archives) => archives.files(),
        }
    }

    /// The images as a source.
    pub(super) fn open(&self, classes: &Classes) -> Result<Box<dyn ImageSource>> {
        Ok(match self {
            Self::Folder(folder) => Box::new(folder.open(classes)),
            Self::Tables(tables) => Box::new(tables.open(classes)?),
            Self::Idx(idx) => Box::new(idx.open(classes)),
            Self::Tar(archives) => Box::new(archives.open(classes)?),
        })
    }
}

/// Whether some of these names are classes as a list writes them, and none as it is read without numbers and signs.
fn belong_to(names: &[&str], written: &Classes, read: &Classes) -> bool {
    let (written, read) = (NameIndex::new(&written.names), NameIndex::new(&read.names));
    names.iter().any(|name| written.find(name).one().is_some() && read.find(name) == Found::Nothing)
}

#[cfg(test)]
mod tests;
