//! Places as people have them, with what is found there.
#![allow(clippy::unwrap_used)]
use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int32Array, RecordBatch, StringArray};
use image::RgbImage;
use parquet::arrow::ArrowWriter;

use super::*;

fn folder(images: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for image in images {
        let path = folder.path().join(image);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::new(4, 3).save_with_format(path, image::ImageFormat::Png).unwrap();
    }
    folder
}

/// A table of two images, with ids if any are given.
fn table(path: &Path, ids: Option<ArrayRef>) {
    let mut png = std::io::Cursor::new(Vec::new());
    RgbImage::new(4, 3).write_to(&mut png, image::ImageFormat::Png).unwrap();
    let images: ArrayRef = Arc::new(BinaryArray::from_iter_values([png.get_ref(), png.get_ref()]));
    let columns = ids.map(|ids| ("id", ids)).into_iter().chain([("image", images)]);
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn looked(place: &Path, several: bool) -> Result<Alone> {
    look(place, several, false, &Context::for_test("nowhere"))
}

fn names(alone: &Alone) -> Vec<&str> {
    alone.files.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn a_folder_is_taken_whole_whatever_its_folders_are_called() {
    let files = ["a.png", "test/b.png", "train/c.png", "train/d/e.png", "val/f.png"];
    let folder = folder(&files);
    let alone = looked(folder.path(), false).unwrap();
    assert_eq!((names(&alone), &alone.notes), (files.to_vec(), &Vec::new()));
    assert!(alone.files.iter().all(|(name, path)| *path == folder.path().join(name)));
}

#[test]
fn masks_beside_images_are_left_out_and_that_is_said() {
    let folder = folder(&["images/a.png", "masks/a.png"]);
    let alone = looked(folder.path(), false).unwrap();
    assert_eq!(names(&alone), ["images/a.png"]);
    assert!(alone.notes.len() == 1 && alone.notes[0].contains("masks"), "{:?}", alone.notes);
}

#[test]
fn of_several_places_ids_begin_with_the_folder_and_a_file_is_called_as_it_was_named() {
    let folder = folder(&["photos/x.png", "nameless"]);
    let photos = folder.path().join("photos/");
    assert_eq!(names(&looked(&photos, false).unwrap()), ["x.png"]);
    assert_eq!(names(&looked(&photos, true).unwrap()), [photos.join("x.png").to_str().unwrap()]);
    for file in [photos.join("x.png"), folder.path().join("nameless")] {
        assert_eq!(names(&looked(&file, true).unwrap()), [file.to_str().unwrap()]);
    }
}

#[test]
fn a_column_of_ids_is_what_images_are_called_if_it_tells_them_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("train-00000-of-00002.parquet");
    let own = |ids: Option<ArrayRef>| {
        table(&path, ids);
        let mut alone = looked(&path, false).unwrap();
        let packed = alone.packed.remove(0);
        assert_eq!(packed.ids, ["train-00000/000000", "train-00000/000001"]);
        (packed.own, alone.notes)
    };
    let texts = |ids: [&str; 2]| -> Option<ArrayRef> { Some(Arc::new(StringArray::from(ids.to_vec()))) };
    assert_eq!(own(None), (None, Vec::new()));
    assert_eq!(own(texts(["b", "a"])).0.unwrap(), ["b", "a"]);
    assert_eq!(own(Some(Arc::new(Int32Array::from(vec![7, -8])))).0.unwrap(), ["7", "-8"]);
    for unclear in [["a", "a"], ["a", ""]] {
        let (own, notes) = own(texts(unclear));
        assert!(own.is_none() && notes[0].contains("does not tell all rows apart"), "{notes:?}");
    }
}

#[test]
fn tables_and_image_files_beside_each_other_are_both_taken() {
    let folder = folder(&["a.png"]);
    table(&folder.path().join("t.parquet"), None);
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
    let file = File::create(folder.path().join("predictions.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let alone = looked(folder.path(), false).unwrap();
    assert_eq!(names(&alone), ["a.png"]);
    assert_eq!(alone.packed[0].ids, ["t/000000", "t/000001"]);
    assert!(alone.notes[0].contains("predictions.parquet"), "{:?}", alone.notes);
}

#[test]
fn a_place_without_images_says_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.tex"), "").unwrap();
    let error = looked(folder.path(), false).err().unwrap().to_string();
    assert!(error.contains("there is no image") && error.contains(".tex: 1"), "{error}");
}
