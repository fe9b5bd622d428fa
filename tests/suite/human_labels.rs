//! Labels that humans gave, so many of each class or those of a table, from the labels to a student that learned them.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;

use arrow::array::{BooleanArray, Float32Array, Float64Array, Int32Array, RecordBatch, UInt16Array};
use tests::image_set::CLASSES;
use tests::program::Coreg;
use tests::project::{Project, ROWS, TRAIN};
use tests::tables::{column, figures, lists, texts};

/// A training so short that a run takes a second.
const SHORT: &str = "rc.epochs=2";

fn run(project: &Project, words: &[&str]) -> Coreg {
    project.run().args(["--method", "rc"]).args(words).set(SHORT)
}

/// The same without a CLIP, up to the labels.
fn label(project: &Project, words: &[&str]) -> Coreg {
    run(project, &["--labels", "synthetic q=0.3 eta=0.2", "--only", "label"]).args(words)
}

/// The id of a training image.
fn id(row: usize) -> String {
    format!("train-00000/{row:06}")
}

/// Writes a table of labels and gives its path.
fn table(project: &Project, rows: &[(String, &str)]) -> String {
    let rows: String = rows.iter().map(|(id, class)| format!("{id},{class}\n")).collect();
    project.file("truth.csv", &format!("id,class\n{rows}"))
}

/// The rows whose label a human gave.
fn human(labels: &RecordBatch) -> Vec<usize> {
    let human = column::<BooleanArray>(labels, "human");
    (0..labels.num_rows()).filter(|&row| human.value(row)).collect()
}

/// Candidates and single label of a row.
fn given(labels: &RecordBatch, row: usize) -> (Vec<u16>, u16) {
    let candidates = lists::<UInt16Array>(labels, "candidates")[row].values().to_vec();
    (candidates, column::<UInt16Array>(labels, "single").value(row))
}

#[test]
fn so_many_images_of_each_class_have_their_true_label_and_a_student_learns_it() {
    let project = Project::new();
    run(&project, &[]).ok();
    let before = project.table("label/labels.parquet");
    assert!(human(&before).is_empty());
    let told = run(&project, &["--shots", "2"]).ok();
    // The candidates are what they were, under another name.
    assert_eq!(project.ran(), ["rc", "label", "statistics", "evaluate", "findings", "report"]);
    assert_eq!(project.table("label.candidates/labels.parquet"), before);

    let labels = project.table("label/labels.parquet");
    let truth = column::<Int32Array>(&labels, "label").values();
    let (rows, weights) = (human(&labels), lists::<Float32Array>(&labels, "weights"));
    for class in 0..CLASSES.len() {
        assert_eq!(rows.iter().filter(|&&row| truth[row] as usize == class).count(), 2, "{rows:?}");
    }
    assert!(rows.iter().all(|&row| row < ROWS[0]), "test images are labelled: {rows:?}");
    let (mut sizes, mut outside) = (0, 0);
    for row in 0..labels.num_rows() {
        let class = truth[row] as u16;
        if rows.contains(&row) {
            assert_eq!(given(&labels, row), (vec![class], class));
            assert_eq!(weights[row].values().to_vec(), [1.0]);
            continue;
        }
        let (candidates, single) = given(&labels, row);
        assert_eq!((candidates.clone(), single), given(&before, row));
        if row < ROWS[0] {
            sizes += candidates.len();
            outside += usize::from(!candidates.contains(&class));
        }
    }

    // Figures of the labels are those of the other images.
    let summary = figures(&project.view("statistics/summary.parquet"), Some("train"));
    let others = (ROWS[0] - rows.len()) as f64;
    assert_eq!((summary["images"], summary["human_labels"]), (ROWS[0] as f64, 8.0));
    assert!((summary["avg_candidates"] - sizes as f64 / others).abs() < 1e-12, "{summary:?}");
    assert!((summary["eta"] - outside as f64 / others).abs() < 1e-12, "{summary:?}");
    assert!(told.stdout.contains("8 human labels: 2 of each class"), "{}", told.stdout);
    let page = String::from_utf8(project.bytes("report/index.html")).unwrap();
    assert!(page.contains("8 human labels: 2 of each class"));

    // What the method takes these images for is what the human said.
    let settled = project.table("rc/pseudo_labels.parquet");
    let (class, sure) =
        (column::<UInt16Array>(&settled, "pseudo_label"), column::<Float32Array>(&settled, "confidence"));
    for &row in &rows {
        assert_eq!(i32::from(class.value(row)), truth[row], "{row}");
        assert!((sure.value(row) - 1.0).abs() < 1e-6, "{row}");
    }
    assert_eq!(column::<Float64Array>(&project.table("rc/history.parquet"), "loss").len(), 2);

    run(&project, &["--shots", "2"]).ok();
    assert_eq!(project.ran(), [""; 0]);
    // Batches of another make are another training of the same labels.
    run(&project, &["--shots", "2"]).set("optimizer.human_share=0").ok();
    assert_eq!(project.ran(), ["rc", "evaluate", "findings", "report"]);
}

