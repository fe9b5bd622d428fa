//! What a run warns of, in its table and at the end of its summary.
#![allow(clippy::unwrap_used, clippy::panic)]

use tests::image_set;
use tests::project::{Project, ROWS, TEST};
use tests::tables::texts;

fn kinds(project: &Project) -> Vec<String> {
    texts(&project.table("findings/findings.parquet"), "kind")
}

#[test]
fn test_images_that_were_trained_on_are_named_with_what_to_do() {
    let project = Project::new();
    let train = image_set::rows(1, ROWS[0]);
    project.change_rows(TEST, |rows| {
        for place in [4, 9] {
            rows[place].bytes = train[place].bytes.clone();
        }
    });
    let told = project.run().ok().stdout;
    assert!(kinds(&project).contains(&"equal_images".to_owned()), "{told}");
    for words in
        ["Worth a second look", "2 test images (6.2 %) are training images, too", "try: take copies out"]
    {
        assert!(told.contains(words), "no `{words}` in {told}");
    }
    assert!(told.contains("`test-00000/000004`") && told.contains("`train-00000/000004`"), "{told}");

    let project = Project::after_a_run();
    assert!(!kinds(&project).contains(&"equal_images".to_owned()));
}

#[test]
fn labels_of_one_class_are_nothing_to_learn() {
    let project = Project::new();
    let votes: String = (0..ROWS[0] + ROWS[1])
        .map(|row| {
            let id = match row {
                row if row < ROWS[0] => format!("train-00000/{row:06}"),
                row => format!("test-00000/{:06}", row - ROWS[0]),
            };
            format!("{id},a,stripes\n")
        })
        .collect();
    let votes = project.file("votes.csv", &format!("id,annotator,class\n{votes}"));
    let told = project.run().args(["--labels", "votes", "--votes", &votes]).ok().stdout;
    assert!(kinds(&project).contains(&"one_class".to_owned()), "{told}");
    assert!(told.contains("every training image is most likely `stripes`"), "{told}");
}

#[test]
fn a_limit_that_leaves_images_out_is_said_every_time() {
    let project = Project::new();
    for _ in 0..2 {
        let told = project.run().set("download.limit_train=16").ok().stdout;
        assert!(told.contains("download.limit_train=16 are taken"), "{told}");
    }
    let told = project.run().set("download.limit_train=65").ok().stdout;
    assert!(!told.contains("download.limit_train"), "{told}");
}
