//! Parquet files whose bytes depend on their rows alone, and columns read back with their types checked.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float32Array, Float64Array, Int32Array, ListArray, RecordBatch,
    RecordBatchReader, StringArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Field, Schema};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use pipeline::error::{Error, OrFail, Result};

use crate::runtime::panics::guarded;

/// Rows a row group holds: small enough that readers may take images piece by piece.
pub(crate) const ROW_GROUP: usize = 2048;

/// A table under construction: named columns of one length, and at most one metadata entry.
pub(crate) struct Table {
    fields: Vec<Field>,
    columns: Vec<ArrayRef>,
    metadata: Option<(&'static str, String)>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { fields: Vec::new(), columns: Vec::new(), metadata: None }
    }

    /// Adds a column; `nullable` says whether the schema admits nulls.
    pub(crate) fn column(mut self, name: &str, column: ArrayRef, nullable: bool) -> Self {
        self.fields.push(Field::new(name, column.data_type().clone(), nullable));
        self.columns.push(column);
        self
    }

    pub(crate) fn strings<S: AsRef<str>>(self, name: &str, values: impl IntoIterator<Item = S>) -> Self {
        self.column(name, Arc::new(StringArray::from_iter_values(values)), false)
    }

    pub(crate) fn bool(self, name: &str, values: impl IntoIterator<Item = bool>) -> Self {
        let values: Vec<bool> = values.into_iter().collect();
        self.column(name, Arc::new(BooleanArray::from(values)), false)
    }

    pub(crate) fn f64(self, name: &str, values: impl IntoIterator<Item = f64>) -> Self {
        self.column(name, Arc::new(Float64Array::from_iter_values(values)), false)
    }

    pub(crate) fn f64_or_null(self, name: &str, values: impl IntoIterator<Item = Option<f64>>) -> Self {
        self.column(name, Arc::new(values.into_iter().collect::<Float64Array>()), true)
    }

    pub(crate) fn f32(self, name: &str, values: impl IntoIterator<Item = f32>) -> Self {
        self.column(name, Arc::new(Float32Array::from_iter_values(values)), false)
    }

    pub(crate) fn i32_or_null(self, name: &str, values: impl IntoIterator<Item = Option<i32>>) -> Self {
        self.column(name, Arc::new(values.into_iter().collect::<Int32Array>()), true)
    }

    pub(crate) fn u8(self, name: &str, values: impl IntoIterator<Item = u8>) -> Self {
        self.column(name, Arc::new(UInt8Array::from_iter_values(values)), false)
    }

    pub(crate) fn u16_or_null(self, name: &str, values: impl IntoIterator<Item = Option<u16>>) -> Self {
        self.column(name, Arc::new(values.into_iter().collect::<UInt16Array>()), true)
    }

    pub(crate) fn u16(self, name: &str, values: impl IntoIterator<Item = u16>) -> Self {
        self.column(name, Arc::new(UInt16Array::from_iter_values(values)), false)
    }

    pub(crate) fn u32(self, name: &str, values: impl IntoIterator<Item = u32>) -> Self {
        self.column(name, Arc::new(UInt32Array::from_iter_values(values)), false)
    }

    pub(crate) fn u64(self, name: &str, values: impl IntoIterator<Item = u64>) -> Self {
        self.column(name, Arc::new(UInt64Array::from_iter_values(values)), false)
    }

    /// A list column whose lists all hold `width` values.
    pub(crate) fn rows(self, name: &str, values: ArrayRef, width: usize) -> Self {
        self.rows_of(name, values, width, false)
    }

    /// A list column whose lists all hold `width` values or nulls.
    pub(crate) fn rows_or_null(self, name: &str, values: ArrayRef, width: usize) -> Self {
        self.rows_of(name, values, width, true)
    }

    fn rows_of(self, name: &str, values: ArrayRef, width: usize, nullable: bool) -> Self {
        let count = values.len().checked_div(width).unwrap_or(0);
        self.lists_of(name, values, std::iter::repeat_n(width, count), nullable)
    }

