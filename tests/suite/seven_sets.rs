//! The seven data sets of the paper, by their names, from a hub that has them as the real one does, and small: columns,
//! class names, kinds and sizes of images, splits.
#![allow(clippy::unwrap_used, clippy::panic)]

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float32Type, Int32Type, UInt16Type};
use image::{DynamicImage, ImageFormat};
use stages::dataset::catalog::{DataSet, Source};
use tests::hub::COMMIT;
use tests::image_set::{self, Form, Row};
use tests::project::{Project, STAGES, TEMPLATES};
use tests::tables::{figures, metadata, read, texts};

/// A data set as the hub has it.
struct Set<'a> {
    name: &'a str,
    /// The folder in the repository that the files are in.
    folder: &'a str,
    /// The names of the files without their endings, and how many rows they have.
    files: &'a [(&'a str, usize)],
    form: Form<'a>,
    /// An image file, of a class and a seed.
    image: fn(usize, u64) -> Vec<u8>,
    /// Our class for each of the hub's.
    ours: Vec<i32>,
    /// How the ids of each file's rows begin.
    prefixes: &'a [&'a str],
    /// Images of the two splits.
    splits: [usize; 2],
}

fn form<'a>(image: &'a str, label: &'a str, classes: &'a [&'a str]) -> Form<'a> {
    Form { image, label, classes, more_labels: None, texts: None }
}

fn same(classes: &[&str]) -> Vec<i32> {
    (0..classes.len() as i32).collect()
}

fn png(side: u32, class: usize, seed: u64) -> Vec<u8> {
    image_set::encode(&image_set::drawn(class, seed, [side, side]).into(), ImageFormat::Png)
}

fn grey_png(side: u32, class: usize, seed: u64) -> Vec<u8> {
    let image = DynamicImage::from(image_set::drawn(class, seed, [side, side]));
    image_set::encode(&image.to_luma8().into(), ImageFormat::Png)
}

impl Set<'_> {
    /// The rows of a file; unequal files have unequal images.
    fn rows(&self, file: usize) -> Vec<Row> {
        let classes = self.form.classes.len();
        let row = |number: usize| {
            let (label, seed) = (number % classes, (file * 100_000 + number) as u64);
            Row { bytes: (self.image)(label, seed), path: format!("{number}.png"), label: Some(label as i64) }
        };
        (0..self.files[file].1).map(row).collect()
    }

    /// Puts the files on the hub.
    fn publish(&self, project: &Project) {
        let Source::Hub(source) = DataSet::find(self.name).unwrap().source else {
            panic!("{} comes from no hub", self.name)
        };
        let repository = project.path("hub/datasets").join(source.repo).join(self.folder);
        for (at, (file, _)) in self.files.iter().enumerate() {
            image_set::write_as(&repository.join(format!("{file}.parquet")), &self.rows(at), &self.form);
        }
    }

    /// Runs the program on it, to an evaluated student, and checks every table on the way. The tiny CLIP's weights are
    /// random, so how good the student is says nothing; `numbers.rs` asks that of a student of true labels.
    fn runs_through(&self) {
        let project = Project::new();
        self.publish(&project);
        let run = project.run_catalog(self.name).ok();
        assert_eq!(project.ran(), STAGES);
        assert!(run.stdout.contains("test accuracy"), "{}", run.stdout);
        assert!(run.stderr.contains("are not demanded") && run.stderr.contains(COMMIT), "{}", run.stderr);

        let view = project.path("artifacts").join(self.name);
        let names = DataSet::find(self.name).unwrap().classes.names;
        let images = read(&view.join("download/images.parquet"));
        let (ids, splits, labels) = (texts(&images, "id"), texts(&images, "split"), labels(&images));
        let bytes = images.column_by_name("image").unwrap().as_struct().column_by_name("bytes").unwrap();
        let mut row = 0;
        for (at, prefix) in self.prefixes.iter().enumerate() {
            let parts = (0..self.files.len()).filter(|file| self.prefix_of(*file) == Some(at));
            for (number, source) in parts.flat_map(|file| self.rows(file)).enumerate() {
                assert_eq!(ids[row], format!("{prefix}/{number:06}"));
                assert_eq!(labels[row], Some(self.ours[source.label.unwrap() as usize]), "{}", ids[row]);
                assert_eq!(bytes.as_binary::<i32>().value(row), source.bytes, "{}", ids[row]);
                row += 1;
            }
        }
        assert_eq!(row, images.num_rows());
        let count = |split: &str| splits.iter().filter(|found| *found == split).count();
        assert_eq!([count("train"), count("test")], self.splits);
        assert_eq!(
            metadata(&view.join("download/images.parquet")).unwrap()["classes"],
            serde_json::json!(names)
        );

        let votes = read(&view.join("annotate/votes.parquet"));
        assert_eq!(texts(&votes, "id"), ids);
        for row in 0..ids.len() {
            let row_votes = votes.column_by_name("votes").unwrap().as_list::<i32>().value(row);
            let row_votes = row_votes.as_primitive::<UInt16Type>();
            assert_eq!(row_votes.len(), TEMPLATES.len());
            assert!(row_votes.values().iter().all(|class| usize::from(*class) < names.len()));
            are_probabilities(&votes, "mean_probs", row, names.len());
        }
        let table_of_labels = read(&view.join("label/labels.parquet"));
        assert_eq!(texts(&table_of_labels, "id"), ids);
        assert_eq!(self::labels(&table_of_labels), labels);
        for candidates in table_of_labels.column_by_name("candidates").unwrap().as_list::<i32>().iter() {
            let candidates = candidates.unwrap().as_primitive::<UInt16Type>().values().to_vec();
            assert!(!candidates.is_empty() && candidates.is_sorted());
            assert!(candidates.iter().all(|class| usize::from(*class) < names.len()));
        }
        let predictions = read(&view.join("evaluate/predictions.parquet"));
        let test: Vec<usize> = (0..ids.len()).filter(|row| splits[*row] == "test").collect();
        assert_eq!(texts(&predictions, "id"), test.iter().map(|row| ids[*row].clone()).collect::<Vec<_>>());
        assert_eq!(self::labels(&predictions), test.iter().map(|row| labels[*row]).collect::<Vec<_>>());
        (0..test.len()).for_each(|row| are_probabilities(&predictions, "probs", row, names.len()));
        let accuracy = figures(&view.join("evaluate/metrics.parquet"), None)["accuracy"];
        assert!((0.0..=1.0).contains(&accuracy), "{accuracy}");
    }

    /// Which of the prefixes the rows of a file have, if it is used: shards of one split share theirs.
    fn prefix_of(&self, file: usize) -> Option<usize> {
        let split = |name: &str| name.split('-').next().unwrap().to_owned();
        self.prefixes.iter().position(|prefix| split(prefix) == split(self.files[file].0))
    }
}

