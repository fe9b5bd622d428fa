//! A repository that was laid out anew: other shards, the hub's own conversion to Parquet, or a clear word.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;

use tests::hub::{COMMIT, CONVERTED_COMMIT, GONE};
use tests::image_set::{self as shapes, CLASSES, Row};
use tests::project::{Project, ROWS, TEST, TRAIN};

/// A hub on which the project's data set lies otherwise than its description says; runs only `download`.
struct Moved {
    project: Project,
    expected: Vec<u8>,
}

impl Moved {
    /// The hub has the files of `datasets/some/` that `lay_out` writes, given the rows of train and test.
    fn new(lay_out: impl Fn(&dyn Fn(&str, &[Row]), [Vec<Row>; 2])) -> Self {
        let project = Project::new();
        project.on_shapes(project.coreg_into("before"), &["run", "--only", "download"]).ok();
        let expected = fs::read(project.path("before/shapes/download/images.parquet")).unwrap();
        fs::remove_dir_all(project.path("cache")).unwrap();
        [TRAIN, TEST].iter().for_each(|file| fs::remove_file(project.path("hub").join(file)).unwrap());
        let put = |path: &str, rows: &[Row]| {
            shapes::write(&project.path("hub/datasets/some").join(path), rows, &CLASSES);
        };
        lay_out(&put, [shapes::rows(1, ROWS[0]), shapes::rows(2, ROWS[1])]);
        Self { project, expected }
    }

    /// Asserts that the same images come out, ids and all, with a note that has these words.
    fn is_read(&self, words: &[&str]) {
        let run = self.project.run().args(["--only", "download"]).ok();
        assert_eq!(self.project.bytes("download/images.parquet"), self.expected);
        words.iter().for_each(|word| assert!(run.stderr.contains(word), "no `{word}` in: {}", run.stderr));
        // What is in the cache now does without the hub.
        let offline =
            self.project.on_shapes(self.project.coreg_into("offline"), &["run", "--only", "download"]);
        offline.env("HF_HUB_OFFLINE", "1").env("HF_ENDPOINT", "http://127.0.0.1:1").ok();
    }

    fn is_refused(&self, words: &[&str]) {
        self.project.run().args(["--only", "download"]).output().helpful_error(words);
    }
}

const SHARDS: [&str; 3] = [
    "shapes/data/train-00000-of-00003.parquet",
    "shapes/data/train-00001-of-00003.parquet",
    "shapes/data/train-00002-of-00003.parquet",
];
/// Writes some of the [`SHARDS`], with these of the rows.
fn put_shards<const N: usize>(
    put: &dyn Fn(&str, &[Row]),
    train: &[Row],
    shards: [(usize, std::ops::Range<usize>); N],
) {
    shards.into_iter().for_each(|(shard, rows)| put(SHARDS[shard], &train[rows]));
}

const ONE_TEST: &str = "shapes/data/test-00000-of-00001.parquet";

#[test]
fn other_shards_of_a_split_are_the_same_images() {
    let moved = Moved::new(|put, [train, test]| {
        // Written last to first: what counts is their numbers.
        put_shards(put, &train, [(2, 50..64), (1, 30..50), (0, 0..30)]);
        put(ONE_TEST, &test);
    });
    moved.is_read(&[
        "has no `data/train-00000-of-00001.parquet`",
        "data/train-00002-of-00003.parquet",
        COMMIT,
    ]);
}

#[test]
fn shards_of_which_one_is_missing_are_not_taken() {
    let moved = Moved::new(|put, [train, test]| {
        put_shards(put, &train, [(0, 0..30), (2, 50..64)]);
        put(ONE_TEST, &test);
    });
    moved.is_refused(&["data/train-00000-of-00001.parquet", "train-00002-of-00003", "a whole set"]);
}

#[test]
fn shards_with_other_rows_in_all_are_refused() {
    let moved = Moved::new(|put, [train, test]| {
        put_shards(put, &train, [(0, 0..30), (1, 30..50), (2, 50..63)]);
        put(ONE_TEST, &test);
    });
    moved.is_refused(&["63 rows in 3 files where the catalog has 64", "revision"]);
}

