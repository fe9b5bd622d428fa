//! Rows out of good tables and bad ones.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::{BinaryArray, Int8Array, StringArray, StructArray, UInt64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Field;
use std::fs::File;

use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use pipeline::stage::Context;

use super::*;

fn classes() -> Classes {
    let names = ["cat", "dog", "crab"].map(str::to_owned).to_vec();
    let renamed = vec![super::super::catalog::Renamed { from: "cra".to_owned(), to: "crab".to_owned() }];
    Classes { texts: names.clone(), names, renamed }
}

/// A table in a temporary folder, with class names in its metadata if `names` are given.
fn table(columns: Vec<(&str, ArrayRef)>, names: Option<&str>) -> (tempfile::TempDir, PathBuf) {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let metadata = names.map(|names| {
        let json = format!(
            r#"{{"info": {{"features": {{"label": {{"names": {names}, "_type": "ClassLabel"}}}}}}}}"#
        );
        vec![KeyValue::new("huggingface".to_owned(), json)]
    });
    let properties = WriterProperties::builder().set_key_value_metadata(metadata).build();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.parquet");
    let mut writer =
        ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    (folder, path)
}

/// Images `image 0`, `image 1`, … as the hub has them, null where `null` says so.
fn images(count: usize, null: Option<usize>) -> ArrayRef {
    let bytes: BinaryArray = (0..count).map(|i| Some(format!("image {i}").into_bytes())).collect();
    let paths: StringArray = (0..count).map(|i| (i % 2 == 0).then(|| format!("{i}.png"))).collect();
    let fields =
        vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)].into();
    let nulls = null.map(|null| NullBuffer::from_iter((0..count).map(|i| i != null)));
    Arc::new(StructArray::try_new(fields, vec![Arc::new(bytes), Arc::new(paths)], nulls).unwrap())
}

fn numbers(labels: &[Option<i8>]) -> ArrayRef {
    Arc::new(Int8Array::from(labels.to_vec()))
}

/// A row as the stage takes it.
#[derive(Debug, PartialEq)]
struct Row {
    bytes: Vec<u8>,
    path: Option<String>,
    label: Option<i32>,
}

/// The rows of a table: those of which an image is missing are an error.
fn rows_of(table: ImageTable) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir().unwrap();
    let context = Context::for_test(folder.path());
    let source = TableRows(vec![table.called("rows", 0, None)]);
    let labels = source.list(&context)?.labels;
    let mut rows = Vec::new();
    source.read(&(0..labels.len()).collect::<Vec<_>>(), &context, &mut |batch| {
        for (row, image) in batch {
            let EncodedImage { bytes, path } = image?;
            rows.push(Row { bytes, path, label: labels[row] });
        }
        Ok(())
    })?;
    assert_eq!(rows.len(), labels.len());
    Ok(rows)
}

fn opened(path: &Path, label: Option<&str>) -> Result<ImageTable> {
    let label = label.map(|name| LabelColumn { name: name.to_owned(), first: 0 });
    ImageTable::open(path, "image", label.as_ref(), &classes(), ("correct the description", true))
}

fn read(path: &Path) -> Result<Vec<Row>> {
    rows_of(opened(path, Some("label"))?)
}

fn labels(path: &Path) -> Vec<Option<i32>> {
    read(path).unwrap().into_iter().map(|row| row.label).collect()
}

#[test]
fn rows_have_image_path_and_label_as_the_table_has_them() {
    let (_folder, path) = table(vec![("image", images(2, None)), ("label", numbers(&[Some(2), None]))], None);
    let rows = read(&path).unwrap();
    assert_eq!(rows[0], Row { bytes: b"image 0".to_vec(), path: Some("0.png".to_owned()), label: Some(2) });
    assert_eq!(rows[1], Row { bytes: b"image 1".to_vec(), path: None, label: None });
    assert_eq!(rows.len(), 2);
}

#[test]
fn rows_come_in_order_across_batches() {
    let count = 2 * IMAGES_AT_ONCE + 3;
    let labels = vec![Some(1); count];
    let (_folder, path) = table(vec![("label", numbers(&labels)), ("image", images(count, None))], None);
    assert_eq!(opened(&path, Some("label")).unwrap().rows(), count);
    let rows: Vec<_> = read(&path).unwrap().into_iter().map(|row| row.bytes).collect();
    assert!(rows.iter().enumerate().all(|(i, bytes)| *bytes == format!("image {i}").into_bytes()));
    assert_eq!(rows.len(), count);
}

