//! What holds images at a place that is no data set: nothing there trains or tests, and no folder is a label.
//!
//! Files and folders are sorted out as those of a data set are. Where a data set would have to be of one kind, and would
//! leave parts of it out, all that holds images is taken here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use pipeline::error::{Error, Result};
use pipeline::stage::Context;

use super::Described;
use super::columns::{choose, may_hold_images, name_of};
use super::idx::Idx;
use super::layout::{self, Layout, Question};
use super::place::{self, Place};
use super::reading::{LabelsFrom, Reading};
use super::tar::TarArchives;
use super::walk::{self, FileKind, Tree};
use crate::dataset::catalog::Classes;
use crate::dataset::first_few;
use crate::dataset::labels::is_text;
use crate::dataset::listing::ImageSource;
use crate::dataset::split::{id, prefixes};
use crate::dataset::table_file::{TableFile, decode};
use crate::dataset::table_rows::{ImageTable, TableRows};
use crate::vision::decode::{ENOUGH, is_image};

/// What holds images at one place.
#[derive(Default)]
pub(in crate::dataset) struct Alone {
    /// Image files: what each is called, and where it lies.
    pub files: Vec<(String, PathBuf)>,
    /// Files that hold several images.
    pub packed: Vec<Packed>,
    /// What was left out, and what is assumed.
    pub notes: Vec<String>,
}

/// A file that holds several images: a table, an archive, an IDX file.
pub(in crate::dataset) struct Packed {
    /// Where it lies.
    pub path: PathBuf,
    /// What the file itself calls its images, where it does.
    pub own: Option<Vec<String>>,
    /// What they are called otherwise: by the file and their places in it.
    pub ids: Vec<String>,
    /// The images, in the order of the ids.
    pub source: Box<dyn ImageSource>,
}

/// Ids that are decoded at a time.
const IDS_AT_ONCE: usize = 8192;

/// What notes on a data set hold that matter where there is none.
const OF_INTEREST: [&str; 4] =
    ["passed over, as systems", "left out", "masks", "samples have several images"];

/// Looks at a place: an image, a folder, a table, an archive, an IDX file, or a pattern of such. An image that is named
/// itself is called as it was named, what lies in a folder by its path below it; of `several` places this path begins
/// with the folder. Files that cannot be used are left out where `skip_unusable`.
///
/// # Errors
/// Nothing there, or nothing that holds images; a file that cannot be read.
pub(in crate::dataset) fn look(
    place: &Path,
    several: bool,
    skip_unusable: bool,
    context: &Context,
) -> Result<Alone> {
    let name = place.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let Place { root, tree } = match walk::kind(&name) {
        Some(FileKind::Image) if place.is_file() => return Ok(one_image(place)),
        None if place.is_file() && begins_as_image(place) => return Ok(one_image(place)),
        Some(FileKind::Idx) if place.is_file() => {
            let root = place.parent().unwrap_or(Path::new("")).to_owned();
            Place { root, tree: Tree { idx: vec![name], ..Tree::default() } }
        }
        _ => place::look(place, skip_unusable, &|_| false)?,
    };
    let found = Finder { root: &root, tree: &tree, prefix: prefix(&root, several), skip_unusable, context };
    let mut notes: Vec<String> = tree.unusable_in_words().into_iter().collect();
    let files = found.image_files(&mut notes)?;
    let mut packed = found.tables(&mut notes)?;
    packed.append(&mut found.archives(&mut notes)?);
    packed.append(&mut found.idx_files(&mut notes)?);
    if files.is_empty() && packed.is_empty() {
        let why = if notes.is_empty() { tree.left_out() } else { notes.join("; ") };
        return Err(Error::new("there is no image").at(place).because(why).help(format!(
            "images are files that end in {} or begin as such; Parquet, Arrow, IDX and tar files are read as well",
            walk::EXTENSIONS.join(", ")
        )));
    }
    if !tree.others.is_empty() {
        notes.push(tree.left_out());
    }
    Ok(Alone { files, packed, notes })
}

