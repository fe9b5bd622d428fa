//! The rows of a table of votes: who said what of which image, and how sure. A table of labels that humans gave is
//! read alike: its rows say what an image is.
//!
//! The table is Parquet, CSV (whatever separates the fields) or JSON, each also packed with gzip. Its name's ending says
//! which, and its first bytes where the ending does not. It knows nothing of images.

mod columns;
mod delimited;
mod gaps;
mod json;
mod parquet;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use flate2::read::MultiGzDecoder;
use pipeline::error::{Error, OrFail, Result};

pub(super) use gaps::is_gap;

use crate::runtime::panics::guarded;
use crate::runtime::{lfs, text};
use columns::Columns;

/// What a table is of, which is how it is spoken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TableOf {
    /// Votes: a row an image and annotator.
    Votes,
    /// Labels that humans gave: a row an image. Who gave them and how sure they were is not read.
    Labels,
}

impl TableOf {
    /// Its rows, in words.
    fn rows(self) -> &'static str {
        match self {
            Self::Votes => "votes",
            Self::Labels => "labels",
        }
    }

    /// What it needs.
    fn needed(self) -> &'static str {
        match self {
            Self::Votes => {
                "It needs id and annotator (text), class (text, or a number from 0), and may have confidence (0 to 1)"
            }
            Self::Labels => "It needs id (text) and class (text, or a number from 0)",
        }
    }

    /// What it may be.
    fn formats(self) -> &'static str {
        match self {
            Self::Votes => {
                "VOTES names a table as Parquet, CSV, TSV or JSON lines: with columns id, annotator, class, and perhaps confidence"
            }
            Self::Labels => {
                "TRUTH names a table as Parquet, CSV, TSV or JSON lines: with columns id and class"
            }
        }
    }
}

/// All rows of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct VoteTable {
    /// The rows, in the order of the file.
    pub(super) rows: Vec<VoteRow>,
    /// What [`VoteRow::at`] counts: rows from 0, or lines or entries from 1.
    pub(super) unit: &'static str,
    /// What is to be said of how the table was read.
    pub(super) notes: Vec<String>,
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct VoteRow {
    /// Its place in the file.
    pub(super) at: usize,
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
    /// A number from a file that knows no types, in whose column are numbers alone. Where classes are called by
    /// numbers it is a name.
    Numeral(i64),
    /// Words.
    Text(String),
}

/// What a table is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Parquet,
    /// Fields between the separator, or whichever the first line has.
    Delimited(Option<u8>),
    /// Objects one after the other, or a list of them.
    Json,
}

/// The formats by the endings of names; `.gz` after them is looked through.
const ENDINGS: [(&str, Format); 10] = [
    ("parquet", Format::Parquet),
    ("pq", Format::Parquet),
    ("csv", Format::Delimited(None)),
    ("tsv", Format::Delimited(Some(b'\t'))),
    ("tab", Format::Delimited(Some(b'\t'))),
    ("jsonl", Format::Json),
    ("ndjson", Format::Json),
    ("jsonlines", Format::Json),
    ("json", Format::Json),
    ("psv", Format::Delimited(Some(b'|'))),
];

const PARQUET: &[u8] = b"PAR1";
const GZIP: &[u8] = b"\x1f\x8b";

/// First bytes of what is no table of votes though it may hold one, and what to do.
const REFUSED: [(&[u8], &str, &str); 7] = [
    (
        b"PK\x03\x04",
        "a zip archive, or a workbook of Excel (.xlsx) or LibreOffice (.ods), which is one",
        SAVE_AS_CSV,
    ),
    (b"\xd0\xcf\x11\xe0", "a workbook of an old Excel (.xls)", SAVE_AS_CSV),
    (
        b"ARROW1",
        "an Arrow file",
        "write it as Parquet: pyarrow.parquet.write_table(table, \"votes.parquet\")",
    ),
    (
        b"SQLite format 3",
        "an SQLite data base",
        "export the table as CSV: `.mode csv` and `.output votes.csv`",
    ),
    (b"\x28\xb5\x2f\xfd", "packed with zstd", "unpack it first: unzstd FILE"),
    (b"BZh", "packed with bzip2", "unpack it first: bunzip2 FILE"),
    (b"\xfd7zXZ", "packed with xz", "unpack it first: unxz FILE"),
];

const SAVE_AS_CSV: &str = "unpack it, or save the sheet as CSV (UTF-8), and name that";

/// Checks that the file is a table of votes, from its header where it has one.
///
/// # Errors
/// A file that cannot be read, or lacks a column: names those that are there.
pub(super) fn check(path: &Path) -> Result<()> {
    columns_of(path, TableOf::Votes).map(drop)
}

/// Whoever votes in a table that does not say who: its name without endings. None where the table says it, or cannot be
/// read, which is for [`check`] to say.
pub(super) fn lone_annotator(path: &Path) -> Option<String> {
    let columns = columns_of(path, TableOf::Votes).ok()?;
    let name = path.file_name()?.to_string_lossy().into_owned();
    let mut stem = name.strip_suffix(".gz").unwrap_or(&name);
    if let Some((before, _)) = stem.rsplit_once('.').filter(|(before, _)| !before.is_empty()) {
        stem = before;
    }
    columns.annotator.is_none().then(|| stem.to_owned())
}

