//! Rows out of good tables and bad ones.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::{BinaryArray, Float32Array, Int8Array, StringArray, StructArray, UInt64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Field;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

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

fn read(path: &Path) -> Result<Vec<ImageRow>> {
    ImageRows::open(path, "image", Some("label"), &classes())?.collect()
}

fn labels(path: &Path) -> Vec<Option<i32>> {
    read(path).unwrap().into_iter().map(|row| row.label).collect()
}

#[test]
fn rows_have_image_path_and_label_as_the_table_has_them() {
    let (_folder, path) = table(vec![("image", images(2, None)), ("label", numbers(&[Some(2), None]))], None);
    let rows = read(&path).unwrap();
    assert_eq!(
        rows[0],
        ImageRow { bytes: b"image 0".to_vec(), path: Some("0.png".to_owned()), label: Some(2) }
    );
    assert_eq!(rows[1], ImageRow { bytes: b"image 1".to_vec(), path: None, label: None });
    assert_eq!(rows.len(), 2);
}

#[test]
fn rows_come_in_order_across_batches() {
    let count = 2 * BATCH + 3;
    let labels = vec![Some(1); count];
    let (_folder, path) = table(vec![("label", numbers(&labels)), ("image", images(count, None))], None);
    let rows = ImageRows::open(&path, "image", Some("label"), &classes()).unwrap();
    assert_eq!(rows.row_count(), count as u64);
    let rows: Vec<_> = rows.map(|row| row.unwrap().bytes).collect();
    assert!(rows.iter().enumerate().all(|(i, bytes)| *bytes == format!("image {i}").into_bytes()));
    assert_eq!(rows.len(), count);
}

#[test]
fn plain_binary_images_and_labels_of_any_integer_type_are_read() {
    let bytes: BinaryArray = [Some(b"png")].into_iter().collect();
    let label = UInt64Array::from(vec![1]);
    let (_folder, path) = table(vec![("image", Arc::new(bytes)), ("label", Arc::new(label))], None);
    assert_eq!(read(&path).unwrap(), [ImageRow { bytes: b"png".to_vec(), path: None, label: Some(1) }]);
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
    let rows: Vec<_> = ImageRows::open(&path, "image", None, &classes()).unwrap().collect();
    assert_eq!(rows[0].as_ref().unwrap().label, None);
}

#[test]
fn the_source_s_order_of_class_names_decides_what_its_numbers_mean() {
    let order = |names: &str| {
        let (folder, path) = table(
            vec![("image", images(3, None)), ("label", numbers(&[Some(0), Some(1), Some(2)]))],
            Some(names),
        );
        let order = ImageRows::open(&path, "image", Some("label"), &classes())?.label_order().clone();
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
    let floats = Float32Array::from(vec![0.0]);
    let (_folder, path) = table(vec![("image", images(1, None)), ("label", Arc::new(floats))], None);
    let error = read(&path).unwrap_err().to_string();
    assert!(error.contains("holds no labels") && error.contains("label (Float32)"), "{error}");
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
        let _: Result<Vec<ImageRow>> = read(&page);
    }
}
