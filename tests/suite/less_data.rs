//! Learning from fewer images: limits that take equally many of each class, and the sweep over limits.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use arrow::array::{Float64Array, Int32Array};
use stages::experiment::{Choice, Experiment};
use stages::runtime::device::Place;
use tests::project::{Project, TRAIN};
use tests::tables::{column, texts};

/// Splits and labels of the images.
fn images(project: &Project) -> Vec<(String, Option<i32>)> {
    let table = project.table("download/images.parquet");
    texts(&table, "split").into_iter().zip(column::<Int32Array>(&table, "label").iter()).collect()
}

#[test]
fn a_balanced_limit_takes_equally_many_of_each_class_and_needs_their_labels() {
    let project = Project::new();
    // Four of five are stripes.
    project.change_rows(TRAIN, |rows| {
        let stripes = (0..rows.len()).filter(|row| row % 20 >= 4);
        stripes.for_each(|row| rows[row].label = Some(0));
    });
    let run = |set: &str| project.run().args(["--only", "download"]).set("download.limit_train=12").set(set);
    let counts = || {
        let train = images(&project).into_iter().filter(|(split, _)| split == "train");
        train.fold([0; 4], |mut counts, (_, label)| {
            counts[label.unwrap() as usize] += 1;
            counts
        })
    };
    run("download.balanced=true").ok();
    assert_eq!(counts(), [3; 4]);
    run("download.balanced=false").ok();
    assert!(counts()[0] > 3 && counts().iter().sum::<usize>() == 12, "{:?}", counts());

    let project = Project::new();
    project.change_rows(TRAIN, |rows| rows[7].label = Some(-1));
    let run = |set: &str| project.run().args(["--only", "download"]).set("download.balanced=true").set(set);
    let error = run("download.limit_train=12").output();
    error.helpful_error(&["download: ", "1 of 64 train images have none", "download.balanced=false"]);
    run("download.limit_test=8").ok();
    assert_eq!(images(&project)[7].1, None);
}

#[test]
fn a_sweep_looks_at_every_image_once_and_compares_what_was_learned() {
    let project = Project::new();
    let file = project.file("limits.toml", "[grid]\n'download.limit_train' = [16, 40, 24]\n");
    let run = project.on_shapes(project.coreg(), &["ablations", "--variants", &file]).ok();
    for limit in [16, 40, 24] {
        assert!(run.stdout.contains(&format!("| download.limit_train = {limit} |")), "{}", run.stdout);
    }
    // 32 test images, and the training images of a lower limit are among those of a higher one.
    for seen in ["48 of 72 images were seen before", "56 of 56 images were seen before"] {
        assert!(run.stderr.contains(seen), "no `{seen}` in {}", run.stderr);
    }
}

#[test]
fn an_epoch_may_be_a_piece_of_a_large_set() {
    let project = Project::new();
    let epochs = |set: &str| {
        project.run().set(set).ok();
        project.bytes("co-reg/student.safetensors")
    };
    let whole = epochs("optimizer.epoch_images=0");
    assert_eq!(epochs("optimizer.epoch_images=64"), whole, "the set has no more than that");
    let piece = epochs("optimizer.epoch_images=16");
    assert_ne!(piece, whole);
    // Steps are of 16 of 64 images, and the division is of all of them.
    let history = project.table("co-reg/history.parquet");
    let sizes = |name| column::<Float64Array>(&history, name).values().to_vec();
    let all = sizes("size_partial").into_iter().zip(sizes("size_unlabeled")).map(|(p, u)| p + u);
    assert!(all.into_iter().all(|all| all == 64.0));
}

#[test]
fn the_sweep_over_less_data_is_that_of_the_papers_figure() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/variants/limits.toml");
    let choice = Choice { data_set: "cifar100".to_owned(), profile: "paper".to_owned(), ..Choice::default() };
    let branches = Experiment::new(&choice, Place::Cpu).unwrap().variants(Some(&file), 1).unwrap();
    let limits: Vec<usize> = branches.iter().map(|branch| branch.settings.download.limit_train).collect();
    assert_eq!(limits, [5_000, 10_000, 20_000, 30_000, 40_000, 50_000]);
}
