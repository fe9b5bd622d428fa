//! The user's images: a folder of them, Parquet tables or IDX files, and perhaps a list of classes.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::Cursor;
use std::path::PathBuf;

use arrow::array::{AsArray, Int32Array, StructArray};
use image::{DynamicImage, ImageFormat, RgbImage};
use tests::image_set::{self, CLASSES};
use tests::program::Coreg;
use tests::project::{Project, STAGES, TRAIN};
use tests::tables::{column, metadata, read, texts};

/// The list of classes, of which two have texts of their own.
const LIST: &str = "# kinds of pictures\nstripes\nbars: bars | upright bars\ndisc: a round thing\nchecks\n";

/// A project with a list of classes and no image yet.
fn with_list() -> Project {
    let project = Project::new();
    project.file("classes.txt", LIST);
    project
}

/// Puts pictures of the classes in turn where `name` says, without an ending.
fn put_pictures(project: &Project, seed: u64, count: usize, name: impl Fn(usize, &str) -> String) {
    for (i, row) in image_set::rows(seed, count).into_iter().enumerate() {
        project.put_image(&format!("{}.png", name(i, CLASSES[i % CLASSES.len()])), &row.bytes);
    }
}

/// `coreg run` on the folder `images`, named `mine`.
fn run(project: &Project) -> Coreg {
    project.run_images("images").args(["--name", "mine"])
}

/// As [`run`], with the list of classes.
fn run_with_list(project: &Project) -> Coreg {
    run(project).args(["--classes", project.path("classes.txt").to_str().unwrap()])
}

/// The image table.
fn table(project: &Project) -> PathBuf {
    project.path("artifacts/mine/download/images.parquet")
}

/// The file of the image with this id, as it is kept.
fn image(project: &Project, id: &str) -> Vec<u8> {
    let table = read(&table(project));
    let row = texts(&table, "id").iter().position(|known| known == id).unwrap();
    let images = column::<StructArray>(&table, "image");
    images.column_by_name("bytes").unwrap().as_binary::<i32>().value(row).to_vec()
}

/// Class names, and of every image its split, id and label.
fn images(project: &Project) -> (String, Vec<(String, String, Option<i32>)>) {
    let path = table(project);
    let table = read(&path);
    let named = texts(&table, "split").into_iter().zip(texts(&table, "id"));
    let rows = named.zip(column::<Int32Array>(&table, "label").iter());
    let rows = rows.map(|((split, id), label)| (split, id, label)).collect();
    (metadata(&path).unwrap()["classes"].to_string(), rows)
}

/// Asserts that the run fails before any stage begins, with one error that has these words.
fn is_refused(project: &Project, run: Coreg, words: &[&str]) {
    run.output().helpful_error(words);
    assert!(!project.path("artifacts/mine").exists());
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
    let project = with_list();
    for (i, row) in image_set::rows(3, 200).into_iter().enumerate() {
        let (bytes, ending) = in_some_mode(&row.bytes, i);
        project.put_image(&format!("été {i}.{ending}"), &bytes);
    }
    project.put_image("Thumbs.db", b"not an image");
    let first = run_with_list(&project).ok();
    assert_eq!(project.ran(), STAGES);
    for line in ["mine: 160 training and 40 test images, 4 classes", "mean confidence", "both networks agree"]
    {
        assert!(first.stdout.contains(line), "no `{line}` in:\n{}", first.stdout);
    }
    assert!(
        first.stderr.contains("1 file is no image") && first.stderr.contains(".db: 1"),
        "{}",
        first.stderr
    );
    assert!(images(&project).1.iter().all(|(_, _, label)| label.is_none()));
    assert!(project.path("artifacts/mine/evaluate/predictions.parquet").exists());

    run_with_list(&project).ok();
    assert_eq!(project.ran(), [] as [&str; 0], "nothing changed");
    project.put_image("desktop.ini", b"not an image either");
    project.put_image("Thumbs.db", b"another");
    run_with_list(&project).ok();
    assert_eq!(project.ran(), ["report"], "no image changed; the report tells what was passed over");

    project.file("classes.txt", &LIST.replace("a round thing", "a cat | a photo"));
    run_with_list(&project).ok();
    assert_eq!(project.ran()[0], "annotate", "CLIP is told something else of the same images");

    project.put_image("one more.png", &image_set::rows(4, 1)[0].bytes);
    let more = run_with_list(&project).ok();
    assert!(more.stderr.contains("200 of 201 images were seen before"), "{}", more.stderr);
    let all_but_clip: Vec<_> = STAGES.iter().copied().filter(|stage| *stage != "clip").collect();
    assert_eq!(project.ran(), all_but_clip);
    assert_eq!(images(&project).1.len(), 201);
    project.is_whole();

    // The same bytes as from nothing.
    let embeddings = || fs::read(project.path("artifacts/mine/embed/embeddings.parquet")).unwrap();
    let taken_over = embeddings();
    fs::remove_dir_all(project.path("artifacts")).unwrap();
    run_with_list(&project).args(["--only", "embed"]).ok();
    assert!(embeddings() == taken_over);
}

