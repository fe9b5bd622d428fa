//! Runs side by side: `coreg runs`, `coreg diff`, and the page beside the table of variants.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;

use tests::image_set::{self, CLASSES};
use tests::program::Output;
use tests::project::{Project, ROWS};

fn diff(project: &Project, runs: &[&str]) -> Output {
    project.coreg().args(["diff"]).args(runs).output()
}

fn runs(project: &Project, args: &[&str]) -> String {
    project.coreg().args(["runs"]).args(args).ok().stdout
}

/// The page that a command says it wrote.
fn page(told: &str) -> String {
    let path = told.lines().find_map(|line| line.strip_prefix("Page: ")).unwrap();
    fs::read_to_string(path).unwrap()
}

/// A page that loads nothing and runs nothing.
fn stands_alone(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("default-src 'none'"));
    for forbidden in ["<script", "http:", "https:", "src="] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
}

/// The records of all runs, the oldest first.
fn records(project: &Project) -> Vec<PathBuf> {
    let entries = fs::read_dir(project.path("artifacts/runs")).unwrap();
    let mut records: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    records.sort();
    records
}

#[test]
fn two_runs_are_put_side_by_side_on_the_terminal_and_on_a_page() {
    let project = Project::after_a_run();
    project.run().set("co-reg.lambda_proto=0").ok();
    let told = diff(&project, &["shapes~1", "shapes"]).succeeded().stdout;
    let changed: Vec<&str> =
        told.lines().find(|line| line.contains("co-reg.lambda_proto")).unwrap().split_whitespace().collect();
    assert!(changed.len() == 3 && changed[2] == "0", "{told}");
    assert_eq!(told.matches("co-reg.").count(), 1, "one setting differs: {told}");
    for words in [
        "Test images whose class changed from A to B: ",
        " of 32\n",
        "McNemar's exact test",
        " figures that are the same in all",
        "the same result: download, clip, embed, annotate, label, statistics, warm-up",
        "another result:  co-reg, evaluate",
    ] {
        assert!(told.contains(words), "no `{words}` in {told}");
    }
    let page = page(&told);
    stands_alone(&page);
    for words in [
        "<bdi>co-reg.lambda_proto</bdi>",
        "<bdi>test accuracy</bdi>",
        "purity partial",
        "<svg",
        "only A is right",
    ] {
        assert!(page.contains(words), "no `{words}` in the page");
    }
    let names: Vec<String> =
        records(&project).iter().map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert!(project.path(&format!("artifacts/compare/{}--{}.html", names[0], names[1])).exists());

    let elsewhere = project.path("elsewhere/page.html");
    let told = diff(&project, &[&names[1], &names[0], "--output", elsewhere.to_str().unwrap()]).succeeded();
    assert!(told.stdout.contains("elsewhere/page.html") && elsewhere.exists(), "{}", told.stdout);

    let listed = runs(&project, &[]);
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 3, "{listed}");
    for (line, name) in lines[1..].iter().zip(&names) {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!((words[0], words[3], words[4]), (name.as_str(), "shapes", "co-reg"), "{listed}");
        assert!(line.contains(" % "), "{listed}");
    }
    // What tells the second run from the first comes first, and nothing is left out.
    let place = |word: &str| lines[2].find(word).unwrap_or_else(|| panic!("no {word} in {listed}"));
    assert!(place("co-reg.lambda_proto=0") < place("clip=some/clip") && !listed.contains('…'), "{listed}");
    assert!(place("clip=some/clip") < place("optimizer.budget=0"), "{listed}");
}

#[test]
fn runs_that_do_not_differ_are_said_not_to() {
    let project = Project::after_a_run();
    project.run().ok();
    for other in ["shapes", "shapes~1"] {
        let told = diff(&project, &["shapes", other]).succeeded().stdout;
        assert!(told.contains("no difference") && !told.contains("Page: "), "{told}");
    }
    assert!(!project.path("artifacts/compare").exists());
}

#[test]
fn a_result_that_was_cleaned_away_is_named_with_what_makes_it_again() {
    let project = Project::after_a_run();
    project.run().set("co-reg.lambda_proto=0").ok();
    project.coreg().args(["clean"]).ok();
    let error = diff(&project, &["shapes~1", "shapes"]);
    error.helpful_error(&["stage evaluate", "no longer kept", "coreg --artifacts ", " run --dataset "]);
    let listed = runs(&project, &["shapes"]);
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[1].contains(" cleaned ") && !lines[2].contains(" cleaned "), "{listed}");
}

#[test]
fn what_names_no_run_is_refused() {
    let project = Project::new();
    assert!(runs(&project, &[]).starts_with("no finished run is kept in "));
    diff(&project, &["shapes", "shapes"]).helpful_error(&["no run `shapes`", "coreg run"]);
    project.run().args(["--only", "label"]).ok();
    diff(&project, &["shapes", "circles"]).helpful_error(&["no run `circles`", "did you mean `shapes`"]);
    diff(&project, &["shapes", "shapes~1"]).helpful_error(&["only 1 of shapes are kept"]);
    diff(&project, &["shapes:x", "shapes"]).helpful_error(&["no branch `x`", "plain run"]);
    assert_eq!(diff(&project, &["shapes"]).code, Some(2), "one run is nothing to compare");
    // What was left out is left out.
    assert!(diff(&project, &["shapes", "shapes"]).succeeded().stdout.contains("no difference"));
    let listed = runs(&project, &[]);
    assert!(listed.contains(" –  "), "{listed}");
}

