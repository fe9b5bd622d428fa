//! Rows of a Parquet file as hubs publish image sets: encoded images and labels, in batches.
//!
//! The image column is `struct<bytes, path>` or plain binary; the label column any integer type, or
//! class names. A null label and, as in the `datasets` library, the number −1 mean that it is not known. Images are not decoded here, and nothing is known of splits or ids.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::runtime::panics::guarded;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, LargeBinaryArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use pipeline::error::{Error, OrFail, Result};

use super::catalog::Classes;
use super::names::NameIndex;

/// Rows that are in memory at a time.
const BATCH: usize = 512;

/// One row of a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRow {
    /// The image as the source encodes it: PNG, JPEG, ….
    pub bytes: Vec<u8>,
    /// The file name it once had, where the source keeps it.
    pub path: Option<String>,
    /// Index of the true class; `None` where the source does not know it.
    pub label: Option<i32>,
}

/// The number that stands for an unknown label.
const UNKNOWN: i64 = -1;

/// How a source's label numbers stand to the catalog's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelOrder {
    /// The source names no classes; its numbers are taken as they are.
    Unnamed,
    /// The source names the same classes in the same order.
    Same,
    /// The source names the same classes in another order: ours for each of its numbers.
    Mapped(Vec<i32>),
    /// The source has as many classes, with other names: these; its numbers are taken as they are.
    OtherNames(Vec<String>),
}

/// A source file being read: an iterator over its rows. It ends after its first error.
pub struct ImageRows {
    path: PathBuf,
    image: String,
    label: Option<String>,
    reader: ParquetRecordBatchReader,
    classes: Classes,
    order: LabelOrder,
    count: u64,
    batch: Option<ImageBatch>,
    /// Row of the file with which the batch begins.
    first: usize,
    /// Next row of the batch.
    at: usize,
    failed: bool,
}

/// The columns of one batch in the types that rows are made from.
struct ImageBatch {
    rows: usize,
    bytes: LargeBinaryArray,
    paths: Option<StringArray>,
    labels: Option<LabelColumn>,
}

enum LabelColumn {
    Numbers(Int64Array),
    Names(StringArray),
}

impl ImageRows {
    /// Opens a file and finds its columns; `label` is `None` for a source without labels.
    ///
    /// # Errors
    /// No Parquet file, a missing column or one of a wrong type (says what is there), class names that
    /// contradict the catalog.
    pub fn open(path: &Path, image: &str, label: Option<&str>, classes: &Classes) -> Result<Self> {
        let file = File::open(path).or_fail(|| Error::new("cannot open a table of images").at(path))?;
        let builder = decode(path, || ParquetRecordBatchReaderBuilder::try_new(file))?;
        let columns = find_columns(builder.schema(), image, label).map_err(|error| error.at(path))?;
        let metadata = builder.metadata().file_metadata();
        let count = u64::try_from(metadata.num_rows()).unwrap_or(0);
        let source_names = label.and_then(|label| {
            let entries = metadata.key_value_metadata()?;
            let json = entries.iter().find(|entry| entry.key == "huggingface")?.value.as_ref()?;
            class_names(json, label)
        });
        let order = match source_names {
            None => LabelOrder::Unnamed,
            Some(names) => label_order(names, classes).map_err(|error| error.at(path))?,
        };
        let mask = ProjectionMask::roots(builder.parquet_schema(), columns);
        let reader = decode(path, || builder.with_projection(mask).with_batch_size(BATCH).build())?;
        Ok(Self {
            path: path.to_owned(),
            image: image.to_owned(),
            label: label.map(str::to_owned),
            reader,
            classes: classes.clone(),
            order,
            count,
            batch: None,
            first: 0,
            at: 0,
            failed: false,
        })
    }

    /// Rows in the file.
    pub fn row_count(&self) -> u64 {
        self.count
    }

    /// How the source's label numbers stand to the catalog's.
    pub fn label_order(&self) -> &LabelOrder {
        &self.order
    }

