//! Parquet tables as a test reads them: whole, with columns of known types.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use arrow::array::{Array, Float64Array, ListArray, RecordBatch, StringArray};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

fn open(path: &Path) -> ParquetRecordBatchReaderBuilder<File> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display())).unwrap();
    ParquetRecordBatchReaderBuilder::try_new(file).unwrap()
}

/// The table in one piece.
pub fn read(path: &Path) -> RecordBatch {
    let reader = open(path);
    let schema = reader.schema().clone();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

/// The metadata entry of a table of coreg, which is JSON. There is never more than one: several have no fixed order.
pub fn metadata(path: &Path) -> Option<serde_json::Value> {
    let entries = open(path).metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
    assert!(entries.len() <= 1, "{}: more than one entry: {entries:?}", path.display());
    let value = entries.into_iter().next()?.value?;
    Some(serde_json::from_str(&value).unwrap())
}

/// A column of this type.
pub fn column<'a, A: Array + 'static>(table: &'a RecordBatch, name: &str) -> &'a A {
    let column = table.column_by_name(name).ok_or_else(|| format!("no column {name}")).unwrap();
    column.as_any().downcast_ref::<A>().ok_or_else(|| format!("{name} is {}", column.data_type())).unwrap()
}

/// The values of a column of texts without nulls.
pub fn texts(table: &RecordBatch, name: &str) -> Vec<String> {
    column::<StringArray>(table, name).iter().map(|text| text.unwrap().to_owned()).collect()
}

/// The lists of a list column, of values of this type.
pub fn lists<A: Array + Clone + 'static>(table: &RecordBatch, name: &str) -> Vec<A> {
    let lists = column::<ListArray>(table, name);
    (0..lists.len()).map(|row| lists.value(row).as_any().downcast_ref::<A>().unwrap().clone()).collect()
}

/// The values of a table of figures by their names, such as `statistics/summary.parquet`; of `split` where it has
/// figures of both.
pub fn figures(path: &Path, split: Option<&str>) -> BTreeMap<String, f64> {
    let table = read(path);
    let splits = split.map(|_| texts(&table, "split"));
    let of_split = |row: usize| splits.as_ref().is_none_or(|splits| Some(splits[row].as_str()) == split);
    let values = column::<Float64Array>(&table, "value");
    let named = texts(&table, "metric").into_iter().enumerate();
    named.filter(|(row, _)| of_split(*row)).map(|(row, name)| (name, values.value(row))).collect()
}
