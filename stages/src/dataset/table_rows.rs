//! Image sets in tables, as hubs and `datasets` publish them: encoded images and labels, in one file or several.
//!
//! The image column is `struct<bytes, path>` or plain binary; where the bytes are null, `path` names a file beside the
//! table. Images are not decoded here, and nothing is known of how columns are chosen.

use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef, AsArray, LargeBinaryArray, RecordBatch, StringArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Fields};
use arrow::error::ArrowError;
use pipeline::error::{Error, Result};
use pipeline::stage::Context;
use serde::{Deserialize, Serialize};

use super::catalog::Classes;
use super::labels::{LabelColumn, LabelOrder, LabelReader, Written, class_names, is_label, written};
use super::listing::{EncodedImage, ImageSource, Listing, Read, Taker};
use super::split::{Split, id};
use super::table_file::{TableFile, decode};

/// Images that are in memory at a time. Photographs have megabytes.
const IMAGES_AT_ONCE: usize = 64;
/// Labels that are decoded at a time: a few kilobytes.
const LABELS_AT_ONCE: usize = 8192;

/// One table of images.
pub(crate) struct ImageTable {
    file: TableFile,
    image: String,
    label: Option<(String, LabelReader)>,
    split: Option<Split>,
    split_column: Option<SplitColumn>,
    /// How the ids of its rows begin, and the number of the first.
    prefix: String,
    first: usize,
    /// What to do about a label that is no class.
    help: &'static str,
}

/// A column that says which rows train and which test, by these words; rows with others are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitColumn {
    /// Its name.
    pub name: String,
    /// What it says of rows that train.
    pub train: Vec<String>,
    /// What it says of rows that test.
    pub test: Vec<String>,
}

/// Tables, one after the other.
pub(crate) struct TableRows(pub(crate) Vec<ImageTable>);

