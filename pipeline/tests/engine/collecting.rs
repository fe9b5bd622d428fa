//! Garbage: what goes and what stays.

use std::fs;
use std::time::Duration;

use pipeline::store::{Freed, Policy};

use crate::project::{Project, files_below};

/// A project with two results of `report`, the first of which nobody uses any more.
fn with_garbage() -> Project {
    let project = Project::new();
    project.made(&project.diamond("i", "p", "r"));
    project.made(&project.diamond("i", "p", "new"));
    project
}

#[test]
fn what_the_nodes_used_last_is_kept_and_the_rest_goes() {
    let project = with_garbage();
    let freed = project.store().collect(Policy::Unreachable, false).unwrap();
    assert_eq!((freed.results, freed.objects), (1, 1));
    assert!(freed.bytes > 0);
    assert_eq!(project.made(&project.diamond("i", "p", "new")), [""; 0]);
    assert_eq!(project.made(&project.diamond("i", "p", "r")), ["report"]);
}

#[test]
fn a_dry_run_counts_the_same_and_removes_nothing() {
    let project = with_garbage();
    let before = files_below(&project.root());
    for policy in [Policy::Everything, Policy::Unreachable] {
        let counted = project.store().collect(policy, true).unwrap();
        assert_eq!(files_below(&project.root()), before);
        if policy == Policy::Unreachable {
            assert_eq!(project.store().collect(policy, false).unwrap(), counted);
        }
    }
}

#[test]
fn young_garbage_stays_if_only_older_goes() {
    let project = with_garbage();
    let freed = project.store().collect(Policy::OlderThan(Duration::from_secs(3600)), false).unwrap();
    assert_eq!(freed, Freed::default());
    let freed = project.store().collect(Policy::OlderThan(Duration::ZERO), false).unwrap();
    assert_eq!((freed.results, freed.objects), (1, 1));
}

#[test]
fn a_checkpoint_is_work_and_stays_unless_it_is_old() {
    let project = with_garbage();
    let checkpoint = project.root().join("checkpoints").join("0".repeat(64));
    fs::create_dir(&checkpoint).unwrap();
    fs::write(checkpoint.join("epoch"), "7").unwrap();
    project.store().collect(Policy::Unreachable, false).unwrap();
    project.store().collect(Policy::OlderThan(Duration::from_secs(3600)), false).unwrap();
    assert!(checkpoint.exists());
    let freed = project.store().collect(Policy::OlderThan(Duration::ZERO), false).unwrap();
    assert_eq!(freed.checkpoints, 1);
    assert!(!checkpoint.exists());
}

#[test]
fn an_object_that_two_results_share_stays_while_one_is_used() {
    let project = Project::new();
    project.made(&project.diamond("i", "p", "r"));
    let file = project.folder.path().join("p");
    fs::write(&file, "p").unwrap();
    let mut graph = pipeline::graph::Graph::new("demo").unwrap();
    let same = crate::project::Tiny { files: vec![file], ..project.tiny("prompts", "") };
    project.source(&mut graph, same);
    project.made(&graph);
    let freed = project.store().collect(Policy::Unreachable, false).unwrap();
    assert_eq!((freed.results, freed.objects), (1, 0));
    assert_eq!(project.shown("prompts"), "p");
}

#[test]
fn everything_means_everything() {
    let project = with_garbage();
    project.store().collect(Policy::Everything, false).unwrap();
    for kind in ["objects", "results", "heads", "checkpoints", "damaged", "tmp"] {
        assert!(files_below(&project.root().join(kind)).is_empty(), "{kind}");
    }
    assert_eq!(project.made(&project.diamond("i", "p", "new")).len(), 4);
}
