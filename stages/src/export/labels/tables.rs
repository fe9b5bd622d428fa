//! A table of all labels, as CSV or JSON lines.

use std::io::Write;

use pipeline::error::Result;
use pipeline::stage::Context;

use super::Chosen;
use super::destination::Destination;
use super::sheet::{Column, Sheet};

const COLUMNS: [Column; 7] = [
    Column::Id,
    Column::Split,
    Column::Label,
    Column::Confidence,
    Column::Source,
    Column::Candidates,
    Column::Truth,
];

/// Writes a CSV file: id, split, label, confidence, source, candidates, truth. `|` separates candidates; a backslash
/// stands before each `|` and `\` of a name.
///
/// # Errors
/// A file that is there already or cannot be written; a request to stop. Nothing is left behind.
pub fn write_csv(chosen: &Chosen, to: &Destination, context: &Context) -> Result<()> {
    write(chosen, to, |sheet, out| sheet.csv(out, context))
}

/// Writes JSON lines with the columns of [`write_csv`] as keys; candidates are a list, and what is not known is null.
///
/// # Errors
/// As [`write_csv`].
pub fn write_json_lines(chosen: &Chosen, to: &Destination, context: &Context) -> Result<()> {
    write(chosen, to, |sheet, out| sheet.json_lines(out, context))
}

fn write(
    chosen: &Chosen,
    to: &Destination,
    put: impl FnOnce(&Sheet, &mut dyn Write) -> Result<()>,
) -> Result<()> {
    let sheet = Sheet { set: chosen.set, columns: &COLUMNS, rows: &chosen.rows, files: &[] };
    to.file(|out| put(&sheet, out))
}
