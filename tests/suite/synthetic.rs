//! Labels made from the truth (method §12): without a CLIP, the same every time, refused where there is no truth.
#![allow(clippy::unwrap_used, clippy::panic)]

use arrow::array::{Int32Array, UInt16Array};
use tests::hub::Asked;
use tests::image_set::CLASSES;
use tests::program::Coreg;
use tests::project::Project;
use tests::tables::{column, lists};

fn run(project: &Project, labels: &str) -> Coreg {
    project.run().args(["--labels", labels])
}

#[test]
fn no_clip_is_asked_and_the_candidates_are_as_noisy_as_was_said() {
    let project = Project::new();
    let run = run(&project, "synthetic q=0 eta=1").ok();
    assert_eq!(
        project.ran(),
        ["download", "label", "statistics", "warm-up", "co-reg", "evaluate", "findings", "report"]
    );
    let asked: Vec<Asked> = project.hub.take_log();
    assert!(!asked.iter().any(|request| request.path.contains("some/clip")), "{asked:?}");
    let labels = project.table("label/labels.parquet");
    let truth = column::<Int32Array>(&labels, "label").values();
    for (truth, candidates) in truth.iter().zip(lists::<UInt16Array>(&labels, "candidates")) {
        assert_eq!(candidates.len(), 1);
        let candidate = candidates.value(0);
        assert!(i32::from(candidate) != *truth && usize::from(candidate) < CLASSES.len());
    }
    assert!(run.stdout.contains("Synthetic labels (q = 0, eta = 1)"), "{}", run.stdout);
    assert!(run.stdout.contains("100.0 %") && !run.stdout.contains("CLIP, "), "{}", run.stdout);
}

#[test]
fn another_q_is_another_result_and_the_same_one_is_cached() {
    let project = Project::new();
    run(&project, "synthetic q=0.5 eta=0.2").ok();
    run(&project, "synthetic q=0.5 eta=0.2").ok();
    assert_eq!(project.ran(), Vec::<String>::new());
    run(&project, "synthetic q=0.4 eta=0.2").ok();
    assert_eq!(project.ran(), ["label", "statistics", "warm-up", "co-reg", "evaluate", "findings", "report"]);
}

#[test]
fn a_grid_of_noises_is_one_command() {
    let project = Project::new();
    let grid = "[grid]\nlabels = ['synthetic']\n'synthetic.q' = [0.1, 0.5]\n'synthetic.eta' = [0, 0.3]\n";
    let file = project.file("noise.toml", grid);
    let run = project.on_shapes(project.coreg(), &["ablations", "--variants", &file, "--seeds", "2"]).ok();
    for title in ["synthetic.eta = 0, synthetic.q = 0.1", "synthetic.eta = 0.3, synthetic.q = 0.5"] {
        let row = run.stdout.lines().find(|line| line.contains(title)).unwrap();
        assert!(row.contains(" ± ") && row.ends_with("| 2 |"), "{row}");
    }
    assert!(project.view("noise.md").is_file() && project.view("noise.parquet").is_file());
    // Labels do not depend on the seed of training: four sets of them for eight branches.
    let made = project.ran().iter().filter(|node| node.starts_with("label")).count();
    assert_eq!(made, 4);
}

#[test]
fn without_the_truth_there_are_none() {
    let project = Project::new();
    project.describe("label_column = \"label\"\n", "");
    let error = run(&project, "synthetic q=0.1 eta=0.1").output();
    error.helpful_error(&["label: ", "has no true label", "LABELS=clip"]);
    let error = run(&project, "synthetic q=2 eta=0.1").output();
    error.helpful_error(&["synthetic.q = 2", "between 0 and 1"]);
}
