//! Which columns of a table hold the images and the labels.
//!
//! What the `datasets` library says of a column counts first, then what the column holds, then its name. Where several
//! could be meant and none is plainly the one, the user is asked.

use std::collections::BTreeSet;

use arrow::array::Array;
use arrow::datatypes::{DataType, Field};
use pipeline::error::{Error, Result};

use super::super::first_few;
use super::super::labels::{Written, class_names, is_label, is_text, written};
use super::super::names::NameIndex;
use super::super::table_file::{TableFile, decode};
use super::super::table_rows::{EncodedBatch, SplitColumn, holds_images};
use super::part::SplitRole;
use crate::runtime::lfs;
use crate::vision::decode::is_image;

/// Names that columns of labels have; the first that is there counts.
pub(super) const LABELS: [&str; 11] = [
    "label",
    "labels",
    "class",
    "target",
    "fine_label",
    "category",
    "class_id",
    "label_id",
    "class_name",
    "label_name",
    "cls",
];
/// Names that columns of images have, the usual ones first.
const IMAGES: [&str; 11] =
    ["image", "img", "images", "picture", "photo", "jpg", "jpeg", "png", "webp", "pixels", "bytes"];
/// Images that are looked at to tell whether a column holds any.
const LOOKED_AT: usize = 16;

/// The columns of one table.
#[derive(Debug, PartialEq)]
pub(super) struct Columns {
    pub(super) image: String,
    pub(super) label: Option<String>,
    /// What is assumed.
    pub(super) notes: Vec<String>,
    /// Whether some images are not in the table: it names their files.
    pub(super) files_beside: bool,
}

/// Whether a table can hold images, going by the types of its columns alone.
pub(super) fn may_hold_images(table: &TableFile) -> bool {
    table.schema().fields().iter().any(|field| holds_images(field.data_type()))
}

/// The columns of a table; `image` and `label` are what the user says, if anything: several names are those of several
/// tables, and a table without any of them is said to have none. `classes` are the names in the list of classes.
///
/// # Errors
/// No column of images, several that may be meant, a name that no column has.
pub(super) fn choose(
    table: &TableFile,
    [image, label]: [&str; 2],
    labels: bool,
    classes: Option<&[String]>,
) -> Result<Columns> {
    let mut notes = Vec::new();
    let image = match image {
        "" => image_column(table, &mut notes)?,
        names => named(table, names, "image", holds_images)?.ok_or_else(|| missing(table, names, "image"))?,
    };
    let label = match label {
        _ if !labels => None,
        "" => label_column(table, &image, classes, &mut notes)?,
        names => match named(table, names, "label", is_label)? {
            None if names.contains(',') => {
                notes.push(format!("{} has no labels: there is no column {names}", name_of(table)));
                None
            }
            None => return Err(missing(table, names, "label")),
            found => found,
        },
    };
    let files_beside = sample(table, &image).is_ok_and(|sample| sample.files > 0);
    Ok(Columns { image, label, notes, files_beside })
}

/// The first of the columns that the user names, if one is there.
fn named(table: &TableFile, names: &str, what: &str, fits: fn(&DataType) -> bool) -> Result<Option<String>> {
    for name in names.split(',').map(str::trim) {
        match table.schema().column_with_name(name) {
            Some((_, field)) if fits(field.data_type()) => return Ok(Some(name.to_owned())),
            Some((_, field)) => {
                return Err(Error::new(format!(
                    "download.{what}_column = {name}: the column is of type {} and cannot hold {what}s",
                    field.data_type()
                ))
                .at(table.path())
                .help(table.columns_in_words()));
            }
            None => {}
        }
    }
    Ok(None)
}

fn missing(table: &TableFile, names: &str, what: &str) -> Error {
    Error::new(format!("download.{what}_column = {names}: there is no such column"))
        .at(table.path())
        .help(format!("{}; columns of several tables are named together: a,b", table.columns_in_words()))
}

/// Names of columns that may say which rows train and which test.
const SPLITS: [&str; 9] =
    ["split", "subset", "partition", "fold", "set", "is_test", "is_train", "is_valid", "is_validation"];

/// Such a column's words for rows that train and for those that test, and for others; none where its values are no names
/// of parts, of which one trains and one tests.
pub(super) fn split_column(table: &TableFile) -> Result<Option<(SplitColumn, BTreeSet<String>)>> {
    let fields = table.schema().fields().iter().filter(|field| is_text(values(field)));
    for field in fields.filter(|field| SPLITS.iter().any(|split| field.name().eq_ignore_ascii_case(split))) {
        let name = field.name().clone();
        let mut words: BTreeSet<String> = BTreeSet::new();
        for batch in table.batches(&[&name], None, 8192)? {
            let batch = batch?;
            let found = decode(table.path(), || written(batch.column(0)))?;
            words.extend(
                found
                    .into_iter()
                    .filter_map(|value| if let Written::Name(word) = value { Some(word) } else { None }),
            );
        }
        let role = |word: &String| SplitRole::of_word(word);
        let of = |wanted: SplitRole| {
            words.iter().filter(|word| role(word) == Some(wanted)).cloned().collect::<Vec<_>>()
        };
        let (train, test) = (of(SplitRole::Train), of(SplitRole::Test));
        let test = if test.is_empty() { of(SplitRole::Validation) } else { test };
        if !train.is_empty() && !test.is_empty() && words.iter().all(|word| role(word).is_some()) {
            let others =
                words.iter().filter(|word| !train.contains(word) && !test.contains(word)).cloned().collect();
            return Ok(Some((SplitColumn { name, train, test }, others)));
        }
    }
    Ok(None)
}