impl ImageTable {
    /// Finds the columns of a table; `label` is `None` for one without labels, and `help` says what to do about labels
    /// that are no class. Where `whole`, class names in the table must be all of `classes`.
    ///
    /// # Errors
    /// No table, a missing column or one of a wrong type (says what is there), class names that contradict `classes`.
    pub(crate) fn open(
        path: &Path,
        image: &str,
        label: Option<&LabelColumn>,
        classes: &Classes,
        (help, whole): (&'static str, bool),
    ) -> Result<Self> {
        let file = TableFile::open(path)?;
        let find = |name: &str, holds: &str, fits: &dyn Fn(&DataType) -> bool| {
            let (_, field) = file.schema().column_with_name(name).ok_or_else(|| {
                Error::new(format!("a table of images has no column `{name}` of {holds}"))
                    .at(path)
                    .help(file.columns_in_words())
            })?;
            if fits(field.data_type()) {
                return Ok(());
            }
            Err(Error::new(format!("column `{name}` of a table of images holds no {holds}"))
                .at(path)
                .help(file.columns_in_words()))
        };
        find(image, "images (binary, or struct of bytes and path)", &holds_images)?;
        let label = match label {
            None => None,
            Some(column) => {
                find(&column.name, "labels (whole numbers, or class names)", &is_label)?;
                let names = file.features().and_then(|features| class_names(features, &column.name));
                let reader = LabelReader::new(classes, names, column.first, whole);
                Some((column.name.clone(), reader.map_err(|error| error.at(path).help(help))?))
            }
        };
        let image = image.to_owned();
        Ok(Self {
            file,
            image,
            label,
            split: None,
            split_column: None,
            prefix: String::new(),
            first: 0,
            help,
        })
    }

    /// Says of which split its rows are and what they are called: `{prefix}/{number:06}`, from `first` on.
    pub(crate) fn called(self, prefix: &str, first: usize, split: Option<Split>) -> Self {
        Self { prefix: prefix.to_owned(), first, split, ..self }
    }

    /// Has a column say of each row whether it trains or tests.
    pub(crate) fn divided_by(self, split_column: Option<SplitColumn>) -> Self {
        Self { split_column, ..self }
    }

    /// How many rows it has.
    pub(crate) fn rows(&self) -> usize {
        self.file.rows()
    }

    /// The split of each row, where a column says it.
    fn splits(&self, context: &Context) -> Result<Option<Vec<Option<Split>>>> {
        let Some(SplitColumn { name, train, test }) = &self.split_column else { return Ok(None) };
        let mut splits = Vec::with_capacity(self.rows());
        for batch in self.file.batches(&[name], None, LABELS_AT_ONCE)? {
            context.safe_point()?;
            let batch = batch?;
            for value in decode(self.file.path(), || written(batch.column(0)))? {
                splits.push(match value {
                    Written::Name(word) if train.contains(&word) => Some(Split::Train),
                    Written::Name(word) if test.contains(&word) => Some(Split::Test),
                    _ => None,
                });
            }
        }
        Ok(Some(splits))
    }

    /// How its label numbers stand to the classes.
    pub(crate) fn label_order(&self) -> &LabelOrder {
        self.label.as_ref().map_or(&LabelOrder::Unnamed, |(_, reader)| reader.order())
    }

    fn list(&self, listing: &mut Listing, context: &Context) -> Result<()> {
        let splits = self.splits(context)?;
        for (row, label) in self.labels(context)?.into_iter().enumerate() {
            let split = match &splits {
                None => self.split,
                Some(splits) if splits[row].is_none() => continue,
                Some(splits) => splits[row],
            };
            listing.push(id(&self.prefix, self.first + row), label, split);
        }
        Ok(())
    }

    fn labels(&self, context: &Context) -> Result<Vec<Option<i32>>> {
        let Some((column, reader)) = &self.label else { return Ok(vec![None; self.rows()]) };
        let mut labels = Vec::with_capacity(self.rows());
        for batch in self.file.batches(&[column], None, LABELS_AT_ONCE)? {
            context.safe_point()?;
            let batch = batch?;
            for label in decode(self.file.path(), || written(batch.column(0)))? {
                labels.push(reader.class(&label).map_err(|fault| {
                    Error::new(format!("row {} of a table of images {fault}", labels.len()))
                        .at(self.file.path())
                        .help(self.help)
                })?);
            }
        }
        Ok(labels)
    }

    /// Reads images; `rows` are rows of this table, `base` what makes them rows of all tables.
    fn read(&self, rows: &[usize], base: usize, context: &Context, take: &mut Taker) -> Result<()> {
        let mut rest = rows;
        for batch in self.file.batches(&[&self.image], Some(rows), IMAGES_AT_ONCE)? {
            context.safe_point()?;
            let batch = batch?;
            let (here, later) = rest.split_at(batch.num_rows().min(rest.len()));
            rest = later;
            let images = decode(self.file.path(), || EncodedBatch::of(&batch))?;
            take(
                here.iter()
                    .enumerate()
                    .map(|(at, row)| (base + row, self.image(&images, at, *row)))
                    .collect(),
            )?;
        }
        match rest.first() {
            None => Ok(()),
            Some(row) => Err(Error::new(format!("a table of images ends before its row {row}"))
                .at(self.file.path())
                .help("the file is damaged, or changed during the run: run again")),
        }
    }

    fn image(&self, images: &EncodedBatch, at: usize, row: usize) -> Result<EncodedImage> {
        let path = images.paths.as_ref().filter(|paths| paths.is_valid(at)).map(|paths| paths.value(at));
        let path = path.filter(|path| !path.is_empty()).map(str::to_owned);
        if images.bytes.is_valid(at) && !images.bytes.value(at).is_empty() {
            return Ok(EncodedImage { bytes: images.bytes.value(at).to_vec(), path });
        }
        let missing = || {
            Error::new(format!("row {row} of a table of images has no image in column `{}`", self.image))
                .at(self.file.path())
        };
        match path {
            Some(path) if images.bytes.is_null(at) => {
                let place = beside(self.file.path(), &path);
                let bytes = std::fs::read(&place).map_err(|error| {
                    missing().because(format!(
                        "its bytes are null, and the file {} is not readable: {error}",
                        place.display()
                    ))
                })?;
                Ok(EncodedImage { bytes, path: Some(path) })
            }
            _ => Err(missing()),
        }
    }
}

/// Where the file of a row lies that a table names by a path: from the table's folder, where it is no whole path.
fn beside(table: &Path, path: &str) -> PathBuf {
    table.parent().unwrap_or(Path::new("")).join(path)
}

impl ImageSource for TableRows {
    fn list(&self, context: &Context) -> Result<Listing> {
        let mut listing = Listing::default();
        context.progress().begin(self.0.iter().map(|table| table.rows() as u64).sum(), "rows listed");
        for table in &self.0 {
            table.list(&mut listing, context)?;
            context.progress().advance(table.rows() as u64);
        }
        Ok(listing)
    }

