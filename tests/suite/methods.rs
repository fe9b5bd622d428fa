//! Every method of the registry, as a user chooses it: METHOD=NAME.
#![allow(clippy::unwrap_used, clippy::panic)]

use arrow::array::{Array, Float64Array, StringArray, UInt16Array};
use tests::project::Project;
use tests::tables::{column, lists, texts};

/// Methods of one network, and epochs so few that a run takes a second.
const ONE_NETWORK: [&str; 3] = ["rc", "cc", "distill"];
const SHORT: &str = "rc.epochs=3 cc.epochs=3 distill.epochs=3";

#[test]
fn each_method_goes_from_the_same_labels_to_an_evaluated_student() {
    let project = Project::after_a_run();
    for method in ONE_NETWORK {
        let run = project.run().args(["--method", method]).set(SHORT).ok();
        assert_eq!(
            project.ran(),
            [method, "evaluate", "findings", "report"],
            "up to the labels nothing changes"
        );
        let history = project.table(&format!("{method}/history.parquet"));
        assert_eq!(column::<Float64Array>(&history, "accuracy_test").len(), 3, "{method}");
        let last = column::<Float64Array>(&history, "accuracy_test").value(2);
        let metrics = project.table("evaluate/metrics.parquet");
        assert_eq!(column::<StringArray>(&metrics, "metric").value(0), "accuracy");
        let accuracy = column::<Float64Array>(&metrics, "value").value(0);
        assert_eq!(accuracy, last, "{method}: the student is the network of the last epoch");
        let names = texts(&metrics, "metric");
        assert!(!names.iter().any(|name| name.contains("network") || name == "agreement"), "{names:?}");
        assert!(run.stdout.contains("points above CLIP's average"), "{}", run.stdout);
    }
}

#[test]
fn rc_says_what_it_takes_its_training_images_for() {
    let project = Project::new();
    project.run().args(["--method", "rc"]).set(SHORT).ok();
    let labels = project.table("rc/pseudo_labels.parquet");
    let schema = labels.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["id", "pseudo_label", "confidence"]);
    // Each lies among its image's candidates, for which alone there is confidence.
    let candidates = lists::<UInt16Array>(&project.table("label/labels.parquet"), "candidates");
    let given = column::<UInt16Array>(&labels, "pseudo_label");
    for (row, (candidates, given)) in candidates.iter().zip(given.values()).enumerate() {
        assert!(candidates.values().contains(given), "row {row}");
    }
    let history = project.table("rc/history.parquet");
    let right = column::<Float64Array>(&history, "pseudo_label_accuracy");
    assert!(right.null_count() == 0 && right.values().iter().all(|share| (0.0..=1.0).contains(share)));
}

#[test]
fn a_constant_of_one_method_runs_that_method_alone() {
    let project = Project::after_a_run();
    project.run().args(["--method", "rc"]).set(SHORT).ok();
    project.run().args(["--method", "rc"]).set(SHORT).set("cc.epochs=4 co-reg.epochs=2").ok();
    assert_eq!(project.ran(), [] as [&str; 0]);
    project.run().args(["--method", "rc"]).set(SHORT).set("rc.post_step=true").ok();
    assert_eq!(project.ran(), ["rc", "evaluate", "findings", "report"]);
}

#[test]
fn warm_up_is_a_method_and_the_first_half_of_co_reg() {
    let project = Project::after_a_run();
    project.run().args(["--method", "warm-up"]).ok();
    assert_eq!(project.ran(), ["evaluate", "findings", "report"], "its training is Co-Reg's own warm-up");
}

#[test]
fn a_method_that_is_stopped_goes_on_to_the_same_bytes() {
    let settings = "rc.epochs=12 cc.epochs=12";
    for method in ["rc", "cc"] {
        let project = Project::new();
        let mut running = project.run().args(["--method", method]).set(settings).start();
        running.until(&format!("{method:<12} epoch 3"));
        running.signal("KILL");
        running.end();
        let next = project.run().args(["--method", method]).set(settings).ok();
        let first =
            next.stderr.lines().find(|line| line.starts_with(&format!("{method:<12} epoch "))).unwrap();
        assert!(!first.contains("epoch 1,"), "{first}");
        project.run_into("undisturbed").args(["--method", method]).set(settings).ok();
        let [disturbed, undisturbed] = [project.artifact_bytes(), project.artifact_bytes_in("undisturbed")];
        assert!(disturbed.keys().any(|name| name.contains("student.safetensors")));
        assert!(disturbed == undisturbed, "{method}: the bytes differ");
    }
}

#[test]
fn an_unknown_method_is_told_the_nearest() {
    let project = Project::new();
    let run = project.run().args(["--method", "coreg"]).output();
    run.helpful_error(&["coreg", "co-reg", "rc", "cc", "distill"]);
    let run = project.run().set("baselines=['distil']").output();
    run.helpful_error(&["distil", "distill"]);
    let run = project.run().args(["--method", "rc"]).set("rc.batch=1").output();
    run.helpful_error(&["rc.batch"]);
}

#[test]
fn a_method_that_learns_votes_is_refused_where_there_are_none_and_a_baseline_left_out() {
    let project = Project::new();
    let synthetic = |method: &str| {
        project.run().args(["--method", method, "--labels", "synthetic q=0.2 eta=0.1"]).set(SHORT)
    };
    synthetic("distill").output().helpful_error(&["distill", "synthetic", "METHOD"]);
    assert!(!project.path("artifacts/runs").exists(), "nothing began to run");
    let run = synthetic("cc").set("baselines=['distill']").ok();
    assert!(run.stdout.contains("the baseline distill is left out"), "{}", run.stdout);
}

#[test]
fn variants_may_differ_in_their_method() {
    let project = Project::new();
    let file = project.file("methods.toml", "[grid]\nmethod = ['warm-up', 'rc', 'cc']\n");
    let command = project.on_shapes(project.coreg(), &["ablations", "--variants", &file]);
    let table = command.set(SHORT).ok().stdout;
    for method in ["warm-up", "rc", "cc"] {
        assert!(table.contains(&format!("| method = {method} | ")), "{table}");
    }
    assert!(table.contains("| student | seeds |"), "{table}");
}
