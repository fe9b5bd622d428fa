//! Several processes, one store.

use std::fs;
use std::sync::Arc;

use pipeline::event::Event;
use pipeline::schedule::{Outcome, RunReport, Scheduler};

use crate::child::{await_file, held, spawn};
use crate::project::Project;

/// Runs the held graph here while another process holds it; calls `on_wait` once this one waits.
fn run_beside(project: &Project, on_wait: impl Fn(&str) + Send + Sync + 'static) -> RunReport {
    let listener = move |event: &Event| {
        if let Event::Waiting { holder, .. } = event {
            on_wait(holder);
        }
    };
    let scheduler = Scheduler::new(Arc::new(listener), project.cancel.clone());
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
    let error = project.store().collect(pipeline::store::Policy::Unreachable, false).unwrap_err();
    assert!(error.to_string().contains("the store is in use"), "{error}");
    fs::write(folder.join("go"), "").unwrap();
    assert!(child.wait().unwrap().success());
    project.store().collect(pipeline::store::Policy::Unreachable, false).unwrap();
}
