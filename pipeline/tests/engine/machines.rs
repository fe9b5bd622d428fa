//! What a run is offered by its machine, and what a record says of it.

use std::sync::{Arc, Mutex};

use pipeline::graph::Graph;
use pipeline::schedule::Outcome;
use pipeline::stage::{Context, Machine};

use crate::project::{Project, Source};

/// What the stages of these tests may ask for.
struct Accelerator(&'static str);

fn on(device: &'static str) -> Machine {
    Machine::default().with(Accelerator(device)).label("device", device)
}

#[test]
fn a_stage_finds_what_its_machine_offers() {
    let mut project = Project::new();
    let found = Arc::new(Mutex::new(None));
    let told = Arc::clone(&found);
    let hook = move |context: &Context| {
        *told.lock().unwrap() = context.machine().get::<Accelerator>().map(|offered| offered.0);
        Ok(())
    };
    let mut graph = Graph::new("demo").unwrap();
    graph.add("images", Source(project.with_hook("images", hook)), ()).unwrap();
    project.machine = on("cuda");
    assert_eq!(project.made(&graph), ["images"]);
    assert_eq!(*found.lock().unwrap(), Some("cuda"));
}

#[test]
fn the_first_result_of_a_key_serves_every_machine_and_its_record_says_where_it_was_made() {
    let mut project = Project::new();
    let graph = project.diamond("i", "p", "r");
    project.machine = on("cpu");
    project.run(&graph);
    project.machine = on("cuda");
    let report = project.run(&graph);
    for node in &report.nodes {
        assert_eq!(node.outcome, Outcome::Cached);
        assert_eq!(node.result.as_ref().unwrap().made.machine["device"], "cpu");
    }
    let store = project.store();
    assert_eq!(store.count_by_machine().unwrap(), [(on("cpu").labels().clone(), 4)].into());
    assert!(store.verify(&project.cancel, &mut |_, _| ()).unwrap().is_empty());
}

#[test]
fn results_of_several_kinds_of_machine_are_counted_by_kind() {
    let mut project = Project::new();
    project.run(&project.diamond("i", "p", "r"));
    project.machine = on("cpu");
    project.run(&project.diamond("i", "p", "new"));
    let kinds = [Machine::default(), on("cpu")].map(|machine| machine.labels().clone());
    let count = project.store().count_by_machine().unwrap();
    assert_eq!(kinds.map(|kind| count[&kind]), [4, 1]);
}
