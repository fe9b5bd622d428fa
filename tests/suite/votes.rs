//! Votes from elsewhere, alone and beside CLIP's, and several CLIPs at once.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Float32Type, Float64Type, UInt16Type, UInt64Type};
use tests::image_set::CLASSES;
use tests::program::Coreg;
use tests::project::{Project, ROWS, TEMPLATES};
use tests::tables::{figures, metadata, texts};
use tests::votes_table::{self, Vote};

/// The votes on image `row`.
fn votes(table: &RecordBatch, row: usize) -> Vec<Option<u16>> {
    let lists = table.column_by_name("votes").unwrap().as_list::<i32>().clone();
    lists.value(row).as_primitive::<UInt16Type>().iter().collect()
}

/// The votes of a language model and of a person on the training images: the model answers every time, in a sentence,
/// and at times with what is no class; the person looks at every second image.
fn two_annotators() -> Vec<Vote> {
    let id = |row: usize| format!("train-00000/{row:06}");
    let model = (0..ROWS[0]).map(|row| {
        let answer = match row % 8 {
            5 => "I cannot tell.".to_owned(),
            6 => "A circle!".to_owned(),
            _ => format!("The image shows {}.", CLASSES[row % 4]),
        };
        (id(row), "llava", Some(answer), Some(0.7))
    });
    let person =
        (0..ROWS[0]).step_by(2).map(|row| (id(row), "anna", Some(CLASSES[row % 4].to_uppercase()), None));
    model.chain(person).collect()
}

fn with_votes_table() -> Project {
    let project = Project::new();
    votes_table::write(&project.path("votes.parquet"), &two_annotators());
    project.file("aliases.txt", "disc: circle | round thing\n");
    project
}

fn run(project: &Project) -> Coreg {
    run_with(project, "votes")
}

fn run_with(project: &Project, labels: &str) -> Coreg {
    let aliases = format!("votes.aliases={}", project.path("aliases.txt").display());
    let file = project.path("votes.parquet");
    project.run().args(["--labels", labels, "--votes", file.to_str().unwrap()]).set(&aliases)
}

#[test]
fn votes_of_others_train_a_student_and_no_clip_is_asked() {
    let project = with_votes_table();
    let ran = run(&project).ok();
    assert_eq!(
        project.ran(),
        [
            "download",
            "annotate",
            "label",
            "statistics",
            "warm-up",
            "co-reg",
            "evaluate",
            "findings",
            "report"
        ]
    );
    assert!(!project.hub.take_log().iter().any(|asked| asked.path.contains("some/clip")));
    assert!(
        ran.stdout.contains("What the votes say") && ran.stdout.contains("2 annotators"),
        "{}",
        ran.stdout
    );

    let all = project.table("annotate/votes.parquet");
    let names = metadata(&project.view("annotate/votes.parquet")).unwrap();
    assert_eq!(names["annotators"], serde_json::json!(["anna", "llava"]));
    assert_eq!(all.num_rows(), ROWS[0] + ROWS[1]);
    // The hub's files are in order, so the first rows are the training images.
    assert_eq!(votes(&all, 0), [Some(0), Some(0)]);
    assert_eq!(votes(&all, 1), [None, Some(1)]);
    assert_eq!(votes(&all, 5), [None, None]);
    assert_eq!(votes(&all, 6), [Some(2), Some(2)]);
    assert_eq!(votes(&all, ROWS[0]), [None, None]);
    let probs = all.column_by_name("mean_probs").unwrap().as_list::<i32>().value(0);
    let probs = probs.as_primitive::<Float32Type>();
    assert!((probs.value(0) - 0.85).abs() < 1e-6 && (probs.value(1) - 0.05).abs() < 1e-6, "{probs:?}");

    let unmatched = project.table("annotate/unmatched.parquet");
    assert_eq!(texts(&unmatched, "answer"), ["I cannot tell."]);
    assert_eq!(texts(&unmatched, "reason"), ["no class"]);
    assert_eq!(unmatched.column_by_name("images").unwrap().as_primitive::<UInt64Type>().value(0), 8);
    assert!(ran.stderr.contains("8 are or hold an alias, 8 hold no class"), "{}", ran.stderr);
    assert!(ran.stderr.contains("32 test images have no vote"), "{}", ran.stderr);

    // Whoever has no vote may be of any class.
    let labels = project.table("label/labels.parquet");
    let candidates =
        |row: usize| labels.column_by_name("candidates").unwrap().as_list::<i32>().value(row).len();
    assert_eq!([candidates(0), candidates(5), candidates(ROWS[0])], [1, 4, 4]);
    let single = labels.column_by_name("single").unwrap();
    assert!(single.is_valid(0) && single.is_null(5));

    let by_annotator = project.table("statistics/templates.parquet");
    let value = |name: &str, row: usize| {
        by_annotator.column_by_name(name).unwrap().as_primitive::<Float64Type>().value(row)
    };
    assert_eq!(texts(&by_annotator, "template"), ["anna", "llava", "anna", "llava"]);
    assert_eq!([value("voted", 0), value("voted", 1), value("voted", 2)], [0.5, 0.875, 0.0]);
    assert_eq!([value("accuracy", 0), value("accuracy", 1)], [1.0, 1.0]);
    assert_eq!([value("truths_added", 0), value("truths_added", 1)], [0.0, 24.0 / 56.0]);

    // What is said of candidates is said of images that somebody voted on.
    let summary = project.view("statistics/summary.parquet");
    let find = |metric: &str, split: &str| figures(&summary, Some(split)).get(metric).copied();
    assert_eq!((find("voted", "train"), find("voted", "test")), (Some(0.875), Some(0.0)));
    assert_eq!((find("avg_candidates", "train"), find("eta", "train")), (Some(1.0), Some(0.0)));
    assert_eq!((find("avg_candidates", "test"), find("eta", "test")), (None, None));
    assert!(!ran.stdout.contains("points above"), "{}", ran.stdout);

    // And nothing that nobody said is believed.
    let pseudo = project.table("co-reg/pseudo_labels.parquet");
    let w = pseudo.column_by_name("w").unwrap().as_primitive::<Float32Type>();
    let kinds = texts(&pseudo, "split_kind");
    for row in (5..ROWS[0]).step_by(8) {
        assert_eq!((kinds[row].as_str(), w.value(row)), ("unlabeled", 0.0), "{row}");
    }
    assert!(kinds.iter().any(|kind| kind == "partial"));

    run(&project).ok();
    assert_eq!(project.ran(), [""; 0]);
    let mut other = two_annotators();
    other[0].2 = Some("bars".to_owned());
    votes_table::write(&project.path("votes.parquet"), &other);
    run(&project).args(["--only", "label"]).ok();
    assert_eq!(project.ran(), ["annotate", "label"]);
}

