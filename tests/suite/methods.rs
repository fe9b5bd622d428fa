//! Every method of the registry, as a user chooses it: METHOD=NAME.
#![allow(clippy::unwrap_used, clippy::panic)]

use arrow::array::{Array, Float64Array, StringArray, UInt16Array};
use tests::project::Project;
use tests::tables::{column, lists, texts};

use super::compare::SHORT;

/// Methods that start from nothing, and how many networks each trains.
pub const METHODS: [(&str, usize); 11] = [
    ("rc", 1),
    ("cc", 1),
    ("distill", 1),
    ("lw", 1),
    ("cr-dpll", 1),
    ("pico", 1),
    ("pico-plus", 1),
    ("ir-net", 1),
    ("alim", 1),
    ("ensemble-contrast", 1),
    ("divide-mix", 2),
];

#[test]
fn each_method_goes_from_the_same_labels_to_an_evaluated_student() {
    let project = Project::after_a_run();
    for (method, networks) in METHODS {
        let run = project.run().args(["--method", method]).set(SHORT).ok();
        assert_eq!(
            project.ran(),
            [method, "evaluate", "findings", "report"],
            "up to the labels nothing changes"
        );
        let history = project.table(&format!("{method}/history.parquet"));
        let tested = column::<Float64Array>(&history, "accuracy_test");
        assert_eq!(tested.len(), 3 * networks, "{method}");
        let metrics = project.table("evaluate/metrics.parquet");
        assert_eq!(column::<StringArray>(&metrics, "metric").value(0), "accuracy");
        let accuracy = column::<Float64Array>(&metrics, "value").value(0);
        let names = texts(&metrics, "metric");
        if networks == 1 {
            assert_eq!(accuracy, tested.value(2), "{method}: the student is the network of the last epoch");
            assert!(!names.iter().any(|name| name.contains("network") || name == "agreement"), "{names:?}");
        } else {
            let both = column::<Float64Array>(&history, "accuracy_test_both");
            assert_eq!(accuracy, both.value(5), "{method}: the student is both networks of the last epoch");
        }
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
fn a_method_of_candidates_that_is_stopped_goes_on_to_the_same_bytes() {
    stop_and_go_on(&["rc", "cc", "lw", "cr-dpll"]);
}

#[test]
fn a_method_with_prototypes_that_is_stopped_goes_on_to_the_same_bytes() {
    stop_and_go_on(&["pico", "pico-plus", "ensemble-contrast"]);
}

#[test]
fn a_method_that_edits_or_widens_candidates_that_is_stopped_goes_on_to_the_same_bytes() {
    stop_and_go_on(&["alim", "ir-net"]);
}

#[test]
fn a_method_that_divides_that_is_stopped_goes_on_to_the_same_bytes() {
    stop_and_go_on(&["divide-mix"]);
}

/// Kills each method's training after its third epoch of eight, runs it again, and compares with a run that nobody killed.
fn stop_and_go_on(methods: &[&str]) {
    for method in methods {
        let settings = format!("{SHORT} {method}.epochs=8");
        let project = Project::new();
        let mut running = project.run().args(["--method", method]).set(&settings).start();
        running.until(&format!("{method:<12} epoch 3"));
        running.signal("KILL");
        running.end();
        let next = project.run().args(["--method", method]).set(&settings).ok();
        let first =
            next.stderr.lines().find(|line| line.starts_with(&format!("{method:<12} epoch "))).unwrap();
        assert!(!first.contains("epoch 1,"), "{first}");
        project.run_into("undisturbed").args(["--method", method]).set(&settings).ok();
        let [disturbed, undisturbed] = [project.artifact_bytes(), project.artifact_bytes_in("undisturbed")];
        assert!(disturbed.keys().any(|name| name.contains("student.safetensors")));
        assert!(disturbed == undisturbed, "{method}: the bytes differ");
    }
}

#[test]
fn an_unknown_method_is_told_the_nearest() {
    let project = Project::new();
    let run = project.run().args(["--method", "coreg"]).output();
    run.helpful_error(&["coreg", "co-reg"]);
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
