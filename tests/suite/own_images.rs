//! Images of one's own: a folder of them, Parquet tables or IDX files, and perhaps a list of classes.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::{self, File};
use std::io::Cursor;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int32Type;
use image::{DynamicImage, ImageFormat, RgbImage};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tests::child::Coreg;
use tests::shapes::{self, CLASSES};
use tests::world::{STAGES, TRAIN, World};

/// What the tests' classes are called.
const LIST: &str = "# kinds of pictures\nstripes\nbars: bars | upright bars\ndisc: a round thing\nchecks\n";

/// Somebody with images, in a world of his own.
struct Own {
    world: World,
}

impl Own {
    /// A world with a list of classes and no image yet.
    fn new() -> Self {
        let own = Self { world: World::new() };
        own.world.file("classes.txt", LIST);
        own
    }

    /// Writes a file below the world's folder `images`.
    fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.world.path("images").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Puts the pictures `first..last` of the classes in turn where `name` says, without an ending.
    fn pictures(&self, seed: u64, count: usize, name: impl Fn(usize, &str) -> String) {
        for (i, row) in shapes::rows(seed, count).into_iter().enumerate() {
            self.put(&format!("{}.png", name(i, CLASSES[i % CLASSES.len()])), &row.bytes);
        }
    }

    /// `coreg run` on the folder `images`, named `mine`.
    fn run(&self) -> Coreg {
        self.world.run_images("images").args(["--name", "mine"])
    }

    /// As [`run`](Self::run), with the list of classes.
    fn run_with_list(&self) -> Coreg {
        self.run().args(["--classes", self.world.path("classes.txt").to_str().unwrap()])
    }

    fn table(&self) -> ParquetRecordBatchReaderBuilder<File> {
        let file = File::open(self.world.path("artifacts/mine/download/images.parquet")).unwrap();
        ParquetRecordBatchReaderBuilder::try_new(file).unwrap()
    }

    /// The image of this id, as it is kept.
    fn image(&self, wanted: &str) -> Vec<u8> {
        for batch in self.table().build().unwrap().map(Result::unwrap) {
            let ids = batch.column_by_name("id").unwrap().as_string::<i32>();
            if let Some(row) = ids.iter().position(|id| id == Some(wanted)) {
                let images = batch.column_by_name("image").unwrap().as_struct();
                return images.column_by_name("bytes").unwrap().as_binary::<i32>().value(row).to_vec();
            }
        }
        panic!("there is no image {wanted}");
    }

    /// Class names, and of every image its split, id and label.
    fn images(&self) -> (String, Vec<(String, String, Option<i32>)>) {
        let builder = self.table();
        let entries = builder.metadata().file_metadata().key_value_metadata().unwrap().clone();
        let features =
            entries.iter().find(|entry| entry.key == "huggingface").unwrap().value.clone().unwrap();
        let features: serde_json::Value = serde_json::from_str(&features).unwrap();
        let batches: Vec<RecordBatch> = builder.build().unwrap().map(Result::unwrap).collect();
        let mut rows = Vec::new();
        for batch in batches {
            let text = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>().clone();
            let labels = batch.column_by_name("label").unwrap().as_primitive::<Int32Type>().clone();
            for (at, (split, id)) in text("split").iter().zip(&text("id")).enumerate() {
                let label = labels.is_valid(at).then(|| labels.value(at));
                rows.push((split.unwrap().to_owned(), id.unwrap().to_owned(), label));
            }
        }
        (features["classes"].to_string(), rows)
    }

    /// Asserts that the run fails before any stage begins, with one error that has these words.
    fn is_refused(&self, run: Coreg, words: &[&str]) {
        run.output().helpful_error(words);
        assert!(!self.world.path("artifacts/mine").exists());
    }
}

