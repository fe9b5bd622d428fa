//! The data set `demo` and its miniature CLIP: both part of the program, no network, and a CLIP that errs as one does.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tests::child::{Coreg, Output};

/// The program where nobody answers on the network.
fn coreg(folder: &Path) -> Coreg {
    Coreg::new(folder.join("log"))
        .env("HF_HUB_OFFLINE", "1")
        .env("HF_ENDPOINT", "http://127.0.0.1:9")
        .env("HOME", folder)
        .args([Path::new("--artifacts"), &folder.join("artifacts")])
}

/// `coreg run` up to `stage`. The demo is the data set that nobody has to name.
fn run(folder: &Path, stage: &str, set: &str) -> Output {
    coreg(folder).args(["run", "--device", "cpu", "--only", stage]).set(set).ok()
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

/// Few images, few epochs, every term of the loss.
const TINY: &str = "download.limit_train=200 download.limit_test=100 warm-up.epochs=1 co-reg.epochs=2 \
                    co-reg.regularise_after=1 distill.epochs=1 optimizer.recalibrate=0";

#[test]
fn a_run_ends_with_what_a_person_wants_to_know_and_the_next_one_is_instant() {
    let folder = tempfile::tempdir().unwrap();
    let command = |words: &[&str]| coreg(folder.path()).args(words).args(["--device", "cpu"]).set(TINY).ok();
    let first = command(&["run"]);
    let lines = [
        "Demo: 200 training and 100 test images, 10 classes",
        "candidates an image",
        "CLIP, the average of its templates",
        "a plain student of that average, 1 epochs",
        "Co-Reg, both networks",
        "points above CLIP's average",
        "images a second",
        "0.88 M",
        "not the paper's numbers",
        "make pipeline DATASET=eurosat",
        "duckdb -c \"FROM '",
    ];
    for line in lines {
        assert!(first.stdout.contains(line), "no `{line}` in:\n{}", first.stdout);
    }
    let plan = command(&["plan"]).stdout;
    assert!(!plan.contains("runs"), "{plan}");
    let second = command(&["run"]);
    assert_eq!(second.stdout, first.stdout);
    assert!(second.stderr.contains("10 stages cached"), "{}", second.stderr);
}

#[test]
fn the_ablations_run_on_the_demo() {
    let folder = tempfile::tempdir().unwrap();
    let table = coreg(folder.path()).args(["ablations", "--device", "cpu"]).set(TINY).ok().stdout;
    assert!(table.contains(
        "| variant | annotators, average | plain student | after warm-up | after Co-Reg | seeds |"
    ));
    for variant in ["Co-Reg", "w/o Co-PL", "w/ SupCont", "w/o proto", "w/o unlabeled"] {
        assert!(table.contains(&format!("| {variant} | ")), "{table}");
    }
    let rows: usize = read(folder.path(), "ablations.parquet").iter().map(RecordBatch::num_rows).sum();
    assert_eq!(rows, 5 * 4);
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
