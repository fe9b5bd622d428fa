//! Stopping at safe points, and going on from checkpoints.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pipeline::graph::Graph;
use pipeline::schedule::Outcome;
use pipeline::stage::Cancel;

use crate::project::Project;

#[test]
fn a_stop_ends_the_running_stage_at_its_safe_point_and_starts_nothing_new() {
    let project = Project::new();
    let passed = Arc::new(AtomicBool::new(false));
    let (cancel, beyond) = (project.cancel.clone(), Arc::clone(&passed));
    let mut graph = Graph::new("demo").unwrap();
    let first = project.source(&mut graph, project.tiny("first", "first"));
    let hook = move |context: &pipeline::stage::Context| {
        cancel.request();
        context.safe_point()?;
        beyond.store(true, Ordering::SeqCst);
        Ok(())
    };
    let slow = project.join(&mut graph, project.with_hook("slow", hook), first);
    project.join(&mut graph, project.tiny("later", "later"), slow);
    let report = project.run(&graph);
    assert!(!passed.load(Ordering::SeqCst));
    assert!(report.stopped);
    let outcomes: Vec<_> = report.nodes.iter().map(|node| node.outcome.clone()).collect();
    assert_eq!(outcomes, [Outcome::Made, Outcome::Stopped, Outcome::Stopped]);
    assert_eq!(project.runs.of("later"), 0);
    assert!(report.into_result().unwrap_err().is_cancelled());
}

#[test]
fn a_stopped_stage_goes_on_from_its_checkpoint_which_goes_once_the_result_is_kept() {
    let mut project = Project::new();
    let cancel = project.cancel.clone();
    let hook = move |context: &pipeline::stage::Context| {
        let epoch = context.checkpoint().join("epoch");
        if epoch.exists() {
            context.progress().note(format!("going on from epoch {}", fs::read_to_string(&epoch).unwrap()));
            return Ok(());
        }
        assert!(!context.checkpoint().exists(), "nobody has written a checkpoint yet");
        fs::create_dir_all(context.checkpoint()).unwrap();
        fs::write(epoch, "7").unwrap();
        cancel.request();
        context.safe_point()
    };
    let mut graph = Graph::new("demo").unwrap();
    project.source(&mut graph, project.with_hook("train", hook));
    assert!(project.run(&graph).stopped);
    project.cancel = Cancel::default();
    assert_eq!(project.made(&graph), ["train"]);
    assert!(project.log().contains(&"note train: going on from epoch 7".to_owned()), "{:?}", project.log());
    assert_eq!(fs::read_dir(project.root().join("checkpoints")).unwrap().count(), 0);
}

#[test]
fn nothing_runs_once_a_stop_was_asked_for() {
    let project = Project::new();
    let graph = project.diamond("i", "p", "r");
    project.cancel.request();
    let report = project.run(&graph);
    assert!(report.nodes.iter().all(|node| node.outcome == Outcome::Stopped));
    assert_eq!(project.runs.of("images"), 0);
}
