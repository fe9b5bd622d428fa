//! Disks that are full or read-only, at whatever write of whatever stage.
//!
//! All tests of this file mount a file system in memory, and are ignored where that is not asked for; `make test` runs
//! them where it can be done. More steps than the suite's:
//! `COREG_STEPS=100 cargo nextest run --release -p tests --run-ignored all full_disks::`
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::process::Command;

use tests::disk::MemoryDisk;
use tests::program::Coreg;
use tests::project::{Project, STAGES};

/// Short, and with every stage there is.
fn run(project: &Project) -> Coreg {
    project.run().set("warm-up.epochs=1 co-reg.epochs=2 baselines=[\"distill\"] distill.epochs=1")
}

fn same_as_undisturbed(project: &Project) {
    project.is_whole();
    project
        .run_into("undisturbed")
        .set("warm-up.epochs=1 co-reg.epochs=2 baselines=[\"distill\"] distill.epochs=1")
        .ok();
    let (one, two) = (project.artifact_bytes(), project.artifact_bytes_in("undisturbed"));
    assert!(one.len() > 2 * STAGES.len() && one == two);
}

/// Runs again and again on a disk that grows a little each time, until the run comes to its end.
fn grow(name: &str, unlimited: &str, limits: impl Iterator<Item = String>) {
    let project = Project::new();
    let disk = MemoryDisk::mount(&project.path(name), unlimited);
    let mut failed_in: Vec<String> = Vec::new();
    let mut failures = 0;
    for limit in limits {
        // Refused where it holds more than that already: the next limit then.
        if !disk.remount(&limit) {
            continue;
        }
        let output = run(&project).output();
        if output.code == Some(0) {
            break;
        }
        failures += 1;
        let error = output.helpful_error(&["No space left on device", "  at: "]);
        assert!(
            ["free some space", "free space", "make room"].iter().any(|help| error.contains(help)),
            "{limit}: {error}"
        );
        let stages = error.lines().filter_map(|line| line.trim_start_matches("error: ").split_once(": "));
        failed_in
            .extend(stages.map(|(stage, _)| stage.to_owned()).filter(|stage| STAGES.contains(&&**stage)));
        assert!(disk.remount(unlimited));
        project.is_whole();
    }
    assert!(disk.remount(unlimited));
    run(&project).ok();
    failed_in.dedup();
    println!("{failures} runs failed, in {failed_in:?}");
    assert!(failures > 2 && !failed_in.is_empty(), "{failures} failed, in {failed_in:?}");
    same_as_undisturbed(&project);
}

fn steps() -> usize {
    std::env::var("COREG_STEPS").map_or(7, |n| n.parse().unwrap())
}

#[test]
#[ignore = "mounts a file system in memory, which takes root"]
fn a_store_that_is_full_at_any_write_is_said_and_the_next_run_goes_on() {
    let steps = steps();
    grow("artifacts/store", "size=100m", (1..=4 * steps).map(|n| format!("size={}k", n * 3600 / steps)));
}

#[test]
#[ignore = "mounts a file system in memory, which takes root"]
fn a_store_that_takes_no_further_file_is_said_and_the_next_run_goes_on() {
    let steps = steps();
    grow(
        "artifacts/store",
        "nr_inodes=10000",
        (1..=4 * steps).map(|n| format!("nr_inodes={}", n * 110 / steps)),
    );
}

#[test]
#[ignore = "mounts a file system in memory, which takes root"]
fn a_cache_of_the_hub_that_is_full_is_said_and_the_next_run_goes_on() {
    let steps = steps();
    grow("cache", "size=100m", (1..=4 * steps).map(|n| format!("size={}k", n * 500 / steps)));
}

#[test]
#[ignore = "mounts a file system in memory, which takes root"]
fn a_store_that_cannot_be_written_is_said_by_every_command_that_writes_and_read_by_the_others() {
    let project = Project::new();
    let disk = MemoryDisk::mount(&project.path("artifacts/store"), "size=100m");
    run(&project).ok();
    let before = project.artifact_bytes();
    assert!(disk.remount("ro"));
    let commands =
        [run(&project), run(&project).set("co-reg.lambda_proto=0"), project.coreg().args(["clean"])];
    for command in commands {
        command.output().helpful_error(&["artifacts/store", "Read-only file system", "name another folder"]);
    }
    project.coreg().args(["show", "shapes/label"]).ok();
    assert!(
        project.plan().set("warm-up.epochs=1 co-reg.epochs=2").ok().stdout.contains("label        cached")
    );
    let explained = project.on_shapes(project.coreg(), &["explain", "label"]).ok().stdout;
    assert!(explained.contains("label: cached") && explained.contains("newest result"), "{explained}");
    let verified = project.coreg().args(["verify"]).ok().stdout;
    assert!(verified.contains("only read") && verified.contains("every kept result is whole"), "{verified}");
    assert!(disk.remount("rw"));
    assert_eq!(project.artifact_bytes(), before);
    run(&project).ok();
    assert_eq!(project.ran(), [] as [String; 0]);
}

#[test]
#[ignore = "mounts a file system in memory, which takes root"]
fn too_little_room_is_found_out_before_anything_runs() {
    let project = Project::new();
    let _disk = MemoryDisk::mount(&project.path("small"), "size=64m");
    let error = project.run_into("small").output().helpful_error(&["MB are free", "small", "make room"]);
    assert!(error.contains("64 MB") || error.contains("63 MB"), "{error}");
    assert_eq!(project.hub.take_log(), []);
}

#[test]
#[ignore = "mounts a file system in memory, which takes root"]
fn a_disk_that_fills_up_during_training_costs_no_finished_stage() {
    let project = Project::new();
    let disk = MemoryDisk::mount(&project.path("artifacts"), "size=560m");
    let mut running = project.run().set("co-reg.epochs=200").start();
    running.until("co-reg       epoch 1");
    let filler = disk.folder().join("filler");
    let filled =
        Command::new("dd").args(["if=/dev/zero", "bs=1M"]).arg(format!("of={}", filler.display())).output();
    assert!(!filled.unwrap().status.success(), "the disk should have been filled");
    let failed = running.end();
    failed.helpful_error(&["co-reg: ", "No space left", "make room"]);
    fs::remove_file(filler).unwrap();
    project.is_whole();
    project.run().ok();
    assert_eq!(project.ran(), ["co-reg", "evaluate", "findings", "report"]);
}
