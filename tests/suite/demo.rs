//! The data set `demo` and its miniature CLIP: both part of the program, no network, and a CLIP that errs as one does.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tests::child::{Coreg, Output};

/// `coreg run --dataset demo` up to `stage`, where nobody answers on the network.
fn run(folder: &Path, stage: &str, set: &str) -> Output {
    Coreg::new(folder.join(format!("log-{stage}")))
        .env("HF_HUB_OFFLINE", "1")
        .env("HF_ENDPOINT", "http://127.0.0.1:9")
        .env("HOME", folder)
        .args([Path::new("--artifacts"), &folder.join("artifacts")])
        .args(["run", "--dataset", "demo", "--device", "cpu", "--only", stage])
        .set(set)
        .ok()
}

fn read(folder: &Path, file: &str) -> Vec<RecordBatch> {
    let file = File::open(folder.join("artifacts/demo").join(file)).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    reader.map(Result::unwrap).collect()
}

#[test]
fn the_demo_is_drawn_whole_balanced_and_with_its_truth() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), "download", "download.limit_train=0");
    let mut counts: BTreeMap<(String, i32), usize> = BTreeMap::new();
    let mut ids = Vec::new();
    for batch in read(folder.path(), "download/images.parquet") {
        let text = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>().clone();
        let labels = batch.column_by_name("label").unwrap().as_primitive::<Int32Type>();
        for (split, label) in text("split").iter().zip(labels) {
            *counts.entry((split.unwrap().to_owned(), label.unwrap())).or_default() += 1;
        }
        ids.extend(text("id").iter().map(|id| id.unwrap().to_owned()));
    }
    assert_eq!(counts.len(), 20);
    for ((split, class), count) in counts {
        assert_eq!(count, if split == "train" { 200 } else { 100 }, "{split} {class}");
    }
    assert_eq!([&ids[0], &ids[2999]], ["train/000000", "test/000999"]);
}

#[test]
fn the_built_in_clip_errs_on_the_demo_as_a_clip_does() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), "statistics", "download.limit_train=800 download.limit_test=100");
    let mut figures = BTreeMap::new();
    for batch in read(folder.path(), "statistics/summary.parquet") {
        let text = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>().clone();
        let values = batch.column_by_name("value").unwrap().as_primitive::<Float64Type>();
        for ((metric, split), value) in text("metric").iter().zip(&text("split")).zip(values.values()) {
            if split == Some("train") {
                figures.insert(metric.unwrap().to_owned(), *value);
            }
        }
    }
    assert_eq!(figures["images"], 800.0);
    let bounds = [
        ("avg_candidates", 1.5..3.0),
        ("eta", 0.15..0.35),
        ("zero_shot", 0.45..0.70),
        ("zero_shot_mean", 0.45..0.70),
    ];
    for (metric, bounds) in bounds {
        assert!(bounds.contains(&figures[metric]), "{metric} is {}", figures[metric]);
    }
    let mut accuracies = Vec::new();
    for batch in read(folder.path(), "statistics/templates.parquet") {
        let splits = batch.column_by_name("split").unwrap().as_string::<i32>();
        let values = batch.column_by_name("accuracy").unwrap().as_primitive::<Float64Type>();
        let train = splits.iter().zip(values).filter(|(split, _)| *split == Some("train"));
        accuracies.extend(train.map(|(_, value)| value.unwrap()));
    }
    assert_eq!(accuracies.len(), 27);
    let spread =
        accuracies.iter().copied().fold(0.0, f64::max) - accuracies.iter().copied().fold(1.0, f64::min);
    assert!(spread > 0.03, "the templates agree: {spread}");
}
