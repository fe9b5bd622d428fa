//! Image files in a folder: in folders of classes, in folders of splits, in both, or loose.
//!
//! Everything here goes by names; no image is opened but a few, for their form.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pipeline::error::{Error, Result};
use pipeline::stage::{Context, Reads};
use serde::{Deserialize, Serialize};

use super::form::Form;
use super::part::{SplitRole, assign_splits};
use super::walk::Tree;
use super::{Described, UserImages, classes, first_few};
use crate::dataset::catalog::Classes;
use crate::dataset::download::Found;
use crate::dataset::names::normalised;
use crate::dataset::split::{Split, SplitRule};
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

/// Which folders are splits and which are classes.
#[derive(Debug, PartialEq)]
struct Layout<'a> {
    /// Folders around everything, with a slash at the end: `photos/`.
    wrapping: String,
    parts: Vec<PartLayout<'a>>,
    rule: SplitRule,
    notes: Vec<String>,
}

/// A part before the classes are numbered: its class is a folder's name.
#[derive(Debug, PartialEq)]
struct PartLayout<'a> {
    folder: String,
    split: Option<Split>,
    class: Option<&'a str>,
    files: Vec<&'a str>,
}

impl Folder {
    pub(super) fn describe(root: &Path, tree: &Tree, list: Option<Classes>) -> Result<Described> {
        let images: Vec<&str> = tree.images.iter().map(String::as_str).collect();
        let mut layout = lay_out(&images).map_err(|error| error.at(root))?;
        if !tree.others.is_empty() {
            layout.notes.push(tree.left_out());
        }
        let empty_folders = empty_folders(&layout, &tree.folders);
        let (classes, indices) =
            resolve_classes(&mut layout, list, &empty_folders).map_err(|error| error.at(root))?;
        let Layout { wrapping, parts, rule, notes } = layout;
        let root = root.join(wrapping);
        let part = |PartLayout { folder, split, class, files }: PartLayout| FolderPart {
            class: class.and_then(|class| indices.get(&normalised(class)).copied()),
            files: files.into_iter().map(str::to_owned).collect(),
            folder,
            split,
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

/// Paths by their first folder, and those that are in none.
fn by_folder<'a>(files: &[&'a str]) -> (Vec<&'a str>, BTreeMap<&'a str, Vec<&'a str>>) {
    let (mut loose, mut folders) = (Vec::new(), BTreeMap::<_, Vec<_>>::new());
    for file in files {
        match file.split_once('/') {
            None => loose.push(*file),
            Some((folder, rest)) => folders.entry(folder).or_default().push(rest),
        }
    }
    (loose, folders)
}

/// Finds out which folders are splits and which are classes.
fn lay_out<'a>(files: &[&'a str]) -> Result<Layout<'a>> {
    let mut layout =
        Layout { wrapping: String::new(), parts: Vec::new(), rule: SplitRule::Standard, notes: Vec::new() };
    let (mut loose, mut folders) = by_folder(files);
    // What an archive was unpacked into: one folder that holds nothing but folders.
    while loose.is_empty()
        && let [(name, inner)] = folders.iter().collect::<Vec<_>>()[..]
        && SplitRole::of_word(name).is_none()
        && inner.iter().all(|file| file.contains('/'))
    {
        layout.wrapping += &format!("{name}/");
        (loose, folders) = by_folder(&inner.clone());
    }
    if !folders.keys().any(|name| SplitRole::of_word(name) == Some(SplitRole::Train)) {
        layout.rule = SplitRule::Random { test_share: super::TEST_SHARE };
        layout.parts = classes_of("", None, loose, folders)?;
        return Ok(layout);
    }
    if !loose.is_empty() {
        return Err(Error::new(format!("{} are beside the folder of training images", first_few(&loose)))
            .help("put every image into the folder train or the folder test"));
    }
    let roles: Vec<_> = folders.keys().map(|name| (*name, SplitRole::of_word(name))).collect();
    let (splits, rule) = assign_splits(&roles)?;
    for ((name, files), split) in folders.into_iter().zip(splits) {
        let Some(split) = split else {
            let count = files.len();
            layout
                .notes
                .push(format!("{count} images in `{name}` are left out: there are test images besides"));
            continue;
        };
        let (loose, folders) = by_folder(&files);
        layout.parts.extend(classes_of(name, split, loose, folders)?);
    }
    layout.parts.sort_by_key(|part| part.split);
    layout.rule = rule;
    Ok(layout)
}