/// Columns that may say which rows train and which test, and are not read.
pub(super) fn split_columns(table: &TableFile, read: Option<&SplitColumn>) -> Option<String> {
    let names = table.schema().fields().iter().map(|field| field.name().as_str());
    let found: Vec<&str> = names
        .filter(|name| SPLITS.iter().any(|split| name.eq_ignore_ascii_case(split)))
        .filter(|name| read.is_none_or(|read| read.name != *name))
        .collect();
    (!found.is_empty()).then(|| {
        format!(
            "column {} of {} is passed over: which images train and which test goes by the names of tables, or by words such \
             as train and test in a column `split`",
            first_few(found),
            name_of(table)
        )
    })
}

/// The type of a column's values, whether or not they are kept in a dictionary.
fn values(field: &Field) -> &DataType {
    match field.data_type() {
        DataType::Dictionary(_, values) => values,
        kind => kind,
    }
}

fn image_column(table: &TableFile, notes: &mut Vec<String>) -> Result<String> {
    let fields: Vec<&Field> = table.schema().fields().iter().map(AsRef::as_ref).collect();
    let fitting: Vec<&str> = fields
        .iter()
        .filter(|field| holds_images(field.data_type()))
        .map(|field| field.name().as_str())
        .collect();
    let declared: Vec<&str> = fitting.iter().copied().filter(|name| is_declared_image(table, name)).collect();
    let candidates = if declared.is_empty() { &fitting } else { &declared };
    // What decodes; where no column's images do, a row will say what is wrong with them.
    let decoding: Vec<&str> = candidates
        .iter()
        .copied()
        .filter(|name| sample(table, name).is_ok_and(|sample| sample.good > 0))
        .collect();
    let left = match decoding.len() {
        0 if declared.is_empty() && candidates.len() != 1 => {
            let usual = IMAGES.iter().find_map(|name| by_name(candidates, name));
            usual.into_iter().collect()
        }
        0 => candidates.clone(),
        _ => decoding,
    };
    match left[..] {
        [] => Err(Error::new("no column holds images: a struct of bytes and path, or binary")
            .at(table.path())
            .help(table.columns_in_words())),
        [one] => {
            let others: Vec<&&str> = fitting.iter().filter(|name| **name != one).collect();
            if !others.is_empty() {
                notes.push(format!(
                    "the images are in column `{one}` of {}, not in {}; download.image_column=… names another",
                    name_of(table),
                    first_few(others)
                ));
            }
            Ok(one.to_owned())
        }
        _ => {
            let usual = IMAGES.iter().find_map(|name| by_name(&left, name));
            let Some(one) = usual else {
                return Err(Error::new(format!("several columns hold images: {}", first_few(&left)))
                    .at(table.path())
                    .help("say which one it is: SET=download.image_column=NAME"));
            };
            let others: Vec<&&str> = left.iter().filter(|name| **name != one).collect();
            notes.push(format!(
                "the images are in column `{one}` of {}, going by its name; {} could hold images too: \
                 download.image_column=… names another",
                name_of(table),
                first_few(others)
            ));
            Ok(one.to_owned())
        }
    }
}

/// The column of this name, whatever its case.
fn by_name<'a>(columns: &[&'a str], name: &str) -> Option<&'a str> {
    columns.iter().copied().find(|column| column.eq_ignore_ascii_case(name))
}

/// Whether the `datasets` library declares the column to hold images.
fn is_declared_image(table: &TableFile, column: &str) -> bool {
    let declared = || {
        let json: serde_json::Value = serde_json::from_str(table.features()?).ok()?;
        Some(json.get("info")?.get("features")?.get(column)?.get("_type")?.as_str()? == "Image")
    };
    declared().unwrap_or(false)
}

/// What some values of a column are.
#[derive(Default)]
struct Sample {
    /// Encoded images, or what stands for them: a Git LFS pointer, the path of a file.
    good: usize,
    /// Paths of files without bytes.
    files: usize,
}

