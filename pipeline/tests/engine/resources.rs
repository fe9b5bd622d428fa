//! Threads and the device are handed out, never more than there are.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use pipeline::graph::Graph;
use pipeline::stage::Resources;

use crate::project::{Project, Tiny};

#[test]
fn independent_nodes_run_side_by_side() {
    let project = Project::new();
    let barrier = Arc::new(Barrier::new(3));
    let mut graph = Graph::new("demo").unwrap();
    for name in ["a", "b", "c"] {
        let meet = Arc::clone(&barrier);
        let hook = move |_: &pipeline::stage::Context| {
            meet.wait(); // for ever, unless all three run at once
            Ok(())
        };
        project.source(&mut graph, project.with_hook(name, hook));
    }
    assert!(project.run(&graph).is_ok());
}

/// Runs six nodes with these resources, and returns how many ran at once at most.
fn most_at_once(threads: usize, resources: Resources) -> usize {
    let project = Project { threads, ..Project::new() };
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut graph = Graph::new("demo").unwrap();
    for n in 0..6 {
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        let hook = move |_: &pipeline::stage::Context| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(std::time::Duration::from_millis(5));
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        };
        project.source(&mut graph, Tiny { resources, ..project.with_hook(&format!("n{n}"), hook) });
    }
    assert!(project.run(&graph).is_ok());
    most.load(Ordering::SeqCst)
}

#[test]
fn no_more_threads_are_given_out_than_there_are() {
    assert!(most_at_once(2, Resources { threads: 1, device: false }) <= 2);
    assert_eq!(most_at_once(3, Resources { threads: 2, device: false }), 1);
}

#[test]
fn the_device_is_given_to_one_stage_at_a_time() {
    assert_eq!(most_at_once(6, Resources { threads: 1, device: true }), 1);
}

#[test]
fn a_stage_that_wants_more_threads_than_there_are_gets_all_of_them_alone() {
    assert_eq!(most_at_once(2, Resources { threads: Resources::ALL_THREADS, device: false }), 1);
}

#[test]
fn a_stage_that_asks_for_no_thread_counts_as_one() {
    assert_eq!(most_at_once(1, Resources { threads: 0, device: false }), 1);
}