/// The parts of one split: the folders of its classes, or its loose files.
fn classes_of<'a>(
    within: &str,
    split: Option<Split>,
    loose: Vec<&'a str>,
    folders: BTreeMap<&'a str, Vec<&'a str>>,
) -> Result<Vec<PartLayout<'a>>> {
    let below = |name: &str| if within.is_empty() { name.to_owned() } else { format!("{within}/{name}") };
    match (loose.is_empty(), folders.is_empty()) {
        (false, true) => Ok(vec![PartLayout { folder: within.to_owned(), split, class: None, files: loose }]),
        (true, _) => Ok(folders
            .into_iter()
            .map(|(name, files)| PartLayout { folder: below(name), split, class: Some(name), files })
            .collect()),
        (false, false) => {
            let loose: Vec<String> = loose.iter().map(|name| below(name)).collect();
            Err(Error::new(format!(
                "{} {} in no class's folder, beside the folders {}",
                first_few(&loose),
                if loose.len() == 1 { "is" } else { "are" },
                first_few(folders.keys())
            ))
            .help(
                "put every image into the folder of its class, or all of them into one folder without others",
            ))
        }
    }
}

/// Folders beside those of the classes that hold no image.
fn empty_folders(layout: &Layout, folders: &[String]) -> BTreeSet<String> {
    let labelled = layout.parts.iter().filter(|part| part.class.is_some());
    let parents: BTreeSet<&str> =
        labelled.map(|part| part.folder.rsplit_once('/').map_or("", |(parent, _)| parent)).collect();
    let used: BTreeSet<String> = layout.parts.iter().filter_map(|part| part.class).map(normalised).collect();
    let inside = folders.iter().filter_map(|folder| folder.strip_prefix(layout.wrapping.as_str()));
    let name = |folder: &str| {
        let (parent, name) = folder.rsplit_once('/').unwrap_or(("", folder));
        (parents.contains(parent) && !used.contains(&normalised(name))).then(|| name.to_owned())
    };
    inside.filter_map(name).collect()
}

/// The classes, and the index of each by its normalised name.
fn resolve_classes(
    layout: &mut Layout,
    list: Option<Classes>,
    empty_folders: &BTreeSet<String>,
) -> Result<(Classes, BTreeMap<String, usize>)> {
    // `Cat` of the training images and `cat` of the test images are one class.
    let mut folders: BTreeMap<String, &str> = BTreeMap::new();
    for class in layout.parts.iter().filter_map(|part| part.class) {
        let name = folders.entry(normalised(class)).or_insert(class);
        *name = class.min(name);
    }
    let Some(list) = list else {
        if folders.is_empty() {
            return Err(Error::new("it is not known which classes there are").help(
                "list them in a text file, one a line, and name it: CLASSES=classes.txt; \
                 or put the images into folders that are called as the classes are",
            ));
        }
        if !empty_folders.is_empty() {
            return Err(Error::new(format!(
                "no image is in the folder of a class: {}",
                first_few(empty_folders)
            ))
            .help("put images there, take the folder away, or list the classes in CLASSES=classes.txt"));
        }
        let mut names: Vec<String> = folders.into_values().map(str::to_owned).collect();
        names.sort_unstable();
        let texts = names.iter().map(|name| classes::default_text(name)).collect();
        let indices = indices(&names);
        return Ok((Classes { names, texts, renamed: Vec::new() }, indices));
    };
    let indices = indices(&list.names);
    let unknown: Vec<&str> = folders
        .iter()
        .filter(|(normalised, _)| !indices.contains_key(*normalised))
        .map(|(_, name)| *name)
        .collect();
    let without: Vec<&String> =
        list.names.iter().filter(|name| !folders.contains_key(&normalised(name))).collect();
    if !unknown.is_empty() {
        let (of, classes) = match without.len() {
            0 => ("all classes have a folder", String::new()),
            _ => ("classes without a folder: ", first_few(&without)),
        };
        return Err(Error::new(format!(
            "folders that are no class: {}; {of}{classes}",
            first_few(unknown)
        ))
        .help("call the folders as CLASSES calls the classes, or the other way round; images without labels belong into one folder"));
    }
    if !folders.is_empty() && !without.is_empty() {
        layout.notes.push(format!("classes without an image of their own: {}", first_few(&without)));
    }
    Ok((list, indices))
}