    fn read(&self, rows: &[usize], context: &Context, take: &mut Taker) -> Result<()> {
        // Rows count without those that a column leaves out.
        let mut listed = Vec::new();
        let mut before = 0;
        for table in &self.0 {
            let splits = table.splits(context)?;
            let is_listed = |row: &usize| splits.as_ref().is_none_or(|splits| splits[*row].is_some());
            listed.extend((0..table.rows()).filter(is_listed).map(|row| before + row));
            before += table.rows();
        }
        let wanted: Vec<usize> = rows.iter().map(|row| listed[*row]).collect();
        let mut back = |mut images: Vec<Read>| {
            for (row, _) in &mut images {
                *row = listed.binary_search(row).unwrap_or(*row);
            }
            take(images)
        };
        self.read_rows(&wanted, context, &mut back)
    }
}

impl TableRows {
    /// Reads images by their rows in all tables, left-out ones counted.
    fn read_rows(&self, rows: &[usize], context: &Context, take: &mut Taker) -> Result<()> {
        let (mut base, mut rest) = (0, rows);
        for table in &self.0 {
            let end = base + table.rows();
            let (here, later) = rest.split_at(rest.partition_point(|row| *row < end));
            rest = later;
            if !here.is_empty() {
                let here: Vec<usize> = here.iter().map(|row| row - base).collect();
                table.read(&here, base, context, take)?;
            }
            base = end;
        }
        Ok(())
    }
}

/// Whether a column of this type can hold encoded images.
pub(crate) fn holds_images(kind: &DataType) -> bool {
    match kind {
        DataType::Struct(fields) => has_bytes(fields),
        kind => is_binary(kind),
    }
}

/// A struct of `bytes`; or of `path` alone, with `bytes` that the writer knew to be null throughout.
fn has_bytes(fields: &Fields) -> bool {
    fields
        .iter()
        .any(|field| field.name() == "bytes" && (is_binary(field.data_type()) || field.data_type().is_null()))
}

fn is_binary(kind: &DataType) -> bool {
    matches!(kind, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

/// One batch's images as they are encoded, and the names of their files.
pub(crate) struct EncodedBatch {
    pub(crate) bytes: LargeBinaryArray,
    pub(crate) paths: Option<StringArray>,
}

impl EncodedBatch {
    /// Of a batch whose first column holds images.
    pub(crate) fn of(batch: &RecordBatch) -> Result<Self, ArrowError> {
        let images = batch.column(0);
        let Some(fields) = images.as_struct_opt() else {
            return Ok(Self { bytes: large_binary(images)?, paths: None });
        };
        // What lies under a null image has no meaning, so its bytes and path count as null too.
        let bytes = fields.column_by_name("bytes");
        let bytes = bytes.ok_or_else(|| ArrowError::SchemaError("bytes were lost".to_owned()))?;
        let (offsets, values, inner) = large_binary(bytes)?.into_parts();
        let bytes =
            LargeBinaryArray::try_new(offsets, values, NullBuffer::union(fields.nulls(), inner.as_ref()))?;
        let paths = fields.column_by_name("path").map(strings).transpose()?;
        let paths = match paths {
            Some(paths) => {
                let (offsets, values, inner) = paths.into_parts();
                Some(StringArray::try_new(
                    offsets,
                    values,
                    NullBuffer::union(fields.nulls(), inner.as_ref()),
                )?)
            }
            None => None,
        };
        Ok(Self { bytes, paths })
    }
}

fn large_binary(array: &ArrayRef) -> Result<LargeBinaryArray, ArrowError> {
    if array.data_type().is_null() {
        return Ok(LargeBinaryArray::new_null(array.len()));
    }
    Ok(cast(array, &DataType::LargeBinary)?.as_binary::<i64>().clone())
}

fn strings(array: &ArrayRef) -> Result<StringArray, ArrowError> {
    Ok(cast(array, &DataType::Utf8)?.as_string::<i32>().clone())
}

#[cfg(test)]
#[path = "table_rows_tests.rs"]
mod tests;