fn labels(table: &RecordBatch) -> Vec<Option<i32>> {
    table.column_by_name("label").unwrap().as_primitive::<Int32Type>().iter().collect()
}

fn are_probabilities(table: &RecordBatch, column: &str, row: usize, classes: usize) {
    let list = table.column_by_name(column).unwrap().as_list::<i32>().value(row);
    let list = list.as_primitive::<Float32Type>().values();
    let sum: f32 = list.iter().sum();
    assert_eq!(list.len(), classes);
    assert!((sum - 1.0).abs() < 1e-3 && list.iter().all(|p| (0.0..=1.0).contains(p)), "{list:?}");
}

const ONE_FILE_EACH: [&str; 2] = ["train-00000-of-00001", "test-00000-of-00001"];
const PREFIXES: [&str; 2] = ["train-00000", "test-00000"];

const CIFAR10: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

fn cifar10() -> Set<'static> {
    Set {
        name: "cifar10",
        folder: "plain_text",
        files: &[(ONE_FILE_EACH[0], 64), (ONE_FILE_EACH[1], 32)],
        form: form("img", "label", &CIFAR10),
        image: |class, seed| png(32, class, seed),
        ours: same(&CIFAR10),
        prefixes: &PREFIXES,
        splits: [64, 32],
    }
}

#[test]
fn cifar10_runs_from_the_hub_to_an_evaluated_student() {
    cifar10().runs_through();
}

const COARSE: [&str; 20] = [
    "aquatic_mammals",
    "fish",
    "flowers",
    "food_containers",
    "fruit_and_vegetables",
    "household_electrical_devices",
    "household_furniture",
    "insects",
    "large_carnivores",
    "large_man-made_outdoor_things",
    "large_natural_outdoor_scenes",
    "large_omnivores_and_herbivores",
    "medium_mammals",
    "non-insect_invertebrates",
    "people",
    "reptiles",
    "small_mammals",
    "trees",
    "vehicles_1",
    "vehicles_2",
];

/// CIFAR-100 is labelled twice, and the hub misspells a class.
#[test]
fn cifar100_runs_from_the_hub_to_an_evaluated_student() {
    let names = DataSet::find("cifar100").unwrap().classes.names;
    let mut fine: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(std::mem::replace(&mut fine[26], "cra"), "crab");
    Set {
        name: "cifar100",
        folder: "cifar100",
        files: &[(ONE_FILE_EACH[0], 200), (ONE_FILE_EACH[1], 100)],
        form: Form { more_labels: Some(("coarse_label", &COARSE)), ..form("img", "fine_label", &fine) },
        image: |class, seed| png(32, class, seed),
        ours: same(&fine),
        prefixes: &PREFIXES,
        splits: [200, 100],
    }
    .runs_through();
}

