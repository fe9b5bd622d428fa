//! `coreg run`.

use std::path::Path;
use std::sync::Arc;

use pipeline::error::{Error, Result};
use pipeline::event::{Event, Listener};
use pipeline::graph::Graph;
use pipeline::schedule::{RunReport, Scheduler};
use pipeline::store::Store;

use super::console::{Console, INPUT};
use super::record::RunRecord;
use super::{on_interrupt, open_store, summary};
use crate::experiment::variants::Branch;
use crate::experiment::{Experiment, ExperimentGraph};

pub(super) fn run(mut experiment: Experiment, artifacts: &Path, targets: &[String]) -> Result<()> {
    let branches = [experiment.branch()];
    let (graph, store) = claimed(&mut experiment, &branches, artifacts)?;
    let ExperimentGraph { graph, branches } = graph;
    let report = execute(&experiment, &graph, &store, artifacts, targets)?;
    branches.iter().try_for_each(|nodes| summary::print(&experiment, nodes, &report, &store, artifacts))
}

/// The graph under the name that the data set has in the store, which is claimed. What is wrong with the experiment is
/// said before anything is written.
pub(super) fn claimed(
    experiment: &mut Experiment,
    branches: &[Branch],
    artifacts: &Path,
) -> Result<(ExperimentGraph, Store)> {
    let graph = experiment.graph(branches)?;
    let store = open_store(artifacts)?;
    let wanted = experiment.data_set.name.clone();
    experiment.claim_name(&store)?;
    let graph = if experiment.data_set.name == wanted { graph } else { experiment.graph(branches)? };
    experiment.take_notes(&graph);
    Ok((graph, store))
}

/// Runs `graph`, with the console and the run record listening.
pub(super) fn execute(
    experiment: &Experiment,
    graph: &Graph,
    store: &Store,
    artifacts: &Path,
    targets: &[String],
) -> Result<RunReport> {
    check_free_space(artifacts)?;
    let cancel = on_interrupt()?;
    let record = RunRecord::begin(experiment, &artifacts.join("runs"))?;
    let console = Console::new();
    let listener = move |event: &Event| {
        record.on(event);
        console.on(event);
    };
    for note in &experiment.notes {
        listener(&Event::Note { node: INPUT.to_owned(), text: note.clone() });
    }
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    let targets = (!targets.is_empty()).then_some(&targets[..]);
    let mut scheduler = Scheduler::new(Arc::new(listener), cancel);
    scheduler.machine = experiment.machine();
    scheduler.run(graph, store, Some(artifacts), targets)?.into_result()
}

/// Room without which not even a quick run ends well.
const LEAST_FREE: u64 = 512 << 20;

fn check_free_space(artifacts: &Path) -> Result<()> {
    match fs4::available_space(artifacts) {
        Ok(free) if free < LEAST_FREE => Err(Error::new(format!("only {} MB are free", free >> 20))
            .at(artifacts)
            .help("make room, or keep the artifacts elsewhere: ARTIFACTS=/another/disk")),
        // A file system that does not tell its free space is no reason to stop.
        _ => Ok(()),
    }
}
