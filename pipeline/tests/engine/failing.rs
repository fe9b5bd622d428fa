//! What a failure stops, and what it does not.

use pipeline::error::Error;
use pipeline::graph::Graph;
use pipeline::schedule::Outcome;

use crate::project::{Join2, Project, Tiny};

/// bad -> after -> last; good -> alone; both(good, bad)
fn graph(project: &Project, bad: Tiny) -> Graph {
    let mut graph = Graph::new("demo").unwrap();
    let bad = project.source(&mut graph, bad);
    let good = project.source(&mut graph, project.tiny("good", "good"));
    let after = project.join(&mut graph, project.tiny("after", "after"), bad);
    project.join(&mut graph, project.tiny("last", "last"), after);
    project.join(&mut graph, project.tiny("alone", "alone"), good);
    graph.add("both", Join2(project.tiny("both", "both")), (good, bad)).unwrap();
    graph
}

#[test]
fn a_failing_node_stops_its_descendants_and_nobody_else() {
    let project = Project::new();
    let report = project.run(&graph(&project, project.with_hook("bad", |_| Err(Error::new("no such luck")))));
    let outcome = |name: &str| report.node(name).unwrap().outcome.clone();
    assert_eq!(outcome("bad"), Outcome::Failed);
    for name in ["after", "last", "both"] {
        assert_eq!(outcome(name), Outcome::Skipped { because_of: "bad".into() });
        assert_eq!(project.runs.of(name), 0);
    }
    assert_eq!([outcome("good"), outcome("alone")], [Outcome::Made, Outcome::Made]);
    let error = report.into_result().unwrap_err().to_string();
    assert_eq!(error, "bad: no such luck");
}

#[test]
fn a_failure_keeps_nothing_and_the_next_run_tries_again() {
    let project = Project::new();
    project.run(&graph(&project, project.with_hook("bad", |_| Err(Error::new("no such luck")))));
    assert_eq!(project.made(&graph(&project, project.tiny("bad", "bad"))), ["bad", "after", "last", "both"]);
    assert_eq!(project.shown("both"), "both(good,bad)");
}

#[test]
fn a_panic_in_a_stage_is_an_error_of_its_node() {
    let project = Project::new();
    let report = project.run(&graph(&project, project.with_hook("bad", |_| panic!("index out of luck"))));
    let error = report.node("bad").unwrap().error.as_ref().unwrap().to_string();
    assert!(error.contains("bad: the stage panicked") && error.contains("index out of luck"), "{error}");
    assert_eq!(report.node("alone").unwrap().outcome, Outcome::Made);
    assert!(project.run(&graph(&project, project.tiny("bad", "bad"))).is_ok());
}

#[test]
fn nothing_runs_if_a_check_fails_and_all_that_fail_are_told() {
    let project = Project::new();
    let mut graph = Graph::new("demo").unwrap();
    let a = project.source(&mut graph, project.tiny("a", "a"));
    let wrong = |node: &str| Tiny { check: Some(format!("{node} is wrong")), ..project.tiny(node, node) };
    project.join(&mut graph, wrong("b"), a);
    project.join(&mut graph, wrong("c"), a);
    let report = project.run(&graph);
    assert_eq!(project.runs.of("a"), 0);
    assert_eq!(report.node("a").unwrap().outcome, Outcome::NotRun);
    let error = report.into_result().unwrap_err().to_string();
    assert!(error.contains("b: b is wrong") && error.contains("c: c is wrong"), "{error}");
}

#[test]
fn a_full_disk_behind_a_stages_error_comes_with_help() {
    let project = Project::new();
    let full = |_: &pipeline::stage::Context| {
        let cause = std::io::Error::from_raw_os_error(28);
        Err(Error::new("cannot write the table").because(std::io::Error::other(cause)))
    };
    let report = project.run(&graph(&project, project.with_hook("bad", full)));
    let error = report.into_result().unwrap_err().to_string();
    assert!(error.contains("help: the disk is full: free some space"), "{error}");
}
