//! The rows of a table of votes: who said what of which image, and how sure.
//!
//! It knows the table's columns, and nothing of images or classes.

use std::fs::File;
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use pipeline::error::{Error, OrFail, Result};

use crate::dataset::labels::is_text;
use crate::runtime::panics::guarded;

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct VoteRow {
    /// The image's id.
    pub(super) id: String,
    /// Who voted.
    pub(super) annotator: String,
    /// What he said; nothing where he gave no answer.
    pub(super) answer: Option<VoteAnswer>,
    /// How sure he was, from 0 to 1; where it is not said, he was.
    pub(super) confidence: f64,
}

/// What an annotator said.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum VoteAnswer {
    /// The number of a class, from 0.
    Number(i64),
    /// Words.
    Text(String),
}

/// The columns; the last one may be missing.
const COLUMNS: [&str; 4] = ["id", "annotator", "class", "confidence"];

/// Checks from the header alone that the file is a table of votes.
///
/// # Errors
/// A file that cannot be read, or lacks a column: names those that are there.
pub(super) fn check(path: &Path) -> Result<()> {
    guarded(|| open(path).map(drop)).or_fail(|| damaged(path))?
}

/// All rows, in the order of the file.
///
/// # Errors
/// As [`check`]; an id or annotator that is null.
pub(super) fn read(path: &Path) -> Result<Vec<VoteRow>> {
    guarded(|| read_all(path)).or_fail(|| damaged(path))?
}

fn damaged(path: &Path) -> Error {
    Error::new("cannot read the table of votes").at(path).help("VOTES names a Parquet file")
}

fn open(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let file = File::open(path).or_fail(|| damaged(path))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).or_fail(|| damaged(path))?;
    check_columns(builder.schema()).map_err(|error| error.at(path))?;
    Ok(builder)
}

fn check_columns(schema: &Schema) -> Result<()> {
    let plain = |kind: &DataType| match kind {
        DataType::Dictionary(_, values) => is_text(values),
        kind => is_text(kind) || kind.is_integer(),
    };
    let fits = |name: &str, kind: &DataType| match name {
        "confidence" => kind.is_floating() || kind.is_integer(),
        _ => plain(kind),
    };
    for name in COLUMNS {
        let there = || {
            let columns = schema.fields().iter().map(|f| format!("{} ({})", f.name(), f.data_type()));
            format!(
                "the table has: {}. It needs id and annotator (text), class (text, or a number from 0), and may have \
                 confidence (0 to 1)",
                columns.collect::<Vec<_>>().join(", ")
            )
        };
        match schema.column_with_name(name) {
            Some((_, field)) if fits(name, field.data_type()) => {}
            None if name == "confidence" => {}
            Some((_, field)) => {
                let kind = field.data_type();
                return Err(
                    Error::new(format!("column `{name}` of the votes is of type {kind}")).help(there())
                );
            }
            None => return Err(Error::new(format!("the votes have no column `{name}`")).help(there())),
        }
    }
    Ok(())
}

fn read_all(path: &Path) -> Result<Vec<VoteRow>> {
    let builder = open(path)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), COLUMNS);
    let reader = builder.with_projection(mask).build().or_fail(|| damaged(path))?;
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.or_fail(|| damaged(path))?;
        take(&batch, &mut rows).map_err(|error| error.at(path))?;
    }
    Ok(rows)
}

fn take(batch: &RecordBatch, rows: &mut Vec<VoteRow>) -> Result<()> {
    let column = |name: &str| batch.column_by_name(name);
    let as_type = |column: &ArrayRef, kind: &DataType| {
        cast(column, kind).or_fail(|| Error::new("cannot read a column of the votes"))
    };
    let texts = |name: &str| -> Result<StringArray> {
        let column = column(name).ok_or_else(|| Error::new(format!("the votes have no column `{name}`")))?;
        Ok(as_type(column, &DataType::Utf8)?.as_string::<i32>().clone())
    };
    let (ids, annotators) = (texts("id")?, texts("annotator")?);
    let numbers: Option<Int64Array> = match column("class") {
        Some(class) if class.data_type().is_integer() => {
            Some(as_type(class, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
        }
        _ => None,
    };
    let answers = if numbers.is_none() { Some(texts("class")?) } else { None };
    let confidences: Option<Float64Array> = match column("confidence") {
        Some(column) => Some(as_type(column, &DataType::Float64)?.as_primitive::<Float64Type>().clone()),
        None => None,
    };
    for at in 0..batch.num_rows() {
        for (name, column) in [("id", &ids), ("annotator", &annotators)] {
            if column.is_null(at) {
                return Err(Error::new(format!("row {} of the votes has no {name}", rows.len())));
            }
        }
        let answer = match (&numbers, &answers) {
            (Some(numbers), _) => numbers.is_valid(at).then(|| VoteAnswer::Number(numbers.value(at))),
            (None, Some(texts)) => texts.is_valid(at).then(|| VoteAnswer::Text(texts.value(at).to_owned())),
            (None, None) => None,
        };
        let confidence = confidences.as_ref().filter(|column| column.is_valid(at));
        rows.push(VoteRow {
            id: ids.value(at).to_owned(),
            annotator: annotators.value(at).to_owned(),
            answer,
            confidence: confidence.map_or(1.0, |column| column.value(at)),
        });
    }
    Ok(())
}