#[test]
fn plain_binary_images_and_labels_of_any_integer_type_are_read() {
    let bytes: BinaryArray = [Some(b"png")].into_iter().collect();
    let label = UInt64Array::from(vec![1]);
    let (_folder, path) = table(vec![("image", Arc::new(bytes)), ("label", Arc::new(label))], None);
    assert_eq!(read(&path).unwrap(), [Row { bytes: b"png".to_vec(), path: None, label: Some(1) }]);
}

#[test]
fn labels_may_be_class_names_in_the_source_s_spelling() {
    let names = StringArray::from(vec![Some("Dog"), Some("cra"), None]);
    let (_folder, path) = table(vec![("image", images(3, None)), ("label", Arc::new(names))], None);
    assert_eq!(labels(&path), [Some(1), Some(2), None]);
}

#[test]
fn a_source_without_labels_is_read_without_them() {
    let (_folder, path) = table(vec![("image", images(1, None))], None);
    assert_eq!(rows_of(opened(&path, None).unwrap()).unwrap()[0].label, None);
}

#[test]
fn the_source_s_order_of_class_names_decides_what_its_numbers_mean() {
    let order = |names: &str| {
        let (folder, path) = table(
            vec![("image", images(3, None)), ("label", numbers(&[Some(0), Some(1), Some(2)]))],
            Some(names),
        );
        let order = opened(&path, Some("label"))?.label_order().clone();
        let labels = labels(&path);
        drop(folder);
        Ok::<_, Error>((order, labels))
    };
    let (same, labels) = order(r#"["cat", "dog", "cra"]"#).unwrap();
    assert_eq!((same, labels), (LabelOrder::Same, vec![Some(0), Some(1), Some(2)]));
    let (mapped, labels) = order(r#"["cra", "cat", "dog"]"#).unwrap();
    assert_eq!((mapped, labels), (LabelOrder::Mapped(vec![2, 0, 1]), vec![Some(2), Some(0), Some(1)]));
    let (other, labels) = order(r#"["a", "b", "c"]"#).unwrap();
    assert!(matches!(other, LabelOrder::OtherNames(names) if names == ["a", "b", "c"]));
    assert_eq!(labels, [Some(0), Some(1), Some(2)]);
    for wrong in [r#"["cat", "dog"]"#, r#"["dog", "kitten", "crab"]"#, r#"["cat", "cat", "dog"]"#] {
        let error = order(wrong).unwrap_err().to_string();
        assert!(error.contains("not those expected: cat, dog, crab"), "{error}");
    }
}

#[test]
fn minus_one_is_an_unknown_label_whatever_the_order_of_the_classes() {
    for names in [None, Some(r#"["crab", "cat", "dog"]"#)] {
        let (_folder, path) =
            table(vec![("image", images(2, None)), ("label", numbers(&[Some(-1), Some(2)]))], names);
        assert_eq!(labels(&path), [None, Some(if names.is_some() { 1 } else { 2 })]);
    }
}

#[test]
fn a_label_outside_the_classes_is_refused_with_its_row() {
    for bad in [3, -2] {
        let (_folder, path) =
            table(vec![("image", images(2, None)), ("label", numbers(&[Some(0), Some(bad)]))], None);
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("row 1") && error.contains(&format!("label {bad}")), "{error}");
        assert!(error.contains("table.parquet"), "{error}");
    }
    let names = StringArray::from(vec!["wolf"]);
    let (_folder, path) = table(vec![("image", images(1, None)), ("label", Arc::new(names))], None);
    let error = read(&path).unwrap_err().to_string();
    assert!(error.contains("`wolf`") && error.contains("cat, dog, crab"), "{error}");
}

#[test]
fn a_missing_image_is_refused_with_its_row() {
    let (_folder, path) =
        table(vec![("image", images(2, Some(1))), ("label", numbers(&[Some(0), Some(0)]))], None);
    let error = read(&path).unwrap_err().to_string();
    assert!(error.contains("row 1") && error.contains("no image in column `image`"), "{error}");
}

#[test]
fn a_missing_column_is_named_together_with_what_is_there() {
    let (_folder, path) = table(vec![("img", images(1, None)), ("label", numbers(&[Some(0)]))], None);
    let error = read(&path).unwrap_err().to_string();
    assert!(error.contains("`image`") && error.contains("img") && error.contains("label (Int8)"), "{error}");
    let (_folder, path) = table(vec![("image", images(1, None)), ("fine", numbers(&[Some(0)]))], None);
    let error = read(&path).unwrap_err().to_string();
    assert!(error.contains("`label`") && error.contains("fine"), "{error}");
}

#[test]
fn a_column_of_the_wrong_type_is_refused_by_type() {
    let (_folder, path) = table(vec![("image", images(1, None)), ("label", images(1, None))], None);
    let error = read(&path).unwrap_err().to_string();
    assert!(error.contains("holds no labels") && error.contains("label (Struct"), "{error}");
    let (_folder, path) = table(vec![("image", numbers(&[Some(0)])), ("label", numbers(&[Some(0)]))], None);
    assert!(read(&path).unwrap_err().to_string().contains("holds no images"));
}

#[test]
fn what_is_no_parquet_file_is_refused_and_damage_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.parquet");
    std::fs::write(&page, "<html>403 Forbidden</html>").unwrap();
    let error = read(&page).unwrap_err().to_string();
    assert!(error.contains("page.parquet") && error.contains("damaged"), "{error}");
    assert!(read(&folder.path().join("none.parquet")).unwrap_err().to_string().contains("No such file"));

    let (_folder, path) = table(vec![("image", images(40, None)), ("label", numbers(&[Some(1); 40]))], None);
    let whole = std::fs::read(&path).unwrap();
    for cut in 0..whole.len() {
        std::fs::write(&page, &whole[..cut]).unwrap();
        assert!(read(&page).is_err(), "cut to {cut} bytes");
    }
    for at in 0..whole.len() {
        let mut bent = whole.clone();
        bent[at] ^= 0xFF;
        std::fs::write(&page, &bent).unwrap();
        let _: Result<Vec<Row>> = read(&page);
    }
}

#[test]
fn chosen_rows_of_several_tables_are_read_in_order() {
    let tables: Vec<_> = (0..3).map(|_| table(vec![("image", images(100, None))], None)).collect();
    let open = |(number, (_, path)): (usize, &(tempfile::TempDir, PathBuf))| {
        opened(path, None).unwrap().called(&format!("t{number}"), 0, None)
    };
    let source = TableRows(tables.iter().enumerate().map(open).collect());
    let context = Context::for_test("nowhere");
    assert_eq!(source.list(&context).unwrap().ids[205], "t2/000005");
    let (wanted, mut given) = ([3, 99, 100, 205, 299], Vec::new());
    source
        .read(&wanted, &context, &mut |batch| {
            given.extend(batch.into_iter().map(|(row, image)| (row, image.unwrap().bytes)));
            Ok(())
        })
        .unwrap();
    let image = |row: usize| format!("image {}", row % 100).into_bytes();
    assert_eq!(given, wanted.map(|row| (row, image(row))));
}

#[test]
fn where_the_bytes_are_null_the_path_names_a_file_beside_the_table() {
    let bytes: BinaryArray = vec![Some(&b"within"[..]), None, None].into_iter().collect();
    let paths = StringArray::from(vec![Some("no/file.png"), Some("a.png"), Some("none.png")]);
    let fields =
        vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)].into();
    let column = StructArray::try_new(fields, vec![Arc::new(bytes), Arc::new(paths)], None).unwrap();
    let (folder, path) = table(vec![("image", Arc::new(column))], None);
    std::fs::write(folder.path().join("a.png"), b"beside").unwrap();
    let source = TableRows(vec![opened(&path, None).unwrap()]);
    let mut given = Vec::new();
    source
        .read(&[0, 1, 2], &Context::for_test("nowhere"), &mut |batch| {
            given.extend(
                batch.into_iter().map(|(_, image)| image.map(|image| image.bytes).map_err(|e| e.to_string())),
            );
            Ok(())
        })
        .unwrap();
    assert_eq!(given[..2], [Ok(b"within".to_vec()), Ok(b"beside".to_vec())]);
    assert!(given[2].as_ref().unwrap_err().contains("none.png"), "{given:?}");
}
