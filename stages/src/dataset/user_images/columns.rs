//! Which columns of a table hold the images and the labels.
//!
//! What the `datasets` library says of a column counts first, then what the column holds, then its name. Where several
//! could be meant and none is plainly the one, the user is asked.

use arrow::array::Array;
use arrow::datatypes::{DataType, Field};
use pipeline::error::{Error, Result};

use super::super::first_few;
use super::super::labels::{class_names, is_label};
use super::super::table_file::{TableFile, decode};
use super::super::table_rows::{EncodedBatch, holds_images};
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

/// The columns of a table; `image` and `label` are what the user says, if anything.
///
/// # Errors
/// No column of images, several that may be meant, a name that no column has.
pub(super) fn choose(table: &TableFile, image: &str, label: &str, labels: bool) -> Result<Columns> {
    let mut notes = Vec::new();
    let image = match image {
        "" => image_column(table, &mut notes)?,
        name => named(table, name, "image", holds_images)?,
    };
    let label = match label {
        _ if !labels => None,
        "" => label_column(table, &image, &mut notes),
        name => Some(named(table, name, "label", is_label)?),
    };
    let files_beside = sample(table, &image).is_ok_and(|sample| sample.files > 0);
    Ok(Columns { image, label, notes, files_beside })
}

/// The column that the user names.
fn named(table: &TableFile, name: &str, what: &str, fits: fn(&DataType) -> bool) -> Result<String> {
    let fault = match table.schema().column_with_name(name) {
        Some((_, field)) if fits(field.data_type()) => return Ok(name.to_owned()),
        Some((_, field)) => {
            format!("column `{name}` is of type {} and cannot hold {what}s", field.data_type())
        }
        None => format!("there is no column `{name}`"),
    };
    Err(Error::new(format!("download.{what}_column = {name}: {fault}"))
        .at(table.path())
        .help(table.columns_in_words()))
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
                "the images are in column `{one}` of {}, going by its name; {} hold images too: \
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

/// The column of labels: `label`, one that the `datasets` library names classes for, or one of the usual names.
fn label_column(table: &TableFile, image: &str, notes: &mut Vec<String>) -> Option<String> {
    let fields = || table.schema().fields().iter().filter(|field| field.name() != image);
    let declared: Vec<&str> = fields()
        .map(|field| field.name().as_str())
        .filter(|name| table.features().is_some_and(|features| class_names(features, name).is_some()))
        .collect();
    let usual: Vec<&Field> = LABELS
        .iter()
        .filter_map(|name| fields().find(|field| field.name().eq_ignore_ascii_case(name)).map(AsRef::as_ref))
        .collect();
    let fits = |name: &str| {
        table.schema().column_with_name(name).is_some_and(|(_, field)| is_label(field.data_type()))
    };
    let plain = usual.first().filter(|field| field.name() == LABELS[0] && is_label(field.data_type()));
    let chosen = plain.map(|field| field.name().as_str());
    let chosen = chosen.or_else(|| declared.iter().copied().find(|name| fits(name)));
    let chosen = chosen.or_else(|| {
        usual.iter().find(|field| is_label(field.data_type())).map(|field| field.name().as_str())
    })?;
    let named = name_of(table);
    let mut others: Vec<&str> = declared.into_iter().filter(|name| *name != chosen).collect();
    for field in usual.iter().filter(|field| field.name() != chosen) {
        if is_label(field.data_type()) && !others.contains(&field.name().as_str()) {
            others.push(field.name());
        }
    }
    if !others.is_empty() {
        notes.push(format!(
            "the labels are in column `{chosen}` of {named}, not in {}; download.label_column=… names another",
            first_few(others)
        ));
    }
    Some(chosen.to_owned())
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
