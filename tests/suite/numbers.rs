//! Splits that are empty, classes that nobody has, batches that are too large, and losses that are no numbers.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::{self, File};

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float32Type, Float64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tests::child::{Coreg, Output};
use tests::shapes::CLASSES;
use tests::world::{TEST, TRAIN, World};

/// Candidates that are the truth alone, so that a test decides what they are.
fn run(world: &World, set: &str) -> Coreg {
    world.run().args(["--labels", "synthetic q=0 eta=0", "--set", set])
}

fn table(world: &World, file: &str) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(world.view(file)).unwrap()).unwrap();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

/// A column of Co-Reg's history.
fn history(world: &World, column: &str) -> Vec<f64> {
    let table = table(world, "co-reg/history.parquet");
    table.column_by_name(column).unwrap().as_primitive::<Float64Type>().iter().flatten().collect()
}

/// Asserts that the student predicts something for every test image.
fn predicts(world: &World, classes: usize) {
    let table = table(world, "evaluate/predictions.parquet");
    assert!(table.num_rows() > 0);
    for probs in table.column_by_name("probs").unwrap().as_list::<i32>().iter() {
        let probs = probs.unwrap();
        let probs = probs.as_primitive::<Float32Type>().values();
        assert!(probs.len() == classes && (probs.iter().sum::<f32>() - 1.0).abs() < 1e-3, "{probs:?}");
    }
}

#[test]
fn a_training_set_that_is_all_believed_has_no_unlabeled_split() {
    let world = World::new();
    run(&world, "co-reg.divide.threshold=0 co-reg.divide.variance_floor=100").ok();
    assert!(history(&world, "size_unlabeled").iter().all(|&size| size == 0.0));
    assert!(history(&world, "loss").iter().all(|loss| loss.is_finite()));
    predicts(&world, CLASSES.len());
}

#[test]
fn a_training_set_of_which_nothing_is_believed_is_taken_whole_and_that_is_said() {
    let world = World::new();
    let output = run(&world, "co-reg.divide.threshold=1").ok();
    assert!(output.stderr.contains("no sample is believed; all are taken"), "{}", output.stderr);
    assert!(history(&world, "loss").iter().all(|loss| loss.is_finite()));
    predicts(&world, CLASSES.len());
}

#[test]
fn a_class_that_is_nobodys_candidate_is_learned_as_one_that_never_occurs() {
    let world = World::new();
    world.change_rows(TRAIN, |rows| {
        rows.iter_mut().for_each(|row| row.label = row.label.map(|label| label % 3))
    });
    run(&world, "").ok();
    let classes = table(&world, "statistics/classes.parquet");
    assert_eq!(classes.num_rows() % CLASSES.len(), 0);
    predicts(&world, CLASSES.len());
}

#[test]
fn candidates_of_one_class_alone_are_learned() {
    let world = World::new();
    for file in [TRAIN, TEST] {
        world.change_rows(file, |rows| rows.iter_mut().for_each(|row| row.label = Some(2)));
    }
    run(&world, "").ok();
    assert!(history(&world, "loss").iter().all(|loss| loss.is_finite()));
    predicts(&world, CLASSES.len());
}

#[test]
fn fewer_images_than_a_batch_are_a_batch() {
    for limit in [7, 2] {
        let world = World::new();
        run(&world, &format!("download.limit_train={limit} download.limit_test=1")).ok();
        assert!(history(&world, "loss").iter().all(|loss| loss.is_finite()));
        predicts(&world, CLASSES.len());
    }
}

/// What a stage wrote into its checkpoint.
fn checkpoint(world: &World) -> Vec<u8> {
    let mut folders = fs::read_dir(world.path("artifacts/store/checkpoints")).unwrap();
    fs::read(folders.next().unwrap().unwrap().path().join("checkpoint.safetensors")).unwrap()
}

fn is_said(failed: &Output, stage: &str, epoch: &str) {
    let error = failed.helpful_error(&[stage, epoch, "step ", "optimizer.learning_rate"]);
    assert!(error.contains("NaN") || error.contains("inf"), "{error}");
}

#[test]
fn a_loss_that_is_no_number_stops_the_stage_and_the_last_good_checkpoint_stays() {
    let world = World::new();
    // The term enters after the first epoch, and is too large for a number.
    let wrong = "co-reg.regularise_after=1 co-reg.lambda_contrast=1e38 co-reg.contrast_temperature=1e-6";
    let failed = run(&world, wrong).output();
    is_said(&failed, "co-reg: ", "epoch ");
    let epochs = failed.stderr.lines().filter(|line| line.starts_with("co-reg       epoch ")).count();
    assert!(epochs > 0, "the first epoch should have been fine: {}", failed.stderr);
    world.is_whole();
    let good = checkpoint(&world);
    // The same again fails in the same epoch, and does not start with the first one.
    let again = run(&world, wrong).output();
    is_said(&again, "co-reg: ", "epoch ");
    assert!(!again.stderr.contains("co-reg       epoch 1,"), "{}", again.stderr);
    assert_eq!(checkpoint(&world), good);
    run(&world, "").ok();
    assert_eq!(world.ran(), ["co-reg", "evaluate"]);
}

#[test]
fn a_learning_rate_beyond_all_bounds_stops_warm_up() {
    let world = World::new();
    let failed = run(&world, "optimizer.learning_rate=1e30").output();
    is_said(&failed, "warm-up: ", "epoch 1");
    world.is_whole();
    run(&world, "").ok();
}