#[test]
fn shards_of_a_description_are_replaced_together() {
    let moved = Moved::new(|put, [train, test]| {
        // The first shard is still there, and all rows are in another file too.
        put("shapes/data/train-00000-of-00002.parquet", &train[..40]);
        put("shapes/data/train-00000-of-00001.parquet", &train);
        put(ONE_TEST, &test);
    });
    let file = |shard, of, rows| {
        format!("path = \"data/train-0000{shard}-of-0000{of}.parquet\"\nsplit = \"train\"\nrows = {rows}\n")
    };
    let two = format!("{}\n[[source.files]]\n{}", file(0, 2, 40), file(1, 2, 24));
    moved.project.describe(&file(0, 1, 64), &two);
    moved.is_read(&[
        "has no `data/train-00001-of-00002.parquet`",
        "takes data/train-00000-of-00001.parquet of",
    ]);
}

#[test]
fn the_hubs_own_conversion_is_taken_where_there_is_no_such_file() {
    let moved = Moved::new(|put, [train, test]| {
        put("shapes/archive/all-00000-of-00001.parquet", &test);
        put("shapes.converted/default/train/0000.parquet", &train[..40]);
        put("shapes.converted/default/train/0001.parquet", &train[40..]);
        put("shapes.converted/default/test/0000.parquet", &test);
    });
    let checksum = format!("split = \"train\"\nsha256 = \"{}\"", "0".repeat(64));
    moved.project.describe("split = \"train\"", &checksum);
    moved.is_read(&[
        "has no `data/train-00000-of-00001.parquet`",
        "default/train/0000.parquet, default/train/0001.parquet",
        CONVERTED_COMMIT,
        "checksum is of another file and cannot be checked",
    ]);
}

#[test]
fn the_only_configuration_with_the_split_is_taken_whatever_its_name_and_one_of_two_is_not() {
    let one = |put: &dyn Fn(&str, &[Row]), [train, test]: [Vec<Row>; 2]| {
        put("shapes.converted/v2/train/0000.parquet", &train);
        put("shapes.converted/v2/test/0000.parquet", &test);
    };
    Moved::new(one).is_read(&["v2/train/0000.parquet"]);
    let two = |put: &dyn Fn(&str, &[Row]), [train, test]: [Vec<Row>; 2]| {
        put("shapes.converted/v1/train/0000.parquet", &train);
        one(put, [train, test]);
    };
    Moved::new(two).is_refused(&["refs/convert/parquet", "v1/train/0000.parquet", "v2/train/0000.parquet"]);
}

#[test]
fn where_nothing_fits_both_places_are_named_and_what_is_there() {
    let moved = Moved::new(|put, [train, test]| {
        for number in 0..30 {
            put(&format!("shapes/parts/{number:02}.parquet"), &test[..1]);
        }
        put("shapes.converted/default/partial-train/0000.parquet", &train);
    });
    moved.is_refused(&[
        "download: ",
        "has no `data/train-00000-of-00001.parquet` of data set some/shapes",
        COMMIT,
        "data/train-…-of-….parquet",
        "refs/convert/parquet of default/train/….parquet",
        "the repository has: parts/00.parquet",
        "and 10 more",
        "refs/convert/parquet has: default/partial-train/0000.parquet",
    ]);
    fs::remove_dir_all(moved.project.path("hub/datasets/some/shapes.converted")).unwrap();
    moved.is_refused(&["refs/convert/parquet has: nothing"]);
}

#[test]
fn a_commit_that_is_gone_is_no_reason_to_take_another_unasked() {
    let project = Project::new();
    project.describe(COMMIT, GONE);
    let run = || project.run().args(["--only", "download"]);
    run().output().helpful_error(&[
        "download: ",
        GONE,
        "no such repository or revision",
        "download.revision=main",
    ]);
    run().set("download.revision=main").ok();
}
