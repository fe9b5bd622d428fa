//! Several processes, one store.

use std::collections::BTreeMap;
use std::fs;
use std::process::Child;

use pipeline::event::Event;
use pipeline::schedule::{Outcome, RunReport};
use rand::RngExt;

use crate::child::{SHARED, STORE, await_file, command, held, shared, spawn};
use crate::project::{Project, files_below};

/// Runs the held graph here while another process holds it; calls `on_wait` once this one waits.
fn run_beside(project: &Project, on_wait: impl Fn(&str) + Send + Sync + 'static) -> RunReport {
    let listener = move |event: &Event| {
        if let Event::Waiting { holder, .. } = event {
            on_wait(holder);
        }
    };
    let scheduler = project.scheduler_heard_by(listener);
    let graph = held(project, project.folder.path());
    scheduler.run(&graph, &project.store(), None, None).unwrap()
}

#[test]
fn two_processes_compute_a_result_once() {
    let project = Project::new();
    let folder = project.folder.path().to_owned();
    let mut child = spawn("hold", &folder);
    await_file(&folder.join("started"));
    let expected = format!("process {} on ", child.id());
    let go = folder.join("go");
    let report = run_beside(&project, move |holder| {
        assert!(holder.starts_with(&expected), "{holder}");
        fs::write(&go, "").unwrap();
    });
    assert_eq!(report.nodes[0].outcome, Outcome::Cached);
    assert_eq!(project.runs.of("held"), 0);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_process_takes_over_from_one_that_dies() {
    let project = Project::new();
    let folder = project.folder.path().to_owned();
    let child = std::sync::Mutex::new(spawn("hold", &folder));
    await_file(&folder.join("started"));
    let go = folder.join("go");
    let report = run_beside(&project, move |_| {
        let mut child = child.lock().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        fs::write(&go, "").unwrap();
    });
    assert_eq!(report.nodes[0].outcome, Outcome::Made);
    assert_eq!(project.runs.of("held"), 1);
}

#[test]
fn waiting_for_another_process_ends_when_a_stop_is_asked_for() {
    let project = Project::new();
    let folder = project.folder.path().to_owned();
    let mut child = spawn("hold", &folder);
    await_file(&folder.join("started"));
    let cancel = project.cancel.clone();
    let report = run_beside(&project, move |_| cancel.request());
    assert_eq!(report.nodes[0].outcome, Outcome::Stopped);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_live_process_keeps_its_unfinished_files() {
    let project = Project::new();
    let folder = project.folder.path().to_owned();
    let mut child = spawn("hold", &folder);
    await_file(&folder.join("started"));
    drop(project.store());
    fs::write(folder.join("go"), "").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(run_beside(&project, |_| {}).nodes[0].outcome, Outcome::Cached);
}

#[test]
fn garbage_is_not_collected_while_a_process_runs() {
    let project = Project::new();
    let folder = project.folder.path().to_owned();
    let mut child = spawn("hold", &folder);
    await_file(&folder.join("started"));
    let error = project.store().collect(pipeline::store::Policy::UNREACHABLE, false).unwrap_err();
    assert!(error.to_string().contains("the store is in use"), "{error}");
    fs::write(folder.join("go"), "").unwrap();
    assert!(child.wait().unwrap().success());
    project.store().collect(pipeline::store::Policy::UNREACHABLE, false).unwrap();
}

/// How often each result was worked out, over all processes that share a folder.
fn worked(project: &Project) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in fs::read_to_string(project.folder.path().join("worked")).unwrap().lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

/// Asserts that a store holds what one process alone makes of all that was shared.
fn holds_what_was_shared(project: &Project) {
    let alone = Project::new();
    for (n, who) in (0..SHARED).flat_map(|n| [(n, "a"), (n, "b")]) {
        assert!(alone.run(&shared(n, who, None)).is_ok());
    }
    let objects = |project: &Project| files_below(&project.root().join("objects"));
    assert_eq!(objects(project), objects(&alone));
    assert_eq!(fs::read_dir(project.root().join("tmp")).unwrap().count(), 0);
}

fn seen_by_another(project: &Project) {
    let damage = project.store().verify(&project.cancel, &mut |_, _| {}).unwrap();
    assert!(damage.is_empty(), "{damage:?}");
}

#[test]
fn many_processes_with_the_same_and_other_settings_work_out_each_result_once() {
    let project = Project::new();
    let mut children: Vec<Child> = ["share a", "share b", "share a", "share b", "share a"]
        .map(|who| spawn(who, project.folder.path()))
        .into();
    while children.iter_mut().any(|child| child.try_wait().unwrap().is_none()) {
        seen_by_another(&project);
    }
    assert!(children.into_iter().all(|mut child| child.wait().unwrap().success()));
    let worked = worked(&project);
    // images and labels of each round, which all share, and a report for each of the two settings.
    assert_eq!(worked.len(), SHARED + 1 + 2);
    assert_eq!(worked.values().sum::<usize>(), 4 * SHARED, "{worked:?}");
    holds_what_was_shared(&project);
}

#[test]
fn processes_that_are_killed_in_the_midst_of_others_leave_them_what_they_need() {
    let project = Project::new();
    let mut random = pipeline::random::stream(1, "killed in the midst");
    let start = |who: usize| spawn(["share a", "share b"][who % 2], project.folder.path());
    let mut children: Vec<Child> = (0..4).map(start).collect();
    for n in 0..25 {
        std::thread::sleep(std::time::Duration::from_millis(random.random_range(1..40)));
        let victim = n % children.len();
        children[victim].kill().unwrap();
        children[victim].wait().unwrap();
        seen_by_another(&project);
        children[victim] = start(victim);
    }
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    seen_by_another(&project);
    holds_what_was_shared(&project);
}

#[test]
fn where_locks_do_not_reach_work_is_done_twice_and_nothing_is_wrong() {
    let project = Project::new();
    drop(project.store());
    // Another way into the same store, with locks that the others do not see.
    let other = project.folder.path().join("other");
    fs::create_dir(&other).unwrap();
    for shared in ["objects", "results", "heads", "checkpoints", "damaged"] {
        std::os::unix::fs::symlink(project.root().join(shared), other.join(shared)).unwrap();
    }
    fs::copy(project.root().join("FORMAT"), other.join("FORMAT")).unwrap();
    let mut one = spawn("share a", project.folder.path());
    let mut two = command("share a", project.folder.path()).env(STORE, "other").spawn().unwrap();
    let mut three = command("share b", project.folder.path()).env(STORE, "other").spawn().unwrap();
    while one.try_wait().unwrap().is_none() || two.try_wait().unwrap().is_none() {
        seen_by_another(&project);
    }
    assert!([one.wait(), two.wait(), three.wait()].into_iter().all(|status| status.unwrap().success()));
    seen_by_another(&project);
    holds_what_was_shared(&project);
}
