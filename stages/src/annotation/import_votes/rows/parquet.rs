//! The rows of a Parquet table of votes.
//!
//! It knows the columns' types, and nothing of images or classes.

use std::fs::File;
use std::path::Path;

use ::parquet::arrow::ProjectionMask;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, Schema};
use pipeline::error::{Error, OrFail, Result};

use super::columns::Columns;
use super::{ParquetReader, TableOf, VoteAnswer, VoteRow, VoteTable, damaged};
use crate::dataset::labels::is_text;

/// The reader of a table, and its columns.
///
/// # Errors
/// A file that is damaged, or lacks a column: names those that are there.
pub(super) fn open(file: File, path: &Path, of: TableOf) -> Result<(ParquetReader, Columns)> {
    let builder = ParquetReader::try_new(file).or_fail(|| damaged(path, of))?;
    let columns = find_columns(builder.schema(), of)?;
    Ok((builder, columns))
}

/// All rows; `lone` is who votes in a table that does not say who.
///
/// # Errors
/// As [`open`]; an id or annotator that is null, a class that is no whole number.
pub(super) fn read(file: File, path: &Path, lone: &str, of: TableOf) -> Result<VoteTable> {
    let (builder, columns) = open(file, path, of)?;
    let Columns { id, annotator, class, confidence, .. } = columns;
    let wanted = [Some(id), annotator, Some(class), confidence].into_iter().flatten();
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    // By name, because a projection counts anew.
    let name = |at: usize| builder.schema().field(at).name().clone();
    let names = (name(id), annotator.map(name), name(class), confidence.map(name));
    let reader = builder.with_projection(mask).build().or_fail(|| damaged(path, of))?;
    let mut rows = Vec::new();
    for batch in reader {
        take(&batch.or_fail(|| damaged(path, of))?, &names, (lone, of), &mut rows)?;
    }
    Ok(VoteTable { rows, unit: "row", notes: columns.notes(lone) })
}

fn find_columns(schema: &Schema, of: TableOf) -> Result<Columns> {
    let plain = |kind: &DataType| match kind {
        DataType::Dictionary(_, values) => is_text(values),
        kind => is_text(kind) || kind.is_integer(),
    };
    let fits = |name: &str, kind: &DataType| match name {
        "confidence" => kind.is_floating() || kind.is_integer(),
        // Whole numbers with gaps are floating in pandas.
        "class" => plain(kind) || kind.is_floating(),
        _ => plain(kind),
    };
    let fields = schema.fields();
    let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
    let described: Vec<String> = fields.iter().map(|f| format!("{} ({})", f.name(), f.data_type())).collect();
    // A column of numbers that has another name is not who voted.
    let may_be = |name: &str, at: usize| {
        let kind = fields[at].data_type();
        fits(name, kind) && !(name == "annotator" && kind.is_integer())
    };
    let columns = Columns::find(of, &names, &described, may_be)?;
    let found = [
        ("id", Some(columns.id)),
        ("annotator", columns.annotator),
        ("class", Some(columns.class)),
        ("confidence", columns.confidence),
    ];
    for (name, at) in found.into_iter().filter_map(|(name, at)| Some((name, at?))) {
        let kind = fields[at].data_type();
        if !fits(name, kind) {
            let name = &names[at];
            let what = format!("column `{name}` of the {} is of type {kind}", of.rows());
            return Err(Error::new(what).help(format!(
                "the table has: {}. {}",
                described.join(", "),
                of.needed()
            )));
        }
    }
    Ok(columns)
}

/// Names of the columns for id, annotator, class and confidence.
type Wanted = (String, Option<String>, String, Option<String>);

fn take(
    batch: &RecordBatch,
    names: &Wanted,
    (lone, of): (&str, TableOf),
    rows: &mut Vec<VoteRow>,
) -> Result<()> {
    let table = of.rows();
    let (id, annotator, class, confidence) = names;
    let column = |name: &str| {
        batch.column_by_name(name).ok_or_else(|| Error::new(format!("the {table} have no column `{name}`")))
    };
    let as_type = |column: &ArrayRef, kind: &DataType| {
        cast(column, kind).or_fail(|| Error::new(format!("cannot read a column of the {table}")))
    };
    let texts = |name: &str| -> Result<StringArray> {
        Ok(as_type(column(name)?, &DataType::Utf8)?.as_string::<i32>().clone())
    };
    let floats = |name: &str| -> Result<Float64Array> {
        Ok(as_type(column(name)?, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
    };
    let ids = texts(id)?;
    let annotators = annotator.as_deref().map(texts).transpose()?;
    let answers = match column(class)?.data_type() {
        kind if kind.is_integer() => {
            let numbers = as_type(column(class)?, &DataType::Int64)?;
            Answers::Numbers(numbers.as_primitive::<Int64Type>().clone())
        }
        kind if kind.is_floating() => Answers::Floats(floats(class)?),
        _ => Answers::Texts(texts(class)?),
    };
    let confidences = confidence.as_deref().map(floats).transpose()?;
    for at in 0..batch.num_rows() {
        let row = rows.len();
        let missing = |what: &str| {
            Error::new(format!("row {row} of the {table} has no {what}"))
                .help("rows are counted from 0; fill it in, or take the row away")
        };
        let annotator = match &annotators {
            None => lone,
            Some(annotators) if annotators.is_null(at) => return Err(missing("annotator")),
            Some(annotators) => annotators.value(at),
        };
        if ids.is_null(at) {
            return Err(missing("id"));
        }
        let answer = match &answers {
            Answers::Numbers(numbers) => numbers.is_valid(at).then(|| VoteAnswer::Number(numbers.value(at))),
            Answers::Texts(texts) => texts.is_valid(at).then(|| VoteAnswer::Text(texts.value(at).to_owned())),
            Answers::Floats(numbers) => {
                let number =
                    numbers.is_valid(at).then(|| numbers.value(at)).filter(|number| !number.is_nan());
                let whole = |number: f64| {
                    super::whole(number).map(VoteAnswer::Number).ok_or_else(|| {
                        Error::new(format!(
                            "row {row} of the {table} has the class {number}, which is no whole number"
                        ))
                        .help("rows are counted from 0; a class is a name or its number, from 0")
                    })
                };
                number.map(whole).transpose()?
            }
        };
        let confidence = confidences.as_ref().filter(|column| column.is_valid(at));
        rows.push(VoteRow {
            at: row,
            id: ids.value(at).to_owned(),
            annotator: annotator.to_owned(),
            answer,
            confidence: confidence.map_or(1.0, |column| column.value(at)),
        });
    }
    Ok(())
}

/// The column of answers.
enum Answers {
    Numbers(Int64Array),
    Floats(Float64Array),
    Texts(StringArray),
}
