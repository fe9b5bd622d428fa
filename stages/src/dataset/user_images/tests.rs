//! Data sets out of folders as people have them.
#![allow(clippy::unwrap_used)]

use std::fs;

use image::{DynamicImage, ImageFormat, RgbImage};
use pipeline::stage::{Context, Stage};

use super::*;
use crate::dataset::download::Download;
use crate::dataset::import::{Import, ImportImages};
use crate::dataset::listing::{EncodedImage, Listing};
use crate::dataset::split::Split;

/// A folder with files of these names: images get a PNG of 8×6 pixels, the others a few bytes.
fn folder(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match walk::kind(file) {
            Some(walk::FileKind::Image) => image(8, 6).save_with_format(path, ImageFormat::Png).unwrap(),
            _ => fs::write(path, "no image").unwrap(),
        }
    }
    folder
}

fn image(width: u32, height: u32) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 0])).into()
}

fn describe(folder: &Path, classes: Option<&str>) -> Result<DataSet> {
    let list = tempfile::NamedTempFile::new().unwrap();
    fs::write(list.path(), classes.unwrap_or_default()).unwrap();
    let classes = classes.map(|_| list.path().to_owned());
    let name = Some("mine".to_owned());
    UserDataSet { images: folder.to_owned(), classes, name, ..UserDataSet::default() }.describe()
}

fn walked(folder: &Path) -> Result<Tree> {
    walk::Walk { excluded: &place::holds_artifacts, keep: &|_| false, skip_unusable: false }.all(folder)
}

fn refused(folder: &Path, classes: Option<&str>) -> String {
    describe(folder, classes).unwrap_err().to_string()
}

fn found(set: &DataSet, folder: &Path) -> Listing {
    let Source::UserImages(own) = &set.source else { unreachable!() };
    own.open(&set.classes).unwrap().list(&Context::for_test(folder)).unwrap()
}

fn download(set: &DataSet, limit_train: usize, balanced: bool) -> Download {
    Download {
        source: set.source.clone(),
        classes: set.classes.clone(),
        split: set.split,
        limit_train,
        limit_test: 0,
        balanced,
        seed: 0,
        import: Some(ImportImages { skip_unreadable: false, shrink: 0 }),
    }
}

/// Of every image that the stage keeps its id and its split.
fn kept(set: &DataSet, limit_train: usize, balanced: bool) -> BTreeMap<String, Split> {
    let folder = tempfile::tempdir().unwrap();
    let stage = download(set, limit_train, balanced);
    let index = stage.run((), &Context::for_test(folder.path())).unwrap().index;
    index.ids.into_iter().zip(index.splits).collect()
}

#[test]
fn images_that_were_moved_have_the_same_key_and_are_rebuilt_where_they_are() {
    let files = ["train/cat/a.png", "train/dog/b.png", "test/cat/a.png"];
    let (here, there) = (folder(&files), folder(&[&files[..], &["notes.csv"]].concat()));
    let [here, there] =
        [here, there].map(|folder| download(&describe(folder.path(), None).unwrap(), 0, false));
    let key = here.key().unwrap();
    assert_eq!(key, there.key().unwrap());
    assert_eq!(
        key["source"],
        serde_json::json!({"kind": "own", "folder": {"parts": [
            {"folder": "train/cat", "split": "train", "class": 0},
            {"folder": "train/dog", "split": "train", "class": 1},
            {"folder": "test/cat", "split": "test", "class": 0},
        ]}})
    );
    let mut registry = pipeline::registry::Registry::default();
    registry.register::<Download>().unwrap();
    let settings = serde_json::to_value(&here).unwrap();
    let rebuilt = registry.rebuild(Download::NAME, Download::VERSION, &settings).unwrap();
    assert_eq!((rebuilt.key().unwrap(), rebuilt.files()), (key, here.files()));
}

