//! Garbage: what goes and what stays.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use pipeline::store::{Freed, ItemKind, Policy};

use crate::project::{Project, files_below};

const DAY: Duration = Duration::from_secs(86_400);

/// A project with two results of `report`, the first of which nobody uses any more.
fn with_garbage() -> Project {
    let project = Project::new();
    project.made(&project.diamond("i", "p", "r"));
    project.made(&project.diamond("i", "p", "new"));
    project
}

/// What goes: kind and stage.
fn what(freed: &Freed) -> Vec<(ItemKind, Option<&str>)> {
    freed.items.iter().map(|item| (item.kind, item.stage.as_deref())).collect()
}

const REPORT: (ItemKind, Option<&str>) = (ItemKind::Result, Some("join-one"));

fn count(project: &Project, kind: &str) -> usize {
    fs::read_dir(project.root().join(kind)).unwrap().count()
}

/// The size of all that is kept.
fn size(project: &Project) -> u64 {
    let kinds = ["objects", "results", "checkpoints", "damaged"];
    let files = kinds.iter().flat_map(|kind| files_below(&project.root().join(kind)).into_values());
    files.map(|bytes| bytes.len() as u64).sum()
}

/// Makes something in the store look as if it was last used so long ago.
fn age(path: PathBuf, age: Duration) {
    if path.is_dir() {
        fs::read_dir(&path).unwrap().for_each(|entry| self::age(entry.unwrap().path(), age));
    }
    File::open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
}

#[test]
fn what_the_nodes_used_last_is_kept_and_the_rest_goes() {
    let project = with_garbage();
    let before = size(&project);
    let freed = project.store().collect(Policy::UNREACHABLE, false).unwrap();
    assert_eq!(what(&freed), [REPORT]);
    assert_eq!((count(&project, "results"), count(&project, "objects")), (4, 4));
    assert_eq!(
        (before - freed.bytes(), freed.stays, freed.in_use),
        (size(&project), size(&project), size(&project))
    );
    assert_eq!(project.made(&project.diamond("i", "p", "new")), [""; 0]);
    assert_eq!(project.made(&project.diamond("i", "p", "r")), ["report"]);
}

#[test]
fn a_dry_run_says_the_same_and_removes_nothing() {
    let project = with_garbage();
    let before = files_below(&project.root());
    for policy in [Policy::EVERYTHING, Policy::keep_under(0), Policy::UNREACHABLE] {
        let said = project.store().collect(policy, true).unwrap();
        assert_eq!(files_below(&project.root()), before);
        if policy == Policy::UNREACHABLE {
            assert_eq!(project.store().collect(policy, false).unwrap(), said);
        }
    }
}

#[test]
fn young_garbage_stays_if_only_older_goes() {
    let project = with_garbage();
    let hour = Policy::older_than(Duration::from_secs(3600));
    assert_eq!(what(&project.store().collect(hour, false).unwrap()), []);
    let freed = project.store().collect(Policy::older_than(Duration::ZERO), false).unwrap();
    assert_eq!(what(&freed), [REPORT]);
}

#[test]
fn the_age_of_a_result_counts_from_its_last_use() {
    let project = with_garbage();
    for entry in fs::read_dir(project.root().join("results")).unwrap() {
        age(entry.unwrap().path(), 40 * DAY);
    }
    // The older report is used again, and then the newer one is garbage that nobody used for 40 days.
    assert_eq!(project.made(&project.diamond("i", "p", "r")), [""; 0]);
    project.made(&project.diamond("i", "p", "third"));
    let freed = project.store().collect(Policy::older_than(30 * DAY), false).unwrap();
    assert_eq!(what(&freed), [REPORT]);
    assert_eq!(project.made(&project.diamond("i", "p", "r")), [""; 0]);
    assert_eq!(project.made(&project.diamond("i", "p", "new")), ["report"]);
}

#[test]
fn a_limit_takes_what_was_used_least_recently_and_no_more_than_it_must() {
    let project = Project::new();
    for (n, report) in ["a", "b", "c", "d"].iter().enumerate() {
        project.made(&project.diamond("i", "p", report));
        let head = fs::read_to_string(project.root().join("heads/demo/report")).unwrap();
        age(project.root().join(format!("results/{}.json", head.trim())), DAY * (10 - n as u32));
    }
    // `a` is the oldest of all, but used just now; `d` is in use. `b` goes first, then `c`.
    project.made(&project.diamond("i", "p", "a"));
    project.made(&project.diamond("i", "p", "d"));
    let whole = size(&project);
    assert_eq!(what(&project.store().collect(Policy::keep_under(whole), false).unwrap()), []);
    let freed = project.store().collect(Policy::keep_under(whole - 1), false).unwrap();
    assert_eq!(what(&freed), [REPORT]);
    assert_eq!(freed.stays, size(&project));
    assert_eq!(project.made(&project.diamond("i", "p", "a")), [""; 0]);
    assert_eq!(project.made(&project.diamond("i", "p", "c")), [""; 0]);
    assert_eq!(project.made(&project.diamond("i", "p", "b")), ["report"]);
}