/// The same votes as lines of text, with names of columns that other programs give.
#[test]
fn votes_in_a_table_of_text_are_those_of_the_parquet_file() {
    let project = with_votes_table();
    run(&project).args(["--only", "label"]).ok();
    let expected = project.table("label/labels.parquet");
    let (mut csv, mut json) = ("\u{feff}Image_ID;Model;Answer;Score\r\n".to_owned(), String::new());
    for (id, annotator, answer, confidence) in two_annotators() {
        let (answer, sure) = (answer.unwrap_or_default(), confidence.map(|sure| sure.to_string()));
        let sure = sure.unwrap_or_default().replace('.', ",");
        csv += &format!("{};{annotator};\"{answer}\";{sure}\r\n", id.replace('/', "\\"));
        let row =
            serde_json::json!({"id": id, "annotator": annotator, "class": answer, "confidence": confidence});
        json += &format!("{row}\n");
    }
    for (name, text) in [("votes.csv", csv), ("votes.jsonl", json)] {
        project.file(name, &text);
        let (file, aliases) = (project.path(name), project.path("aliases.txt"));
        let run =
            project.run().args(["--labels", "votes", "--votes", file.to_str().unwrap(), "--only", "label"]);
        let ran = run.set(&format!("votes.aliases={}", aliases.display())).ok();
        assert_eq!(project.table("label/labels.parquet"), expected, "{name}");
        let said = ran.stderr.contains("the column `Answer` is taken for `class`")
            && ran.stderr.contains("on ids written otherwise");
        assert_eq!(said, name == "votes.csv", "{}", ran.stderr);
    }
}

#[test]
fn an_answer_that_names_two_classes_makes_both_candidates() {
    let project = with_votes_table();
    let [one, two] = [CLASSES[0], CLASSES[1]];
    let mut rows = two_annotators();
    rows.retain(|row| row.1 == "llava");
    rows[0].2 = Some(format!("{two} or {one}"));
    rows[1].2 = Some(format!("There is no {one}."));
    votes_table::write(&project.path("votes.parquet"), &rows);
    let ran = run(&project).args(["--only", "statistics"]).ok();
    let labels = project.table("label/labels.parquet");
    let candidates = labels.column_by_name("candidates").unwrap().as_list::<i32>();
    let of = |row: usize| candidates.value(row).as_primitive::<UInt16Type>().values().to_vec();
    assert_eq!((of(0), of(1)), (vec![0, 1], vec![0, 1, 2, 3]));
    assert_eq!(texts(&project.table("annotate/further.parquet"), "id"), ["train-00000/000000"]);
    assert!(texts(&project.table("annotate/unmatched.parquet"), "reason").contains(&"negation".to_owned()));
    assert!(
        ran.stderr.contains("1 names several classes") && ran.stderr.contains("1 says what it is not"),
        "{}",
        ran.stderr
    );
}

