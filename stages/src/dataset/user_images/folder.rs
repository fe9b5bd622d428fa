//! Image files in a folder: in folders of classes, in folders of splits, in both, or loose.
//!
//! What the folders mean is for `layout` to say, going by their names; no image is opened but a few, for their form.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pipeline::error::{Error, Result};
use pipeline::stage::{Context, Reads};
use serde::{Deserialize, Serialize};

use super::form::Form;
use super::layout::{LabelsFrom, Layout, Part, Question, lay_out};
use super::walk::Tree;
use super::{Described, UserImages, classes};
use crate::dataset::catalog::Classes;
use crate::dataset::download::Found;
use crate::dataset::split::Split;
use crate::dataset::tables::ImageRow;

/// Image files, part by part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Folder {
    root: PathBuf,
    parts: Vec<FolderPart>,
    notes: Vec<String>,
}

/// The image files in and below one folder, which are of one split and of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct FolderPart {
    /// Path from the root; empty for the root itself.
    folder: String,
    split: Option<Split>,
    class: Option<usize>,
    /// Paths from the folder, sorted. What a result depends on has them with their content, through [`Folder::files`].
    files: Vec<String>,
}

impl Folder {
    pub(super) fn describe(root: &Path, tree: &Tree, list: Option<Classes>) -> Result<Described> {
        Self::describe_as(root, tree, list, LabelsFrom::Auto, ["", ""])
    }

    /// The images of a folder, given where their labels are and the names of the folders that train and that test.
    pub(super) fn describe_as(
        root: &Path,
        tree: &Tree,
        list: Option<Classes>,
        labels: LabelsFrom,
        [train, test]: [&str; 2],
    ) -> Result<Described> {
        let images: Vec<&str> = tree.images.iter().map(String::as_str).collect();
        let names = list.as_ref().map(|list| &list.names[..]);
        let question =
            Question { images: &images, folders: &tree.folders, classes: names, labels, train, test };
        let layout = lay_out(&question).map_err(|error| error.at(root))?;
        let Layout { parts, classes, rule, mut notes, wrapping } = layout;
        if !tree.others.is_empty() {
            notes.push(tree.left_out());
        }
        let classes = list.or_else(|| classes.map(of_folders)).ok_or_else(|| no_classes().at(root))?;
        let root = root.join(&wrapping);
        let part = |Part { folder, split, class, files }: Part| FolderPart {
            folder: folder.strip_prefix(&wrapping).unwrap_or_default().to_owned(),
            split,
            class,
            files,
        };
        let parts: Vec<FolderPart> = parts.into_iter().map(part).collect();
        let folder = Self { root, parts, notes };
        let form = Form::of_files(folder.paths().collect());
        Ok(Described { source: UserImages::Folder(folder), classes, form, split: rule })
    }

    /// All files: ids, and where they are.
    fn paths(&self) -> impl Iterator<Item = (String, PathBuf)> {
        self.parts.iter().flat_map(|part| {
            part.files.iter().map(|file| {
                let id =
                    if part.folder.is_empty() { file.clone() } else { format!("{}/{file}", part.folder) };
                let path = self.root.join(&id);
                (id, path)
            })
        })
    }

    pub(super) fn files(&self) -> Vec<Reads> {
        let reads = |part: &FolderPart| Reads::Chosen {
            folder: self.root.join(&part.folder),
            files: part.files.clone(),
        };
        self.parts.iter().map(reads).collect()
    }

    /// A row for each file, without its bytes; its id is the file's path from the root.
    pub(super) fn rows(&self, context: &Context) -> Found {
        self.notes.iter().for_each(|note| context.progress().note(note));
        let mut found = Found::default();
        let of_part = self.parts.iter().flat_map(|part| part.files.iter().map(move |_| part));
        for ((id, _), part) in self.paths().zip(of_part) {
            let label = part.class.map(|class| class as i32);
            found.push(ImageRow { bytes: Vec::new(), path: Some(id.clone()), label }, id, part.split);
        }
        found
    }

    /// Where the file of a row is.
    pub(super) fn path(&self, id: &str) -> PathBuf {
        self.root.join(id)
    }
}

/// The classes that folders are called after.
fn of_folders(names: Vec<String>) -> Classes {
    let mut texts: Vec<String> = names.iter().map(|name| classes::default_text(name)).collect();
    // `sea_lake` and `sea lake`, where both are folders, are told CLIP as they are written.
    let mut count = BTreeMap::<String, usize>::new();
    texts.iter().for_each(|text| *count.entry(text.clone()).or_default() += 1);
    for (text, name) in texts.iter_mut().zip(&names) {
        if text.is_empty() || count[text] > 1 {
            text.clone_from(name);
        }
    }
    Classes { names, texts, renamed: Vec::new() }
}

fn no_classes() -> Error {
    Error::new("it is not known which classes there are").help(
        "list them in a text file, one a line, and name it: CLASSES=classes.txt; \
         or put the images into folders that are called as the classes are",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clip_is_told_two_names_that_differ_in_signs_as_they_are_written() {
        let names = ["-", "Forest", "sea lake", "sea_lake", "two_words"].map(str::to_owned).to_vec();
        assert_eq!(of_folders(names).texts, ["-", "Forest", "sea lake", "sea_lake", "two words"]);
    }
}
