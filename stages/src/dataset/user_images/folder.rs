//! Image files in a folder: what [`layout`](super::layout) finds of their splits and classes, and what a table of labels
//! beside them says, as a source of images.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::{Context, Reads};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::form::Form;
use super::found_classes::classes_of;
use super::layout::{self, Layout, Part, Question};
use super::metadata::{self, Metadata};
use super::reading::{LabelsFrom, Reading};
use super::tables::{first_label, of_names};
use super::walk::Tree;
use super::{Described, UserImages};
use crate::dataset::catalog::Classes;
use crate::dataset::first_few;
use crate::dataset::labels::{LabelReader, Written};
use crate::dataset::listing::{EncodedImage, ImageSource, Listing, Taker};
use crate::dataset::names::canonical;
use crate::dataset::split::Split;

/// Image files, part by part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Folder {
    root: PathBuf,
    parts: Vec<FolderPart>,
    /// Tables that have the labels, where it is not folders that have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<MetadataLabels>,
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

/// Where labels are that lie in tables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct MetadataLabels {
    /// The column, if the user names one.
    column: String,
    /// The number of the first class.
    first: i64,
    /// Paths of the tables, from the root.
    tables: Vec<String>,
}

/// Images that are read at a time. Photographs have megabytes.
const AT_ONCE: usize = 64;

impl Folder {
    pub(super) fn describe(
        root: &Path,
        tree: &Tree,
        list: Option<Classes>,
        reading: &Reading,
    ) -> Result<Described> {
        let images: Vec<&str> = tree.images.iter().map(String::as_str).collect();
        let mut notes = Vec::new();
        let found = labels_of_metadata(root, tree, reading, &mut notes)?;
        let labels = match reading.labels {
            _ if found.is_some() => LabelsFrom::None,
            labels => labels,
        };
        let names = list.as_ref().map(|list| list.names.as_slice());
        let question = Question {
            images: &images,
            folders: &tree.folders,
            classes: names,
            labels: labels.into(),
            train: &reading.train,
            test: &reading.test,
        };
        let Layout { parts, classes, rule, notes: assumed, wrapping } =
            layout::lay_out(&question).map_err(|error| error.at(root))?;
        // Tables name files from where they lie, which may be outside.
        let wrapping = if found.is_some() { String::new() } else { wrapping };
        // That no folder is a label was not asked of the user where a table has the labels.
        notes.extend(assumed);
        if !tree.others.is_empty() {
            notes.push(tree.left_out());
        }
        if found.is_none() && !tree.texts.is_empty() {
            notes.push(format!(
                "not read: {}; a table of labels is to be called metadata.csv, and to have the columns file_name and label",
                first_few(&tree.texts)
            ));
        }
        let mut metadata = None;
        let classes = match (list, classes, found) {
            (list, _, Some((written, tables))) => {
                let classes = match list {
                    Some(list) => list,
                    None => of_names(classes_of_metadata(&written, root, &mut notes)?),
                };
                let first = first_label(range(&written), &classes.names, reading, &mut notes);
                metadata = Some(MetadataLabels { column: reading.label_column.clone(), first, tables });
                classes
            }
            (Some(list), _, None) => list,
            (None, Some(names), None) => of_names(names),
            (None, None, None) => {
                return Err(Error::new("it is not known which classes there are").at(root).help(format!(
                    "list them in a text file, one a line, and name it: CLASSES=classes.txt; or put the images into \
                     folders that are called as the classes are{}",
                    notes.iter().map(|note| format!("; {note}")).collect::<String>()
                )));
            }
        };
        let part = |Part { folder, split, class, files }: Part| {
            let folder = format!("{folder}/");
            let folder = folder.strip_prefix(&wrapping).unwrap_or(&folder).trim_end_matches('/').to_owned();
            FolderPart { folder, split, class, files }
        };
        let folder =
            Self { root: root.join(&wrapping), parts: parts.into_iter().map(part).collect(), metadata };
        let form = Form::of_files(folder.paths().collect());
        Ok(Described { source: UserImages::Folder(folder), classes, form, split: rule, notes })
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
        let tables = self.metadata.iter().flat_map(|metadata| &metadata.tables);
        self.parts.iter().map(reads).chain(tables.map(|table| Reads::All(self.root.join(table)))).collect()
    }

    pub(super) fn open(&self, classes: &Classes) -> FolderRows {
        FolderRows { folder: self.clone(), classes: classes.clone() }
    }
}

/// Labels by the images' paths from the root.
type LabelsByImage = BTreeMap<String, Written>;