fn one_image(place: &Path) -> Alone {
    Alone { files: vec![(place.display().to_string(), place.to_owned())], ..Alone::default() }
}

/// Whether the first bytes of a file are an image's.
fn begins_as_image(path: &Path) -> bool {
    let mut first = Vec::new();
    let read = File::open(path).and_then(|file| file.take(ENOUGH as u64).read_to_end(&mut first));
    read.is_ok() && is_image(&first)
}

/// How ids begin of what lies below `root`: `photos/`.
fn prefix(root: &Path, several: bool) -> String {
    let shown = root.display().to_string();
    if several && !shown.is_empty() { format!("{}/", shown.trim_end_matches('/')) } else { String::new() }
}

/// Nothing is called after classes here.
fn no_classes() -> Classes {
    Classes { names: Vec::new(), texts: Vec::new(), renamed: Vec::new() }
}

/// A file is taken whole if it is said to test: else its own name might leave it out.
fn whole(name: &str) -> Reading {
    // Of a name with a comma in it the setting would make two.
    let test = if name.contains(',') { String::new() } else { name.to_owned() };
    Reading { labels: LabelsFrom::None, test, ..Reading::default() }
}

fn of_interest(notes: Vec<String>) -> impl Iterator<Item = String> {
    notes.into_iter().filter(|note| OF_INTEREST.iter().any(|words| note.contains(words)))
}

/// What lies at a place, being sorted out.
struct Finder<'a> {
    root: &'a Path,
    tree: &'a Tree,
    /// How ids begin.
    prefix: String,
    skip_unusable: bool,
    context: &'a Context,
}

