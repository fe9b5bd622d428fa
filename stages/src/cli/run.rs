//! `coreg run`.

use std::path::Path;
use std::sync::Arc;

use pipeline::error::{Error, Result};
use pipeline::event::{Event, Listener};
use pipeline::graph::Graph;
use pipeline::schedule::{NodeReport, RunReport, Scheduler};
use pipeline::store::{Made, Store};

use super::console::{Console, INPUT};
use super::record::{RecordedBranch, RunRecord};
use super::{on_interrupt, open_store, summary};
use crate::artifacts::images::Split;
use crate::artifacts::statistics::Statistics;
use crate::experiment::variants::Branch;
use crate::experiment::{BranchNodes, Experiment, ExperimentGraph};
use crate::report::time::{self, Images, Step};

pub(super) fn run(
    mut experiment: Experiment,
    artifacts: &Path,
    targets: &[String],
    open: bool,
) -> Result<()> {
    let branches = [experiment.branch()];
    let (graph, store) = claimed(&mut experiment, &branches, artifacts)?;
    let recorded = RecordedBranch::all(&experiment, &branches, &graph)?;
    let ExperimentGraph { graph, branches } = graph;
    let report = execute(&experiment, &recorded, &graph, &store, artifacts, targets)?;
    for nodes in &branches {
        summary::print(&experiment, nodes, &report, &store, artifacts)?;
        if report.node(&nodes.report).is_some_and(|page| page.result.is_some()) {
            let view = artifacts.join(&experiment.data_set.name);
            let times = artifacts.join(TIMES).join(format!("{}.html", experiment.data_set.name));
            write_times(&experiment, &report, &store, nodes, &times)?;
            show_page(&view.join(&nodes.report).join("index.html"), open)?;
        }
    }
    Ok(())
}

/// Where a page a data set says how long its stages took.
const TIMES: &str = "times";

/// Writes how long each stage took whose result the run has.
fn write_times(
    experiment: &Experiment,
    report: &RunReport,
    store: &Store,
    nodes: &BranchNodes,
    path: &Path,
) -> Result<()> {
    let step = |node: &NodeReport| {
        let record = node.result.as_ref()?;
        let (node, stage, made) = (node.node.clone(), node.stage.to_owned(), record.made.clone());
        let Made { at, seconds, memory, taken_over, machine, .. } = made;
        Some(Step { node, stage, at, seconds, memory, taken_over, machine, bytes: record.bytes() })
    };
    let steps: Vec<Step> = report.nodes.iter().filter_map(step).collect();
    let statistics = report.node(&nodes.statistics).and_then(|node| node.result.as_ref());
    let statistics = statistics.map(|record| store.load::<Statistics>(record)).transpose()?;
    let count = |split| statistics.as_ref().and_then(|all| all.get("images", split)).unwrap_or(0.0) as usize;
    let tested = count(Split::Test);
    let images = Images { all: count(Split::Train) + tested, tested };
    let page = time::page(&experiment.data_set.title, images, &steps);
    // Where several share the artifacts it may be another's: then the newest run's times stay those of that one.
    let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    if let Err(error) = folder.and_then(|()| std::fs::write(path, page)) {
        eprintln!("cannot write {} ({error})", path.display());
    }
    Ok(())
}

/// Says where a page lies, and opens it if that is wanted.
fn show_page(page: &Path, open: bool) -> Result<()> {
    // Not where its links lead: the page of the next run will be at the same place.
    let whole = std::path::absolute(page).unwrap_or_else(|_| page.to_owned());
    out!("Report: {}", page.display());
    if open {
        // Without a browser the path above is what there is.
        if let Err(error) = ::open::that_detached(&whole) {
            eprintln!("no program opens the report ({error}): open file://{} in a browser", whole.display());
        }
    }
    Ok(())
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
    branches: &[RecordedBranch],
    graph: &Graph,
    store: &Store,
    artifacts: &Path,
    targets: &[String],
) -> Result<RunReport> {
    attempt(experiment, branches, graph, store, artifacts, targets)?.into_result()
}

/// As [`execute`], but what failed is in the report, beside what did not.
pub(super) fn attempt(
    experiment: &Experiment,
    branches: &[RecordedBranch],
    graph: &Graph,
    store: &Store,
    artifacts: &Path,
    targets: &[String],
) -> Result<RunReport> {
    check_free_space(artifacts)?;
    let cancel = on_interrupt()?;
    let record = RunRecord::begin(experiment, branches, &artifacts.join("runs"))?;
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
    scheduler.run(graph, store, Some(artifacts), targets)
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
