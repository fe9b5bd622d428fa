//! Labels made from the truth (method §12): without a CLIP, the same every time, refused where there is no truth.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::File;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, UInt16Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tests::child::Coreg;
use tests::hub::Asked;
use tests::shapes::CLASSES;
use tests::world::World;

fn run(world: &World, labels: &str) -> Coreg {
    world.run().args(["--labels", labels])
}

fn labels(world: &World) -> Vec<RecordBatch> {
    let file = File::open(world.view("label/labels.parquet")).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    reader.map(Result::unwrap).collect()
}

#[test]
fn no_clip_is_asked_and_the_candidates_are_as_noisy_as_was_said() {
    let world = World::new();
    let run = run(&world, "synthetic q=0 eta=1").ok();
    assert_eq!(world.ran(), ["download", "label", "statistics", "warm-up", "co-reg", "evaluate"]);
    let asked: Vec<Asked> = world.hub.take_log();
    assert!(!asked.iter().any(|request| request.path.contains("some/clip")), "{asked:?}");
    for batch in labels(&world) {
        let truth = batch.column_by_name("label").unwrap().as_primitive::<Int32Type>().clone();
        let candidates = batch.column_by_name("candidates").unwrap().as_list::<i32>().clone();
        for (truth, candidates) in truth.values().iter().zip(candidates.iter()) {
            let candidates = candidates.unwrap().as_primitive::<UInt16Type>().values().to_vec();
            assert_eq!(candidates.len(), 1);
            assert!(i32::from(candidates[0]) != *truth && usize::from(candidates[0]) < CLASSES.len());
        }
    }
    assert!(run.stdout.contains("Synthetic labels (q = 0, eta = 1)"), "{}", run.stdout);
    assert!(run.stdout.contains("100.0 %") && !run.stdout.contains("CLIP, "), "{}", run.stdout);
}

#[test]
fn another_q_is_another_result_and_the_same_one_is_cached() {
    let world = World::new();
    run(&world, "synthetic q=0.5 eta=0.2").ok();
    run(&world, "synthetic q=0.5 eta=0.2").ok();
    assert_eq!(world.ran(), Vec::<String>::new());
    run(&world, "synthetic q=0.4 eta=0.2").ok();
    assert_eq!(world.ran(), ["label", "statistics", "warm-up", "co-reg", "evaluate"]);
}

#[test]
fn a_grid_of_noises_is_one_command() {
    let world = World::new();
    let grid = "[grid]\nlabels = ['synthetic']\n'synthetic.q' = [0.1, 0.5]\n'synthetic.eta' = [0, 0.3]\n";
    let file = world.file("noise.toml", grid);
    let run = world.on_shapes(world.coreg(), &["ablations", "--variants", &file, "--seeds", "2"]).ok();
    for title in ["synthetic.eta = 0, synthetic.q = 0.1", "synthetic.eta = 0.3, synthetic.q = 0.5"] {
        let row = run.stdout.lines().find(|line| line.contains(title)).unwrap();
        assert!(row.contains(" ± ") && row.ends_with("| 2 |"), "{row}");
    }
    assert!(world.view("noise.md").is_file() && world.view("noise.parquet").is_file());
    // Labels do not depend on the seed of training: four sets of them for eight branches.
    let made = world.ran().iter().filter(|node| node.starts_with("label")).count();
    assert_eq!(made, 4);
}

#[test]
fn without_the_truth_there_are_none() {
    let world = World::new();
    world.describe("label_column = \"label\"\n", "");
    let error = run(&world, "synthetic q=0.1 eta=0.1").output();
    error.helpful_error(&["label: ", "has no true label", "LABELS=clip"]);
    let error = run(&world, "synthetic q=2 eta=0.1").output();
    error.helpful_error(&["synthetic.q = 2", "between 0 and 1"]);
}