#[test]
fn a_limit_never_takes_what_is_in_use_unless_told_to() {
    let project = with_garbage();
    let freed = project.store().collect(Policy::keep_under(0), false).unwrap();
    assert_eq!(what(&freed), [REPORT]);
    assert!(freed.stays > 0 && freed.stays == freed.in_use);
    assert_eq!(project.made(&project.diamond("i", "p", "new")), [""; 0]);
    let freed = project.store().collect(Policy { in_use: true, ..Policy::keep_under(0) }, false).unwrap();
    assert_eq!((freed.count(ItemKind::Result), freed.stays), (4, 0));
    assert_eq!(project.made(&project.diamond("i", "p", "new")).len(), 4);
}

#[test]
fn a_checkpoint_is_work_and_stays_unless_it_is_old_or_meant() {
    let project = with_garbage();
    let checkpoint = project.root().join("checkpoints").join("0".repeat(64));
    let make = || {
        fs::create_dir(&checkpoint).unwrap();
        fs::write(checkpoint.join("epoch"), "7").unwrap();
    };
    make();
    for policy in [Policy::UNREACHABLE, Policy::keep_under(0), Policy::older_than(DAY)] {
        assert_eq!(project.store().collect(policy, false).unwrap().count(ItemKind::Checkpoint), 0);
    }
    assert!(checkpoint.exists());
    age(checkpoint.clone(), 2 * DAY);
    assert_eq!(
        project.store().collect(Policy::older_than(DAY), false).unwrap().count(ItemKind::Checkpoint),
        1
    );
    assert!(!checkpoint.exists());
    make();
    let only = Policy { results: false, checkpoints: true, ..Policy::UNREACHABLE };
    assert_eq!(what(&project.store().collect(only, false).unwrap()), [(ItemKind::Checkpoint, None)]);
    assert!(!checkpoint.exists());
}

#[test]
fn damaged_results_stay_unless_they_are_old_or_meant() {
    let project = with_garbage();
    let damage = || {
        let file = fs::canonicalize(project.view().join("demo/report")).unwrap().join("more/length.txt");
        fs::remove_file(file).unwrap();
        project.made(&project.diamond("i", "p", "new"));
        assert_eq!(count(&project, "damaged"), 1);
    };
    damage();
    for policy in [Policy::UNREACHABLE, Policy::keep_under(0), Policy::older_than(DAY)] {
        assert_eq!(project.store().collect(policy, false).unwrap().count(ItemKind::Damaged), 0);
    }
    fs::read_dir(project.root().join("damaged"))
        .unwrap()
        .for_each(|entry| age(entry.unwrap().path(), 2 * DAY));
    let freed = project.store().collect(Policy::older_than(DAY), false).unwrap();
    assert_eq!(what(&freed), [(ItemKind::Damaged, Some("join-one"))]);
    damage();
    let only = Policy { results: false, damaged: true, ..Policy::UNREACHABLE };
    assert_eq!(project.store().collect(only, false).unwrap().count(ItemKind::Damaged), 1);
    assert_eq!(count(&project, "damaged"), 0);
}

#[test]
fn an_object_without_a_record_is_garbage_whatever_its_age() {
    let project = with_garbage();
    fs::remove_file(fs::read_dir(project.root().join("results")).unwrap().next().unwrap().unwrap().path())
        .unwrap();
    let freed = project.store().collect(Policy::older_than(DAY), false).unwrap();
    assert_eq!(what(&freed), [(ItemKind::Object, None)]);
    assert_eq!((count(&project, "results"), count(&project, "objects")), (4, 4));
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
    let before = count(&project, "objects");
    let freed = project.store().collect(Policy::UNREACHABLE, false).unwrap();
    assert_eq!(what(&freed), [(ItemKind::Result, Some("source"))]);
    assert_eq!(count(&project, "objects"), before);
    assert_eq!(project.shown("prompts"), "p");
}

#[test]
fn everything_means_everything() {
    let project = with_garbage();
    project.store().collect(Policy::EVERYTHING, false).unwrap();
    for kind in ["objects", "results", "heads", "checkpoints", "damaged", "tmp"] {
        assert!(files_below(&project.root().join(kind)).is_empty(), "{kind}");
    }
    assert_eq!(project.made(&project.diamond("i", "p", "new")).len(), 4);
}

#[test]
fn links_to_objects_that_are_gone_go_and_no_others() {
    let project = with_garbage();
    let elsewhere = project.view().join("demo/mine");
    std::os::unix::fs::symlink("/nowhere", &elsewhere).unwrap();
    project.store().collect(Policy::UNREACHABLE, false).unwrap();
    project.store().unlink_view(&project.view()).unwrap();
    assert_eq!(project.shown("report"), "new(join(i,p))");
    project.store().collect(Policy::EVERYTHING, false).unwrap();
    project.store().unlink_view(&project.view()).unwrap();
    let left: Vec<_> =
        fs::read_dir(project.view().join("demo")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, [elsewhere]);
}
