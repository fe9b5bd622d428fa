//! `coreg export`: which student becomes a folder that stands alone, and where that may be. What is in it
//! `tests/exports/check_onnx.py` looks at.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;

use tests::program::{Coreg, Output};
use tests::project::Project;

/// Epochs so few that a training takes a second.
const SHORT: &str = "rc.epochs=2 distill.epochs=1";

fn export(project: &Project, student: &str, output: &str) -> Coreg {
    project.coreg().args(["export", student]).args([Path::new("--output"), &project.path(output)])
}

/// Predicts the classes of a data set's own images.
fn predict(project: &Project, student: &str) -> Coreg {
    let images = project.view("download/images.parquet");
    project.coreg().args(["predict", student, "--device", "cpu"]).args([images])
}

/// Asserts that a command says which student it takes: `co-reg: co-reg, 2 networks`.
fn says(output: &Output, command: &str, student: &str) {
    let line = output.stderr.lines().find(|line| line.starts_with(&format!("{command:<12} student ")));
    assert!(line.is_some_and(|line| line.ends_with(&format!("shapes/{student}"))), "{}", output.stderr);
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_student_is_the_one_that_was_evaluated_last_and_is_said() {
    let project = Project::after_a_run();
    says(&predict(&project, "shapes").ok(), "predict", "co-reg: co-reg, 2 networks");
    says(&export(&project, "shapes", "one").ok(), "export", "co-reg: co-reg, 2 networks");

    project.run().args(["--method", "rc"]).set(SHORT).ok();
    says(&predict(&project, "shapes").ok(), "predict", "rc: rc, 1 network");
    says(&export(&project, "shapes", "two").ok(), "export", "rc: rc, 1 network");
    let readme = fs::read_to_string(project.path("two/README.md")).unwrap();
    assert!(readme.contains("method `rc`") && readme.contains("Its network is `network`"), "{readme}");
    // Whatever was evaluated, what is named is taken.
    let named = export(&project, "shapes/co-reg", "three").args(["--network", "2"]).ok();
    says(&named, "export", "co-reg: co-reg, network 2 of 2");

    project.run().args(["--method", "warm-up"]).ok();
    says(&predict(&project, "shapes").ok(), "predict", "warm-up: warm-up, 2 networks");
}

#[test]
fn a_student_that_is_gone_is_not_replaced_by_a_baseline() {
    let project = Project::new();
    project.run().set("baselines=[\"distill\"]").set(SHORT).ok();
    let weights = fs::canonicalize(project.view("co-reg/student.safetensors")).unwrap();
    let mut bytes = fs::read(&weights).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&weights).unwrap();
    fs::write(&weights, bytes).unwrap();
    project.coreg().args(["verify"]).output().helpful_error(&["set aside"]);
    let words = ["is gone", "shapes/co-reg", "run the pipeline again", "shapes/distill"];
    predict(&project, "shapes").output().helpful_error(&words);
    export(&project, "shapes", "exported").output().helpful_error(&words);
    let labels = ["export", "labels", "shapes", "--format", "csv", "--output"];
    project.coreg().args(labels).args([project.path("l.csv")]).output().helpful_error(&words);
    says(&export(&project, "shapes/distill", "exported").ok(), "export", "distill: distill, 1 network");
}

#[test]
fn an_export_goes_neither_over_kept_results_nor_over_another_students_files() {
    let project = Project::after_a_run();
    let before = project.artifact_bytes();
    for place in ["artifacts/shapes/co-reg", "artifacts/shapes/new", "artifacts/store"] {
        let error = export(&project, "shapes", place).args(["--force"]).output();
        error.helpful_error(&["within the artifacts", "--output"]);
    }
    assert_eq!(project.artifact_bytes(), before);

    export(&project, "shapes", "exported").ok();
    let all = ["README.md", "config.json", "model.py", "model.safetensors", "student.onnx"];
    assert_eq!(names(&project.path("exported")), all);
    let weights = fs::read(project.path("exported/model.safetensors")).unwrap();
    let onnx = || export(&project, "shapes/warm-up", "exported").args(["--format", "onnx"]);
    onnx().output().helpful_error(&["does not replace", "model.safetensors", "config.json", "--force"]);
    let forced = onnx().args(["--force"]).ok();
    assert!(
        forced.stderr.contains("model.py") && forced.stderr.contains("stay as they are"),
        "{}",
        forced.stderr
    );
    assert_eq!(names(&project.path("exported")), all);
    assert_eq!(fs::read(project.path("exported/model.safetensors")).unwrap(), weights);
}
