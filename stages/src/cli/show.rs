//! `coreg show`: the first rows of any table.

use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use arrow::util::pretty::pretty_format_batches;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use pipeline::error::{Error, OrFail, Result};

use crate::runtime::panics::guarded;

pub(super) fn show(artifacts: &Path, what: &Path, rows: usize) -> Result<()> {
    let path = if what.exists() { what.to_owned() } else { artifacts.join(what) };
    let mut files = Vec::new();
    find(&path, &mut files)?;
    if files.is_empty() {
        return Err(Error::new("there is no table")
            .at(&path)
            .help("name DATASET/STAGE as under `artifacts`, such as eurosat/label, or a Parquet file"));
    }
    for file in files {
        let cannot = || Error::new("cannot read the table").at(&file);
        let (count, table) = guarded(|| first_rows(&file, rows)).or_fail(cannot)??;
        out!("{} ({count} rows)\n{table}\n", file.display());
    }
    Ok(())
}

/// All Parquet files at or below `path`, sorted.
fn find(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
    } else if path.is_dir() {
        let entries = fs::read_dir(path).or_fail(|| Error::new("cannot list the folder").at(path))?;
        let mut entries: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        entries.sort();
        for entry in
            entries.into_iter().filter(|e| e.is_dir() || e.extension().is_some_and(|e| e == "parquet"))
        {
            find(&entry, files)?;
        }
    }
    Ok(())
}

/// Row count and the first rows; columns of bytes are left out.
fn first_rows(path: &Path, rows: usize) -> Result<(i64, String)> {
    let cannot = || Error::new("cannot read the table").at(path);
    let file = fs::File::open(path).or_fail(cannot)?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).or_fail(cannot)?;
    let count = builder.metadata().file_metadata().num_rows();
    let reader = builder.with_batch_size(rows.max(1)).with_limit(rows).build().or_fail(cannot)?;
    let batches = reader.collect::<Result<Vec<RecordBatch>, _>>().or_fail(cannot)?;
    let shown = batches.iter().map(|batch| {
        let columns = batch.schema_ref().fields().iter().enumerate();
        let readable =
            columns.filter(|(_, field)| !matches!(field.data_type(), DataType::Struct(_) | DataType::Binary));
        batch.project(&readable.map(|(i, _)| i).collect::<Vec<_>>())
    });
    let shown = shown.collect::<Result<Vec<_>, _>>().or_fail(cannot)?;
    Ok((count, pretty_format_batches(&shown).or_fail(cannot)?.to_string()))
}