/// The picture in one of many modes, sizes and formats, and the ending of its name.
fn in_some_mode(png: &[u8], number: usize) -> (Vec<u8>, &'static str) {
    let image = image::load_from_memory(png).unwrap();
    let side = [1, 7, 20, 33, 48, 150][number % 6];
    let image = image.resize_exact(side, side + number as u32 % 3, image::imageops::FilterType::Triangle);
    let (image, format, ending) = match number % 9 {
        0 => (DynamicImage::from(image.to_luma8()), ImageFormat::Png, "png"),
        1 => (image.to_rgba8().into(), ImageFormat::Png, "PNG"),
        2 => (image.to_luma16().into(), ImageFormat::Png, "png"),
        3 => (image.to_rgb16().into(), ImageFormat::Png, "png"),
        4 => (image.to_luma_alpha8().into(), ImageFormat::Png, "png"),
        5 => (image.to_luma8().into(), ImageFormat::Jpeg, "jpeg"),
        6 => (image.to_rgba8().into(), ImageFormat::Gif, "gif"),
        _ => (image.to_rgb8().into(), ImageFormat::Jpeg, "JPG"),
    };
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    (bytes.into_inner(), ending)
}

#[test]
fn unlabeled_images_of_all_sizes_and_modes_become_a_student_in_one_command() {
    let own = Own::new();
    for (i, row) in shapes::rows(3, 200).into_iter().enumerate() {
        let (bytes, ending) = in_some_mode(&row.bytes, i);
        own.put(&format!("été {i}.{ending}"), &bytes);
    }
    own.put("Thumbs.db", b"not an image");
    let first = own.run_with_list().ok();
    assert_eq!(own.world.ran(), STAGES);
    for line in ["mine: 160 training and 40 test images, 4 classes", "mean confidence", "both networks agree"]
    {
        assert!(first.stdout.contains(line), "no `{line}` in:\n{}", first.stdout);
    }
    assert!(
        first.stderr.contains("1 file is no image") && first.stderr.contains(".db: 1"),
        "{}",
        first.stderr
    );
    assert!(own.images().1.iter().all(|(_, _, label)| label.is_none()));
    assert!(own.world.path("artifacts/mine/evaluate/predictions.parquet").exists());

    own.run_with_list().ok();
    assert_eq!(own.world.ran(), [] as [&str; 0], "nothing changed");
    own.put("desktop.ini", b"not an image either");
    own.put("Thumbs.db", b"another");
    own.run_with_list().ok();
    assert_eq!(own.world.ran(), [] as [&str; 0], "no image changed");

    own.world.file("classes.txt", &LIST.replace("a round thing", "a cat | a photo"));
    own.run_with_list().ok();
    assert_eq!(own.world.ran()[0], "annotate", "CLIP is told something else of the same images");

    own.put("one more.png", &shapes::rows(4, 1)[0].bytes);
    let more = own.run_with_list().ok();
    assert!(more.stderr.contains("200 of 201 images were seen before"), "{}", more.stderr);
    let all_but_clip: Vec<_> = STAGES.iter().copied().filter(|stage| *stage != "clip").collect();
    assert_eq!(own.world.ran(), all_but_clip);
    assert_eq!(own.images().1.len(), 201);
    own.world.is_whole();

    // The same bytes as from nothing.
    let embeddings = || fs::read(own.world.path("artifacts/mine/embed/embeddings.parquet")).unwrap();
    let taken_over = embeddings();
    fs::remove_dir_all(own.world.path("artifacts")).unwrap();
    own.run_with_list().args(["--only", "embed"]).ok();
    assert!(embeddings() == taken_over);
}