impl Finder<'_> {
    /// Image files, without those of systems and without masks.
    fn image_files(&self, notes: &mut Vec<String>) -> Result<Vec<(String, PathBuf)>> {
        if self.tree.images.is_empty() {
            return Ok(Vec::new());
        }
        let images: Vec<&str> = self.tree.images.iter().map(String::as_str).collect();
        let question = Question {
            images: &images,
            folders: &self.tree.folders,
            classes: None,
            labels: layout::LabelsFrom::None,
            // Everything, whatever folders are called.
            train: ".",
            test: "",
        };
        let Layout { parts, notes: said, .. } =
            layout::lay_out(&question).map_err(|error| error.at(self.root))?;
        notes.extend(of_interest(said));
        let mut names = Vec::with_capacity(images.len());
        for part in parts {
            let within = if part.folder.is_empty() { String::new() } else { format!("{}/", part.folder) };
            names.extend(part.files.into_iter().map(|file| format!("{within}{file}")));
        }
        names.sort();
        Ok(names.into_iter().map(|name| (format!("{}{name}", self.prefix), self.root.join(name))).collect())
    }

    /// Tables with a column of images.
    fn tables(&self, notes: &mut Vec<String>) -> Result<Vec<Packed>> {
        let Tree { images, tables, idx, tars, metadata, .. } = self.tree;
        let names = tables.iter().chain(metadata.iter().filter(|name| name.ends_with(".parquet")));
        let names: Vec<&str> = names.map(String::as_str).collect();
        // Of what is there alone its reader says what is wrong.
        let alone = names.len() == 1 && images.is_empty() && idx.is_empty() && tars.is_empty();
        let (mut opened, mut without, mut damaged) = (Vec::new(), Vec::new(), Vec::new());
        for name in names {
            match TableFile::open(&self.root.join(name)) {
                Ok(file) if alone || may_hold_images(&file) => opened.push((name, file)),
                Ok(_) => without.push(name),
                Err(_) if self.skip_unusable && !alone => damaged.push(name),
                Err(error) => return Err(error),
            }
        }
        for (names, why) in [(without, "no column holds images"), (damaged, "cannot be read")] {
            if !names.is_empty() {
                notes.push(format!("left out: {}: {why}", first_few(names)));
            }
        }
        let starts: Vec<&str> = opened.iter().map(|(name, _)| *name).collect();
        let mut packed = Vec::with_capacity(opened.len());
        for ((_, file), start) in opened.iter().zip(prefixes(&starts)) {
            self.context.safe_point()?;
            let columns = choose(file, ["", ""], false, None)?;
            notes.extend(columns.notes);
            let table = ImageTable::open(file.path(), &columns.image, None, &no_classes(), ("", false))?;
            packed.push(Packed {
                path: file.path().to_owned(),
                own: own_ids(file, notes)?,
                ids: (0..file.rows()).map(|row| format!("{}{}", self.prefix, id(&start, row))).collect(),
                source: Box::new(TableRows(vec![table.called(&start, 0, None)])),
            });
        }
        Ok(packed)
    }

    fn archives(&self, notes: &mut Vec<String>) -> Result<Vec<Packed>> {
        let mut packed = Vec::with_capacity(self.tree.tars.len());
        for file in &self.tree.tars {
            let (folder, within, name) = self.parted(file);
            let files = [name.to_owned()];
            let found = TarArchives::describe(&folder, &files, Some(no_classes()), &whole(name))?;
            packed.push(self.packed(folder.join(name), within, found, notes)?);
        }
        Ok(packed)
    }

    /// IDX files of images, each once where it is there packed and unpacked.
    fn idx_files(&self, notes: &mut Vec<String>) -> Result<Vec<Packed>> {
        let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for file in self.tree.idx.iter().filter(|file| file.contains("idx3")) {
            groups.entry(file.strip_suffix(".gz").unwrap_or(file)).or_default().push(file);
        }
        let mut packed = Vec::with_capacity(groups.len());
        for group in groups.values() {
            // The unpacked one has the shorter name.
            let Some(file) = group.iter().min_by_key(|file| file.len()) else { continue };
            let (folder, within, name) = self.parted(file);
            let files: Vec<String> = group.iter().map(|file| self.parted(file).2.to_owned()).collect();
            let found = Idx::describe(&folder, &files, Some(no_classes()), &whole(name))?;
            packed.push(self.packed(folder.join(name), within, found, notes)?);
        }
        Ok(packed)
    }

    /// A path from the root as the folder that it lies in, what ids in that begin with, and its name.
    fn parted<'f>(&self, file: &'f str) -> (PathBuf, String, &'f str) {
        match file.rsplit_once('/') {
            Some((folder, name)) => (self.root.join(folder), format!("{}{folder}/", self.prefix), name),
            None => (self.root.to_owned(), self.prefix.clone(), file),
        }
    }

    fn packed(
        &self,
        path: PathBuf,
        within: String,
        found: Described,
        notes: &mut Vec<String>,
    ) -> Result<Packed> {
        self.context.safe_point()?;
        notes.extend(of_interest(found.notes));
        let source = found.source.open(&no_classes())?;
        let ids = source.list(self.context)?.ids.into_iter().map(|id| format!("{within}{id}")).collect();
        Ok(Packed { path, own: None, ids, source })
    }
}

/// What a table calls its rows in a column `id`, if that tells them apart.
fn own_ids(file: &TableFile, notes: &mut Vec<String>) -> Result<Option<Vec<String>>> {
    let Some((_, field)) = file.schema().column_with_name("id") else { return Ok(None) };
    let kind: &DataType = match field.data_type() {
        DataType::Dictionary(_, values) => values,
        kind => kind,
    };
    if !(is_text(kind) || kind.is_integer()) {
        return Ok(None);
    }
    let mut ids: Vec<String> = Vec::with_capacity(file.rows());
    for batch in file.batches(&["id"], None, IDS_AT_ONCE)? {
        let batch = batch?;
        let texts = decode(file.path(), || cast(batch.column(0), &DataType::Utf8))?;
        ids.extend(texts.as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_owned()));
    }
    let distinct: BTreeSet<&String> = ids.iter().filter(|id| !id.is_empty()).collect();
    if distinct.len() < file.rows() || ids.len() != file.rows() {
        notes.push(format!(
            "column `id` of {} does not tell all rows apart: images are called by their rows",
            name_of(file)
        ));
        return Ok(None);
    }
    Ok(Some(ids))
}

#[cfg(test)]
#[path = "alone_tests.rs"]
mod tests;
