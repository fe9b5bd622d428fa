//! The rows of a table of votes as text: a line of names, then a line a row, fields between commas or the like.
//!
//! It knows nothing of files or images. Whether a number is the class of that number or of that name, is left
//! open here: text has no types.

use csv::{ReaderBuilder, StringRecord, Trim};
use pipeline::error::{Error, OrFail, Result};

use super::columns::Columns;
use super::gaps::{is_gap, is_null};
use super::{TableOf, VoteAnswer, VoteRow, VoteTable, whole};

/// What may separate fields.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The columns of the table; `separator` is what its name promises.
///
/// # Errors
/// A line of names that lacks a column, whatever the separator.
pub(super) fn columns(text: &str, separator: Option<u8>, of: TableOf) -> Result<Columns> {
    Table::new(text, separator, of).map(|table| table.columns)
}

/// All rows; `lone` is who votes in a table that does not say who.
///
/// # Errors
/// As [`columns`]; a row with more or fewer fields than the line of names, without id or annotator, or with a
/// confidence that is no number.
pub(super) fn read(text: &str, separator: Option<u8>, lone: &str, of: TableOf) -> Result<VoteTable> {
    let Table { body, before, separator, header, columns } = Table::new(text, separator, of)?;
    let table = of.rows();
    let Columns { id, annotator, class, confidence, .. } = columns;
    let mut rows = Vec::new();
    for record in reader(body, separator).records() {
        let record =
            record.or_fail(|| Error::new(format!("cannot read a row of the {table}")).help(QUOTED))?;
        let at = before + record.position().map_or(0, |position| position.line() as usize);
        if record.iter().all(str::is_empty) {
            continue;
        }
        if record.len() != header.len() {
            let (there, names) = (record.len(), header.len());
            return Err(Error::new(format!(
                "line {at} of the {table} has {there} fields, and the line of names {names}"
            ))
            .help(QUOTED));
        }
        let field = |column: usize| record.get(column).unwrap_or_default();
        let needed = |what: &str, column: usize| match field(column) {
            "" => Err(Error::new(format!("line {at} of the {table} has no {what}"))
                .help("the line of names counts as a line; fill it in, or take the line away")),
            text => Ok(text.to_owned()),
        };
        let confidence = match confidence.map(field) {
            None => 1.0,
            Some(text) if is_gap(text) => 1.0,
            Some(text) => share(text, separator).ok_or_else(|| {
                Error::new(format!("line {at}: the confidence `{text}` is no number"))
                    .help("a confidence lies between 0 and 1; leave it empty where it is not known")
            })?,
        };
        rows.push(VoteRow {
            at,
            id: needed("id", id)?,
            annotator: annotator.map_or_else(|| Ok(lone.to_owned()), |column| needed("annotator", column))?,
            answer: (!field(class).is_empty()).then(|| VoteAnswer::Text(field(class).to_owned())),
            confidence,
        });
    }
    if let Some(numbers) = numbers(&rows) {
        for (row, number) in rows.iter_mut().zip(numbers) {
            // A class may be called "none".
            let word =
                row.answer.take().filter(|answer| !matches!(answer, VoteAnswer::Text(text) if is_null(text)));
            row.answer = number.map(VoteAnswer::Numeral).or(word);
        }
    }
    let mut notes = columns.notes(lone);
    if before > 0 {
        notes.push(format!("lines before the line of names are passed over: {before}"));
    }
    Ok(VoteTable { rows, unit: "line", notes })
}

/// What to do about fields that do not fit.
const QUOTED: &str = "put a field that holds a separator or a line's end into quotes, \"like, this\", and double a quote in it: \"\"";

/// A table whose line of names was read.
struct Table<'a> {
    /// The table from its line of names on.
    body: &'a str,
    /// Lines before it.
    before: usize,
    separator: u8,
    header: StringRecord,
    columns: Columns,
}

impl<'a> Table<'a> {
    fn new(text: &'a str, promised: Option<u8>, of: TableOf) -> Result<Self> {
        let (mut body, mut before, mut promised) = (text, 0, promised);
        // Spreadsheets write `sep=;` above the names; people write comments there.
        while let Some((line, rest)) = body.split_once('\n') {
            let line = line.trim();
            match line.strip_prefix("sep=").map(str::as_bytes) {
                Some([separator]) => promised = Some(*separator),
                _ if line.is_empty() || line.starts_with('#') => {}
                _ => break,
            }
            (body, before) = (rest, before + 1);
        }
        let mut separators: Vec<u8> = promised.into_iter().collect();
        separators.extend(SEPARATORS.into_iter().filter(|separator| Some(*separator) != promised));
        let mut failed: Option<(usize, Error)> = None;
        for separator in separators {
            let header = reader(body, separator).headers().cloned();
            let header = header.or_fail(|| Error::new("cannot read the line of names").help(QUOTED))?;
            let names: Vec<&str> = header.iter().collect();
            let described: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            if names.iter().all(|name| name.is_empty()) {
                continue;
            }
            match Columns::find(of, &names, &described, |_, _| true) {
                Ok(columns) => return Ok(Self { body, before, separator, header, columns }),
                // The separator that makes the most fields of the line is the one meant.
                Err(error) if failed.as_ref().is_none_or(|(most, _)| names.len() > *most) => {
                    failed = Some((names.len(), error));
                }
                Err(_) => {}
            }
        }
        let empty = || {
            let names = if of == TableOf::Votes { "id,annotator,class" } else { "id,class" };
            Error::new(format!("the table of {} has no line of names", of.rows()))
                .help(format!("write names above the rows: {names}"))
        };
        Err(failed.map_or_else(empty, |(_, error)| error))
    }
}

fn reader(text: &str, separator: u8) -> csv::Reader<&[u8]> {
    ReaderBuilder::new().delimiter(separator).trim(Trim::All).flexible(true).from_reader(text.as_bytes())
}

/// The numbers of a column that holds numbers alone, as a typed column would.
fn numbers(rows: &[VoteRow]) -> Option<Vec<Option<i64>>> {
    let number = |row: &VoteRow| match &row.answer {
        Some(VoteAnswer::Text(text)) if !is_gap(text) => {
            text.parse().ok().or_else(|| whole(text.parse().ok()?)).map(Some)
        }
        _ => Some(None),
    };
    let numbers: Vec<Option<i64>> = rows.iter().map(number).collect::<Option<_>>()?;
    numbers.iter().any(Option::is_some).then_some(numbers)
}

/// A number, perhaps with the comma of a language that separates fields by semicolons, or in per cent.
fn share(text: &str, separator: u8) -> Option<f64> {
    let with_point = if separator == b',' { text.to_owned() } else { text.replace(',', ".") };
    match with_point.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().ok().map(|percent| percent / 100.0),
        None => with_point.parse().ok(),
    }
}
