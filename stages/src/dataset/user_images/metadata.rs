//! Labels of image files in a table beside them: `metadata.csv`, `.tsv`, `.jsonl` or `.parquet`, as the `datasets`
//! library's `imagefolder` reads them.
//!
//! A row names a file, from the folder that the table lies in, and its label; which class that is, others say.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use pipeline::error::{Error, OrFail, Result};
use serde_json::Value;

use super::columns::LABELS;
use crate::dataset::first_few;
use crate::dataset::labels::{Written, is_text, written};
use crate::dataset::names::canonical;
use crate::dataset::table_file::{TableFile, decode};
use crate::runtime::text;

/// Names of columns that name a file.
const FILES: [&str; 9] =
    ["file_name", "filename", "file", "image", "path", "image_path", "img", "image_id", "id"];

/// Whether a file is such a table, going by its name.
pub(super) fn is_metadata(name: &str) -> bool {
    let name = name.to_lowercase();
    name.rsplit_once('.').is_some_and(|(stem, ending)| {
        stem == "metadata" && matches!(ending, "csv" | "tsv" | "jsonl" | "ndjson" | "parquet")
    })
}

/// What a table says: of each row the file and its label; none where it has no column of labels.
pub(super) struct Metadata {
    pub(super) columns: Vec<String>,
    pub(super) label: Option<String>,
    pub(super) rows: Vec<(String, Written)>,
}

/// Reads a table; `label` is the column of labels that the user names, if any.
///
/// # Errors
/// A file that cannot be read, no column that names files, one file with two labels.
pub(super) fn read(path: &Path, label: &str) -> Result<Metadata> {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
    let (columns, rows) = match ending.as_str() {
        "parquet" => parquet(path)?,
        "csv" | "tsv" => separated(path, if ending == "tsv" { b'\t' } else { b',' })?,
        _ => json_lines(path)?,
    };
    if columns.is_empty() || columns.iter().all(String::is_empty) {
        return Err(Error::new("the table of labels is empty")
            .at(path)
            .help("remove it, or write a row an image"));
    }
    let find = |names: &[&str]| {
        names.iter().find_map(|name| columns.iter().position(|c| c.eq_ignore_ascii_case(name)))
    };
    let file = find(&FILES).ok_or_else(|| {
        Error::new("no column names the files of the images")
            .at(path)
            .because(format!("the columns are {}", first_few(&columns)))
            .help("call it file_name")
    })?;
    let label = match label {
        "" => find(&LABELS),
        name => Some(columns.iter().position(|column| column == name).ok_or_else(|| {
            Error::new(format!("download.label_column = {name}: there is no such column"))
                .at(path)
                .help(format!("the columns are {}", first_few(&columns)))
        })?),
    };
    let mut found: BTreeMap<String, Written> = BTreeMap::new();
    let mut all = Vec::new();
    for mut row in rows {
        let Written::Name(name) = &row[file] else { continue };
        let name = canonical(&name.replace('\\', "/")).trim_start_matches("./").to_owned();
        let label =
            label.map_or(Written::Unknown, |label| std::mem::replace(&mut row[label], Written::Unknown));
        match found.get(&name) {
            None => {
                found.insert(name.clone(), label.clone());
                all.push((name, label));
            }
            Some(before) if *before == label => {}
            Some(_) => {
                return Err(Error::new(format!("the file `{name}` is there twice, with two labels"))
                    .at(path)
                    .help("a file has one row: remove the wrong one"));
            }
        }
    }
    Ok(Metadata { label: label.map(|label| columns[label].clone()), columns, rows: all })
}

/// Columns, and rows of as many cells.
type Cells = (Vec<String>, Vec<Vec<Written>>);

