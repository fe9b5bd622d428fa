//! `coreg show`: names in the place of numbers, and all that the stages say of an image.
#![allow(clippy::unwrap_used, clippy::panic)]

use arrow::array::{Float32Array, Int32Array, UInt16Array};
use tests::image_set::CLASSES;
use tests::project::Project;
use tests::tables::{column, lists, texts};

fn show(project: &Project, words: &[&str]) -> String {
    project.coreg().args(["show"]).args(words.to_vec()).ok().stdout
}

/// The cells of the row that has this text, in the table of this name.
fn cells(shown: &str, table: &str, text: &str) -> Vec<String> {
    let from = shown.find(&format!("/{table}.parquet")).unwrap_or_else(|| panic!("no {table} in: {shown}"));
    let mut lines = shown[from..].split("\n\n").next().unwrap().lines();
    let line = lines.find(|line| line.contains(&format!(" {text} "))).unwrap();
    line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
}

#[test]
fn classes_are_shown_by_their_names_unless_numbers_are_asked_for() {
    let project = Project::after_a_run();
    let labels = project.table("label/labels.parquet");
    let (ids, truth) = (texts(&labels, "id"), column::<Int32Array>(&labels, "label").value(5) as usize);
    let candidates = lists::<UInt16Array>(&labels, "candidates").swap_remove(5);
    let names: Vec<&str> = candidates.values().iter().map(|&class| CLASSES[usize::from(class)]).collect();
    let row = cells(&show(&project, &["shapes/label"]), "labels", &ids[5]);
    assert_eq!([row[2].as_str(), &row[6]], [format!("[{}]", names.join(", ")).as_str(), CLASSES[truth]]);
    let row = cells(&show(&project, &["shapes/label", "--numbers"]), "labels", &ids[5]);
    assert_eq!([&row[2], &row[6]], [&format!("{:?}", candidates.values().to_vec()), &truth.to_string()]);

    // A table that does not name its classes has those of the images beside it.
    let predictions = project.table("evaluate/predictions.parquet");
    let given = CLASSES[usize::from(column::<UInt16Array>(&predictions, "prediction").value(0))];
    let shown = show(&project, &["shapes/evaluate", "--rows", "1"]);
    let row = cells(&shown, "predictions", &texts(&predictions, "id")[0]);
    assert!(row[2] == given && row[3].ends_with(", …]"), "{row:?}");
    let first = row[3].split(", ").next().unwrap();
    assert!(first.ends_with(given), "the most probable class comes first: {row:?}");
    let width =
        lists::<Float32Array>(&project.table("embed/embeddings.parquet"), "embedding")[0].values().len();
    let shown = show(&project, &["shapes/embed"]);
    assert!(shown.contains(&format!("[… {width} numbers]")), "{shown}");
}

#[test]
fn an_image_is_shown_in_every_table_that_has_it() {
    let project = Project::after_a_run();
    let ids = texts(&project.table("download/images.parquet"), "id");
    let (train, test) = (&ids[3], ids.last().unwrap());
    let shown = show(&project, &["shapes", "--id", train]);
    for table in ["images", "embeddings", "votes", "labels", "pseudo_labels"] {
        assert_eq!(&cells(&shown, table, train)[0], train);
    }
    assert!(shown.contains("(1 of 96 rows)") && !shown.contains(&ids[4]), "{shown}");
    assert!(!shown.contains("predictions.parquet") && !shown.contains("metrics.parquet"), "{shown}");

    let part = test.rsplit_once('/').unwrap().0;
    let pattern = format!("{part}/00000*");
    let shown = show(&project, &["shapes/evaluate", "--id", &pattern, "--rows", "2"]);
    assert!(shown.contains("(10 of 32 rows)"), "{shown}");
    assert_eq!(shown.matches(&format!("{part}/")).count(), 2, "{shown}");
    let nowhere = ["show", "shapes", "--id", test, "--id", "train/nowhere"];
    project.coreg().args(nowhere).output().helpful_error(&["no image is called `train/nowhere`"]);
}

#[test]
fn of_no_row_the_columns_are_shown() {
    let project = Project::after_a_run();
    let shown = show(&project, &["shapes/label", "--rows", "0"]);
    assert!(shown.contains("(96 rows)") && !shown.contains("++"), "{shown}");
    assert!(shown.contains("| id | split | candidates | weights | single | human | label |"), "{shown}");
    // Such as a run's findings, where there are none.
    let shown = show(&project, &["shapes/findings", "--rows", "0"]);
    assert!(shown.contains("| kind | finding | advice |"), "{shown}");
}

#[test]
fn what_names_no_table_is_refused_with_what_may_have_been_meant() {
    let project = Project::after_a_run();
    let refused = |what: &str, words: &[&str]| {
        project.coreg().args(["show", what]).output().helpful_error(words);
    };
    refused("shape/label", &["no data set `shape`", "did you mean `shapes`?"]);
    refused("shapes/labels", &["no stage of shapes `labels`", "did you mean `label`?"]);
    refused("shapes/report", &["no table but a page", "shapes/report/index.html"]);
    refused("shapes/label/more", &["there is no table", "DATASET/STAGE"]);
}