#[test]
fn votes_join_those_of_clip() {
    let project = with_votes_table();
    let ran = run_with(&project, "clip+votes").ok();
    assert!(ran.stdout.contains("What CLIP and the votes say"), "{}", ran.stdout);
    assert!(ran.stdout.contains("5 votes an image"), "{}", ran.stdout);
    let all = project.table("annotate/votes.parquet");
    let names = metadata(&project.view("annotate/votes.parquet")).unwrap();
    let clip = TEMPLATES.map(|template| format!("some/clip: {template}"));
    let people = ["votes: anna", "votes: llava"].map(str::to_owned);
    assert_eq!(names["annotators"], serde_json::json!([&clip[..], &people[..]].concat()));
    let own = project.table("annotate.clip/votes.parquet");
    for row in 0..all.num_rows() {
        assert_eq!(votes(&all, row)[..3], votes(&own, row));
    }
    assert_eq!(votes(&all, 1)[3..], [None, Some(1)]);

    // Each source is cached by itself.
    votes_table::write(&project.path("votes.parquet"), &two_annotators()[1..]);
    let incomplete = run_with(&project, "clip+votes").args(["--only", "label"]).set("votes.incomplete=true");
    incomplete.ok();
    let mut ran = project.ran();
    ran.sort();
    assert_eq!(ran, ["annotate", "annotate.votes", "label"]);
}

#[test]
fn several_clips_vote_with_every_template_each() {
    let project = Project::new();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../stages/src/clip/golden/gelu");
    let models = format!("some/clip,{}", golden.display());
    let with =
        |models: &str| project.run().set(&format!("clip.model={models}")).args(["--only", "statistics"]);
    with(&models).ok();
    let statistics = project.table("statistics/templates.parquet");
    let by_model = ["some/clip".to_owned(), golden.display().to_string()];
    let all: Vec<String> =
        by_model.iter().flat_map(|model| TEMPLATES.map(|template| format!("{model}: {template}"))).collect();
    assert_eq!(texts(&statistics, "template"), [&all[..], &all[..]].concat());
    let joined = project.table("annotate/votes.parquet");
    let one = project.table("annotate.clip/votes.parquet");
    let two = project.table("annotate.gelu/votes.parquet");
    for row in 0..joined.num_rows() {
        assert_eq!(votes(&joined, row), [votes(&one, row), votes(&two, row)].concat());
    }
    // One of them alone is what it was beside the other: only what reads the votes runs.
    with("some/clip").ok();
    let mut ran = project.ran();
    ran.sort();
    assert_eq!(ran, ["label", "statistics"]);
}

#[test]
fn votes_that_do_not_fit_the_images_are_refused_with_the_first_few() {
    let project = with_votes_table();
    let refused = |change: &dyn Fn(&mut Vec<Vote>), words: &[&str]| {
        let mut rows = two_annotators();
        change(&mut rows);
        votes_table::write(&project.path("votes.parquet"), &rows);
        run(&project).output().helpful_error(words);
    };
    refused(&|rows| rows.truncate(60), &["4 training images have no row", "`train-00000/000060`"]);
    let other = |rows: &mut Vec<Vote>| {
        let mut other = rows[3].clone();
        other.2 = Some("bars, I think".to_owned());
        rows.push(other);
    };
    refused(&other, &["1 vote is there twice", "train-00000/000003 by llava"]);
    refused(&|rows| rows[2].0 = "nobody".to_owned(), &["1 vote is on", "`nobody`"]);
    refused(&|rows| rows[2].3 = Some(2.0), &["row 2", "confidence 2"]);
    project.file("aliases.txt", "diks: circle\n");
    refused(&|_| (), &["aliases.txt", "there is no class `diks`", "did you mean `disc`"]);
    project.file("aliases.txt", "disc: bars\n");
    refused(&|_| (), &["aliases.txt", "`bars` stands for two classes"]);
    project.is_whole();
}

#[test]
fn a_file_that_is_no_table_of_votes_is_refused_before_anything_runs() {
    let project = with_votes_table();
    let refused = |words: &[&str]| {
        run(&project).output().helpful_error(&[words, &["annotate: ", "votes.parquet"]].concat());
        assert!(project.hub.take_log().is_empty());
    };
    let path = project.path("votes.parquet");
    let text = |name, value: &str| (name, Arc::new(StringArray::from(vec![value])) as ArrayRef);
    votes_table::write_columns(&path, vec![text("id", "x"), text("who", "x"), text("class", "x")]);
    refused(&["no column `annotator`", "who (Utf8)"]);
    let number: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    votes_table::write_columns(
        &path,
        vec![text("id", "x"), text("annotator", "x"), ("class", number), text("confidence", "very")],
    );
    refused(&["`confidence`", "Utf8"]);
    std::fs::write(&path, "id,annotator,class\n").unwrap();
    refused(&["cannot read the table of votes"]);
    std::fs::remove_file(&path).unwrap();
    refused(&["votes.parquet"]);
    project
        .run()
        .args(["--labels", "votes"])
        .output()
        .helpful_error(&["no votes are named", "VOTES=file.parquet"]);
}
