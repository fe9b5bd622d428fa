//! `coreg predict`: what a trained student says of images.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use arrow::array::{Float32Array, ListArray, UInt16Array};
use tests::project::Project;
use tests::tables::{column, read, texts};

/// A trained project, and a folder with the test images as files, named by their places.
fn trained() -> (Project, Vec<u16>) {
    let project = Project::after_a_run();
    let images = project.table("download/images.parquet");
    let splits = texts(&images, "split");
    let bytes = images.column_by_name("image").unwrap();
    let bytes = bytes.as_any().downcast_ref::<arrow::array::StructArray>().unwrap().column(0).clone();
    let bytes = bytes.as_any().downcast_ref::<arrow::array::BinaryArray>().unwrap().clone();
    fs::create_dir_all(project.path("new images")).unwrap();
    for (place, row) in (0..splits.len()).filter(|&row| splits[row] == "test").enumerate() {
        fs::write(project.path(&format!("new images/{place:03}.png")), bytes.value(row)).unwrap();
    }
    let predictions = project.table("evaluate/predictions.parquet");
    (project, column::<UInt16Array>(&predictions, "prediction").values().to_vec())
}

fn predict(project: &Project, args: &[&str]) -> tests::program::Coreg {
    project.coreg().args(["predict", "--device", "cpu"]).args(args.to_vec())
}

