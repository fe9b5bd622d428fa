//! Exported labels that people corrected, given back as votes.

use arrow::array::Float32Array;
use tests::image_set::CLASSES;
use tests::project::Project;
use tests::tables::{lists, texts};

use super::{export, text};

pub(super) fn corrected_labels_come_back_as_votes(project: &Project) {
    let told = export(project, "shapes --format csv", "corrected.csv").ok().stdout;
    assert!(told.contains("coreg run --votes ") && !told.contains("votes.incomplete"), "{told}");
    // Everything is of the last class to whoever corrects it.
    let last = CLASSES[CLASSES.len() - 1];
    let csv = text(project, "corrected.csv");
    let corrected = |line: &str| {
        let mut fields: Vec<&str> = line.split(',').collect();
        fields[2] = last;
        fields.join(",")
    };
    let mut lines: Vec<String> = csv.lines().map(str::to_owned).collect();
    assert!(lines[1..].iter().any(|line| !line.contains(",1.0,")), "nobody is unsure of anything");
    lines[1..].iter_mut().for_each(|line| *line = corrected(line));
    let file = project.file("corrected.csv", &lines.join("\n"));
    let ran = project.run().args(["--votes", &file, "--labels", "votes", "--only", "annotate"]).ok();
    assert!(ran.stderr.contains("`confidence` does not count"), "{}", ran.stderr);
    let votes = project.table("annotate/votes.parquet");
    let mut expected = vec![0.0; CLASSES.len()];
    expected[CLASSES.len() - 1] = 1.0;
    for (id, probs) in texts(&votes, "id").into_iter().zip(lists::<Float32Array>(&votes, "mean_probs")) {
        assert_eq!(probs.values().to_vec(), expected, "{id}");
    }

    let some = export(project, "shapes --format csv --split train --only doubtful=5", "some.csv").ok().stdout;
    assert!(some.contains("--set votes.incomplete=true"), "{some}");
    let tested = export(project, "shapes --format csv --split test", "tested.csv").ok().stdout;
    assert!(!tested.contains("--votes"), "{tested}");
}