#[test]
fn folders_of_classes_give_classes_labels_and_a_split_by_chance() {
    let project = with_list();
    put_pictures(&project, 3, 60, |i, class| format!("{class}/{i}"));
    let run = || run(&project).args(["--only", "statistics"]);
    run().ok();
    let (classes, rows) = images(&project);
    assert_eq!(classes, r#"["bars","checks","disc","stripes"]"#);
    assert_eq!(rows.iter().filter(|(split, ..)| split == "test").count(), 12);
    let names = ["bars", "checks", "disc", "stripes"];
    assert!(rows.iter().all(|(_, id, label)| id.starts_with(names[label.unwrap() as usize])), "{rows:?}");
    // A limit, and the order of the classes from a list.
    let list = project.path("classes.txt");
    run()
        .args(["--classes", list.to_str().unwrap()])
        .set("download.limit_train=20 download.limit_test=5")
        .ok();
    let (classes, rows) = images(&project);
    assert_eq!((classes.as_str(), rows.len()), (r#"["stripes","bars","disc","checks"]"#, 25));
    assert!(rows.iter().all(|(_, id, label)| id.starts_with(CLASSES[label.unwrap() as usize])), "{rows:?}");
}

#[test]
fn train_and_test_folders_are_the_splits_and_labels_of_the_test_images_alone_do() {
    let project = with_list();
    put_pictures(&project, 3, 24, |i, _| format!("train/{i}"));
    put_pictures(&project, 4, 12, |i, class| format!("test/{class}/{i}"));
    let ran = run(&project).ok();
    let (_, rows) = images(&project);
    assert_eq!(rows.len(), 36);
    for (split, id, label) in rows {
        assert!(id.starts_with(&format!("{split}/")), "{split} {id}");
        assert_eq!(label.is_some(), split == "test");
    }
    assert!(ran.stdout.contains("test accuracy"), "{}", ran.stdout);
    // Labels for the training images too: the same command, and the same images.
    fs::remove_dir_all(project.path("images/train")).unwrap();
    put_pictures(&project, 3, 24, |i, class| format!("train/{class}/{i}"));
    run(&project).args(["--only", "statistics"]).ok();
    assert!(images(&project).1.iter().all(|(_, _, label)| label.is_some()));
}

#[test]
fn validation_images_test_where_there_are_no_others() {
    let project = with_list();
    put_pictures(&project, 3, 24, |i, class| format!("train/{class}/{i}"));
    put_pictures(&project, 4, 12, |i, class| format!("validation/{class}/{i}"));
    let run = || run(&project).args(["--only", "download"]);
    run().ok();
    assert_eq!(images(&project).1.iter().filter(|(split, ..)| split == "test").count(), 12);
    put_pictures(&project, 5, 8, |i, class| format!("test/{class}/{i}"));
    let note = run().ok().stderr;
    assert!(note.contains("12 images in `validation` are left out"), "{note}");
    assert_eq!(images(&project).1.iter().filter(|(split, ..)| split == "test").count(), 8);
}

#[test]
fn parquet_files_are_read_with_the_columns_and_classes_that_they_name() {
    let project = with_list();
    project.run_images("hub/datasets/some/shapes").args(["--name", "mine", "--only", "statistics"]).ok();
    let (classes, rows) = images(&project);
    assert_eq!(classes, r#"["stripes","bars","disc","checks"]"#);
    assert_eq!(rows.iter().filter(|(split, ..)| split == "train").count(), 64);
    assert_eq!(rows[5], ("train".to_owned(), "train-00000/000005".to_owned(), Some(1)));
    // One file alone, and one that coreg itself has written.
    for file in [&format!("hub/{TRAIN}"), "artifacts/mine/download/images.parquet"] {
        project.run_images(file).args(["--name", "mine", "--only", "download"]).ok();
        let (_, rows) = images(&project);
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
    let project = with_list();
    for (part, count) in [("train", 24u32), ("t10k", 12)] {
        let pixels = (0..count * 28 * 28).map(|at| (at % 251) as u8);
        project.put_image(&format!("{part}-images-idx3-ubyte"), &idx(&[count, 28, 28], pixels));
        project.put_image(
            &format!("{part}-labels-idx1-ubyte"),
            &idx(&[count], (0..count).map(|i| (i % 4) as u8)),
        );
    }
    let ran = run_with_list(&project).ok();
    assert!(ran.stdout.contains("mine: 24 training and 12 test images, 4 classes"), "{}", ran.stdout);
    assert!(ran.stdout.contains("test accuracy"), "{}", ran.stdout);
    assert_eq!(images(&project).1[35], ("test".to_owned(), "t10k/000011".to_owned(), Some(3)));
    let record = project.record();
    assert_eq!(record[0]["settings"]["input"]["channels"], 1);
    run(&project).output().helpful_error(&["number their classes", "CLASSES=classes.txt", "images"]);
}

#[test]
fn what_contradicts_itself_is_refused_with_both_sides() {
    let project = with_list();
    is_refused(&project, run(&project), &["cannot find the images", "images"]);
    project.put_image("readme.txt", b"");
    is_refused(&project, run_with_list(&project), &["there is no image", ".txt: 1"]);
    put_pictures(&project, 3, 8, |i, class| format!("{class}/{i}"));
    project.file("classes.txt", "stripes\nbars\ndisc\nsquares\n");
    is_refused(&project, run_with_list(&project), &["no class: `checks`", "without a folder: `squares`"]);
    project.file("classes.txt", "stripes\n");
    is_refused(&project, run_with_list(&project), &["no class", "`bars`", "`checks`", "`disc`"]);
    project.file("classes.txt", "stripes\nbars\nstripes\n");
    is_refused(&project, run_with_list(&project), &["classes.txt", "line 3", "line 1"]);
    fs::create_dir_all(project.path("images/desert")).unwrap();
    is_refused(&project, run(&project), &["folder of a class", "`desert`"]);
    fs::remove_dir(project.path("images/desert")).unwrap();
    put_pictures(&project, 3, 1, |_, _| "stray".to_owned());
    is_refused(&project, run(&project), &["`stray.png` is in no class's folder", "`bars`"]);
    fs::remove_file(project.path("images/stray.png")).unwrap();
    run(&project).args(["--only", "download"]).ok();
}

#[test]
fn unreadable_images_are_counted_named_and_left_out_on_request() {
    let project = with_list();
    put_pictures(&project, 3, 40, |i, _| format!("{i:02}"));
    project.put_image("07.png", b"");
    project.put_image("11.png", b"\x89PNG\r\n\x1a\n and no more");
    let run = || run_with_list(&project).args(["--only", "download"]);
    let words = ["2 of 40 images cannot be read", "`07.png`, `11.png`", "download.skip_unreadable=true"];
    run().output().helpful_error(&words);
    let note = run().set("download.skip_unreadable=true").ok().stderr;
    assert!(note.contains("2 unreadable images are left out: `07.png`, `11.png`"), "{note}");
    assert_eq!(images(&project).1.len(), 38);
}

#[test]
fn a_data_set_and_images_of_ones_own_are_not_both_meant() {
    let project = with_list();
    put_pictures(&project, 3, 8, |i, class| format!("{class}/{i}"));
    let both = run(&project).args(["--dataset", "demo"]).output();
    assert_eq!(both.code, Some(2), "{}", both.stderr);
    let alone = project.coreg().args(["run", "--classes", "classes.txt"]).output();
    assert_eq!(alone.code, Some(2), "{}", alone.stderr);
    assert!(alone.stderr.contains("--images"), "{}", alone.stderr);
}

#[test]
fn a_text_that_is_too_long_for_clip_is_cut_and_said() {
    let project = with_list();
    put_pictures(&project, 3, 8, |i, _| format!("{i}"));
    project.file("classes.txt", &format!("cat\ndog: a dog | {}\n", "a very big dog ".repeat(40)));
    let note = run_with_list(&project).args(["--only", "label"]).ok().stderr;
    assert!(note.contains("CLIP cannot take 3 prompts whole") && note.contains("a very big dog"), "{note}");
}

#[test]
fn a_photograph_is_made_smaller_before_it_is_kept() {
    let project = with_list();
    put_pictures(&project, 3, 12, |i, class| format!("{class}/{i}"));
    let photograph =
        DynamicImage::from(RgbImage::from_fn(900, 600, |x, y| image::Rgb([x as u8, y as u8, 7])));
    let mut bytes = Cursor::new(Vec::new());
    photograph.write_to(&mut bytes, ImageFormat::Png).unwrap();
    project.put_image("disc/photograph.png", &bytes.into_inner());
    let size = |set: &str| {
        run(&project).args(["--only", "download"]).set(set).ok();
        let image = image::load_from_memory(&image(&project, "disc/photograph.png")).unwrap();
        (image.width(), image.height())
    };
    assert_eq!(size("download.shrink=512"), (768, 512));
    assert_eq!(size("download.shrink=0"), (900, 600));
}