    /// A list column with the given lengths.
    pub(crate) fn lists(
        self,
        name: &str,
        values: ArrayRef,
        lengths: impl IntoIterator<Item = usize>,
    ) -> Self {
        self.lists_of(name, values, lengths, false)
    }

    fn lists_of(
        self,
        name: &str,
        values: ArrayRef,
        lengths: impl IntoIterator<Item = usize>,
        nullable: bool,
    ) -> Self {
        let element = Arc::new(Field::new("element", values.data_type().clone(), nullable));
        let list = ListArray::new(element, OffsetBuffer::from_lengths(lengths), values, None);
        self.column(name, Arc::new(list), false)
    }

    pub(crate) fn metadata(mut self, key: &'static str, value: String) -> Self {
        self.metadata = Some((key, value));
        self
    }

    /// Writes the table to `path`.
    pub(crate) fn write(self, path: &Path) -> Result<()> {
        Self::write_all(path, std::iter::once(self))
    }

    /// Writes tables of one schema to `path`, one after the other, so that not all need be held at once.
    pub(crate) fn write_all(path: &Path, tables: impl IntoIterator<Item = Self>) -> Result<()> {
        let mut writer = TableWriter::new(path);
        tables.into_iter().try_for_each(|table| writer.write(table))?;
        writer.finish()
    }
}

/// A Parquet file being written, table after table of one schema.
pub(crate) struct TableWriter {
    path: PathBuf,
    inner: Option<ArrowWriter<File>>,
}

impl TableWriter {
    /// The file appears with the first table.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), inner: None }
    }

    fn cannot(&self) -> Error {
        Error::new("cannot write the table").at(&self.path)
    }

    /// Appends a table's rows.
    pub(crate) fn write(&mut self, table: Table) -> Result<()> {
        let schema = Arc::new(Schema::new(table.fields));
        let batch = RecordBatch::try_new(schema.clone(), table.columns).or_fail(|| self.cannot())?;
        let writer = match self.inner.take() {
            Some(writer) => writer,
            None => {
                // `created_by` would otherwise name the library's version, and the Arrow schema is a second entry.
                let properties = WriterProperties::builder()
                    .set_created_by("coreg".to_owned())
                    .set_compression(Compression::SNAPPY)
                    .set_max_row_group_row_count(Some(ROW_GROUP))
                    .set_key_value_metadata(
                        table.metadata.map(|(key, value)| vec![KeyValue::new(key.to_owned(), value)]),
                    )
                    .build();
                let options =
                    ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
                let file = File::create(&self.path).or_fail(|| self.cannot())?;
                ArrowWriter::try_new_with_options(file, schema, options).or_fail(|| self.cannot())?
            }
        };
        self.inner
            .insert(writer)
            .write(&batch)
            .or_fail(|| Error::new("cannot write the table").at(&self.path))
    }

    /// Ends the row group, so that what was written so far leaves memory.
    pub(crate) fn end_row_group(&mut self) -> Result<()> {
        let flushed = self.inner.as_mut().map_or(Ok(()), ArrowWriter::flush);
        flushed.or_fail(|| self.cannot())
    }

    /// Writes the file's end.
    pub(crate) fn finish(mut self) -> Result<()> {
        let closed = self.inner.take().map_or(Ok(()), |writer| writer.close().map(drop));
        closed.or_fail(|| self.cannot())
    }
}

/// A Parquet file opened for reading.
pub(crate) struct Rows {
    path: std::path::PathBuf,
    batch: RecordBatch,
    metadata: Vec<KeyValue>,
}

impl Rows {
    /// Reads the named columns of `path` whole.
    pub(crate) fn read(path: &Path, columns: &[&str]) -> Result<Self> {
        guarded(|| Self::read_all(path, columns)).or_fail(|| Error::new("cannot read the table").at(path))?
    }