#[test]
fn folders_of_classes_give_classes_labels_and_a_split_by_chance() {
    let own = Own::new();
    own.pictures(3, 60, |i, class| format!("{class}/{i}"));
    let run = || own.run().args(["--only", "statistics"]);
    run().ok();
    let (classes, rows) = own.images();
    assert_eq!(classes, r#"["bars","checks","disc","stripes"]"#);
    assert_eq!(rows.iter().filter(|(split, ..)| split == "test").count(), 12);
    let names = ["bars", "checks", "disc", "stripes"];
    assert!(rows.iter().all(|(_, id, label)| id.starts_with(names[label.unwrap() as usize])), "{rows:?}");
    // A limit, and the order of the classes from a list.
    let list = own.world.path("classes.txt");
    run()
        .args(["--classes", list.to_str().unwrap()])
        .set("download.limit_train=20 download.limit_test=5")
        .ok();
    let (classes, rows) = own.images();
    assert_eq!((classes.as_str(), rows.len()), (r#"["stripes","bars","disc","checks"]"#, 25));
    assert!(rows.iter().all(|(_, id, label)| id.starts_with(CLASSES[label.unwrap() as usize])), "{rows:?}");
}

#[test]
fn train_and_test_folders_are_the_splits_and_labels_of_the_test_images_alone_do() {
    let own = Own::new();
    own.pictures(3, 24, |i, _| format!("train/{i}"));
    own.pictures(4, 12, |i, class| format!("test/{class}/{i}"));
    let run = own.run().ok();
    let (_, rows) = own.images();
    assert_eq!(rows.len(), 36);
    for (split, id, label) in rows {
        assert!(id.starts_with(&format!("{split}/")), "{split} {id}");
        assert_eq!(label.is_some(), split == "test");
    }
    assert!(run.stdout.contains("test accuracy"), "{}", run.stdout);
    // Labels for the training images too: the same command, and the same images.
    fs::remove_dir_all(own.world.path("images/train")).unwrap();
    own.pictures(3, 24, |i, class| format!("train/{class}/{i}"));
    own.run().args(["--only", "statistics"]).ok();
    assert!(own.images().1.iter().all(|(_, _, label)| label.is_some()));
}

#[test]
fn validation_images_test_where_there_are_no_others() {
    let own = Own::new();
    own.pictures(3, 24, |i, class| format!("train/{class}/{i}"));
    own.pictures(4, 12, |i, class| format!("validation/{class}/{i}"));
    let run = || own.run().args(["--only", "download"]);
    run().ok();
    assert_eq!(own.images().1.iter().filter(|(split, ..)| split == "test").count(), 12);
    own.pictures(5, 8, |i, class| format!("test/{class}/{i}"));
    let note = run().ok().stderr;
    assert!(note.contains("12 images in `validation` are left out"), "{note}");
    assert_eq!(own.images().1.iter().filter(|(split, ..)| split == "test").count(), 8);
}

#[test]
fn parquet_files_are_read_with_the_columns_and_classes_that_they_name() {
    let own = Own::new();
    let world = &own.world;
    world.run_images("hub/datasets/some/shapes").args(["--name", "mine", "--only", "statistics"]).ok();
    let (classes, rows) = own.images();
    assert_eq!(classes, r#"["stripes","bars","disc","checks"]"#);
    assert_eq!(rows.iter().filter(|(split, ..)| split == "train").count(), 64);
    assert_eq!(rows[5], ("train".to_owned(), "train-00000/000005".to_owned(), Some(1)));
    // One file alone, and one that coreg itself has written.
    for file in [&format!("hub/{TRAIN}"), "artifacts/mine/download/images.parquet"] {
        world.run_images(file).args(["--name", "mine", "--only", "download"]).ok();
        let (_, rows) = own.images();
        assert!(rows.iter().any(|(split, ..)| split == "test"));
        assert!(rows.iter().all(|(_, _, label)| label.is_some()));
    }
}

/// An IDX file.
fn idx(shape: &[u32], values: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, shape.len() as u8];
    shape.iter().for_each(|side| bytes.extend(side.to_be_bytes()));
    bytes.extend(values);
    bytes
}

#[test]
fn idx_files_are_grey_images_and_the_list_names_their_numbers() {
    let own = Own::new();
    for (part, count) in [("train", 24u32), ("t10k", 12)] {
        let pixels = (0..count * 28 * 28).map(|at| (at % 251) as u8);
        own.put(&format!("{part}-images-idx3-ubyte"), &idx(&[count, 28, 28], pixels));
        own.put(&format!("{part}-labels-idx1-ubyte"), &idx(&[count], (0..count).map(|i| (i % 4) as u8)));
    }
    let run = own.run_with_list().ok();
    assert!(run.stdout.contains("mine: 24 training and 12 test images, 4 classes"), "{}", run.stdout);
    assert!(run.stdout.contains("test accuracy"), "{}", run.stdout);
    assert_eq!(own.images().1[35], ("test".to_owned(), "t10k/000011".to_owned(), Some(3)));
    let record = own.world.record();
    assert_eq!(record[0]["settings"]["input"]["channels"], 1);
    own.run().output().helpful_error(&["number their classes", "CLASSES=classes.txt", "images"]);
}

#[test]
fn what_contradicts_itself_is_refused_with_both_sides() {
    let own = Own::new();
    own.is_refused(own.run(), &["cannot find the images", "images"]);
    own.put("readme.txt", b"");
    own.is_refused(own.run_with_list(), &["there is no image", ".txt: 1"]);
    own.pictures(3, 8, |i, class| format!("{class}/{i}"));
    own.world.file("classes.txt", "stripes\nbars\ndisc\nsquares\n");
    own.is_refused(own.run_with_list(), &["no class: `checks`", "without a folder: `squares`"]);
    own.world.file("classes.txt", "stripes\n");
    own.is_refused(own.run_with_list(), &["no class", "`bars`", "`checks`", "`disc`"]);
    own.world.file("classes.txt", "stripes\nbars\nstripes\n");
    own.is_refused(own.run_with_list(), &["classes.txt", "line 3", "line 1"]);
    fs::create_dir_all(own.world.path("images/desert")).unwrap();
    own.is_refused(own.run(), &["folder of a class", "`desert`"]);
    fs::remove_dir(own.world.path("images/desert")).unwrap();
    own.pictures(3, 1, |_, _| "stray".to_owned());
    own.is_refused(own.run(), &["`stray.png` is in no class's folder", "`bars`"]);
    fs::remove_file(own.world.path("images/stray.png")).unwrap();
    own.run().args(["--only", "download"]).ok();
}

#[test]
fn unreadable_images_are_counted_named_and_left_out_on_request() {
    let own = Own::new();
    own.pictures(3, 40, |i, _| format!("{i:02}"));
    own.put("07.png", b"");
    own.put("11.png", b"\x89PNG\r\n\x1a\n and no more");
    let run = || own.run_with_list().args(["--only", "download"]);
    let words = ["2 of 40 images cannot be read", "`07.png`, `11.png`", "download.skip_unreadable=true"];
    run().output().helpful_error(&words);
    let note = run().set("download.skip_unreadable=true").ok().stderr;
    assert!(note.contains("2 unreadable images are left out: `07.png`, `11.png`"), "{note}");
    assert_eq!(own.images().1.len(), 38);
}

#[test]
fn a_data_set_and_images_of_ones_own_are_not_both_meant() {
    let own = Own::new();
    own.pictures(3, 8, |i, class| format!("{class}/{i}"));
    let both = own.run().args(["--dataset", "demo"]).output();
    assert_eq!(both.code, Some(2), "{}", both.stderr);
    let alone = own.world.coreg().args(["run", "--classes", "classes.txt"]).output();
    assert_eq!(alone.code, Some(2), "{}", alone.stderr);
    assert!(alone.stderr.contains("--images"), "{}", alone.stderr);
}

#[test]
fn a_text_that_is_too_long_for_clip_is_cut_and_said() {
    let own = Own::new();
    own.pictures(3, 8, |i, _| format!("{i}"));
    own.world.file("classes.txt", &format!("cat\ndog: a dog | {}\n", "a very big dog ".repeat(40)));
    let note = own.run_with_list().args(["--only", "label"]).ok().stderr;
    assert!(note.contains("CLIP cannot take 3 prompts whole") && note.contains("a very big dog"), "{note}");
}

#[test]
fn a_photograph_is_made_smaller_before_it_is_kept() {
    let own = Own::new();
    own.pictures(3, 12, |i, class| format!("{class}/{i}"));
    let photograph =
        DynamicImage::from(RgbImage::from_fn(900, 600, |x, y| image::Rgb([x as u8, y as u8, 7])));
    let mut bytes = Cursor::new(Vec::new());
    photograph.write_to(&mut bytes, ImageFormat::Png).unwrap();
    own.put("disc/photograph.png", &bytes.into_inner());
    let size = |set: &str| {
        own.run().args(["--only", "download"]).set(set).ok();
        let image = image::load_from_memory(&own.image("disc/photograph.png")).unwrap();
        (image.width(), image.height())
    };
    assert_eq!(size("download.shrink=512"), (768, 512));
    assert_eq!(size("download.shrink=0"), (900, 600));
}
