//! SIGKILL at random moments over whole runs, downloads and commits included.
//!
//! The suite has a short version. The long one, with its figures on standard output:
//! `COREG_KILLS=200 cargo nextest run --release -p tests --run-ignored all --no-capture kills::`
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tests::image_set::Random;
use tests::program::Running;
use tests::project::{Project, STAGES};

/// Epochs enough to fall into the middle of.
const LONG: &str = "warm-up.epochs=6 co-reg.epochs=6 distill.epochs=3";

#[test]
fn kills_at_random_moments_and_in_commits_cost_nothing_that_was_finished() {
    kill(10, 1);
}

#[test]
#[ignore = "takes many minutes: COREG_KILLS says how many"]
fn as_many_kills_as_the_environment_asks_for() {
    let kills = std::env::var("COREG_KILLS").map_or(200, |n| n.parse().unwrap());
    let seed = std::env::var("COREG_SEED").map_or(1, |n| n.parse().unwrap());
    kill(kills, seed);
}

/// Kills and what they left, counted.
#[derive(Default, Debug)]
struct KillCounts {
    kills: usize,
    restarts: usize,
    rounds: usize,
    compared: usize,
    /// Kills by the number of results that were kept by then.
    by_results: BTreeMap<usize, usize>,
    /// Kills that left something unfinished in `tmp/`, or a checkpoint.
    with_unfinished: usize,
    with_checkpoint: usize,
}

/// Kills runs until there were `kills`, each round in a new folder and without a cache of the hub, until a
/// run comes to its end undisturbed; then compares every artifact.
fn kill(kills: usize, seed: u64) {
    let project = Project::new();
    let begun = Instant::now();
    project.run_into("undisturbed").set(LONG).ok();
    let whole = begun.elapsed();
    let expected = project.artifact_bytes_in("undisturbed");
    let mut random = Random(seed);
    let mut counts = KillCounts::default();
    while counts.kills < kills {
        counts.rounds += 1;
        remove(&project.path("cache"));
        remove(&project.path("artifacts"));
        // A run is killed six times or so before it comes to its end.
        while counts.kills < kills {
            let mut running = project.run().set(LONG).start();
            counts.restarts += 1;
            let over = match random.below(2) {
                0 => after_a_while(&mut running, whole, &mut random),
                _ => after_a_change(&mut running, &project.path("artifacts/store"), &mut random),
            };
            if !over {
                running.signal("KILL");
            }
            // Some end just before the signal.
            let ended = running.end();
            if ended.code.is_some() {
                ended.succeeded();
                break;
            }
            counts.kills += 1;
            if counts.kills.is_multiple_of(20) {
                println!("{} kills, {:?}", counts.kills, begun.elapsed());
            }
            count_leftovers(&project, &mut counts);
            let store = project.path("artifacts/store");
            if store.join("FORMAT").exists() {
                project.is_whole();
                assert_eq!(names(&store.join("damaged")), [] as [String; 0]);
            }
        }
        let last = project.run().set(LONG).ok();
        counts.restarts += 1;
        assert!(!last.stderr.contains("damaged"), "{}", last.stderr);
        compare(&project, &expected);
        counts.compared += expected.len();
        for folder in ["tmp", "checkpoints", "damaged"] {
            assert_eq!(
                names(&project.path("artifacts/store").join(folder)),
                [] as [String; 0],
                "in {folder}"
            );
        }
        let unfinished: Vec<String> =
            all_below(&project.path("artifacts")).into_iter().filter(|path| is_unfinished(path)).collect();
        assert_eq!(unfinished, [] as [String; 0]);
    }
    println!("{counts:#?}\nan undisturbed run: {whole:?}; all: {:?}", begun.elapsed());
    assert!(counts.by_results.len() > 2, "all kills fell on the same stage: {counts:?}");
}

/// Waits for a random part of a run. Whether the run ended before.
fn after_a_while(running: &mut Running, whole: Duration, random: &mut Random) -> bool {
    let until = Instant::now() + whole * random.below(1000) / 2500;
    while Instant::now() < until {
        if running.is_over() {
            return true;
        }
        sleep(Duration::from_millis(1));
    }
    running.is_over()
}

/// Waits for one of the next changes in the store: an object, record, head or checkpoint that came or
/// went, or a file begun. So that many kills fall into the short time of a commit.
fn after_a_change(running: &mut Running, store: &Path, random: &mut Random) -> bool {
    let look = || all_below(store);
    let mut before = look();
    let mut left = 1 + random.below(60);
    while left > 0 {
        if running.is_over() {
            return true;
        }
        let now = look();
        left -= u32::from(now != before);
        before = now;
    }
    sleep(Duration::from_micros(u64::from(random.below(3000))));
    running.is_over()
}

/// Counts what the last kill left.
fn count_leftovers(project: &Project, counts: &mut KillCounts) {
    let store = project.path("artifacts/store");
    *counts.by_results.entry(names(&store.join("results")).len()).or_default() += 1;
    let unfinished = all_below(&store.join("tmp")).iter().any(|path| path.matches('/').count() > 1);
    counts.with_unfinished += usize::from(unfinished);
    counts.with_checkpoint += usize::from(!names(&store.join("checkpoints")).is_empty());
}

fn compare(project: &Project, expected: &BTreeMap<String, Vec<u8>>) {
    let found = project.artifact_bytes();
    assert!(found.len() > 2 * STAGES.len());
    let differ: Vec<_> = (expected.keys().chain(found.keys()))
        .filter(|name| expected.get(*name) != found.get(*name))
        .collect();
    assert!(differ.is_empty(), "these differ: {differ:?}");
}

/// Whether only something unfinished has such a name.
fn is_unfinished(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.starts_with("file-") || name.starts_with(".") || name.ends_with(".part")
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

/// The paths of all that is below a folder while others write there, `/name/name`, links not followed.
fn all_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for name in names(folder) {
        if folder.join(&name).symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
            found.extend(all_below(&folder.join(&name)).into_iter().map(|below| format!("/{name}{below}")));
        }
        found.push(format!("/{name}"));
    }
    found.sort();
    found
}

fn remove(folder: &Path) {
    if folder.exists() {
        // Kept files are read-only, their folders are not.
        fs::remove_dir_all(folder).unwrap();
    }
}
