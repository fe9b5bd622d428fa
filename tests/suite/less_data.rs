//! Learning from fewer images: limits that take equally many of each class, and the sweep over limits.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use arrow::array::{Float64Array, Int32Array};
use stages::experiment::variants::BuiltIn;
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

/// A training of two epochs of warm-up and Co-Reg each, horizon 4: what is left of co-reg's weights.
fn trained(project: &Project, set: &str) -> Vec<u8> {
    project.run().set("optimizer.horizon=4").set(set).ok();
    project.bytes("co-reg/student.safetensors")
}

/// Figures of Co-Reg's last epoch, a network each.
fn last(project: &Project, name: &str) -> Vec<f64> {
    let history = project.table("co-reg/history.parquet");
    let values = column::<Float64Array>(&history, name).values().to_vec();
    values[values.len() - 2..].to_vec()
}

#[test]
fn a_budget_makes_an_epoch_a_piece_of_a_large_set_and_several_rounds_of_a_small_one() {
    let project = Project::new();
    let whole = trained(&project, "optimizer.budget=0");
    assert_eq!(trained(&project, "optimizer.budget=256"), whole, "4 epochs of the 64 training images");
    for budget in [64, 640] {
        assert_ne!(trained(&project, &format!("optimizer.budget={budget}")), whole, "{budget}");
        // The division is of all images, whoever's turn it is.
        let sizes = last(&project, "size_partial").into_iter().zip(last(&project, "size_unlabeled"));
        assert!(sizes.into_iter().all(|(p, u)| p + u == 64.0));
    }
}

#[test]
fn a_word_for_the_budget_says_what_it_means_and_a_wrong_one_is_named() {
    let project = Project::new();
    let error = project.run().args(["--budget", "huge"]).output();
    error.helpful_error(&["there is no budget `huge`", "large", "medium", "small"]);
    let settings = |budget: &str, set: &str| {
        let choice = Choice {
            data_set: "eurosat".to_owned(),
            profile: "quick".to_owned(),
            budget: (!budget.is_empty()).then(|| budget.to_owned()),
            set: vec![set.to_owned()],
            ..Choice::default()
        };
        let settings = Experiment::new(&choice, Place::Cpu).unwrap().settings;
        (settings.optimizer.budget, settings.download.limit_train)
    };
    assert_eq!(settings("", ""), (150_000, 5_000));
    assert_eq!(settings("small", ""), (75_000, 5_000));
    assert_eq!(settings("large", ""), (600_000, 0), "of all images");
    assert_eq!(settings("1234", "download.limit_train=7"), (1234, 7));
    assert_eq!(settings("large", "optimizer.budget=0"), (0, 0), "what is set in full has the last word");
}

#[test]
fn the_sweep_over_less_data_is_that_of_the_papers_figure() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/variants/limits.toml");
    let choice = Choice { data_set: "cifar100".to_owned(), profile: "paper".to_owned(), ..Choice::default() };
    let branches = Experiment::new(&choice, Place::Cpu)
        .unwrap()
        .variants(Some(&file), BuiltIn::Ablations, &[], 1)
        .unwrap();
    let limits: Vec<usize> = branches.iter().map(|branch| branch.settings.download.limit_train).collect();
    assert_eq!(limits, [5_000, 10_000, 20_000, 30_000, 40_000, 50_000]);
}
