//! Parquet files in the hub's image schema: which columns hold the images and the labels, and what the classes are.
//!
//! The rows themselves are read as a hub's are, by `read.rs`.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::{Context, Reads};
use serde::{Deserialize, Serialize};

use super::form::Form;
use super::part::{SplitRole, assign_splits};
use super::{Described, UserImages, classes, first_few};
use crate::dataset::catalog::Classes;
use crate::dataset::download::Found;
use crate::dataset::split::{Split, id, prefixes};
use crate::dataset::tables::{ImageRows, class_names, decode, is_binary, is_text};

/// Columns that are taken for labels if the table does not say itself which one it is; the first that is there counts.
const LABELS: [&str; 6] = ["label", "labels", "class", "target", "fine_label", "category"];

/// Parquet files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tables {
    image: String,
    label: Option<String>,
    files: Vec<TableFile>,
    notes: Vec<String>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct TableFile {
    /// How the ids of its rows begin.
    prefix: String,
    split: Option<Split>,
    path: PathBuf,
}

impl Tables {
    pub(super) fn describe(root: &Path, files: &[String], list: Option<Classes>) -> Result<Described> {
        let parts: Vec<_> = files.iter().map(|file| (file.as_str(), SplitRole::of_path(file))).collect();
        let (splits, split) = assign_splits(&parts).map_err(|error| error.at(root))?;
        let paths: Vec<&str> = files.iter().map(String::as_str).collect();
        let (mut used, mut left_out) = (Vec::new(), Vec::new());
        for ((file, prefix), split) in files.iter().zip(prefixes(&paths)).zip(splits) {
            match split {
                Some(split) => used.push(TableFile { prefix, split, path: root.join(file) }),
                None => left_out.push(file),
            }
        }
        used.sort_by_key(|table| table.split);
        let mut notes = Vec::new();
        if !left_out.is_empty() {
            notes.push(format!("{} left out: there are test images besides", first_few(left_out)));
        }
        let Some(first) = used.first() else { return Err(Error::new("there is no table").at(root)) };
        let Columns { image, label, names } = columns(&first.path)?;
        let tables = Self { image, label, files: used, notes };
        let classes = match (list, names) {
            (Some(list), _) => list,
            (None, Some(names)) => named(names),
            (None, None) => named(tables.labels_that_are_names()?.ok_or_else(|| {
                Error::new("the tables do not name their classes")
                    .at(root)
                    .help("list the classes in a text file, one a line, in the order of the label numbers if there are \
                           any, and name the file: CLASSES=classes.txt")
            })?),
        };
        let mut sample = Vec::new();
        for file in &tables.files {
            let rows = ImageRows::open(&file.path, &tables.image, tables.label.as_deref(), &classes)?;
            if sample.is_empty() {
                // What is wrong with a row is for the stage to say.
                sample.extend(rows.take(64).map_while(Result::ok).map(|row| row.bytes));
            }
        }
        let form = Form::of_encoded(sample.iter().map(Vec::as_slice));
        Ok(Described { source: UserImages::Tables(tables), classes, form, split })
    }

    pub(super) fn files(&self) -> Vec<Reads> {
        self.files.iter().map(|file| Reads::All(file.path.clone())).collect()
    }

    pub(super) fn rows(&self, classes: &Classes, context: &Context) -> Result<Found> {
        self.notes.iter().for_each(|note| context.progress().note(note));
        let mut found = Found::default();
        for file in &self.files {
            let table = ImageRows::open(&file.path, &self.image, self.label.as_deref(), classes)?;
            found.take(table, |row| id(&file.prefix, row), file.split, context)?;
        }
        Ok(found)
    }

    /// The classes of a label column of text, in alphabetical order; `None` where the labels are numbers.
    fn labels_that_are_names(&self) -> Result<Option<Vec<String>>> {
        let Some(label) = &self.label else { return Ok(None) };
        let mut names = BTreeSet::new();
        for TableFile { path, .. } in &self.files {
            let builder = open(path)?;
            let Some((at, field)) = builder.schema().column_with_name(label) else { return Ok(None) };
            if !is_text(values(field)) {
                return Ok(None);
            }
            let mask = ProjectionMask::roots(builder.parquet_schema(), [at]);
            let mut reader = decode(path, || builder.with_projection(mask).build())?;
            while let Some(batch) = decode(path, || reader.next().transpose())? {
                let column = decode(path, || cast(batch.column(0), &DataType::Utf8))?;
                names.extend(column.as_string::<i32>().iter().flatten().map(str::to_owned));
            }
        }
        Ok(Some(names.into_iter().collect()))
    }
}

/// Classes of these names.
fn named(names: Vec<String>) -> Classes {
    let texts = names.iter().map(|name| classes::default_text(name)).collect();
    Classes { names, texts, renamed: Vec::new() }
}

/// What a table says of itself.
struct Columns {
    image: String,
    label: Option<String>,
    names: Option<Vec<String>>,
}

fn columns(path: &Path) -> Result<Columns> {
    let builder = open(path)?;
    let schema: &Schema = builder.schema();
    let image = image_column(schema).ok_or_else(|| {
        let there: Vec<_> =
            schema.fields().iter().map(|f| format!("{} ({})", f.name(), f.data_type())).collect();
        Error::new("no column holds images: a struct of bytes and path, or binary")
            .at(path)
            .help(format!("the table has: {}", there.join(", ")))
    })?;
    let features = builder.metadata().file_metadata().key_value_metadata();
    let features =
        features.and_then(|entries| entries.iter().find(|entry| entry.key == "huggingface")?.value.clone());
    let names = |column: &str| features.as_ref().and_then(|json| class_names(json, column));
    let is_label = |field: &Field| values(field).is_integer() || is_text(values(field));
    let there = |name: &str| schema.column_with_name(name).is_some_and(|(_, field)| is_label(field));
    let declared = schema.fields().iter().map(|field| field.name()).find(|name| names(name).is_some());
    let usual = || LABELS.iter().find(|name| there(name)).map(|name| (*name).to_owned());
    let label = if there(LABELS[0]) { Some(LABELS[0].to_owned()) } else { declared.cloned().or_else(usual) };
    // A table that coreg made: its class names lie beside the features.
    let own = || {
        let json: serde_json::Value = serde_json::from_str(features.as_ref()?).ok()?;
        json.get("classes")?.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect()
    };
    let names = label.as_deref().and_then(names).or_else(own);
    Ok(Columns { image, label, names })
}

/// The first column of structs that hold `bytes`; without one, the only column of bytes.
fn image_column(schema: &Schema) -> Option<String> {
    let holds_bytes = |field: &&std::sync::Arc<Field>| match field.data_type() {
        DataType::Struct(fields) => fields.iter().any(|f| f.name() == "bytes" && is_binary(f.data_type())),
        _ => false,
    };
    if let Some(field) = schema.fields().iter().find(holds_bytes) {
        return Some(field.name().clone());
    }
    let mut binary = schema.fields().iter().filter(|field| is_binary(field.data_type()));
    match (binary.next(), binary.next()) {
        (Some(field), None) => Some(field.name().clone()),
        _ => None,
    }
}

/// The type of a column's values, whether or not they are kept in a dictionary.
fn values(field: &Field) -> &DataType {
    match field.data_type() {
        DataType::Dictionary(_, values) => values,
        kind => kind,
    }
}

fn open(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let file = File::open(path).or_fail(|| Error::new("cannot open a table of images").at(path))?;
    decode(path, || ParquetRecordBatchReaderBuilder::try_new(file))
}