fn indices(names: &[String]) -> BTreeMap<String, usize> {
    names.iter().enumerate().map(|(index, name)| (normalised(name), index)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// `split class: files` of each part.
    fn parts(files: &[&str]) -> Vec<String> {
        let layout = lay_out(files).unwrap();
        let part = |part: &PartLayout| {
            let split = part.split.map_or("-", Split::name);
            format!("{split} {} in {}: {}", part.class.unwrap_or("-"), part.folder, part.files.join(" "))
        };
        layout.parts.iter().map(part).collect()
    }

    #[test]
    fn loose_files_have_no_class_and_files_in_folders_that_of_the_folder() {
        assert_eq!(parts(&["a.png", "b.png"]), ["- - in : a.png b.png"]);
        assert_eq!(
            parts(&["cat/a.png", "cat/old/b.png", "dog/a.png"]),
            ["- cat in cat: a.png old/b.png", "- dog in dog: a.png"]
        );
    }

    #[test]
    fn folders_of_splits_hold_folders_of_classes_or_loose_files() {
        assert_eq!(
            parts(&["Train/a.png", "Train/b.png", "test/cat/a.png"]),
            ["train - in Train: a.png b.png", "test cat in test/cat: a.png"]
        );
        assert_eq!(parts(&["train/a.png", "val/b.png"]), ["train - in train: a.png", "test - in val: b.png"]);
        assert_eq!(parts(&["train/cat/a.png", "train/dog/a.png"]).len(), 2);
    }

    #[test]
    fn validation_images_beside_test_images_are_left_out_with_a_note() {
        let layout = lay_out(&["test/a.png", "train/a.png", "valid/a.png", "valid/b.png"]).unwrap();
        assert_eq!(layout.parts.len(), 2);
        assert!(layout.notes[0].contains("2 images in `valid`"), "{:?}", layout.notes);
    }

    #[test]
    fn a_folder_around_everything_is_passed_through() {
        let layout = lay_out(&["set/v1/cat/a.png", "set/v1/dog/a.png"]).unwrap();
        assert_eq!((layout.wrapping.as_str(), layout.parts.len()), ("set/v1/", 2));
        let layout = lay_out(&["set/train/a.png", "set/test/a.png"]).unwrap();
        assert_eq!((layout.wrapping.as_str(), layout.rule), ("set/", SplitRule::Standard));
        assert_eq!(parts(&["train/cat/a.png", "train/dog/a.png"])[0], "- cat in train/cat: a.png");
    }

    #[test]
    fn an_image_without_a_class_or_a_split_among_others_is_refused_by_name() {
        for (files, words) in [
            (&["cat/a.png", "b.png"][..], "`b.png` is in no class's folder, beside the folders `cat`"),
            (&["train/cat/a.png", "train/b.png"], "`train/b.png` is in no"),
            (&["train/a.png", "test/a.png", "b.png"], "`b.png` are beside"),
            (&["train/a.png", "test/a.png", "more/a.png"], "`more`"),
        ] {
            let error = lay_out(files).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    fn resolved(
        files: &[&str],
        list: Option<&[&str]>,
        folders: &[&str],
    ) -> Result<(Vec<String>, Vec<String>)> {
        let mut layout = lay_out(files).unwrap();
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let list = list.map(|list| Classes { names: names(list), texts: names(list), renamed: Vec::new() });
        let empty_folders = empty_folders(&layout, &names(folders));
        let (classes, _) = resolve_classes(&mut layout, list, &empty_folders)?;
        Ok((classes.texts, layout.notes))
    }

    #[test]
    fn folders_that_are_no_classes_are_refused_with_both_sides() {
        let files = ["cat/a.png", "hound/a.png"];
        let error = resolved(&files, Some(&["Cat", "Dog"]), &[]).unwrap_err().to_string();
        assert!(error.contains("no class: `hound`; classes without a folder: `Dog`"), "{error}");
        let (_, notes) = resolved(&["cat/a.png"], Some(&["Cat", "Dog"]), &[]).unwrap();
        assert!(notes[0].contains("`Dog`"), "{notes:?}");
    }

    #[test]
    fn without_a_list_the_folders_are_the_classes_and_an_empty_one_is_refused() {
        let files = ["train/sea_lake/a.png", "train/Forest/a.png", "test/forest/a.png"];
        let folders = ["test", "test/forest", "train", "train/Forest", "train/sea_lake", "docs"];
        assert_eq!(resolved(&files, None, &folders).unwrap().0, ["Forest", "sea lake"]);
        let error = resolved(&files, None, &["train", "train/desert"]).unwrap_err().to_string();
        assert!(error.contains("`desert`"), "{error}");
        let error = resolved(&["a.png"], None, &[]).unwrap_err().to_string();
        assert!(error.contains("CLASSES=classes.txt"), "{error}");
    }
}
