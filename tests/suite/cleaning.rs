//! Freeing space: what `coreg clean` lists, removes and keeps.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;

use tests::project::Project;

#[test]
fn clean_lists_what_it_frees_and_keeps_what_newest_runs_use_and_all_run_records() {
    let project = Project::after_a_run();
    project.run().set("co-reg.lambda_proto=0").ok();
    let records = || fs::read_dir(project.path("artifacts/runs")).unwrap().count();
    let (before, kept) = (records(), project.artifact_bytes());
    let clean = |args: &[&str]| project.coreg().args(["clean"]).args(args).ok().stdout;
    assert!(clean(&["--older-than", "1d", "--dry-run"]).starts_with("would free 0 results, 0 B; "));
    let told = clean(&["--older-than", "0s", "--dry-run"]);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 5, "{told}");
    for (line, stage) in lines.iter().zip(["co-reg", "evaluate", "findings", "report"]) {
        assert!(told.contains(&format!("{stage:<12} result       used just now")), "{told}");
        assert!(line.contains(" kB ") || line.contains(" MB ") || line.contains(" B "), "{line}");
    }
    assert!(lines[4].starts_with("would free 4 results, ") && lines[4].ends_with(" stay"), "{told}");
    // They are used by nobody, and so go; what is in use stays, though it is more than was asked for.
    let told = clean(&["--keep-under", "1kB", "--dry-run"]);
    assert!(
        told.contains("would free 4 results") && told.contains("more than 1.0 kB: newest runs use"),
        "{told}"
    );
    assert!(clean(&["--keep-under", "1GB"]).starts_with("freed 0 results"));
    assert_eq!(project.artifact_bytes(), kept);
    assert!(clean(&["--keep-under", "1kB"]).contains("freed 4 results"));
    project.is_whole();
    project.run().set("co-reg.lambda_proto=0").ok();
    assert_eq!(project.ran(), [] as [String; 0]);
    assert!(clean(&["--all"]).contains("freed 11 results"));
    assert!(!project.view("label").is_symlink(), "a link to nothing is left");
    assert_eq!(records(), before + 1);
    for wrong in [&["--older-than", "soon"][..], &["--keep-under", "much"], &["--damaged", "--all"]] {
        let output = project.coreg().args(["clean"]).args(wrong).output();
        assert_eq!(output.code, Some(2), "{}", output.stderr);
    }
}

#[test]
fn clean_takes_checkpoints_and_damaged_results_when_they_are_meant() {
    let project = Project::after_a_run();
    let mut running = project.run().set("warm-up.epochs=30").start();
    running.until("warm-up      epoch 1");
    running.signal("KILL");
    running.end();
    fs::remove_file(fs::canonicalize(project.view("evaluate/metrics.parquet")).unwrap()).unwrap();
    project.coreg().args(["verify"]).output().error(&["damaged"]);
    let clean = |args: &[&str]| project.coreg().args(["clean"]).args(args).ok().stdout;
    assert!(!clean(&["--older-than", "1h"]).contains("checkpoint"));
    assert!(clean(&["--checkpoints", "--older-than", "1h"]).starts_with("freed 0 results, 0 B"));
    // The object and its record.
    let told = clean(&["--damaged"]);
    assert!(told.contains("evaluate     damaged") && told.contains("freed 0 results, 2 damaged, "), "{told}");
    let told = clean(&["--checkpoints"]);
    assert!(
        told.contains("checkpoint   used just now") && told.contains("0 results, 1 checkpoint, "),
        "{told}"
    );
    project.run().ok();
    // The same bytes, so that what follows stays.
    assert_eq!(project.ran(), ["evaluate"]);
}