#[test]
fn an_image_more_leaves_the_others_where_they_were() {
    let names: Vec<String> = (0..40).map(|i| format!("{}/{i}.png", ["cat", "dog"][i % 2])).collect();
    let folder = folder(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let all = |limit| kept(&describe(folder.path(), None).unwrap(), limit, false);
    let (before, first_few) = (all(0), all(20));
    assert_eq!(before.values().filter(|split| **split == Split::Test).count(), 8);
    // The one that sorts first moves the places of all others.
    image(8, 6).save(folder.path().join("cat/!.png")).unwrap();
    let (after, few_after) = (all(0), all(20));
    let moved = before.iter().filter(|(id, split)| after[*id] != **split).count();
    let gone = first_few.keys().filter(|id| !few_after.contains_key(*id)).count();
    assert!(moved <= 1 && gone <= 2, "{moved} have another split, {gone} are beyond the limit");
    assert_eq!(after.len(), 41);
}

#[test]
fn a_balanced_limit_takes_from_every_folder_alike() {
    let names: Vec<String> =
        (0..60).map(|i| format!("{}/{i}.png", if i < 12 { "cat" } else { "dog" })).collect();
    let folder = folder(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let set = describe(folder.path(), None).unwrap();
    let cats = |balanced| {
        let kept = kept(&set, 10, balanced);
        let train = kept.iter().filter(|(_, split)| **split == Split::Train).map(|(id, _)| id);
        (train.clone().count(), train.filter(|id| id.starts_with("cat/")).count())
    };
    assert_eq!(cats(true), (10, 5));
    assert_ne!(cats(false), (10, 5));
}

#[test]
fn hidden_files_and_files_that_are_no_images_are_passed_over() {
    let folder =
        folder(&["b.PNG", "a.Jpeg", ".hidden.png", "Thumbs.db", "list.csv", "@eaDir/a.png", ".git/a.png"]);
    pipeline::store::Store::open(folder.path().join("artifacts/store")).unwrap();
    fs::write(folder.path().join("artifacts/store/objects/a.png"), "").unwrap();
    let tree = walked(folder.path()).unwrap();
    assert_eq!(tree.images, ["a.Jpeg", "b.PNG"]);
    assert_eq!(tree.left_out(), "2 files are no images by the ending of the name (.csv: 1, .db: 1)");
}

#[test]
fn files_of_one_name_in_two_folders_are_two_images_and_any_language_may_name_them() {
    let folder = folder(&["train/été/猫.png", "train/Hund/猫.png", "test/Hund/猫.png"]);
    let set = describe(folder.path(), None).unwrap();
    assert_eq!(
        (set.classes.names.clone(), set.split),
        (vec!["Hund".into(), "été".into()], SplitRule::Standard)
    );
    let found = found(&set, folder.path());
    assert_eq!(found.ids, ["train/Hund/猫.png", "train/été/猫.png", "test/Hund/猫.png"]);
    assert_eq!(found.given, [Some(Split::Train), Some(Split::Train), Some(Split::Test)]);
    assert_eq!(found.labels, [Some(0), Some(1), Some(0)]);
}

#[cfg(unix)]
#[test]
fn links_are_followed_unless_they_lead_back_or_nowhere() {
    use std::os::unix::fs::symlink;
    let elsewhere = folder(&["a.png"]);
    let folder = folder(&["dog/a.png"]);
    symlink(elsewhere.path(), folder.path().join("cat")).unwrap();
    symlink(elsewhere.path().join("a.png"), folder.path().join("dog/b.png")).unwrap();
    symlink("nowhere", folder.path().join("notes.txt")).unwrap();
    assert_eq!(walked(folder.path()).unwrap().images, ["cat/a.png", "dog/a.png", "dog/b.png"]);
    symlink("nowhere", folder.path().join("dog/c.png")).unwrap();
    assert!(refused(folder.path(), None).contains("dog/c.png"));
    fs::remove_file(folder.path().join("dog/c.png")).unwrap();
    symlink(folder.path(), folder.path().join("dog/again")).unwrap();
    let error = refused(folder.path(), None);
    assert!(error.contains("leads back") && error.contains("dog/again"), "{error}");
}

#[test]
fn what_says_nothing_of_images_or_classes_is_refused_with_what_to_do() {
    let empty = folder(&["readme.txt", "photo.heic"]);
    let flat = folder(&["a.png", "b.png"]);
    let one = folder(&["cat/a.png", "cat/b.png"]);
    for (error, words) in [
        (refused(empty.path(), None), &["there is no image", ".heic: 1", "png, jpg"][..]),
        (refused(&empty.path().join("none"), None), &["cannot find the images", "none"]),
        (
            refused(&empty.path().join("readme.txt"), None),
            &["neither a folder nor a Parquet, Arrow or tar file"],
        ),
        (refused(flat.path(), None), &["which classes", "CLASSES=classes.txt"]),
        (refused(flat.path(), Some("cat\n")), &["1 class is nothing to tell apart", "`cat`"]),
        (refused(flat.path(), Some("# none\n")), &["0 class"]),
        (refused(one.path(), None), &["1 class", "`cat`", "at least two"]),
    ] {
        assert!(words.iter().all(|word| error.contains(word)) && error.contains("help:"), "{error}");
    }
}

#[test]
fn the_name_is_the_users_or_the_folders_and_no_other_data_sets() {
    let parent = tempfile::tempdir().unwrap();
    let names = |folder: &str, name: Option<&str>| {
        let images = parent.path().join(folder);
        fs::create_dir_all(&images).unwrap();
        UserDataSet { images, name: name.map(str::to_owned), ..UserDataSet::default() }.names()
    };
    let pair = |name: &str, title: &str| (name.to_owned(), title.to_owned());
    assert_eq!(names("My Photos (2024)", None).unwrap(), pair("my-photos-2024", "My Photos (2024)"));
    assert_eq!(names("photos", Some("Mine")).unwrap(), pair("mine", "Mine"));
    assert_eq!(names("eurosat", None).unwrap(), pair("own-eurosat", "eurosat"));
    assert_eq!(names("store", None).unwrap(), pair("own-store", "store"));
    assert_eq!(names("猫", None).unwrap(), pair("own-images", "猫"));
    for name in ["", "猫", "runs", "../"] {
        assert!(names("a", Some(name)).unwrap_err().to_string().contains("data set's name"), "{name}");
    }
}

#[test]
fn ten_thousand_classes_are_described_at_once() {
    let list: String =
        (0..10_000).map(|class| format!("class {class}: wording {class} | text {class}\n")).collect();
    let folder = folder(&["a.png", "b.png"]);
    let set = describe(folder.path(), Some(&list)).unwrap();
    assert_eq!(set.class_count(), 10_000);
    assert_eq!(set.classes.texts[9_999], "wording 9999 | text 9999");
}

/// Imports an image: nothing if it is left out.
fn imported(bytes: &[u8], settings: ImportImages) -> Result<Vec<u8>> {
    let mut import = Import::new(Some(settings), 1);
    let image = EncodedImage { bytes: bytes.to_vec(), path: None };
    let good = import.good(vec![(0, Ok(image))], &["a.jpg".to_owned()]);
    import.finish(&Context::for_test("nowhere"))?;
    Ok(good.into_iter().next().map(|(_, image)| image.bytes).unwrap_or_default())
}

fn jpeg(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image(width, height).write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
    bytes.into_inner()
}

const AS_THEY_ARE: ImportImages = ImportImages { skip_unreadable: false, shrink: 512 };

#[test]
fn a_small_upright_image_is_kept_as_it_came_and_a_large_one_made_smaller() {
    let small = jpeg(60, 40);
    assert_eq!(imported(&small, AS_THEY_ARE).unwrap(), small);
    let size = |import| {
        let image = image::load_from_memory(&imported(&small, import).unwrap()).unwrap();
        (image.width(), image.height())
    };
    assert_eq!(size(ImportImages { shrink: 20, ..AS_THEY_ARE }), (30, 20));
    assert_eq!(size(ImportImages { shrink: 0, ..AS_THEY_ARE }), (60, 40));
}

#[test]
fn an_image_from_a_camera_that_was_turned_is_put_upright() {
    // A JPEG with an EXIF entry 0x0112 (orientation) of 6: turn right by a quarter.
    let exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let plain = jpeg(60, 40);
    let length = (exif.len() as u16 + 2).to_be_bytes();
    let turned = [&plain[..2], &[0xff, 0xe1], &length, exif, &plain[2..]].concat();
    let image = image::load_from_memory(&imported(&turned, AS_THEY_ARE).unwrap()).unwrap();
    assert_eq!((image.width(), image.height()), (40, 60));
}

#[test]
fn an_image_that_does_not_decode_is_an_error_or_left_out() {
    for bytes in [&b""[..], b"GIF89a", &jpeg(60, 40)[..300]] {
        let error = imported(bytes, AS_THEY_ARE).unwrap_err().to_string();
        let words = ["1 of 1 images cannot be read: `a.jpg`", "because:", "download.skip_unreadable=true"];
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
        assert_eq!(imported(bytes, ImportImages { skip_unreadable: true, ..AS_THEY_ARE }).unwrap(), b"");
    }
}