    fn read_all(path: &Path, columns: &[&str]) -> Result<Self> {
        let (reader, metadata) = reader(path, columns)?;
        let schema = reader.schema();
        let cannot = || Error::new("cannot read the table").at(path);
        let batches = reader.collect::<Result<Vec<_>, _>>().or_fail(cannot)?;
        let batch = arrow::compute::concat_batches(&schema, &batches).or_fail(cannot)?;
        Ok(Self { path: path.to_owned(), batch, metadata })
    }

    /// The value of the metadata entry `key`.
    pub(crate) fn metadata(&self, key: &str) -> Result<&str> {
        (self.metadata.iter().find(|entry| entry.key == key))
            .and_then(|entry| entry.value.as_deref())
            .ok_or_else(|| Error::new(format!("the table lacks its metadata entry `{key}`")).at(&self.path))
    }

    /// The column `name` as an array of type `A`, without nulls.
    pub(crate) fn column<A: Array + 'static>(&self, name: &str) -> Result<&A> {
        let column = self.nullable::<A>(name)?;
        if column.null_count() > 0 {
            return Err(Error::new(format!("column `{name}` has nulls")).at(&self.path));
        }
        Ok(column)
    }

    /// The column `name` as an array of type `A`.
    pub(crate) fn nullable<A: Array + 'static>(&self, name: &str) -> Result<&A> {
        let column = self.batch.column_by_name(name);
        let column =
            column.ok_or_else(|| Error::new(format!("column `{name}` is missing")).at(&self.path))?;
        column.as_any().downcast_ref::<A>().ok_or_else(|| {
            Error::new(format!("column `{name}` is of type {}", column.data_type())).at(&self.path)
        })
    }

    pub(crate) fn strings(&self, name: &str) -> Result<Vec<String>> {
        Ok(self.column::<StringArray>(name)?.iter().flatten().map(str::to_owned).collect())
    }

    /// The values of a list column and the lengths of its lists.
    pub(crate) fn lists<A: Array + 'static>(&self, name: &str) -> Result<(&A, Vec<usize>)> {
        let lists = self.column::<ListArray>(name)?;
        let lengths = lists.offsets().lengths().collect();
        let values = lists.values().as_any().downcast_ref::<A>().ok_or_else(|| {
            Error::new(format!("lists of column `{name}` are of type {}", lists.data_type())).at(&self.path)
        })?;
        Ok((values, lengths))
    }

    /// The values of a list column whose lists all have one length, and that length.
    pub(crate) fn rows<A: Array + 'static>(&self, name: &str) -> Result<(&A, usize)> {
        let (values, lengths) = self.lists::<A>(name)?;
        let width = lengths.first().copied().unwrap_or(0);
        match lengths.iter().position(|&length| length != width) {
            None => Ok((values, width)),
            Some(row) => Err(Error::new(format!(
                "column `{name}`, row {row}: {} values where row 0 has {width}",
                lengths[row]
            ))
            .at(&self.path)),
        }
    }
}

/// The names of the columns of a table, in their order.
pub(crate) fn column_names(path: &Path) -> Result<Vec<String>> {
    let cannot = || Error::new("cannot read the table").at(path);
    let names = || -> Result<Vec<String>> {
        let file = File::open(path).or_fail(cannot)?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).or_fail(cannot)?;
        Ok(builder.schema().fields().iter().map(|field| field.name().clone()).collect())
    };
    guarded(names).or_fail(cannot)?
}

/// A reader of the named columns, and the file's metadata entries.
pub(crate) fn reader(path: &Path, columns: &[&str]) -> Result<(ParquetRecordBatchReader, Vec<KeyValue>)> {
    let cannot = || Error::new("cannot read the table").at(path);
    let file = File::open(path).or_fail(cannot)?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).or_fail(cannot)?;
    let metadata = builder.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    let reader = builder.with_projection(mask).with_batch_size(ROW_GROUP).build().or_fail(cannot)?;
    Ok((reader, metadata))
}
