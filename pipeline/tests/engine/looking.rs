//! A store that is only looked at: it answers, and nothing in it changes.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use pipeline::schedule::{Status, plan};
use pipeline::stage::Cancel;
use pipeline::store::Store;

use crate::project::{Project, files_below};

#[test]
fn looking_at_a_store_makes_and_changes_nothing() {
    let project = Project::new();
    let graph = project.diamond("i", "p", "r");
    let looked = || plan(&graph, &Store::look(project.root()).unwrap(), None).unwrap();
    assert!(looked().iter().any(|node| matches!(node.status, Status::WouldRun { .. })));
    assert!(!project.root().exists(), "a store that was looked at was made");
    project.made(&graph);
    // What a dead process left is for who writes to remove.
    fs::create_dir(project.root().join("tmp/4194304-0")).unwrap();
    fs::write(project.root().join("tmp/4194304-0.lock"), "").unwrap();
    let before = files_below(&project.root());
    assert!(looked().iter().all(|node| matches!(node.status, Status::Cached { .. })));
    let store = Store::look(project.root()).unwrap();
    assert!(store.inspect(&Cancel::default(), &mut |_, _| ()).unwrap().is_empty());
    assert_eq!(files_below(&project.root()), before);
    assert!(project.root().join("tmp/4194304-0").exists());
    // The lock file of those who use the store is taken where it is there, and not made where it is not.
    fs::remove_file(project.root().join("locks/in-use.lock")).unwrap();
    assert!(store.inspect(&Cancel::default(), &mut |_, _| ()).unwrap().is_empty());
    assert!(!project.root().join("locks/in-use.lock").exists());
}

#[test]
fn what_would_write_is_refused_where_a_store_is_only_looked_at() {
    let project = Project::new();
    let graph = project.diamond("i", "p", "r");
    drop(project.store());
    let before = files_below(&project.root());
    let store = Store::look(project.root()).unwrap();
    let report = project.scheduler().run(&graph, &store, None, None).unwrap();
    let error = report.into_result().unwrap_err().to_string();
    assert!(error.contains("open to be read only"), "{error}");
    assert_eq!(files_below(&project.root()), before);
}

#[test]
fn inspecting_a_store_finds_what_verifying_it_finds_and_leaves_it_there() {
    let project = Project::new();
    project.made(&project.diamond("i", "p", "r"));
    let file = fs::canonicalize(project.view().join("demo/labels/text.txt")).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    bytes[0] ^= 1;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, bytes).unwrap();
    let before = files_below(&project.root());
    let mut seen = Vec::new();
    let store = Store::look(project.root()).unwrap();
    let found = store.inspect(&Cancel::default(), &mut |done, total| seen.push((done, total))).unwrap();
    assert!(found.len() == 1 && found[0].contains("does not hold what it held"), "{found:?}");
    assert_eq!(seen.last().map(|(done, total)| done == total), Some(true), "{seen:?}");
    assert_eq!(files_below(&project.root()), before);
    let verified = project.store().verify(&project.cancel, &mut |_, _| ()).unwrap();
    assert!(!verified.is_empty());
}