fn sample(table: &TableFile, column: &str) -> Result<Sample> {
    let mut sample = Sample::default();
    let Some(batch) = table.batches(&[column], None, LOOKED_AT)?.next() else { return Ok(sample) };
    let images =
        decode(table.path(), || EncodedBatch::of(&batch?).map_err(|error| Error::new(error.to_string())))?;
    for at in 0..images.bytes.len() {
        let path = images.paths.as_ref().filter(|paths| paths.is_valid(at) && !paths.value(at).is_empty());
        if images.bytes.is_valid(at) {
            let bytes = images.bytes.value(at);
            sample.good += usize::from(is_image(bytes) || lfs::is_pointer(bytes));
        } else if let Some(paths) = path {
            let ending = paths.value(at).rsplit('.').next().unwrap_or_default().to_lowercase();
            let image = super::walk::EXTENSIONS.contains(&ending.as_str());
            sample.files += usize::from(image);
            sample.good += usize::from(image);
        }
    }
    Ok(sample)
}

/// The column of labels: `label`, one that the `datasets` library names classes for, one of the usual names, or the only
/// one whose values are all in the list of classes.
fn label_column(
    table: &TableFile,
    image: &str,
    classes: Option<&[String]>,
    notes: &mut Vec<String>,
) -> Result<Option<String>> {
    let fields = || table.schema().fields().iter().filter(|field| field.name() != image);
    let fitting = || fields().filter(|field| is_label(field.data_type())).map(|field| field.name().as_str());
    let declared =
        |name: &&str| table.features().is_some_and(|features| class_names(features, name).is_some());
    let called = |wanted: &str| fitting().find(|name| name.eq_ignore_ascii_case(wanted));
    let (mut chosen, mut why) = (fitting().find(|name| *name == LABELS[0]), "");
    if chosen.is_none() {
        chosen = fitting().find(declared).or_else(|| LABELS.iter().find_map(|name| called(name)));
        why = ", going by what the table says of it";
    }
    if chosen.is_none()
        && let Some(classes) = classes
    {
        let index = NameIndex::new(classes);
        let mut all_classes = Vec::new();
        for name in fitting() {
            if values_are_classes(table, name, &index)? {
                all_classes.push(name);
            }
        }
        match all_classes[..] {
            [one] => (chosen, why) = (Some(one), ", whose values are all in CLASSES"),
            [] => {}
            _ => {
                return Err(Error::new(format!(
                    "the values of several columns are all in CLASSES: {}",
                    first_few(&all_classes)
                ))
                .at(table.path())
                .help(
                    "say which are the labels: SET=download.label_column=NAME, or SET=download.labels=none",
                ));
            }
        }
    }
    let others: Vec<&str> = fitting()
        .filter(|name| Some(*name) != chosen)
        .filter(|name| declared(name) || LABELS.iter().any(|label| name.eq_ignore_ascii_case(label)))
        .collect();
    let named = name_of(table);
    if let Some(chosen) = chosen
        && (!why.is_empty() || !others.is_empty())
    {
        let not_in =
            if others.is_empty() { String::new() } else { format!(", not in {}", first_few(others)) };
        notes.push(format!(
            "the labels are in column `{chosen}` of {named}{why}{not_in}; download.label_column=… names another"
        ));
    }
    if chosen.is_none() && fitting().next().is_some() {
        notes.push(format!(
            "no column of {named} is taken for labels; if one of {} holds them: SET=download.label_column={}",
            first_few(fitting()),
            fitting().next().unwrap_or_default()
        ));
    }
    Ok(chosen.map(str::to_owned))
}

/// Whether a column holds words, all of which are classes.
fn values_are_classes(table: &TableFile, column: &str, index: &NameIndex) -> Result<bool> {
    let mut any = false;
    for batch in table.batches(&[column], None, 8192)? {
        let batch = batch?;
        for value in decode(table.path(), || written(batch.column(0)))? {
            match value {
                Written::Unknown => {}
                Written::Name(name) if index.find(&name).one().is_some() => any = true,
                _ => return Ok(false),
            }
        }
    }
    Ok(any)
}

/// Columns that are called as labels are and hold none, with their types.
pub(super) fn no_labels(table: &TableFile, image: &str) -> Option<String> {
    let fields = table.schema().fields().iter().filter(|field| field.name() != image);
    let named =
        |field: &&std::sync::Arc<Field>| LABELS.iter().any(|name| field.name().eq_ignore_ascii_case(name));
    let unfit: Vec<String> = fields
        .filter(named)
        .filter(|field| !is_label(field.data_type()))
        .map(|field| format!("{} ({})", field.name(), field.data_type()))
        .collect();
    (!unfit.is_empty()).then(|| {
        format!(
            "column {} of {} is left out: labels are whole numbers, text or flags",
            first_few(unfit),
            name_of(table)
        )
    })
}

/// The name of a table's file, in quotes.
pub(super) fn name_of(table: &TableFile) -> String {
    format!("`{}`", table.path().file_name().map(|name| name.to_string_lossy()).unwrap_or_default())
}
