//! `coreg predict`: what a trained student says of images.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;

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
    assert!(told.starts_with("007.png") && told.contains(expected[7]) && told.contains(" %"), "{told}");
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