    fn next_row(&mut self) -> Result<Option<ImageRow>> {
        loop {
            if let Some(batch) = &self.batch {
                if self.at < batch.rows {
                    let row = self.row(batch, self.at).map_err(|fault| {
                        Error::new(format!("row {} of a table of images {fault}", self.first + self.at))
                            .at(&self.path)
                            .help("mend or remove the row, or correct the data set's description: its classes and columns")
                    })?;
                    self.at += 1;
                    return Ok(Some(row));
                }
                self.first += batch.rows;
            }
            let Some(next) = decode(&self.path, || self.reader.next().transpose())? else { return Ok(None) };
            let batch = decode(&self.path, || self.batch_of(&next))?;
            self.batch = Some(batch);
            self.at = 0;
        }
    }

    fn batch_of(&self, record: &RecordBatch) -> arrow::error::Result<ImageBatch> {
        let column = |name: &str| {
            record
                .column_by_name(name)
                .ok_or_else(|| arrow::error::ArrowError::SchemaError(format!("column {name} was lost")))
        };
        let images = column(&self.image)?;
        let (bytes, paths) = match images.as_struct_opt() {
            // What lies under a null image has no meaning, so its bytes count as null too.
            Some(fields) => {
                let (_, children, nulls) = fields.clone().into_parts();
                let child = |name| fields.column_by_name(name).cloned();
                let bytes = child("bytes").or_else(|| children.first().cloned());
                let bytes = bytes
                    .ok_or_else(|| arrow::error::ArrowError::SchemaError("bytes were lost".to_owned()))?;
                let bytes = large_binary(&bytes)?;
                let (offsets, values, inner) = bytes.into_parts();
                let nulls = arrow::buffer::NullBuffer::union(nulls.as_ref(), inner.as_ref());
                (
                    LargeBinaryArray::try_new(offsets, values, nulls)?,
                    child("path").map(|path| strings(&path)).transpose()?,
                )
            }
            None => (large_binary(images)?, None),
        };
        let labels = match &self.label {
            None => None,
            Some(name) => {
                let labels = column(name)?;
                Some(if labels.data_type().is_integer() {
                    LabelColumn::Numbers(cast(labels, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
                } else {
                    LabelColumn::Names(strings(labels)?)
                })
            }
        };
        Ok(ImageBatch { rows: record.num_rows(), bytes, paths, labels })
    }

    /// A row, or what is wrong with it.
    fn row(&self, batch: &ImageBatch, at: usize) -> Result<ImageRow, String> {
        if batch.bytes.is_null(at) || batch.bytes.value(at).is_empty() {
            return Err(format!("has no image in column `{}`", self.image));
        }
        let count = self.classes.names.len();
        let label = match &batch.labels {
            None => None,
            Some(LabelColumn::Numbers(labels)) if labels.is_null(at) || labels.value(at) == UNKNOWN => None,
            Some(LabelColumn::Numbers(labels)) => {
                let label = labels.value(at);
                let known = usize::try_from(label).ok().filter(|label| *label < count);
                let label = known
                    .ok_or_else(|| format!("has label {label}, and there are {count} classes, from 0"))?;
                Some(match &self.order {
                    LabelOrder::Mapped(ours) => ours[label],
                    _ => label as i32,
                })
            }
            Some(LabelColumn::Names(labels)) if labels.is_null(at) => None,
            Some(LabelColumn::Names(labels)) => {
                let label = labels.value(at);
                let class = class_of(label, &self.classes);
                let class = class.ok_or_else(|| {
                    format!("has label `{label}`, and the classes are {}", listed(&self.classes.names))
                })?;
                Some(class as i32)
            }
        };
        let path =
            batch.paths.as_ref().filter(|paths| paths.is_valid(at)).map(|paths| paths.value(at).to_owned());
        Ok(ImageRow { bytes: batch.bytes.value(at).to_vec(), path, label })
    }
}

impl Iterator for ImageRows {
    type Item = Result<ImageRow>;

    fn next(&mut self) -> Option<Result<ImageRow>> {
        if self.failed {
            return None;
        }
        let row = self.next_row();
        self.failed = row.is_err();
        row.transpose()
    }
}

/// The positions of the two columns, or what is there instead.
fn find_columns(schema: &Schema, image: &str, label: Option<&str>) -> Result<Vec<usize>> {
    let there = || {
        let columns: Vec<_> =
            schema.fields().iter().map(|field| format!("{} ({})", field.name(), field.data_type())).collect();
        format!("the table has: {}", columns.join(", "))
    };
    let find = |name: &str, holds: &str, fits: &dyn Fn(&DataType) -> bool| {
        let (at, field) = schema.column_with_name(name).ok_or_else(|| {
            Error::new(format!("a table of images has no column `{name}` of {holds}")).help(there())
        })?;
        if fits(field.data_type()) {
            return Ok(at);
        }
        Err(Error::new(format!("column `{name}` of a table of images holds no {holds}")).help(there()))
    };
    let mut columns =
        vec![find(image, "images (binary, or struct of bytes and path)", &|kind| match kind {
            DataType::Struct(fields) => {
                fields.iter().any(|field| field.name() == "bytes" && is_binary(field.data_type()))
            }
            kind => is_binary(kind),
        })?];
    if let Some(label) = label {
        columns.push(find(label, "labels (integers, or class names)", &|kind| {
            let kind = if let DataType::Dictionary(_, values) = kind { values } else { kind };
            kind.is_integer() || is_text(kind)
        })?);
    }
    Ok(columns)
}

pub(super) fn is_binary(kind: &DataType) -> bool {
    matches!(kind, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

pub(crate) fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn large_binary(array: &ArrayRef) -> arrow::error::Result<LargeBinaryArray> {
    Ok(cast(array, &DataType::LargeBinary)?.as_binary::<i64>().clone())
}

fn strings(array: &ArrayRef) -> arrow::error::Result<StringArray> {
    Ok(cast(array, &DataType::Utf8)?.as_string::<i32>().clone())
}

/// Runs a step of decoding. On damaged files the parquet crate sometimes panics instead of returning an
/// error (60.1: a wrong count of levels); what it was working on is never used again after that.
pub(super) fn decode<T, E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    path: &Path,
    step: impl FnOnce() -> Result<T, E>,
) -> Result<T> {
    match guarded(step) {
        Ok(result) => result.map_err(|e| damaged(path, e)),
        Err(cause) => Err(damaged(path, cause)),
    }
}

fn damaged(path: &Path, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new("cannot read a table of images")
        .at(path)
        .because(cause)
        .help("the file is damaged or no Parquet file: remove it, and run again")
}

/// The class names of a column in the metadata that the `datasets` library writes into a table.
pub(super) fn class_names(json: &str, label: &str) -> Option<Vec<String>> {
    let json: serde_json::Value = serde_json::from_str(json).ok()?;
    let names = json.get("info")?.get("features")?.get(label)?.get("names")?.as_array()?;
    names.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}

/// Compares the source's class names with the catalog's. Their order is a trap: copies of one data set
/// exist with their labels in different orders.
fn label_order(source: Vec<String>, classes: &Classes) -> Result<LabelOrder> {
    let found: Vec<Option<usize>> = source.iter().map(|name| class_of(name, classes)).collect();
    let known: Vec<usize> = found.iter().copied().flatten().collect();
    let all_once = known.len() == source.len() && (0..source.len()).all(|class| known.contains(&class));
    let in_place = found.iter().enumerate().all(|(at, class)| class.is_none_or(|class| class == at));
    if source.len() != classes.names.len() || !(all_once || in_place) {
        return Err(Error::new(format!(
            "a table of images has the classes {}, which are not those expected: {}",
            listed(&source),
            listed(&classes.names)
        ))
        .help("correct classes.names of the data set, or list the source's names under classes.renamed"));
    }
    Ok(match (all_once, in_place) {
        (true, true) => LabelOrder::Same,
        (true, false) => LabelOrder::Mapped(known.into_iter().map(|class| class as i32).collect()),
        _ => LabelOrder::OtherNames(source),
    })
}

/// The class that a source means by a name, whatever its case, spaces, hyphens and underscores.
fn class_of(name: &str, classes: &Classes) -> Option<usize> {
    let renamed =
        classes.renamed.iter().find(|renamed| renamed.from == name).map(|renamed| renamed.to.as_str());
    NameIndex::new(&classes.names).find(renamed.unwrap_or(name)).one()
}

/// The first of the names, and how many there are.
pub(super) fn listed(names: &[String]) -> String {
    let more = if names.len() > 12 { format!(", … ({} in all)", names.len()) } else { String::new() };
    format!("{}{more}", names.iter().take(12).cloned().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
#[path = "tables_tests.rs"]
mod tests;