fn columns_of(path: &Path, of: TableOf) -> Result<Columns> {
    match open(path, of)? {
        Opened::Parquet(file) => guarded(|| parquet::open(file, path, of))
            .or_fail(|| damaged(path, of))?
            .map(|(_, columns)| columns),
        Opened::Delimited(text, separator) => delimited::columns(&text, separator, of),
        Opened::Json(text) => json::columns(&text, of),
    }
    .map_err(|error| error.at(path))
}

/// All rows, in the order of the file. `lone` is who votes in a table that does not say who.
///
/// # Errors
/// As [`check`]; an id or annotator that is missing, a confidence or a class of a wrong type.
pub(super) fn read(path: &Path, lone: &str) -> Result<VoteTable> {
    read_as(TableOf::Votes, path, lone)
}

/// All rows of a table of labels, in the order of the file; of whom they are is not read.
///
/// # Errors
/// A file that cannot be read, or lacks a column; an id that is missing, a class of a wrong type.
pub(super) fn read_labels(path: &Path) -> Result<VoteTable> {
    read_as(TableOf::Labels, path, "")
}

fn read_as(of: TableOf, path: &Path, lone: &str) -> Result<VoteTable> {
    match open(path, of)? {
        Opened::Parquet(file) => {
            guarded(|| parquet::read(file, path, lone, of)).or_fail(|| damaged(path, of))?
        }
        Opened::Delimited(text, separator) => delimited::read(&text, separator, lone, of),
        Opened::Json(text) => json::read(&text, lone, of),
    }
    .map_err(|error| error.at(path))
}

/// A table that was found and, if it was packed, unpacked.
enum Opened {
    Parquet(File),
    Delimited(String, Option<u8>),
    Json(String),
}

fn open(path: &Path, of: TableOf) -> Result<Opened> {
    lfs::refuse(path)?;
    let mut file = File::open(path).or_fail(|| damaged(path, of))?;
    let cannot_unpack = || Error::new(format!("cannot unpack the table of {}", of.rows())).at(path);
    if first_bytes(&mut file, path, of)?.starts_with(GZIP) {
        let mut unpacked = tempfile::tempfile().or_fail(cannot_unpack)?;
        std::io::copy(&mut MultiGzDecoder::new(&mut file), &mut unpacked).or_fail(|| {
            cannot_unpack().help("the file is damaged or cut short, or there is no room for temporary files")
        })?;
        unpacked.seek(SeekFrom::Start(0)).or_fail(|| damaged(path, of))?;
        file = unpacked;
    }
    let first = first_bytes(&mut file, path, of)?;
    if first.is_empty() {
        return Err(empty(path, of));
    }
    if let Some((_, what, help)) = REFUSED.iter().find(|(bytes, ..)| first.starts_with(bytes)) {
        let what = format!("this is {what}, and no table of {}", of.rows());
        return Err(Error::new(what).at(path).help(*help));
    }
    let format = format(path, &first);
    if format == Format::Parquet {
        return Ok(Opened::Parquet(file));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).or_fail(|| damaged(path, of))?;
    let text = text::decode(&bytes).or_fail(|| damaged(path, of).help("save the table as UTF-8"))?;
    if text.trim().is_empty() {
        return Err(empty(path, of));
    }
    Ok(match format {
        Format::Json => Opened::Json(text),
        Format::Delimited(separator) => Opened::Delimited(text, separator),
        Format::Parquet => Opened::Parquet(file),
    })
}

/// The first bytes of a file, which is then read from its beginning.
fn first_bytes(file: &mut File, path: &Path, of: TableOf) -> Result<Vec<u8>> {
    let mut first = Vec::new();
    file.by_ref().take(64).read_to_end(&mut first).or_fail(|| damaged(path, of))?;
    file.seek(SeekFrom::Start(0)).or_fail(|| damaged(path, of))?;
    Ok(first)
}

/// What the table is written in.
fn format(path: &Path, first: &[u8]) -> Format {
    if first.starts_with(PARQUET) {
        return Format::Parquet;
    }
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    if let Some((_, format)) = ENDINGS.iter().find(|(known, _)| *known == ending) {
        return *format;
    }
    let first = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first).trim_ascii_start();
    match first.first() {
        Some(b'{' | b'[') => Format::Json,
        _ => Format::Delimited(None),
    }
}

fn empty(path: &Path, of: TableOf) -> Error {
    Error::new(format!("the file is empty, and no table of {}", of.rows())).at(path).help(of.formats())
}

fn damaged(path: &Path, of: TableOf) -> Error {
    Error::new(format!("cannot read the table of {}", of.rows())).at(path).help(of.formats())
}

/// A number that stands for a whole one: 2, or 2.0 where a column has gaps.
fn whole(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() < 9e15).then_some(value as i64)
}

/// The reader of a Parquet file. In the modules below, `parquet` alone is the one of them that is called so.
type ParquetReader = ParquetRecordBatchReaderBuilder<File>;

#[cfg(test)]
mod tests;
