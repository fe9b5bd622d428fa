//! A disk that is full, at whatever write: an error that says so, a whole store, and the next run goes on.
//!
//! These tests mount a file system in memory, and are ignored where that is not asked for; `make test` runs them where
//! it can be done.

use std::fs;

use pipeline::store::Store;

use crate::project::{Project, files_below};
use disk::MemoryDisk;

/// The file of the crate `tests`, which this crate must not depend on: it builds image and table libraries.
#[path = "../../../tests/src/disk.rs"]
#[allow(dead_code)]
mod disk;

/// Runs again and again on a disk that grows by one unit each time, until the run comes to its end.
fn grow(unlimited: &str, limit: impl Fn(usize) -> String) {
    let project = Project::new();
    let disk = MemoryDisk::mount(&project.root(), unlimited);
    let graph = project.diamond(&"i".repeat(30_000), &"p".repeat(9000), &"r".repeat(20_000));
    let mut failed = 0;
    for n in 1.. {
        assert!(n < 1000, "it never comes to its end");
        // Refused where it has more than that already: the next limit then.
        if !disk.remount(&limit(n)) {
            continue;
        }
        let outcome = Store::open(project.root())
            .and_then(|store| project.scheduler().run(&graph, &store, None, None)?.into_result());
        let Err(error) = outcome else { break };
        let error = error.to_string();
        assert!(error.contains("help: the disk is full: free some space"), "{n}: {error}");
        assert!(error.contains("\n  at: ") && !error.contains("panicked"), "{n}: {error}");
        failed += 1;
        assert!(disk.remount(unlimited));
        let store = project.store();
        let damage = store.verify(&project.cancel, &mut |_, _| {}).unwrap();
        assert!(damage.is_empty(), "{n}: {damage:?}");
        drop(store);
        assert_eq!(fs::read_dir(project.root().join("tmp")).unwrap().count(), 0, "{n}");
    }
    println!("{failed} runs failed");
    assert!(failed > 20, "{failed}");
    let undisturbed = Project::new();
    undisturbed.made(&graph);
    let objects = |project: &Project| files_below(&project.root().join("objects"));
    assert_eq!(objects(&project), objects(&undisturbed));
}

#[test]
#[ignore = "mounts a file system in memory, which takes root"]
fn a_disk_that_is_full_at_any_write_ends_the_run_and_the_next_one_goes_on() {
    grow("size=100m", |n| format!("size={}k", 4 * n));
}

#[test]
#[ignore = "mounts a file system in memory, which takes root"]
fn a_disk_that_takes_no_further_file_at_any_moment_ends_the_run_and_the_next_one_goes_on() {
    grow("nr_inodes=10000", |n| format!("nr_inodes={n}"));
}
