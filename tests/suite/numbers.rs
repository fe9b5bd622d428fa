//! What is learned, from good labels and at the edges: splits that are empty, classes that nobody has, batches that are
//! too large, and losses that are no numbers.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;

use arrow::array::{AsArray, UInt16Array};
use arrow::datatypes::{Float32Type, Float64Type};
use tests::image_set::CLASSES;
use tests::program::{Coreg, Output};
use tests::project::{Project, TEST, TRAIN};
use tests::tables::{column, figures};

/// Candidates that are the truth alone, so that a test decides what they are.
fn run(project: &Project, set: &str) -> Coreg {
    project.run().args(["--labels", "synthetic q=0 eta=0", "--set", set])
}

/// A column of Co-Reg's history.
fn history(project: &Project, column: &str) -> Vec<f64> {
    let table = project.table("co-reg/history.parquet");
    table.column_by_name(column).unwrap().as_primitive::<Float64Type>().iter().flatten().collect()
}

/// Asserts that the student predicts something for every test image.
fn predicts(project: &Project, classes: usize) {
    let table = project.table("evaluate/predictions.parquet");
    assert!(table.num_rows() > 0);
    for probs in table.column_by_name("probs").unwrap().as_list::<i32>().iter() {
        let probs = probs.unwrap();
        let probs = probs.as_primitive::<Float32Type>().values();
        assert!(probs.len() == classes && (probs.iter().sum::<f32>() - 1.0).abs() < 1e-3, "{probs:?}");
    }
}

/// Share of the test images that the two networks together get right.
fn accuracy(project: &Project) -> f64 {
    figures(&project.view("evaluate/metrics.parquet"), None)["accuracy"]
}

#[test]
fn true_labels_are_learned_far_above_chance() {
    let project = Project::new();
    run(&project, "warm-up.epochs=12 co-reg.epochs=6").ok();
    let accuracy = accuracy(&project);
    // A quarter would be chance, and 15 of 32 have a probability of under 1 % by chance.
    assert!(accuracy >= 15.0 / 32.0, "{accuracy}");
}

#[test]
fn a_training_set_that_is_all_believed_has_no_unlabeled_split() {
    let project = Project::new();
    run(&project, "co-reg.divide.threshold=0 co-reg.divide.variance_floor=100").ok();
    assert!(history(&project, "size_unlabeled").iter().all(|&size| size == 0.0));
    assert!(history(&project, "loss").iter().all(|loss| loss.is_finite()));
    predicts(&project, CLASSES.len());
}

#[test]
fn a_training_set_of_which_nothing_is_believed_is_taken_whole_and_that_is_said() {
    let project = Project::new();
    let output = run(&project, "co-reg.divide.threshold=1").ok();
    assert!(output.stderr.contains("no sample is believed; all are taken"), "{}", output.stderr);
    assert!(history(&project, "loss").iter().all(|loss| loss.is_finite()));
    predicts(&project, CLASSES.len());
}

#[test]
fn a_class_that_is_nobodys_candidate_is_hardly_ever_predicted() {
    let project = Project::new();
    project.change_rows(TRAIN, |rows| {
        rows.iter_mut().for_each(|row| row.label = row.label.map(|label| label % 3))
    });
    run(&project, "").ok();
    let classes = project.table("statistics/classes.parquet");
    assert_eq!(classes.num_rows() % CLASSES.len(), 0);
    predicts(&project, CLASSES.len());
    let predictions = project.table("evaluate/predictions.parquet");
    let last = column::<UInt16Array>(&predictions, "prediction").values().iter().filter(|class| **class == 3);
    let last = last.count();
    assert!(last < predictions.num_rows() / CLASSES.len(), "{last} of {}", predictions.num_rows());
}

#[test]
fn where_all_images_are_of_one_class_it_is_predicted_above_chance() {
    let project = Project::new();
    for file in [TRAIN, TEST] {
        project.change_rows(file, |rows| rows.iter_mut().for_each(|row| row.label = Some(2)));
    }
    run(&project, "").ok();
    assert!(history(&project, "loss").iter().all(|loss| loss.is_finite()));
    predicts(&project, CLASSES.len());
    let accuracy = accuracy(&project);
    assert!(accuracy > 0.5, "{accuracy}");
}

#[test]
fn fewer_images_than_a_batch_are_a_batch() {
    for limit in [7, 2] {
        let project = Project::new();
        run(&project, &format!("download.limit_train={limit} download.limit_test=1")).ok();
        assert!(history(&project, "loss").iter().all(|loss| loss.is_finite()));
        predicts(&project, CLASSES.len());
    }
}

/// What a stage wrote into its checkpoint.
fn checkpoint(project: &Project) -> Vec<u8> {
    let mut folders = fs::read_dir(project.path("artifacts/store/checkpoints")).unwrap();
    fs::read(folders.next().unwrap().unwrap().path().join("checkpoint.safetensors")).unwrap()
}

fn is_said(failed: &Output, stage: &str, epoch: &str) {
    let error = failed.helpful_error(&[stage, epoch, "step ", "optimizer.learning_rate"]);
    assert!(error.contains("NaN") || error.contains("inf"), "{error}");
}

#[test]
fn a_loss_that_is_no_number_stops_the_stage_and_the_last_good_checkpoint_stays() {
    let project = Project::new();
    // The term enters after the first epoch, and is too large for a number.
    let wrong = "co-reg.regularise_after=1 co-reg.lambda_contrast=1e38 co-reg.contrast_temperature=1e-6";
    let failed = run(&project, wrong).output();
    is_said(&failed, "co-reg: ", "epoch ");
    let epochs = failed.stderr.lines().filter(|line| line.starts_with("co-reg       epoch ")).count();
    assert!(epochs > 0, "the first epoch should have been fine: {}", failed.stderr);
    project.is_whole();
    let good = checkpoint(&project);
    // The same again fails in the same epoch, and does not start with the first one.
    let again = run(&project, wrong).output();
    is_said(&again, "co-reg: ", "epoch ");
    assert!(!again.stderr.contains("co-reg       epoch 1,"), "{}", again.stderr);
    assert_eq!(checkpoint(&project), good);
    run(&project, "").ok();
    assert_eq!(project.ran(), ["co-reg", "evaluate", "findings", "report"]);
}

#[test]
fn a_learning_rate_beyond_all_bounds_stops_warm_up() {
    let project = Project::new();
    let failed = run(&project, "optimizer.learning_rate=1e30").output();
    is_said(&failed, "warm-up: ", "epoch 1");
    project.is_whole();
    run(&project, "").ok();
}
