//! Images of the user's on their way to a student, from small folders.
#![allow(clippy::unwrap_used)]
use std::fs;

use image::{ImageFormat, RgbImage};

use super::*;

/// A folder of so many images that can be read and so many that cannot, which come last.
fn folder(good: usize, bad: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..good {
        let path = folder.path().join(format!("{number:03}.png"));
        RgbImage::new(4, 3).save_with_format(path, ImageFormat::Png).unwrap();
    }
    for number in 0..bad {
        let path = folder.path().join(format!("bad{number:03}.png"));
        fs::write(path, b"\x89PNG\r\n\x1a\n, and then nothing").unwrap();
    }
    folder
}

fn images(places: &[PathBuf], skip_unreadable: bool) -> Result<ImagesAlone> {
    let import = ImportImages { skip_unreadable, shrink: 512 };
    ImagesAlone::at(places, import, &Context::for_test("nowhere"))
}

/// The sizes of the batches that were given.
fn batches(images: &ImagesAlone) -> (Vec<usize>, Result<()>) {
    let mut sizes = Vec::new();
    let outcome = images.each(&Context::for_test("nowhere"), |ids, bytes| {
        assert_eq!(ids.len(), bytes.len());
        sizes.push(ids.len());
        Ok(())
    });
    (sizes, outcome)
}

#[test]
fn a_batch_of_which_nothing_can_be_read_is_passed_over() {
    for (good, bad, expected) in [(64, 1, vec![64]), (70, 70, vec![64, 6]), (3, 0, vec![3])] {
        let folder = folder(good, bad);
        let (sizes, outcome) = batches(&images(&[folder.path().to_owned()], true).unwrap());
        outcome.unwrap();
        assert_eq!(sizes, expected, "{good} + {bad}");
    }
}

#[test]
fn images_of_which_none_can_be_read_are_an_error() {
    for (bad, said) in [(1, "the image cannot be read"), (65, "none of 65 images can be read")] {
        let folder = folder(0, bad);
        let (sizes, outcome) = batches(&images(&[folder.path().to_owned()], true).unwrap());
        let error = outcome.unwrap_err().to_string();
        assert!(sizes.is_empty() && error.contains(said), "{error}");
    }
}

#[test]
fn what_cannot_be_read_is_named_with_advice_that_can_be_followed() {
    let folder = folder(64, 1);
    let (_, outcome) = batches(&images(&[folder.path().to_owned()], false).unwrap());
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("1 of 65 images cannot be read: `bad000.png`"), "{error}");
    assert!(error.contains("--skip-unreadable") && !error.contains("SET="), "{error}");
}

#[test]
fn files_that_are_named_one_by_one_are_read_together_and_each_once() {
    let folder = folder(10, 0);
    let file = |number: usize| folder.path().join(format!("{number:03}.png"));
    let places: Vec<PathBuf> = (0..10).chain([3]).map(file).chain([folder.path().to_owned()]).collect();
    let images = images(&places, false).unwrap();
    assert_eq!(batches(&images).0, [10]);
    assert_eq!(images.ids[3], file(3).to_str().unwrap());
    assert_eq!(images.notes, ["11 images are named more than once, and taken once each"]);
    assert!(images.reads(&file(7)) && !images.reads(&folder.path().join("predictions.csv")));
}

#[test]
fn links_to_one_image_at_one_place_are_as_many_images() {
    let folder = folder(1, 0);
    std::os::unix::fs::symlink("000.png", folder.path().join("again.png")).unwrap();
    let images = images(&[folder.path().to_owned()], false).unwrap();
    assert_eq!(images.ids, ["000.png", "again.png"]);
}

#[test]
fn advice_to_change_a_setting_is_left_out() {
    for (text, left) in [
        ("3 are kept smaller; download.shrink=0 keeps them whole", Some("3 are kept smaller")),
        (
            "mend it; SET=download.skip_unreadable=true leaves it out",
            Some("mend it; --skip-unreadable leaves it out"),
        ),
        ("say which: SET=download.image_column=NAME", None),
        ("left out: `download.parquet`", Some("left out: `download.parquet`")),
    ] {
        assert_eq!(without_settings(text).as_deref(), left);
    }
    let error = Error::new("no").because(Error::new("inner").help("SET=a=b")).help("x; SET=c=d");
    let told = in_own_words(error).to_string();
    assert!(told.ends_with("\n  help: x"), "{told}");
}
