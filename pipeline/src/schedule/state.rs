//! The states of a node, and the one function that changes them.
//!
//! ```text
//! Waiting ── Identify ──▶ Ready ── Start ──▶ Running ── Keep ──▶ Kept
//!    ▲                      └───────── Keep (found) ──────────────▲│
//!    └──── InputLost (from Running), Lose (from Kept) ◀────────────┘
//! Waiting, Ready ── Skip ──▶ Skipped     any but an end ── Fail ──▶ Failed, Stop ──▶ Stopped
//! ```
//! It knows nothing of threads; it tells the listener of each step that a user cares for.

use std::sync::Arc;
use std::time::Duration;

use petgraph::graph::NodeIndex;

use super::report::{NodeReport, Outcome, RunReport};
use crate::error::Error;
use crate::event::{Event, Listener};
use crate::fingerprint::Manifest;
use crate::graph::Graph;
use crate::store::Record;

/// Where a node is.
#[derive(Debug)]
pub(super) enum NodeState {
    /// For its inputs to be known.
    Waiting,
    /// Its inputs are known, its result is not kept; it waits for threads or the device.
    Ready(Arc<Manifest>),
    /// On its thread.
    Running(Arc<Manifest>),
    /// Its result is kept. An end, unless the result turns out to be damaged.
    Kept(Box<Record>, Option<Duration>),
    /// It failed. An end.
    Failed(Error),
    /// It will not run because of the named node. An end.
    Skipped(String),
    /// It was stopped. An end.
    Stopped,
}

/// What happens to a node.
#[derive(Debug)]
pub(super) enum NodeStep {
    /// All that its result depends on is known.
    Identify(Arc<Manifest>),
    /// It got its threads.
    Start,
    /// Its result is kept: made here in this time, or found.
    Keep(Box<Record>, Option<Duration>),
    /// An input turned out to be damaged: it waits again.
    InputLost,
    /// Its kept result turned out to be damaged: it is made again.
    Lose,
    /// It went wrong.
    Fail(Error),
    /// A node it depends on failed.
    Skip(String),
    /// The user asked to stop.
    Stop,
}

/// The transition function. A step that makes no sense in a state leaves the state as it is.
fn next(state: NodeState, step: NodeStep) -> NodeState {
    match (state, step) {
        (NodeState::Waiting, NodeStep::Identify(manifest)) => NodeState::Ready(manifest),
        (NodeState::Ready(manifest), NodeStep::Start) => NodeState::Running(manifest),
        (NodeState::Ready(_) | NodeState::Running(_), NodeStep::Keep(record, made_in)) => {
            NodeState::Kept(record, made_in)
        }
        (NodeState::Running(_), NodeStep::InputLost) | (NodeState::Kept(..), NodeStep::Lose) => {
            NodeState::Waiting
        }
        (NodeState::Waiting | NodeState::Ready(_) | NodeState::Running(_), NodeStep::Fail(error)) => {
            NodeState::Failed(error)
        }
        (NodeState::Waiting | NodeState::Ready(_), NodeStep::Skip(because_of)) => {
            NodeState::Skipped(because_of)
        }
        (NodeState::Waiting | NodeState::Ready(_) | NodeState::Running(_), NodeStep::Stop) => {
            NodeState::Stopped
        }
        (state, _) => state,
    }
}

/// All nodes' states.
pub(super) struct Board {
    entries: Vec<Option<BoardEntry>>,
    listener: Arc<dyn Listener>,
}

struct BoardEntry {
    name: String,
    state: NodeState,
    losses: u32,
}

impl Board {
    /// A board on which `nodes` wait; the graph's other nodes are not on it.
    pub(super) fn new(graph: &Graph, nodes: &[NodeIndex], listener: Arc<dyn Listener>) -> Self {
        let mut entries: Vec<_> = graph.indices().map(|_| None).collect();
        for &node in nodes {
            let name = graph.node_name(node).to_owned();
            entries[node.index()] = Some(BoardEntry { name, state: NodeState::Waiting, losses: 0 });
        }
        Self { entries, listener }
    }

