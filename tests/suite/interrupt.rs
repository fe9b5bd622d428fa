//! Stopped, killed, or run twice at once: nothing is lost, nothing is half done, nothing differs.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use tests::hub::Fault;
use tests::image_set::Random;
use tests::program::Running;
use tests::project::{Project, STAGES, TRAIN};

/// Epochs enough to be stopped in the middle of.
const LONG: &str = "warm-up.epochs=10 co-reg.epochs=8";

#[test]
fn a_stop_during_co_reg_is_obeyed_and_the_next_run_goes_on_from_there() {
    stopped_at("co-reg       epoch 2", "INT");
}

#[test]
fn a_stop_during_warm_up_is_obeyed_and_the_next_run_goes_on_from_there() {
    stopped_at("warm-up      epoch 2", "INT");
}

#[test]
fn being_asked_to_end_is_a_stop() {
    stopped_at("co-reg       epoch 3", "TERM");
}

fn stopped_at(moment: &str, signal: &str) {
    let project = Project::new();
    let mut running = project.run().set(LONG).start();
    running.until(moment);
    running.signal(signal);
    let stopped = running.end();
    assert_eq!(stopped.code, Some(130), "{}", stopped.stderr);
    assert!(stopped.stderr.trim_end().ends_with("the same command goes on from here"), "{}", stopped.stderr);
    assert!(!stopped.stderr.contains("error:"), "{}", stopped.stderr);
    let (stage, _) = moment.split_once(' ').unwrap();
    let stopped_node = project.nodes_that("stopped");
    assert_eq!(stopped_node[0], stage);
    let done = last_epoch(&stopped.stderr, stage);
    assert!(done >= 2);
    let finished = project.ran();
    project.is_whole();

    let next = project.run().set(LONG).ok();
    assert_eq!(first_epoch(&next.stderr, stage), done + 1, "{}", next.stderr);
    let twice: Vec<_> = project.ran().into_iter().filter(|node| finished.contains(node)).collect();
    assert!(twice.is_empty(), "{twice:?}");
    is_as_if_undisturbed(&project);
}

/// The epochs that a stage told of.
fn epochs(stderr: &str, stage: &str) -> Vec<usize> {
    let prefix = format!("{stage:<12} epoch ");
    let number = |line: &str| line.strip_prefix(&prefix)?.split([':', ',']).next()?.parse().ok();
    stderr.lines().filter_map(number).collect()
}

fn first_epoch(stderr: &str, stage: &str) -> usize {
    epochs(stderr, stage)[0]
}

fn last_epoch(stderr: &str, stage: &str) -> usize {
    *epochs(stderr, stage).last().unwrap()
}

/// Compares with a run that nobody disturbed, and asserts that no checkpoint is left.
fn is_as_if_undisturbed(project: &Project) {
    project.is_whole();
    project.run_into("undisturbed").set(LONG).ok();
    let (one, two) = (project.artifact_bytes(), project.artifact_bytes_in("undisturbed"));
    let differ: Vec<_> =
        one.iter().filter(|(name, bytes)| two.get(*name) != Some(bytes)).map(|(n, _)| n).collect();
    assert!(differ.is_empty() && one.len() == two.len(), "these differ: {differ:?}");
    let checkpoints: Vec<_> = fs::read_dir(project.path("artifacts/store/checkpoints")).unwrap().collect();
    assert!(checkpoints.is_empty(), "{checkpoints:?}");
}

#[test]
fn a_stop_is_obeyed_while_the_hub_says_nothing() {
    let project = Project::new();
    project.hub.misbehave(
        &TRAIN["datasets/some/shapes/".len()..],
        Fault::Silence(Duration::from_secs(60)),
        1,
    );
    let mut running = project.run().start();
    running.until("clip         done");
    running.signal("INT");
    assert_eq!(running.end().code, Some(130));
    project.is_whole();
    project.run().ok();
}

#[test]
fn a_kill_at_any_moment_costs_no_more_than_the_epoch_it_fell_into() {
    let project = Project::new();
    let mut random = Random(7);
    for _ in 0..8 {
        let mut running = project.run().set(LONG).start();
        sleep(Duration::from_millis(u64::from(random.below(900))));
        if running.is_over() {
            break;
        }
        running.signal("KILL");
        assert_eq!(running.end().code, None);
        project.is_whole();
    }
    // One that is killed in each of the two long stages.
    for moment in ["warm-up      epoch 4", "co-reg       epoch 4"] {
        let mut running = project.run().set(LONG).start();
        if running.comes_to(moment) {
            running.signal("KILL");
            running.end();
            project.is_whole();
        }
    }
    project.run().set(LONG).ok();
    let counts = finished_in_all_runs(&project);
    assert!(counts.values().all(|&count| count == 1), "{counts:?}");
    is_as_if_undisturbed(&project);
}

#[test]
fn a_changed_setting_does_not_go_on_from_anothers_checkpoint() {
    let project = Project::new();
    let mut running = project.run().set(LONG).start();
    running.until("co-reg       epoch 2");
    running.signal("INT");
    running.end();
    let other = project.run().set(LONG).set("co-reg.lambda_proto=0").ok();
    assert_eq!(first_epoch(&other.stderr, "co-reg"), 1);
    let next = project.run().set(LONG).ok();
    assert!(first_epoch(&next.stderr, "co-reg") > 2, "{}", next.stderr);
}

#[test]
fn a_checkpoint_that_is_damaged_is_passed_over() {
    let project = Project::new();
    let mut running = project.run().set(LONG).start();
    running.until("co-reg       epoch 2");
    running.signal("INT");
    running.end();
    for checkpoint in fs::read_dir(project.path("artifacts/store/checkpoints")).unwrap() {
        let file = checkpoint.unwrap().path().join("checkpoint.safetensors");
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(file, bytes).unwrap();
    }
    let next = project.run().set(LONG).ok();
    assert!(next.stderr.contains("starting afresh"), "{}", next.stderr);
    assert_eq!(first_epoch(&next.stderr, "co-reg"), 1);
    is_as_if_undisturbed(&project);
}

#[test]
fn two_processes_at_once_run_each_stage_once() {
    let project = Project::new();
    let both: Vec<Running> = (0..2).map(|_| project.run().set(LONG).start()).collect();
    for running in both {
        running.end().succeeded();
    }
    let counts = finished_in_all_runs(&project);
    assert_eq!(counts.len(), STAGES.len());
    assert!(counts.values().all(|&count| count == 1), "{counts:?}");
    is_as_if_undisturbed(&project);
}

#[test]
fn one_process_takes_over_from_another_that_is_killed() {
    let project = Project::new();
    let mut first = project.run().set(LONG).start();
    first.until("warm-up      epoch 1");
    let mut second = project.run().set(LONG).start();
    second.until("warm-up      waits for process");
    first.signal("KILL");
    first.end();
    let second = second.end().succeeded();
    assert!(first_epoch(&second.stderr, "warm-up") > 1, "{}", second.stderr);
    is_as_if_undisturbed(&project);
}

/// How often each stage came to its end, over all run records. A kill may cut a record's last line.
fn finished_in_all_runs(project: &Project) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for record in fs::read_dir(project.path("artifacts/runs")).unwrap() {
        let text = fs::read_to_string(record.unwrap().path()).unwrap();
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        for event in events.filter(|event| event["event"] == "finished") {
            *counts.entry(event["node"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    counts
}