#[test]
fn every_method_keeps_to_what_a_human_said() {
    let project = Project::new();
    for (method, _) in super::methods::METHODS {
        let run = project.run().args(["--method", method, "--shots", "2"]).set(super::compare::SHORT);
        run.set("optimizer.human_share=0.5").ok();
        if !project.view(&format!("{method}/pseudo_labels.parquet")).is_file() {
            continue;
        }
        let labels = project.table("label/labels.parquet");
        let truth = column::<Int32Array>(&labels, "label").values().to_vec();
        let settled = project.table(&format!("{method}/pseudo_labels.parquet"));
        let class = column::<UInt16Array>(&settled, "pseudo_label");
        let sure = column::<Float32Array>(&settled, "confidence");
        for row in human(&labels) {
            assert_eq!(i32::from(class.value(row)), truth[row], "{method}, {row}");
            assert!((sure.value(row) - 1.0).abs() < 1e-6, "{method}, {row}: {}", sure.value(row));
        }
    }
}

#[test]
fn co_reg_believes_what_a_human_said() {
    let project = Project::new();
    project.run().args(["--shots", "2"]).ok();
    let labels = project.table("label/labels.parquet");
    let truth = column::<Int32Array>(&labels, "label").values();
    let settled = project.table("co-reg/pseudo_labels.parquet");
    let (class, kinds) = (column::<UInt16Array>(&settled, "pseudo_label"), texts(&settled, "split_kind"));
    let rows = human(&labels);
    assert_eq!(rows.len(), 8);
    for row in rows {
        assert_eq!((i32::from(class.value(row)), kinds[row].as_str()), (truth[row], "partial"), "{row}");
    }
}

#[test]
fn fewer_shots_are_among_more_and_another_seed_draws_others() {
    let project = Project::new();
    let drawn = |shots: &str, seed: &str| {
        label(&project, &["--shots", shots]).set(seed).ok();
        human(&project.table("label/labels.parquet"))
    };
    let (two, four) = (drawn("2", "seed=0"), drawn("4", "seed=0"));
    assert_eq!((two.len(), four.len()), (8, 16));
    assert!(two.iter().all(|row| four.contains(row)), "{two:?} {four:?}");
    assert_eq!(drawn("2", "seed=1"), two, "the seed of training draws nothing here");
    assert_ne!(drawn("2", "label.shots_seed=1"), two);
}

#[test]
fn the_labels_of_a_table_count_whatever_made_the_candidates_and_a_changed_table_is_read_again() {
    let project = Project::new();
    // The first is not what the data set says: whoever looked at the image is asked.
    let file = table(&project, &[(id(0), "bars"), (id(5), "Disc"), (id(9), "3"), (id(7), "")]);
    for source in ["clip", "synthetic q=0.3 eta=0.2"] {
        let told = run(&project, &["--labels", source, "--truth", &file, "--only", "label"]).ok();
        let labels = project.table("label/labels.parquet");
        assert_eq!(human(&labels), [0, 5, 9], "{source}");
        assert_eq!([0, 5, 9].map(|row| given(&labels, row).1), [1, 2, 3], "{source}");
        assert_eq!(column::<Int32Array>(&labels, "label").value(0), 0, "the truth is not what was said");
        assert!(told.stderr.contains("3 human labels: 0 to 1 of a class"), "{}", told.stderr);
        assert!(told.stderr.contains("1 row has no class"), "{}", told.stderr);
    }
    // Where the table lies says nothing; the home folder of a test is its project's.
    fs::rename(&file, project.path("moved.csv")).unwrap();
    label(&project, &["--truth", "~/moved.csv"]).ok();
    assert_eq!(project.ran(), [""; 0]);
    let file = table(&project, &[(id(0), "bars"), (id(5), "disc"), (id(9), "stripes")]);
    label(&project, &["--truth", &file]).ok();
    assert_eq!(project.ran(), ["label"]);
    assert_eq!(given(&project.table("label/labels.parquet"), 9), (vec![0], 0));
}