#[test]
fn the_same_images_under_another_name_are_compared() {
    let project = Project::after_a_run();
    project.describe("name = \"shapes\"", "name = \"forms\"");
    project.run().set("co-reg.lambda_proto=0").ok();
    let told = diff(&project, &["shapes", "forms"]).succeeded().stdout;
    assert!(told.contains("McNemar's exact test") && !told.contains(" are in both"), "{told}");
    assert!(!told.contains("not compared") && !page(&told).contains("not compared"), "{told}");
}

#[test]
fn of_other_images_under_one_name_those_are_compared_that_both_runs_have() {
    let project = Project::new();
    let put = |i: usize, bytes: &[u8]| {
        let split = if i.is_multiple_of(3) { "test" } else { "train" };
        project.put_image(&format!("{split}/{}/{i}.png", CLASSES[i % CLASSES.len()]), bytes);
    };
    let run = || {
        let labels = ["--name", "mine", "--labels", "synthetic q=0 eta=0"];
        project.run_images("images").args(labels).ok();
    };
    let rows = image_set::rows(1, 48);
    rows.iter().enumerate().for_each(|(i, row)| put(i, &row.bytes));
    run();
    put(0, &image_set::rows(2, 1)[0].bytes);
    run();
    let told = diff(&project, &["mine~1", "mine"]).succeeded().stdout;
    for words in
        ["  15 of 16 test images are in both", "/images, other contents", "another result:  download"]
    {
        assert!(told.contains(words), "no `{words}` in {told}");
    }
    assert!(page(&told).contains("15 of 16 test images are in both"));
}

#[test]
fn a_table_of_votes_that_was_edited_is_a_difference() {
    let project = Project::new();
    let run = |shift: usize| {
        let votes: String = (0..ROWS[0] + ROWS[1])
            .map(|row| {
                let id = match row {
                    row if row < ROWS[0] => format!("train-00000/{row:06}"),
                    row => format!("test-00000/{:06}", row - ROWS[0]),
                };
                format!("{id},anna,{}\n", CLASSES[(row + shift * usize::from(row < 8)) % CLASSES.len()])
            })
            .collect();
        let votes = project.file("votes.csv", &format!("id,annotator,class\n{votes}"));
        project.run().args(["--labels", "votes", "--votes", &votes]).ok();
    };
    run(0);
    run(1);
    let told = diff(&project, &["shapes~1", "shapes"]).succeeded().stdout;
    let line = told.lines().find(|line| line.contains("votes.file")).unwrap();
    assert!(line.ends_with("votes.csv, other contents"), "{told}");
    assert!(!told.contains("first annotator") && !told.contains("first template"), "{told}");
}

#[test]
fn a_record_of_an_older_form_is_listed_and_not_compared() {
    let project = Project::after_a_run();
    let record = records(&project).remove(0);
    let text = fs::read_to_string(&record).unwrap();
    let older = text.replacen("\"format\":\"coreg run 2\",", "", 1);
    assert_ne!(older, text);
    fs::write(&record, older).unwrap();
    diff(&project, &["shapes", "shapes"]).helpful_error(&["older form", "run the same command again"]);
    assert!(runs(&project, &[]).contains("other form"));
}

#[test]
fn variants_have_a_page_and_each_branch_is_a_run_of_its_own() {
    let project = Project::new();
    let file = project.file("proto.toml", "[grid]\n'co-reg.lambda_proto' = [0.0, 0.5]\n");
    let command = ["ablations", "--variants", file.as_str(), "--seeds", "2"];
    let told = project.on_shapes(project.coreg(), &command).ok().stdout;
    assert!(told.contains("proto.html"), "{told}");
    let page = fs::read_to_string(project.view("proto.html")).unwrap();
    stands_alone(&page);
    for words in [
        "over 2 seeds",
        "<bdi>co-reg.lambda_proto = 0.5</bdi>",
        " ± ",
        "<svg",
        "can be told apart",
        "figures that are the same in all",
    ] {
        assert!(page.contains(words), "no `{words}` in the page");
    }
    let place = |word: &str| page.find(word).unwrap_or_else(|| panic!("no {word} in the page"));
    assert!(place("<bdi>test accuracy</bdi>") < place("candidates an image"));
    assert!(!page.contains("class=\"picture\""));

    diff(&project, &["shapes", "shapes"]).helpful_error(&["has 4 branches", ":lambda-proto-0.0.seed0"]);
    diff(&project, &["shapes:lambda-proto-0.5", "shapes"])
        .helpful_error(&["2 branches like", "lambda-proto-0.5.seed1"]);
    let told = diff(&project, &["shapes:lambda-proto-0.0.seed0", "shapes:lambda-proto-0.5.seed0"])
        .succeeded()
        .stdout;
    assert!(
        told.contains("co-reg.lambda_proto") && told.contains("another result:  co-reg, evaluate"),
        "{told}"
    );
    assert_eq!(told.lines().filter(|line| line.starts_with("  co-reg.")).count(), 1, "{told}");
    let listed = runs(&project, &["shapes~0"]);
    assert!(listed.contains("4 branches") && listed.contains(":lambda-proto-0.5.seed1"), "{listed}");
}
