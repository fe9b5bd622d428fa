//! Tables of votes, as a vision-language model or people would leave them.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;

/// Id of the image, who voted, what he said, and how sure he was.
pub type Vote = (String, &'static str, Option<String>, Option<f32>);

/// Writes `id`, `annotator`, `class` and `confidence`, all of them text but the last.
pub fn write(path: &Path, votes: &[Vote]) {
    let texts = |of: fn(&Vote) -> Option<&str>| -> ArrayRef {
        Arc::new(votes.iter().map(of).collect::<StringArray>())
    };
    let sure: ArrayRef = Arc::new(votes.iter().map(|vote| vote.3).collect::<Float32Array>());
    write_columns(
        path,
        vec![
            ("id", texts(|vote| Some(&vote.0))),
            ("annotator", texts(|vote| Some(vote.1))),
            ("class", texts(|vote| vote.2.as_deref())),
            ("confidence", sure),
        ],
    );
}

/// Writes a table of any columns.
pub fn write_columns(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}