#[test]
fn a_table_that_is_wrong_by_itself_is_refused_before_anything_runs() {
    let project = Project::new();
    let refused = |rows: &[(String, &str)], words: &[&str], of: &[&str]| {
        let file = table(&project, rows);
        let run = run(&project, &["--truth", &file]).args(words);
        run.output().helpful_error(&[of, &["label: ", "truth.csv"]].concat());
        assert!(project.hub.take_log().is_empty() && !project.path("artifacts/shapes").exists());
    };
    let one = (id(1), "bars");
    refused(
        &[one.clone(), (id(1), "disc")],
        &[],
        &["1 label differs", "line 2 has `bars`, and line 3 `disc`"],
    );
    refused(
        &[one.clone(), (id(2), "disk")],
        &[],
        &["line 3", "there is no class `disk`", "did you mean `disc`"],
    );
    refused(&[one.clone(), (id(2), "")], &["--shots", "1"], &["label.shots = 1", "no label of `stripes`"]);
    refused(&[(id(1), "")], &[], &["no row has a class"]);
    fs::remove_file(project.path("truth.csv")).unwrap();
    let gone = run(&project, &["--truth", project.path("truth.csv").to_str().unwrap()]);
    gone.output().helpful_error(&["cannot read the table of labels", "TRUTH names a table"]);
    run(&project, &["--shots", "1"]).set("optimizer.human_share=1").output().helpful_error(&["human_share"]);
    assert!(project.hub.take_log().is_empty());
}

#[test]
fn labels_that_do_not_fit_the_images_are_refused_before_anything_is_trained() {
    let project = Project::new();
    let refused = |run: Coreg, words: &[&str]| {
        run.output().helpful_error(&[words, &["label: "]].concat());
        let started = project.nodes_that("started");
        assert!(!started.iter().any(|node| node == "rc"), "{started:?}");
    };
    let of = |rows: &[(String, &str)]| {
        let file = table(&project, rows);
        run(&project, &["--labels", "synthetic q=0.3 eta=0.2", "--truth", &file])
    };
    let one = (id(1), "bars");
    let mut rows = vec![one.clone()];
    rows.extend(["nobody", "no one"].map(|id| (id.to_owned(), "disc")));
    refused(
        of(&rows),
        &["2 labels are of ids that no image has", "`nobody`, `no one`", "`train-00000/000000`"],
    );
    let test = ("test-00000/000003".to_owned(), "checks");
    refused(of(&[one, test]), &["1 label is of a test image", "`test-00000/000003`"]);
    let shots = |shots: &str| run(&project, &["--labels", "synthetic q=0.3 eta=0.2", "--shots", shots]);
    refused(shots("17"), &["label.shots = 17", "16 labels of `stripes`", "SHOTS=16"]);
}

#[test]
fn where_a_part_of_the_images_is_taken_labels_of_the_others_are_passed_over() {
    let project = Project::new();
    let all: Vec<(String, &str)> = (0..ROWS[0]).map(|row| (id(row), CLASSES[row % CLASSES.len()])).collect();
    let file = table(&project, &all);
    let told = label(&project, &["--truth", &file]).set("download.limit_train=24").ok();
    assert_eq!(human(&project.table("label/labels.parquet")).len(), 24);
    assert!(told.stderr.contains("40 labels are of ids that no image here has"), "{}", told.stderr);
}

#[test]
fn where_no_class_is_known_a_table_is_asked_for() {
    let project = Project::new();
    project.change_rows(TRAIN, |rows| rows.iter_mut().for_each(|row| row.label = None));
    let words = ["label: ", "no training image is known", "TRUTH=file.csv"];
    run(&project, &["--shots", "2"]).output().helpful_error(&words);
    let file = table(&project, &[(id(0), "stripes"), (id(5), "bars")]);
    run(&project, &["--truth", &file, "--only", "statistics"]).ok();
    let summary = figures(&project.view("statistics/summary.parquet"), Some("train"));
    assert_eq!((summary["human_labels"], summary.get("eta")), (2.0, None));
}