#[test]
fn predict_says_what_evaluate_says() {
    let (project, expected) = trained();
    let classes = {
        let student = fs::read(project.view("co-reg").join("student.json")).unwrap();
        let student: serde_json::Value = serde_json::from_slice(&student).unwrap();
        let names = student["classes"].as_array().unwrap().clone();
        names.iter().map(|name| name.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (images, out) = (project.path("new images"), project.path("predictions.parquet"));
    let (images, out) = (images.to_str().unwrap(), out.to_str().unwrap());
    predict(&project, &["shapes", images, "--output", out]).ok();
    let table = read(&project.path("predictions.parquet"));
    let said = texts(&table, "prediction");
    let expected: Vec<&str> = expected.iter().map(|&class| classes[usize::from(class)].as_str()).collect();
    assert_eq!(said, expected);
    assert_eq!(texts(&table, "id")[5], "005.png");
    // The same numbers, too: both go the same way.
    let evaluated = project.table("evaluate/predictions.parquet");
    let probs = |table| {
        let lists: ListArray = column::<ListArray>(table, "probs").clone();
        lists.values().as_any().downcast_ref::<Float32Array>().unwrap().values().to_vec()
    };
    let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5;
    assert!(probs(&table).iter().zip(&probs(&evaluated)).all(close));

    for (ending, first) in [("csv", "id,prediction,confidence,p("), ("jsonl", "{\"id\":\"000.png\"")] {
        let out = project.path(&format!("predictions.{ending}"));
        predict(&project, &["shapes/co-reg", images, "--output", out.to_str().unwrap()]).ok();
        let text = fs::read_to_string(out).unwrap();
        assert!(text.starts_with(first), "{text}");
    }
    let one = project.path("new images/007.png");
    let told = predict(&project, &["shapes", one.to_str().unwrap()]).ok().stdout;
    assert!(told.starts_with(one.to_str().unwrap()), "an image that is named is called as it was: {told}");
    assert!(told.contains(expected[7]) && told.contains(" %"), "{told}");
}

#[test]
fn rows_of_a_table_are_called_by_their_ids_and_several_places_are_told_apart() {
    let (project, _) = trained();
    let images = project.view("download/images.parquet");
    let (images, folder) = (images.to_str().unwrap(), project.path("new images"));
    let out = project.path("of table.parquet");
    let said = predict(&project, &["shapes", images, "--output", out.to_str().unwrap()]).ok();
    assert_eq!(texts(&read(&out), "id"), texts(&read(std::path::Path::new(images)), "id"));
    assert!(!said.stderr.contains("drawn for testing") && !said.stderr.contains("SET="), "{}", said.stderr);

    let file = folder.join("003.png");
    let (folder, file) = (folder.to_str().unwrap(), file.to_str().unwrap());
    let said = predict(&project, &["shapes", folder, file, images, "--format", "csv"]).ok();
    let ids: Vec<&str> = said.stdout.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(ids.len(), 32 + 96);
    assert!(ids[3] == format!("{folder}/003.png") && !ids[4..].contains(&file), "{}", said.stdout);
    assert!(ids[32..].iter().all(|id| id.starts_with("train-00000/") || id.starts_with("test-00000/")));
    assert!(said.stderr.contains("1 image is named twice"), "{}", said.stderr);
    assert_eq!(said.stderr.matches("predict      runs: ").count(), 1, "{}", said.stderr);
}

#[test]
fn predictions_go_to_standard_output_where_that_is_asked_for() {
    let (project, _) = trained();
    let images = project.path("new images");
    let images = images.to_str().unwrap();
    let csv = predict(&project, &["shapes", images, "--format", "csv"]).ok().stdout;
    assert!(csv.starts_with("id,prediction,confidence,p(") && csv.lines().count() == 33, "{csv}");
    assert_eq!(predict(&project, &["shapes", images, "--format", "csv", "--output", "-"]).ok().stdout, csv);
    let json = predict(&project, &["shapes", images, "--output", "/dev/stdout", "--format", "jsonl"]).ok();
    assert!(json.stdout.lines().all(|line| line.starts_with('{')), "{}", json.stdout);
    let refused = |args: &[&str], words: &[&str]| predict(&project, args).output().helpful_error(words);
    refused(&["shapes", images, "--output", "-"], &["--format csv"]);
    refused(&["shapes", images, "--format", "parquet"], &["Parquet", "--output"]);
}

#[test]
fn where_predictions_cannot_be_written_is_said_before_anything_is_predicted() {
    let (project, _) = trained();
    let before = project.artifact_bytes();
    let images = project.path("new images");
    let images = images.to_str().unwrap();
    fs::copy(project.view("download/images.parquet"), project.path("t.parquet")).unwrap();
    fs::write(project.path("mine.csv"), "my own\n").unwrap();
    std::os::unix::fs::symlink("nowhere.csv", project.path("link.csv")).unwrap();
    let kept = project.view("label/labels.parquet");
    let table = project.path("t.parquet");
    let table = table.to_str().unwrap();
    let refused = |args: &[&str], words: &[&str]| {
        let output = predict(&project, args).output();
        output.helpful_error(words);
        assert!(!output.stderr.contains("predict      runs"), "{}", output.stderr);
    };
    let to = |name: &str| project.path(name).to_str().unwrap().to_owned();
    refused(&["shapes", images, "--output", kept.to_str().unwrap(), "--force"], &["within the artifacts"]);
    refused(&["shapes", images, "--output", &to("artifacts/new.csv")], &["within the artifacts"]);
    // Wherever the artifacts are said to be.
    let student = project.view("co-reg");
    let elsewhere = project.coreg_into("elsewhere").args(["predict", student.to_str().unwrap(), images]);
    let elsewhere = elsewhere.args(["--output", kept.to_str().unwrap(), "--force"]).output();
    elsewhere.helpful_error(&["within the artifacts"]);
    refused(&["shapes", table, "--output", table], &["there already"]);
    refused(&["shapes", table, "--output", table, "--force"], &["one of the inputs"]);
    refused(&["shapes", images, "--output", &to("mine.csv")], &["there already", "--force"]);
    refused(&["shapes", images, "--output", &to("link.csv"), "--force"], &["leads nowhere"]);
    refused(&["shapes", images, "--output", &to("gone/p.csv")], &["gone", "is not there"]);
    assert_eq!(project.artifact_bytes(), before);
    assert_eq!(fs::read_to_string(project.path("mine.csv")).unwrap(), "my own\n");

    predict(&project, &["shapes", images, "--output", &to("mine.csv"), "--force"]).umask("022").ok();
    assert!(fs::read_to_string(project.path("mine.csv")).unwrap().starts_with("id,prediction"));
    let mode = fs::metadata(project.path("mine.csv")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
}

#[test]
fn images_that_cannot_be_read_are_passed_over_however_they_fall_into_batches() {
    let (project, _) = trained();
    let bad = b"\x89PNG\r\n\x1a\n, and then nothing";
    fs::create_dir_all(project.path("bad")).unwrap();
    for number in 0..65 {
        fs::write(project.path(&format!("bad/{number:03}.png")), bad).unwrap();
    }
    let at = |name: &str| project.path(name).to_str().unwrap().to_owned();
    let none = |args: &[&str], words: &[&str]| predict(&project, args).output().helpful_error(words);
    none(&["shapes", &at("bad/000.png"), "--skip-unreadable"], &["the image cannot be read"]);
    none(&["shapes", &at("bad"), "--skip-unreadable"], &["none of 65 images can be read"]);
    none(&["shapes", &at("bad")], &["65 of 65 images cannot be read", "000.png", "--skip-unreadable"]);
    let both = predict(&project, &["shapes", &at("bad"), &at("new images"), "--skip-unreadable"]).ok();
    assert_eq!(both.stdout.lines().count(), 32);
    assert!(both.stderr.contains("65 unreadable images are left out"), "{}", both.stderr);
}

#[test]
fn what_cannot_be_predicted_is_named() {
    let (project, _) = trained();
    let images = project.path("new images");
    let images = images.to_str().unwrap();
    let refused = |args: &[&str], words: &[&str]| predict(&project, args).output().helpful_error(words);
    refused(&["circles", images], &["there is no student", "circles"]);
    refused(&["shapes", "nowhere"], &["nowhere"]);
    refused(&["shapes", images, "--network", "3"], &["no network 3", "it has 2"]);
    refused(&["shapes", images, "--output", "a.xls"], &["a.xls", ".csv"]);
    fs::write(project.path("new images/100.png"), b"\x89PNG\r\n\x1a\n, and then nothing").unwrap();
    refused(&["shapes", images], &["100.png"]);
    let left = predict(&project, &["shapes", images, "--skip-unreadable"]).ok();
    assert!(left.stderr.contains("100.png"), "{}", left.stderr);
    assert_eq!(left.stdout.lines().count(), 32);
    let alone = predict(&project, &["shapes", images, "--skip-unreadable", "--network", "1"]).ok();
    assert_eq!(alone.stdout.lines().count(), 32);
}
