//! The data set `demo` and its miniature CLIP: both part of the program, no network, and a CLIP that errs as one does.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow::array::{Float64Array, Int32Array};
use tests::program::{Coreg, Output};
use tests::project::Project;
use tests::tables::{column, figures, read, texts};

/// The program where nobody answers on the network.
fn coreg(project: &Project) -> Coreg {
    project.coreg().env("HF_HUB_OFFLINE", "1").env("HF_ENDPOINT", "http://127.0.0.1:9")
}

/// `coreg run` up to `stage`. The demo is the data set that nobody has to name.
fn run(project: &Project, stage: &str, set: &str) -> Output {
    coreg(project).args(["run", "--device", "cpu", "--only", stage]).set(set).ok()
}

/// A file of the demo's view.
fn view(project: &Project, file: &str) -> PathBuf {
    project.path("artifacts/demo").join(file)
}

#[test]
fn the_demo_is_drawn_whole_balanced_and_with_its_truth() {
    let project = Project::new();
    run(&project, "download", "download.limit_train=0");
    let mut counts: BTreeMap<(String, i32), usize> = BTreeMap::new();
    let images = read(&view(&project, "download/images.parquet"));
    let labels = column::<Int32Array>(&images, "label").values();
    for (split, label) in texts(&images, "split").into_iter().zip(labels) {
        *counts.entry((split, *label)).or_default() += 1;
    }
    assert_eq!(counts.len(), 20);
    for ((split, class), count) in counts {
        assert_eq!(count, if split == "train" { 200 } else { 100 }, "{split} {class}");
    }
    let ids = texts(&images, "id");
    assert_eq!([&ids[0], &ids[2999]], ["train/000000", "test/000999"]);
}

/// Few images, few epochs, every term of the loss.
const TINY: &str = "download.limit_train=200 download.limit_test=100 warm-up.epochs=1 co-reg.epochs=2 \
                    co-reg.regularise_after=1 distill.epochs=1 optimizer.recalibrate=0 optimizer.budget=0";

#[test]
fn a_run_ends_with_what_a_person_wants_to_know_and_the_next_one_is_instant() {
    let project = Project::new();
    let command = |words: &[&str]| coreg(&project).args(words).args(["--device", "cpu"]).set(TINY).ok();
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
    assert!(second.stderr.contains("12 stages cached"), "{}", second.stderr);
}

#[test]
fn the_ablations_run_on_the_demo() {
    let project = Project::new();
    let table = coreg(&project).args(["ablations", "--device", "cpu"]).set(TINY).ok().stdout;
    assert!(table.contains(
        "| variant | annotators, average | plain student | after warm-up | after Co-Reg | seeds |"
    ));
    for variant in ["Co-Reg", "w/o Co-PL", "w/ SupCont", "w/o proto", "w/o unlabeled"] {
        assert!(table.contains(&format!("| {variant} | ")), "{table}");
    }
    assert_eq!(
        read(&view(&project, "ablations.parquet")).num_rows(),
        5 * (4 + 1 + 6),
        "four accuracies, macro recall, six criteria"
    );
}

#[test]
fn the_built_in_clip_errs_on_the_demo_as_a_clip_does() {
    let project = Project::new();
    run(&project, "statistics", "download.limit_train=800 download.limit_test=100");
    let figures = figures(&view(&project, "statistics/summary.parquet"), Some("train"));
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
    let templates = read(&view(&project, "statistics/templates.parquet"));
    let train = texts(&templates, "split").into_iter().zip(column::<Float64Array>(&templates, "accuracy"));
    let accuracies: Vec<f64> =
        train.filter(|(split, _)| split == "train").map(|(_, accuracy)| accuracy.unwrap()).collect();
    assert_eq!(accuracies.len(), 27);
    let spread =
        accuracies.iter().copied().fold(0.0, f64::max) - accuracies.iter().copied().fold(1.0, f64::min);
    assert!(spread > 0.03, "the templates agree: {spread}");
}