/// What tables beside the images say of their labels, by the images' paths from the root, and those tables. None if there
/// is no such table, or it is not to count.
fn labels_of_metadata(
    root: &Path,
    tree: &Tree,
    reading: &Reading,
    notes: &mut Vec<String>,
) -> Result<Option<(LabelsByImage, Vec<String>)>> {
    if !matches!(reading.labels, LabelsFrom::Auto | LabelsFrom::Metadata) {
        return Ok(None);
    }
    if tree.metadata.is_empty() && reading.labels == LabelsFrom::Metadata {
        return Err(Error::new(
            "download.labels = metadata: there is no metadata.csv, .tsv, .jsonl or .parquet",
        )
        .at(root)
        .help("call the table so, or take the labels from elsewhere"));
    }
    if tree.metadata.is_empty() {
        return Ok(None);
    }
    let LabelTables { written, labelled, columns } =
        read_metadata(root, &tree.metadata, &reading.label_column)?;
    if labelled.is_empty() {
        notes.push(format!(
            "{} has no column of labels, and is passed over; its columns are {}: SET=download.label_column=… names one",
            first_few(&tree.metadata),
            first_few(columns)
        ));
        return Ok(None);
    }
    let images: BTreeSet<String> = tree.images.iter().map(|image| canonical(image)).collect();
    let without: Vec<&String> = written.keys().filter(|name| !images.contains(*name)).collect();
    if !without.is_empty() {
        notes.push(format!(
            "rows of {1} that name no image: {0}, such as {2}",
            without.len(),
            first_few(&tree.metadata),
            first_few(without)
        ));
    }
    let unlabeled = images.iter().filter(|image| !written.contains_key(*image)).count();
    if unlabeled == images.len() {
        return Err(Error::new(format!("no row of {} names one of the images", first_few(&tree.metadata)))
            .at(root)
            .because(format!("it names {}, and images are {}", first_few(written.keys()), first_few(&tree.images)))
            .help("file_name holds paths from the table's folder; SET=download.labels=none passes the table over"));
    }
    let is_split =
        |column: &&String| matches!(column.to_lowercase().as_str(), "split" | "subset" | "is_test");
    let splits: Vec<&String> = columns.iter().filter(is_split).collect();
    if !splits.is_empty() {
        notes.push(format!(
            "column {} of {} is passed over: which images train and which test goes by folders; download.train=… and \
             download.test=… name them",
            first_few(splits),
            first_few(&tree.metadata)
        ));
    }
    let mut note = format!(
        "the labels are in column {} of {}; download.labels=top-folder, parent-folder or none takes others",
        first_few(&labelled),
        first_few(&tree.metadata)
    );
    if unlabeled > 0 {
        note += &format!("; images without a row, and so without a label: {unlabeled}");
    }
    notes.push(note);
    Ok(Some((written, tree.metadata.clone())))
}

/// What tables of labels say together.
#[derive(Default)]
struct LabelTables {
    written: LabelsByImage,
    /// The columns that hold labels.
    labelled: BTreeSet<String>,
    /// All columns.
    columns: BTreeSet<String>,
}

fn read_metadata(root: &Path, tables: &[String], column: &str) -> Result<LabelTables> {
    let mut all = LabelTables::default();
    for table in tables {
        let folder = table.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let Metadata { label, rows, columns } = metadata::read(&root.join(table), column)?;
        all.labelled.extend(label);
        all.columns.extend(columns);
        let by_image = rows.into_iter().map(|(file, label)| (canonical(&format!("{folder}{file}")), label));
        all.written.extend(by_image);
    }
    Ok(all)
}

fn range(written: &LabelsByImage) -> Option<(i64, i64)> {
    let numbers = || {
        written.values().filter_map(|label| match label {
            Written::Number(number) if *number != -1 => Some(*number),
            _ => None,
        })
    };
    numbers().min().zip(numbers().max())
}

fn classes_of_metadata(written: &LabelsByImage, root: &Path, notes: &mut Vec<String>) -> Result<Vec<String>> {
    let names: BTreeSet<String> = written
        .values()
        .filter_map(|label| match label {
            Written::Name(name) => Some(name.clone()),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        return Err(Error::new("the labels beside the images are numbers, and nothing says which classes they are")
            .at(root)
            .help("list the classes in the order of their numbers, one a line, and name the file: CLASSES=classes.txt"));
    }
    Ok(classes_of(&[names], "labels", notes))
}

/// Image files as a source of images. An image's id is its path from the root.
pub(super) struct FolderRows {
    folder: Folder,
    classes: Classes,
}

impl ImageSource for FolderRows {
    fn list(&self, context: &Context) -> Result<Listing> {
        let mut listing = Listing::default();
        let of_part = self.folder.parts.iter().flat_map(|part| part.files.iter().map(move |_| part));
        for ((id, _), part) in self.folder.paths().zip(of_part) {
            listing.push(id, part.class.map(|class| class as i32), part.split);
        }
        let Some(MetadataLabels { column, first, tables }) = &self.folder.metadata else {
            return Ok(listing);
        };
        context.safe_point()?;
        let reader = LabelReader::new(&self.classes, None, *first, false)?;
        let written = read_metadata(&self.folder.root, tables, column)?.written;
        for (id, label) in listing.ids.iter().zip(&mut listing.labels) {
            let Some(written) = written.get(&canonical(id)) else { continue };
            *label = reader.class(written).map_err(|fault| {
                Error::new(format!("`{id}` {fault}")).at(self.folder.root.join(&tables[0])).help(
                    "list every class in CLASSES=classes.txt, as the labels call it or in the order of their numbers; \
                     numbers that begin elsewhere than at 0: SET=download.first_label=1",
                )
            })?;
        }
        Ok(listing)
    }

    fn read(&self, rows: &[usize], context: &Context, take: &mut Taker) -> Result<()> {
        let paths: Vec<(String, PathBuf)> = self.folder.paths().collect();
        for rows in rows.chunks(AT_ONCE) {
            context.safe_point()?;
            let read = |&row: &usize| {
                let (id, path) = &paths[row];
                let bytes = std::fs::read(path).or_fail(|| Error::new("cannot read the file").at(path));
                (row, bytes.map(|bytes| EncodedImage { bytes, path: Some(id.clone()) }))
            };
            take(rows.par_iter().map(read).collect())?;
        }
        Ok(())
    }
}
