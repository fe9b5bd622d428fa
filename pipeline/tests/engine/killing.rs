//! A kill at any moment leaves the store whole.

use std::fs;
use std::time::Duration;

use rand::RngExt;

use crate::child::{round, spawn};
use crate::project::{Project, files_below};

/// What another process sees at a moment is what a kill at that moment would leave.
#[test]
fn another_process_never_sees_half_a_result() {
    let project = Project::new();
    let mut child = spawn("work-for-ever", project.folder.path());
    let rounds = || fs::read_to_string(project.folder.path().join("rounds")).unwrap_or_default();
    let store = project.store();
    while rounds().parse::<usize>().unwrap_or(0) < 12 {
        let damage = store.verify(&project.cancel, &mut |_, _| {}).unwrap();
        assert!(damage.is_empty(), "{damage:?}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_kill_at_any_moment_leaves_nothing_half_done() {
    let project = Project::new();
    let folder = project.folder.path();
    let mut random = pipeline::random::stream(1, "kills");
    for _ in 0..30 {
        let mut child = spawn("work-for-ever", folder);
        std::thread::sleep(Duration::from_millis(random.random_range(5..80)));
        child.kill().unwrap();
        child.wait().unwrap();
        let store = project.store();
        let damage = store.verify(&project.cancel, &mut |_, _| {}).unwrap();
        assert!(damage.is_empty(), "{damage:?}");
        drop(store);
        assert!(files_below(&project.root().join("tmp")).is_empty());
        assert_eq!(fs::read_dir(project.root().join("tmp")).unwrap().count(), 0);
    }
    // At least one child came so far that there was something to break.
    assert!(!files_below(&project.root().join("results")).is_empty());
    let graph = round(&project, 0);
    assert!(project.run(&graph).is_ok());
    assert!(project.shown("labels").starts_with("join(0:iii"));
}

#[test]
fn a_link_that_a_kill_left_half_made_is_replaced() {
    let project = Project::new();
    let graph = round(&project, 0);
    let view = project.view().join("demo");
    fs::create_dir_all(&view).unwrap();
    std::os::unix::fs::symlink("half made", view.join(".labels")).unwrap();
    project.made(&graph);
    let names: Vec<_> = fs::read_dir(view).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        names.len() == 4 && names.iter().all(|name| !name.to_string_lossy().starts_with('.')),
        "{names:?}"
    );
}

#[test]
fn a_checkpoint_that_a_kill_left_of_a_finished_result_goes_when_the_store_is_opened() {
    let project = Project::new();
    project.made(&project.diamond("i", "p", "r"));
    let head = fs::read_to_string(project.root().join("heads/demo/report")).unwrap();
    let checkpoint = |name: &str| {
        let folder = project.root().join("checkpoints").join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("epoch"), "7").unwrap();
        folder
    };
    let (finished, unfinished) = (checkpoint(head.trim()), checkpoint(&"0".repeat(64)));
    drop(project.store());
    assert!(!finished.exists() && unfinished.exists());
}