    /// Where the node is. A node that is not on the board will never run.
    pub(super) fn state(&self, node: NodeIndex) -> &NodeState {
        self.entries[node.index()].as_ref().map_or(&NodeState::Stopped, |entry| &entry.state)
    }

    /// How often the node's result was lost.
    pub(super) fn losses(&self, node: NodeIndex) -> u32 {
        self.entries[node.index()].as_ref().map_or(0, |entry| entry.losses)
    }

    /// Takes one step.
    pub(super) fn apply(&mut self, node: NodeIndex, step: NodeStep) {
        let Some(entry) = self.entries[node.index()].as_mut() else { return };
        entry.losses += u32::from(matches!((&entry.state, &step), (NodeState::Kept(..), NodeStep::Lose)));
        let before = std::mem::discriminant(&entry.state);
        entry.state = next(std::mem::replace(&mut entry.state, NodeState::Waiting), step);
        if std::mem::discriminant(&entry.state) == before {
            return;
        }
        let node = entry.name.clone();
        let event = match &entry.state {
            NodeState::Waiting | NodeState::Ready(_) | NodeState::Running(_) => return,
            NodeState::Kept(record, made_in) => {
                let fingerprint = record.fingerprint().to_string();
                match *made_in {
                    None => Event::Cached { node, fingerprint },
                    Some(seconds) => {
                        Event::Finished { node, fingerprint, digest: record.digest.to_string(), seconds }
                    }
                }
            }
            NodeState::Failed(error) => Event::Failed { node, error: error.to_string() },
            NodeState::Skipped(because_of) => Event::Skipped { node, because_of: because_of.clone() },
            NodeState::Stopped => Event::Stopped { node },
        };
        self.listener.on(&event);
    }

    /// The nodes that run, and what they make.
    pub(super) fn running(&self) -> impl Iterator<Item = (NodeIndex, &Arc<Manifest>)> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| match &entry.as_ref()?.state {
            NodeState::Running(manifest) => Some((NodeIndex::new(index), manifest)),
            _ => None,
        })
    }

    /// Whether anything runs.
    pub(super) fn any_running(&self) -> bool {
        self.running().next().is_some()
    }

    /// The results of these nodes, if all are kept.
    pub(super) fn records(&self, nodes: &[NodeIndex]) -> Option<Vec<Record>> {
        let record = |node: &NodeIndex| match self.state(*node) {
            NodeState::Kept(record, _) => Some((**record).clone()),
            _ => None,
        };
        nodes.iter().map(record).collect()
    }

    /// What became of every node.
    pub(super) fn into_report(self, graph: &Graph, took: Duration, stopped: bool) -> RunReport {
        let mut nodes = Vec::new();
        for (info, entry) in graph.nodes().zip(self.entries) {
            let Some(entry) = entry else { continue };
            let mut report = NodeReport {
                node: info.node,
                stage: info.stage,
                outcome: Outcome::NotRun,
                result: None,
                seconds: 0.0,
                error: None,
            };
            match entry.state {
                NodeState::Waiting | NodeState::Ready(_) | NodeState::Running(_) => {}
                NodeState::Kept(record, made_in) => {
                    report.outcome = if made_in.is_some() { Outcome::Made } else { Outcome::Cached };
                    report.seconds = made_in.unwrap_or_default().as_secs_f64();
                    report.result = Some(*record);
                }
                NodeState::Failed(error) => {
                    report.outcome = Outcome::Failed;
                    report.error = Some(error);
                }
                NodeState::Skipped(because_of) => report.outcome = Outcome::Skipped { because_of },
                NodeState::Stopped => report.outcome = Outcome::Stopped,
            }
            nodes.push(report);
        }
        RunReport { graph: graph.name().to_owned(), nodes, seconds: took.as_secs_f64(), stopped }
    }
}
