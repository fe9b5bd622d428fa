//! Disks that are full or read-only, at whatever write of whatever stage, and freeing space.
//!
//! More steps than the suite's: `COREG_STEPS=100 cargo nextest run --release -p tests disks::`
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tests::child::Coreg;
use tests::world::{STAGES, World};

/// A folder of the world as a file system of its own, in memory; unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    /// None where this user may not mount.
    fn mount(world: &World, name: &str) -> Option<Self> {
        let folder = world.path(name);
        fs::create_dir_all(&folder).unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&folder).output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        println!("skipped: a file system in memory cannot be mounted here (it takes root)");
        None
    }

    /// Whether it could be made so.
    fn remount(&self, options: &str) -> bool {
        let options = format!("remount,{options}");
        Command::new("mount").args(["-o", &options]).arg(&self.0).output().unwrap().status.success()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Short, and with every stage there is.
fn run(world: &World) -> Coreg {
    world.run().set("warm-up.epochs=1 co-reg.epochs=2 distill.epochs=1")
}

fn same_as_undisturbed(world: &World) {
    world.is_whole();
    world.run_into("undisturbed").set("warm-up.epochs=1 co-reg.epochs=2 distill.epochs=1").ok();
    let (one, two) = (world.artifact_bytes(), world.artifact_bytes_in("undisturbed"));
    assert!(one.len() > 2 * STAGES.len() && one == two);
}

/// Runs again and again on a disk that grows a little each time, until the run comes to its end.
fn grow(name: &str, unlimited: &str, limits: impl Iterator<Item = String>) {
    let world = World::new();
    let Some(disk) = Disk::mount(&world, name) else { return };
    let mut failed_in: Vec<String> = Vec::new();
    let mut failures = 0;
    for limit in limits {
        // Refused where it holds more than that already: the next limit then.
        if !disk.remount(&limit) {
            continue;
        }
        let output = run(&world).output();
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
        world.is_whole();
    }
    assert!(disk.remount(unlimited));
    run(&world).ok();
    failed_in.dedup();
    println!("{failures} runs failed, in {failed_in:?}");
    assert!(failures > 2 && !failed_in.is_empty(), "{failures} failed, in {failed_in:?}");
    same_as_undisturbed(&world);
}

fn steps() -> usize {
    std::env::var("COREG_STEPS").map_or(7, |n| n.parse().unwrap())
}

#[test]
fn a_store_that_is_full_at_any_write_is_said_and_the_next_run_goes_on() {
    let steps = steps();
    grow("artifacts/store", "size=100m", (1..=4 * steps).map(|n| format!("size={}k", n * 3600 / steps)));
}

#[test]
fn a_store_that_takes_no_further_file_is_said_and_the_next_run_goes_on() {
    let steps = steps();
    grow(
        "artifacts/store",
        "nr_inodes=10000",
        (1..=4 * steps).map(|n| format!("nr_inodes={}", n * 110 / steps)),
    );
}

#[test]
fn a_cache_of_the_hub_that_is_full_is_said_and_the_next_run_goes_on() {
    let steps = steps();
    grow("cache", "size=100m", (1..=4 * steps).map(|n| format!("size={}k", n * 500 / steps)));
}

#[test]
fn a_store_that_cannot_be_written_is_said_by_every_command() {
    let world = World::new();
    let Some(disk) = Disk::mount(&world, "artifacts/store") else { return };
    run(&world).ok();
    let before = world.artifact_bytes();
    assert!(disk.remount("ro"));
    let commands = [
        run(&world),
        run(&world).set("co-reg.lambda_proto=0"),
        world.plan(),
        world.coreg().args(["verify"]),
        world.coreg().args(["clean"]),
    ];
    for command in commands {
        command.output().helpful_error(&["artifacts/store", "Read-only file system", "name another folder"]);
    }
    world.coreg().args(["show", "shapes/label"]).ok();
    assert!(disk.remount("rw"));
    assert_eq!(world.artifact_bytes(), before);
    run(&world).ok();
    assert_eq!(world.ran(), [] as [String; 0]);
}

#[test]
fn clean_lists_what_it_frees_and_keeps_what_newest_runs_use_and_all_run_records() {
    let world = World::after_a_run();
    world.run().set("co-reg.lambda_proto=0").ok();
    let records = || fs::read_dir(world.path("artifacts/runs")).unwrap().count();
    let (before, kept) = (records(), world.artifact_bytes());
    let clean = |args: &[&str]| world.coreg().args(["clean"]).args(args).ok().stdout;
    assert!(clean(&["--older-than", "1d", "--dry-run"]).starts_with("would free 0 results, 0 B; "));
    let told = clean(&["--older-than", "0s", "--dry-run"]);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 3, "{told}");
    for (line, stage) in lines.iter().zip(["co-reg", "evaluate"]) {
        assert!(told.contains(&format!("{stage:<12} result       used just now")), "{told}");
        assert!(line.contains(" kB ") || line.contains(" MB ") || line.contains(" B "), "{line}");
    }
    assert!(lines[2].starts_with("would free 2 results, ") && lines[2].ends_with(" stay"), "{told}");
    // Both are used by nobody, and so go; what is in use stays, though it is more than was asked for.
    let told = clean(&["--keep-under", "1kB", "--dry-run"]);
    assert!(
        told.contains("would free 2 results") && told.contains("more than 1.0 kB: newest runs use"),
        "{told}"
    );
    assert!(clean(&["--keep-under", "1GB"]).starts_with("freed 0 results"));
    assert_eq!(world.artifact_bytes(), kept);
    assert!(clean(&["--keep-under", "1kB"]).contains("freed 2 results"));
    world.is_whole();
    world.run().set("co-reg.lambda_proto=0").ok();
    assert_eq!(world.ran(), [] as [String; 0]);
    assert!(clean(&["--all"]).contains("freed 9 results"));
    assert!(!world.view("label").is_symlink(), "a link to nothing is left");
    assert_eq!(records(), before + 1);
    for wrong in [&["--older-than", "soon"][..], &["--keep-under", "much"], &["--damaged", "--all"]] {
        let output = world.coreg().args(["clean"]).args(wrong).output();
        assert_eq!(output.code, Some(2), "{}", output.stderr);
    }
}

#[test]
fn clean_takes_checkpoints_and_damaged_results_when_they_are_meant() {
    let world = World::after_a_run();
    let mut running = world.run().set("warm-up.epochs=30").start();
    running.until("warm-up      epoch 1");
    running.signal("KILL");
    running.end();
    fs::remove_file(fs::canonicalize(world.view("evaluate/metrics.parquet")).unwrap()).unwrap();
    world.coreg().args(["verify"]).output().error(&["damaged"]);
    let clean = |args: &[&str]| world.coreg().args(["clean"]).args(args).ok().stdout;
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
    world.run().ok();
    assert_eq!(world.ran(), ["evaluate"]);
}
