//! Some rows of a table as text: the first ones, or those of some images.

use std::fs::File;
use std::path::Path;

use arrow::array::{AsArray, RecordBatch, RecordBatchReader};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::util::pretty::pretty_format_batches;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection};
use parquet::file::metadata::KeyValue;
use pipeline::error::{Error, OrFail, Result};
use serde_json::Value;

use super::{Wanted, cells};

/// The column that names the image of a row.
const ID: &str = "id";
/// Ids that are read at a time.
const AT_ONCE: usize = 8192;

/// Some rows of a table.
pub(super) struct Excerpt {
    /// How many rows the table has.
    pub(super) count: usize,
    /// How many of them are asked for by id, where ids are asked for.
    pub(super) chosen: Option<usize>,
    /// The first of those, as text; columns of bytes are left out.
    pub(super) table: String,
}

type Builder = ParquetRecordBatchReaderBuilder<File>;

impl Excerpt {
    /// The first `most` rows of a table that are asked for; none if ids are asked for and it has none of them.
    pub(super) fn read(path: &Path, most: usize, wanted: &mut Wanted, numbers: bool) -> Result<Option<Self>> {
        let cannot = || Error::new("cannot read the table").at(path);
        let mut builder = open(path)?;
        let count = usize::try_from(builder.metadata().file_metadata().num_rows()).or_fail(cannot)?;
        let mut chosen = None;
        if !wanted.is_empty() {
            let rows = chosen_rows(path, wanted)?;
            if rows.is_empty() {
                return Ok(None);
            }
            let shown = rows.iter().take(most).map(|&row| row..row + 1);
            builder = builder.with_row_selection(RowSelection::from_consecutive_ranges(shown, count));
            chosen = Some(rows.len());
        }
        let classes = if numbers { Vec::new() } else { class_names(path, &builder) };
        let columns = builder.schema().fields().iter().enumerate();
        let readable =
            columns.filter(|(_, field)| !matches!(field.data_type(), DataType::Struct(_) | DataType::Binary));
        let readable: Vec<usize> = readable.map(|(place, _)| place).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), readable);
        let reader = builder.with_projection(mask).with_batch_size(most.max(1)).with_limit(most);
        let reader = reader.build().or_fail(cannot)?;
        let none = RecordBatch::new_empty(reader.schema());
        let mut batches = reader.collect::<Result<Vec<RecordBatch>, _>>().or_fail(cannot)?;
        if batches.is_empty() {
            // Of no row the names of the columns are told.
            batches.push(none);
        }
        if !numbers {
            let read = batches.iter().map(|batch| as_people_read(batch, &classes));
            batches = read.collect::<Result<_, _>>().or_fail(cannot)?;
        }
        let table = pretty_format_batches(&batches).or_fail(cannot)?.to_string();
        Ok(Some(Self { count, chosen, table }))
    }
}

fn open(path: &Path) -> Result<Builder> {
    let cannot = || Error::new("cannot read the table").at(path);
    ParquetRecordBatchReaderBuilder::try_new(File::open(path).or_fail(cannot)?).or_fail(cannot)
}

/// The rows of a table that are asked for; none where it has no ids.
fn chosen_rows(path: &Path, wanted: &mut Wanted) -> Result<Vec<usize>> {
    let cannot = || Error::new("cannot read the ids of the table").at(path);
    let builder = open(path)?;
    let Ok(place) = builder.schema().index_of(ID) else { return Ok(Vec::new()) };
    if !cells::is_plain(builder.schema().field(place).data_type()) {
        return Ok(Vec::new());
    }
    let ids = ProjectionMask::roots(builder.parquet_schema(), [place]);
    let reader = builder.with_projection(ids).with_batch_size(AT_ONCE).build().or_fail(cannot)?;
    let (mut rows, mut first) = (Vec::new(), 0);
    for batch in reader {
        let batch = batch.or_fail(cannot)?;
        let ids = cast(batch.column(0), &DataType::Utf8).or_fail(cannot)?;
        for (at, id) in ids.as_string::<i32>().iter().enumerate() {
            if id.is_some_and(|id| wanted.asks_for(id)) {
                rows.push(first + at);
            }
        }
        first += batch.num_rows();
    }
    Ok(rows)
}

fn as_people_read(batch: &RecordBatch, classes: &[String]) -> Result<RecordBatch, ArrowError> {
    if batch.num_columns() == 0 {
        return Ok(batch.clone());
    }
    let columns = batch.schema_ref().fields().iter().zip(batch.columns());
    let read = columns.map(|(field, column)| {
        let shown = cells::readable(field.name(), column, classes);
        shown.map(|shown| (field.name(), shown))
    });
    RecordBatch::try_from_iter(read.collect::<Result<Vec<_>, _>>()?)
}

/// The names of the classes that numbers of a table stand for: what the table says, or the data set's images beside its
/// stage; none where nothing says them.
fn class_names(path: &Path, builder: &Builder) -> Vec<String> {
    let beside = || {
        let data_set = path.parent()?.parent()?;
        named_classes(&open(&data_set.join("download").join("images.parquet")).ok()?)
    };
    named_classes(builder).or_else(beside).unwrap_or_default()
}

/// The class names in the metadata of one of coreg's own tables.
fn named_classes(builder: &Builder) -> Option<Vec<String>> {
    let entries = builder.metadata().file_metadata().key_value_metadata()?;
    let classes = |entry: &KeyValue| -> Option<Vec<String>> {
        if !["coreg", "huggingface"].contains(&entry.key.as_str()) {
            return None;
        }
        let said: Value = serde_json::from_str(entry.value.as_deref()?).ok()?;
        said["classes"].as_array()?.iter().map(|name| Some(name.as_str()?.to_owned())).collect()
    };
    entries.iter().find_map(classes)
}
