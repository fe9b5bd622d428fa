//! A table on disk, whichever format it is in: Parquet, or Arrow as `datasets` saves it (a stream) and Feather (a file).
//!
//! The first bytes tell the format. Of a table only the columns and rows that are asked for are decoded, a few rows at a
//! time. It knows nothing of images or labels.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::{FileReader, StreamReader};
use arrow::ipc::root_as_message;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection, RowSelector};
use pipeline::error::{Error, OrFail, Result};

use crate::runtime::lfs;
use crate::runtime::panics::guarded;

/// The entry in which the `datasets` library keeps what it knows of the columns.
const FEATURES: &str = "huggingface";

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Parquet,
    ArrowFile,
    ArrowStream,
}

/// A table whose head was read.
#[derive(Clone, Debug)]
pub(crate) struct TableFile {
    path: PathBuf,
    format: Format,
    schema: SchemaRef,
    features: Option<String>,
    rows: usize,
}

impl TableFile {
    /// Reads the head of a table.
    ///
    /// # Errors
    /// A file that cannot be opened, a Git LFS pointer, no table or a damaged one.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let cannot_open =
            || Error::new("cannot open a table").at(path).help("it must be a file that this user can read");
        let mut file = File::open(path).or_fail(cannot_open)?;
        lfs::refuse(path)?;
        let mut first = [0; 6];
        let format = match file.read_exact(&mut first) {
            Ok(()) if &first == b"ARROW1" => Format::ArrowFile,
            Ok(()) if first.starts_with(&[0xff; 4]) => Format::ArrowStream,
            _ => Format::Parquet,
        };
        file.rewind().or_fail(cannot_open)?;
        decode(path, || Self::head(path, format, file))
    }

    fn head(path: &Path, format: Format, file: File) -> Result<Self, ArrowError> {
        let (schema, features, rows) = match format {
            Format::Parquet => {
                let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
                let metadata = builder.metadata().file_metadata();
                let entries = metadata.key_value_metadata().into_iter().flatten();
                let features =
                    entries.filter(|entry| entry.key == FEATURES).find_map(|entry| entry.value.clone());
                (builder.schema().clone(), features, usize::try_from(metadata.num_rows()).unwrap_or(0))
            }
            Format::ArrowFile => {
                let reader = FileReader::try_new(BufReader::new(file), None)?;
                let schema = reader.schema();
                // No column: only how many rows each batch has.
                let counter = FileReader::try_new(BufReader::new(File::open(path)?), Some(Vec::new()))?;
                let mut rows = 0;
                for batch in counter {
                    rows += batch?.num_rows();
                }
                (schema, None, rows)
            }
            Format::ArrowStream => {
                let rows = rows_of_stream(BufReader::new(&file))?;
                let schema = StreamReader::try_new(BufReader::new(File::open(path)?), None)?.schema();
                (schema, None, rows)
            }
        };
        let features = features.or_else(|| schema.metadata().get(FEATURES).cloned());
        Ok(Self { path: path.to_owned(), format, schema, features, rows })
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its columns.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What the `datasets` library says of the columns, as JSON.
    pub(crate) fn features(&self) -> Option<&str> {
        self.features.as_deref()
    }

    /// How many rows it has.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The columns with their types, in words.
    pub(crate) fn columns_in_words(&self) -> String {
        let columns = self.schema.fields().iter();
        let columns: Vec<_> =
            columns.map(|field| format!("{} ({})", field.name(), field.data_type())).collect();
        format!("the table has: {}", columns.join(", "))
    }

    /// The named columns of all rows, or of `rows` (ascending) alone, `at_once` rows or fewer in a batch. It ends after
    /// its first error.
    ///
    /// # Errors
    /// A damaged table, a column that is not there.
    pub(crate) fn batches(
        &self,
        columns: &[&str],
        rows: Option<&[usize]>,
        at_once: usize,
    ) -> Result<Batches> {
        let inner = decode(&self.path, || self.reader(columns, rows, at_once))?;
        Ok(Batches { path: self.path.clone(), inner, failed: false })
    }

    fn reader(&self, columns: &[&str], rows: Option<&[usize]>, at_once: usize) -> Result<Inner, ArrowError> {
        let mut places =
            columns.iter().map(|name| self.schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
        let file = File::open(&self.path)?;
        Ok(match self.format {
            Format::Parquet => {
                let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
                let mask = ProjectionMask::roots(builder.parquet_schema(), places);
                let mut builder = builder.with_projection(mask).with_batch_size(at_once);
                if let Some(rows) = rows {
                    builder = builder.with_row_selection(selection(rows));
                }
                Box::new(builder.build()?)
            }
            Format::ArrowFile => {
                places.sort_unstable();
                let reader = FileReader::try_new(BufReader::new(file), Some(places))?;
                Box::new(Chosen::new(Box::new(reader), rows, at_once))
            }
            Format::ArrowStream => {
                places.sort_unstable();
                let reader = StreamReader::try_new(BufReader::new(file), Some(places))?;
                Box::new(Chosen::new(Box::new(reader), rows, at_once))
            }
        })
    }
}

/// Chosen rows as the parquet crate wants them.
fn selection(rows: &[usize]) -> RowSelection {
    let (mut selectors, mut next) = (Vec::new(), 0);
    for run in rows.chunk_by(|one, other| one + 1 == *other) {
        let (first, count) = (run[0], run.len());
        if first > next {
            selectors.push(RowSelector::skip(first - next));
        }
        selectors.push(RowSelector::select(count));
        next = first + count;
    }
    RowSelection::from(selectors)
}

/// The rows of an Arrow stream, from the heads of its messages.
fn rows_of_stream(mut stream: impl Read + Seek) -> Result<usize, ArrowError> {
    let mut rows = 0;
    let mut word = [0; 4];
    loop {
        // Without the mark that ends a stream nothing tells a whole one from one that was cut off.
        stream.read_exact(&mut word)?;
        // Since Arrow 0.15 a marker comes before the length.
        if word == [0xff; 4] {
            stream.read_exact(&mut word)?;
        }
        let length = u32::from_le_bytes(word);
        if length == 0 {
            return Ok(rows);
        }
        let mut head = Vec::new();
        stream.by_ref().take(u64::from(length)).read_to_end(&mut head)?;
        let message = root_as_message(&head).map_err(|error| ArrowError::ParseError(error.to_string()))?;
        if let Some(batch) = message.header_as_record_batch() {
            rows += usize::try_from(batch.length()).unwrap_or(0);
        }
        let body = message.bodyLength();
        if body < 0 {
            return Err(ArrowError::ParseError(format!("a message has a body of {body} bytes")));
        }
        stream.seek(SeekFrom::Current(body))?;
    }
}

type Inner = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

/// The chosen rows of batches that come whole, cut to `at_once` rows.
struct Chosen {
    inner: Inner,
    rows: Option<Vec<usize>>,
    at_once: usize,
    /// How many of `rows` were given, and the row with which the next batch begins.
    given: usize,
    first: usize,
    waiting: Option<RecordBatch>,
}

impl Chosen {
    fn new(inner: Inner, rows: Option<&[usize]>, at_once: usize) -> Self {
        let rows = rows.map(<[usize]>::to_vec);
        Self { inner, rows, at_once: at_once.max(1), given: 0, first: 0, waiting: None }
    }

    /// The rows of a batch that were chosen.
    fn of(&mut self, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
        let first = self.first;
        self.first += batch.num_rows();
        let Some(rows) = &self.rows else { return Ok(batch) };
        let here: Vec<u32> = rows[self.given..]
            .iter()
            .take_while(|row| **row < self.first)
            .map(|row| (row - first) as u32)
            .collect();
        self.given += here.len();
        take_record_batch(&batch, &UInt32Array::from(here))
    }
}

impl Iterator for Chosen {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = self.waiting.take().filter(|batch| batch.num_rows() > 0) {
                let count = batch.num_rows().min(self.at_once);
                self.waiting = Some(batch.slice(count, batch.num_rows() - count));
                return Some(Ok(batch.slice(0, count)));
            }
            if self.rows.as_ref().is_some_and(|rows| self.given == rows.len()) {
                return None;
            }
            match self.inner.next()?.and_then(|batch| self.of(batch)) {
                Ok(batch) => self.waiting = Some(batch),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Batches of a table.
pub(crate) struct Batches {
    path: PathBuf,
    inner: Inner,
    failed: bool,
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Result<RecordBatch>> {
        if self.failed {
            return None;
        }
        let batch = decode(&self.path, || self.inner.next().transpose());
        self.failed = batch.is_err();
        batch.transpose()
    }
}

/// Runs a step of decoding. On damaged files the parquet crate sometimes panics instead of returning an
/// error (60.1: a wrong count of levels); what it was working on is never used again after that.
pub(crate) fn decode<T, E: Into<Box<dyn std::error::Error + Send + Sync>>>(
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
        .help("the file is damaged, or neither Parquet nor Arrow: remove it, and run again")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::{AsArray, Int32Array, StringArray};
    use arrow::datatypes::{Field, Int32Type, Schema};
    use arrow::ipc::writer::{FileWriter, StreamWriter};
    use parquet::arrow::ArrowWriter;

    use super::*;

    /// The same rows, 0 to `count`, in every format; Arrow's in batches of 1,000.
    fn tables(count: i32) -> (tempfile::TempDir, Vec<TableFile>) {
        let fields = vec![
            Field::new("name", arrow::datatypes::DataType::Utf8, true),
            Field::new("n", arrow::datatypes::DataType::Int32, true),
        ];
        let metadata = std::collections::HashMap::from([(FEATURES.to_owned(), "{}".to_owned())]);
        let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
        let batch = |from: i32, to: i32| {
            let names: StringArray = (from..to).map(|n| Some(format!("row {n}"))).collect();
            RecordBatch::try_new(
                schema.clone(),
                vec![Arc::new(names), Arc::new(Int32Array::from_iter_values(from..to))],
            )
            .unwrap()
        };
        let batches: Vec<_> =
            (0..count).step_by(1000).map(|from| batch(from, (from + 1000).min(count))).collect();
        let folder = tempfile::tempdir().unwrap();
        let create = |name: &str| File::create(folder.path().join(name)).unwrap();
        let mut parquet = ArrowWriter::try_new(create("a"), schema.clone(), None).unwrap();
        let mut file = FileWriter::try_new(create("b"), &schema).unwrap();
        let mut stream = StreamWriter::try_new(create("c"), &schema).unwrap();
        for batch in &batches {
            parquet.write(batch).unwrap();
            file.write(batch).unwrap();
            stream.write(batch).unwrap();
        }
        parquet.close().unwrap();
        file.finish().unwrap();
        stream.finish().unwrap();
        let tables =
            ["a", "b", "c"].iter().map(|name| TableFile::open(&folder.path().join(name)).unwrap()).collect();
        (folder, tables)
    }

    #[test]
    fn every_format_gives_the_same_rows_all_or_chosen() {
        let (_folder, tables) = tables(2500);
        let chosen: Vec<usize> = vec![0, 1, 2, 999, 1000, 1500, 2499];
        for table in tables {
            assert_eq!((table.rows(), table.features()), (2500, Some("{}")), "{:?}", table.format);
            let read = |rows: Option<&[usize]>| -> (Vec<i32>, usize) {
                let batches: Vec<_> = table.batches(&["n"], rows, 300).unwrap().map(Result::unwrap).collect();
                let largest = batches.iter().map(RecordBatch::num_rows).max().unwrap_or(0);
                let numbers = batches
                    .iter()
                    .flat_map(|batch| batch.column(0).as_primitive::<Int32Type>().values().to_vec());
                (numbers.collect(), largest)
            };
            let (all, largest) = read(None);
            assert!(all.iter().copied().eq(0..2500) && largest <= 300);
            assert!(read(Some(&chosen)).0.iter().map(|n| *n as usize).eq(chosen.iter().copied()));
            assert_eq!(read(Some(&[])).0, [0; 0]);
        }
    }

    #[test]
    fn a_damaged_table_is_an_error_and_never_a_panic() {
        let (folder, tables) = tables(30);
        for table in tables {
            let whole = std::fs::read(table.path()).unwrap();
            let path = folder.path().join("bent");
            let read = || TableFile::open(&path)?.batches(&["n"], None, 10)?.collect::<Result<Vec<_>>>();
            for cut in 0..whole.len() {
                std::fs::write(&path, &whole[..cut]).unwrap();
                assert!(read().is_err(), "{:?} cut to {cut}", table.format);
            }
            for at in 0..whole.len() {
                let mut bent = whole.clone();
                bent[at] ^= 0xff;
                std::fs::write(&path, &bent).unwrap();
                let _: Result<_> = read();
            }
        }
    }
}