fn separated(path: &Path, separator: u8) -> Result<Cells> {
    let cannot = || Error::new("cannot read the table of labels").at(path).help("save it as text in UTF-8");
    let text = text::read(path).or_fail(cannot)?;
    let first = text.lines().next().unwrap_or_default();
    let separator =
        if separator == b',' && !first.contains(',') && first.contains(';') { b';' } else { separator };
    let mut reader = csv::ReaderBuilder::new().delimiter(separator).from_reader(text.as_bytes());
    let columns: Vec<String> = reader.headers().or_fail(cannot)?.iter().map(canonical).collect();
    let mut rows: Vec<Vec<String>> = Vec::new();
    for record in reader.records() {
        rows.push(record.or_fail(cannot)?.iter().map(str::to_owned).collect());
    }
    // A column is of numbers if all its values are: a class may be called `7`.
    let number = |cell: &str| cell.trim().parse::<f64>().ok().filter(|number| number.fract() == 0.0);
    let empty = |cell: &str| cell.trim().is_empty() || cell.trim().eq_ignore_ascii_case("nan");
    let numeric = |at: usize| rows.iter().all(|row| empty(&row[at]) || number(&row[at]).is_some());
    let numeric: Vec<bool> = (0..columns.len()).map(numeric).collect();
    let names_files = |at: usize| FILES.iter().any(|name| columns[at].eq_ignore_ascii_case(name));
    let cell = |at: usize, cell: &str| match number(cell) {
        _ if empty(cell) => Written::Unknown,
        Some(number) if numeric[at] && !names_files(at) => Written::Number(number as i64),
        _ => Written::of_text(cell),
    };
    let rows = rows.iter().map(|row| row.iter().enumerate().map(|(at, text)| cell(at, text)).collect());
    let rows = rows.collect();
    Ok((columns, rows))
}

fn json_lines(path: &Path) -> Result<Cells> {
    let cannot = || Error::new("cannot read the table of labels").at(path);
    let text = text::read(path).or_fail(cannot)?;
    let mut objects = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let object: serde_json::Map<String, Value> = serde_json::from_str(line)
            .or_fail(|| cannot().because(format!("line {number} is no JSON object")))?;
        objects.push(object);
    }
    let mut columns: Vec<String> = Vec::new();
    for name in objects.iter().flat_map(serde_json::Map::keys) {
        if !columns.contains(name) {
            columns.push(name.clone());
        }
    }
    let cell = |value: Option<&Value>| match value {
        Some(Value::String(text)) => Written::of_text(text),
        Some(Value::Number(number)) => match number.as_f64() {
            Some(number) if number.fract() == 0.0 => Written::Number(number as i64),
            Some(number) => Written::Fraction(number),
            None => Written::Unknown,
        },
        Some(Value::Bool(flag)) => Written::Number(i64::from(*flag)),
        _ => Written::Unknown,
    };
    let rows =
        objects.iter().map(|object| columns.iter().map(|name| cell(object.get(name))).collect()).collect();
    Ok((columns, rows))
}

fn parquet(path: &Path) -> Result<Cells> {
    let table = TableFile::open(path)?;
    let fields = table.schema().fields();
    let usable = fields.iter().filter(|field| crate::dataset::labels::is_label(field.data_type()));
    let columns: Vec<String> = usable.map(|field| field.name().clone()).collect();
    let mut rows = Vec::new();
    for batch in table.batches(&columns.iter().map(String::as_str).collect::<Vec<_>>(), None, 8192)? {
        let batch = batch?;
        let mut cells = Vec::new();
        for name in &columns {
            let column = batch.column_by_name(name).cloned();
            let column = column.ok_or_else(|| Error::new(format!("column `{name}` was lost")).at(path))?;
            cells.push(match is_text(column.data_type()) {
                true => decode(path, || {
                    let texts = cast(&column, &DataType::Utf8)?;
                    let texts = texts.as_string::<i32>().iter();
                    let cells = texts.map(|text| text.map_or(Written::Unknown, Written::of_text)).collect();
                    Ok::<_, arrow::error::ArrowError>(cells)
                })?,
                false => decode(path, || written(&column))?,
            });
        }
        rows.extend(
            (0..batch.num_rows())
                .map(|row| cells.iter().map(|cells: &Vec<Written>| cells[row].clone()).collect()),
        );
    }
    Ok((columns, rows))
}