/// The digits, and the training images in two files where the catalog has one.
#[test]
fn svhn_runs_from_the_hub_to_an_evaluated_student() {
    let digits = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    Set {
        name: "svhn",
        folder: "cropped_digits",
        files: &[("train-00000-of-00002", 40), ("train-00001-of-00002", 24), (ONE_FILE_EACH[1], 32)],
        form: form("image", "label", &digits),
        image: |class, seed| png(32, class, seed),
        ours: same(&digits),
        prefixes: &PREFIXES,
        splits: [64, 32],
    }
    .runs_through();
}

/// Grey images, and a class that the hub writes in its own way.
#[test]
fn fmnist_runs_from_the_hub_to_an_evaluated_student() {
    let clothes = [
        "T - shirt / top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ];
    Set {
        name: "fmnist",
        folder: "fashion_mnist",
        files: &[(ONE_FILE_EACH[0], 64), (ONE_FILE_EACH[1], 32)],
        form: form("image", "label", &clothes),
        image: |class, seed| grey_png(28, class, seed),
        ours: same(&clothes),
        prefixes: &PREFIXES,
        splits: [64, 32],
    }
    .runs_through();
}

/// Three files without a standard split: a fifth of all rows tests.
#[test]
fn eurosat_runs_from_the_hub_to_an_evaluated_student() {
    let lands = [
        "AnnualCrop",
        "Forest",
        "HerbaceousVegetation",
        "Highway",
        "Industrial",
        "Pasture",
        "PermanentCrop",
        "Residential",
        "River",
        "SeaLake",
    ];
    Set {
        name: "eurosat",
        folder: "data",
        files: &[(ONE_FILE_EACH[0], 60), ("validation-00000-of-00001", 20), (ONE_FILE_EACH[1], 20)],
        form: Form { texts: Some("image_id"), ..form("image", "label", &lands) },
        image: |class, seed| {
            image_set::encode(&image_set::drawn(class, seed, [64, 64]).into(), ImageFormat::Jpeg)
        },
        ours: same(&lands),
        prefixes: &["train-00000", "validation-00000", "test-00000"],
        splits: [80, 20],
    }
    .runs_through();
}

/// Small grey faces. Here the hub has sorted the classes by name; of its three files one is used.
#[test]
fn fer2013_runs_from_the_hub_to_an_evaluated_student() {
    let sorted = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"];
    let set = Set {
        name: "fer2013",
        folder: "data",
        files: &[("valid-00000-of-00001", 10), (ONE_FILE_EACH[1], 10), (ONE_FILE_EACH[0], 70)],
        form: form("image", "label", &sorted),
        image: |class, seed| grey_png(48, class, seed),
        ours: vec![0, 1, 2, 3, 6, 4, 5],
        prefixes: &["train-00000"],
        splits: [56, 14],
    };
    let project = Project::new();
    set.publish(&project);
    // 28,709 rows belong to the branch as the catalog knows it.
    let other =
        project.run_catalog("fer2013").set("download.revision=").args(["--only", "download"]).output();
    other.helpful_error(&["download: ", "70 rows where the catalog has 28709"]);
    set.runs_through();
}

/// Signs of many sizes, which the hub calls by other names, in the same order.
#[test]
fn gtsrb_runs_from_the_hub_to_an_evaluated_student() {
    let other_names: Vec<String> = (0..43).map(|sign| format!("a description of sign {sign}")).collect();
    let other_names: Vec<&str> = other_names.iter().map(String::as_str).collect();
    Set {
        name: "gtsrb",
        folder: "data",
        files: &[(ONE_FILE_EACH[0], 86), (ONE_FILE_EACH[1], 43)],
        form: form("image", "label", &other_names),
        image: |class, seed| {
            // 25 to 243 pixels, and hardly ever square.
            let side = |of: u64| 25 + (of * 73 % 219) as u32;
            let image = image_set::drawn(class, seed, [side(seed), side(seed + 1)]);
            image_set::encode(&image.into(), ImageFormat::Png)
        },
        ours: same(&other_names),
        prefixes: &PREFIXES,
        splits: [86, 43],
    }
    .runs_through();
}

#[test]
fn without_another_revision_the_catalogs_checksums_are_demanded() {
    let project = Project::new();
    cifar10().publish(&project);
    let run = || project.run_catalog("cifar10").args(["--only", "download"]);
    let pinned = "0b2714987fa478483af9968de7c934580d0bb9a2";
    for revision in ["", pinned] {
        let error = run().set(&format!("download.revision={revision}")).output();
        error.helpful_error(&["download: ", "plain_text/train", pinned, "SHA-256", "8428b53a88a1"]);
    }
    // A choice that does not change what is taken does not change the result either.
    run().ok();
    run().set("download.revision=v1.0").ok();
    assert_eq!(project.ran(), ["download"]);
    run().ok();
    assert_eq!(project.ran(), Vec::<String>::new());
}

#[test]
fn a_repository_that_is_gone_is_answered_with_what_may_help() {
    let project = Project::new();
    let run = project.run_catalog("gtsrb").args(["--only", "download"]).output();
    run.helpful_error(&["download: ", "tanganke/gtsrb", "no such repository", "SET=download.revision=main"]);
}
