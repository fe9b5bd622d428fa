//! The scheduler: one loop that takes every node of a graph from `Waiting` to an end.
//!
//! States and the only way to change them are in `state.rs`, what happens on a node's own thread is in
//! `work.rs`.

mod plan;
mod report;
mod state;
mod work;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use petgraph::graph::NodeIndex;

pub use plan::{PlannedNode, Status, plan};
pub use report::{NodeReport, Outcome, RunReport};

use crate::error::{Error, Result};
use crate::event::{Event, Listener};
use crate::fingerprint::{Manifest, Named};
use crate::graph::Graph;
use crate::machine::Machine;
use crate::stage::Cancel;
use crate::store::{Peek, Record, Store};
use state::{Board, NodeState, NodeStep};
use work::{Work, guarded};

/// Runs graphs. No more than [`threads`](Self::threads) threads and one device are given out at a time.
#[derive(Clone)]
pub struct Scheduler {
    /// Threads to give to stages; at least 1.
    pub threads: usize,
    /// Stages that may use the device at the same time; at least 1.
    pub devices: usize,
    /// Who hears of all that happens.
    pub listener: Arc<dyn Listener>,
    /// The request to stop.
    pub cancel: Cancel,
    /// What stages are offered; by default nothing.
    pub machine: Machine,
}

impl Scheduler {
    /// A scheduler with as many threads as the machine has, and one device.
    pub fn new(listener: Arc<dyn Listener>, cancel: Cancel) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { threads, devices: 1, listener, cancel, machine: Machine::default() }
    }

    /// Brings every node of the graph, or only `targets` and what they depend on, up to date.
    ///
    /// First the stages check themselves; if one finds something wrong, nothing runs. A node that
    /// fails stops those that depend on it and nobody else. With `view`, each node's newest object is
    /// linked at `view/<graph>/<node>`.
    ///
    /// # Errors
    /// An unknown target, or a store that cannot be used at all. What goes wrong in a node is in the
    /// report: see [`RunReport::into_result`].
    pub fn run(
        &self,
        graph: &Graph,
        store: &Store,
        view: Option<&Path>,
        targets: Option<&[&str]>,
    ) -> Result<RunReport> {
        let begun = Instant::now();
        let nodes = graph.needed_for(targets)?;
        let _in_use = store.in_use(&self.cancel)?;
        let names = nodes.iter().map(|&node| graph.node_name(node).to_owned()).collect();
        self.listener.on(&Event::RunStarted { nodes: names });
        let mut run = Run {
            scheduler: self,
            graph,
            store,
            view,
            board: Board::new(graph, &nodes, Arc::clone(&self.listener)),
            nodes,
        };
        if run.check() {
            run.evaluate()?;
        }
        let report = run.board.into_report(graph, begun.elapsed(), self.cancel.is_requested());
        // What it learned of outside files is a convenience; the results are kept already.
        let _ = store.keep_outside();
        self.listener.on(&Event::RunFinished { ok: report.is_ok(), seconds: begun.elapsed() });
        Ok(report)
    }
}

/// How often a damaged result is made again in one run before the disk is to blame.
const REPAIRS: u32 = 2;

struct Run<'a> {
    scheduler: &'a Scheduler,
    graph: &'a Graph,
    store: &'a Store,
    view: Option<&'a Path>,
    nodes: Vec<NodeIndex>,
    board: Board,
}

/// What a node's thread has to say.
enum Message {
    /// Found by another process, or made here in this time.
    Kept(Box<Record>, Option<Duration>),
    /// The input of this node is damaged and was set aside.
    InputLost(NodeIndex),
    Failed(Error),
}

impl<'a> Run<'a> {
    /// Has all stages check themselves. False if one found something wrong.
    fn check(&mut self) -> bool {
        let mut fine = true;
        for &node in &self.nodes {
            let stage = self.graph.node(node);
            if let Err(error) = guarded(|| stage.check(&self.scheduler.machine)) {
                self.board.apply(node, NodeStep::Fail(error.in_stage(self.graph.node_name(node))));
                fine = false;
            }
        }
        fine
    }

    /// The loop: find what is kept, start what can start, wait for one that is done, again.
    fn evaluate(&mut self) -> Result<()> {
        let (send, receive) = channel();
        std::thread::scope(|scope| {
            loop {
                self.find_what_is_kept();
                if !self.scheduler.cancel.is_requested() {
                    while let Some(work) = self.next_to_start() {
                        let node = work.node;
                        self.board.apply(node, NodeStep::Start);
                        let send = send.clone();
                        scope.spawn(move || Self::tell(&send, node, work));
                    }
                }
                if !self.board.any_running() {
                    break;
                }
                self.listen(&receive)?;
            }
            for &node in &self.nodes {
                if matches!(self.board.state(node), NodeState::Waiting | NodeState::Ready(_)) {
                    self.board.apply(node, NodeStep::Stop);
                }
            }
            Ok(())
        })
    }

    fn tell(send: &Sender<(NodeIndex, Message)>, node: NodeIndex, work: Work<'a>) {
        let message = match guarded(|| work.run()) {
            Ok(message) => message,
            Err(error) => Message::Failed(error),
        };
        // The loop listens for as long as anything runs.
        let _ = send.send((node, message));
    }

    fn listen(&mut self, receive: &Receiver<(NodeIndex, Message)>) -> Result<()> {
        let (node, message) =
            receive.recv().map_err(|cause| Error::new("the scheduler lost its threads").because(cause))?;
        match message {
            Message::Kept(record, made_in) => self.keep(node, *record, made_in),
            Message::InputLost(input) => {
                self.board.apply(node, NodeStep::InputLost);
                self.lose(input);
            }
            Message::Failed(error) if error.is_cancelled() => self.board.apply(node, NodeStep::Stop),
            Message::Failed(error) => self.fail(node, error),
        }
        Ok(())
    }

    /// Has a result made again whose damage was set aside, unless that was done since: several nodes
    /// may find the same damage.
    fn lose(&mut self, node: NodeIndex) {
        let NodeState::Kept(record, _) = self.board.state(node) else { return };
        if matches!(self.store.peek(&record.fingerprint()), Ok(Peek::Kept(_))) {
            return;
        }
        self.board.apply(node, NodeStep::Lose);
        if self.board.losses(node) > REPAIRS {
            let error = Error::new("the result was damaged again right after it was made again");
            self.fail(node, error.help("check the disk that holds the store"));
        }
    }

    /// Identifies every node whose inputs are known, and finds those whose results are kept. One pass
    /// is enough: a node comes after its inputs.
    fn find_what_is_kept(&mut self) {
        for node in self.nodes.clone() {
            if matches!(self.board.state(node), NodeState::Waiting)
                && let Some(inputs) = self.board.records(&self.graph.inputs(node))
            {
                self.identify(node, &inputs);
            }
            if let NodeState::Ready(manifest) = self.board.state(node) {
                let manifest = Arc::clone(manifest);
                self.cut_off_early(node, &manifest);
            }
        }
    }

    fn identify(&mut self, node: NodeIndex, inputs: &[Record]) {
        match guarded(|| identify(self.graph, self.store, node, inputs)) {
            Ok(manifest) => self.board.apply(node, NodeStep::Identify(Arc::new(manifest))),
            Err(error) => self.fail(node, error),
        }
    }

    /// Early cutoff: a node is identified by what its inputs hold, not by how they were made. So if those above it ran
    /// again and made the same bytes, its result is kept already, and nothing below them runs.
    fn cut_off_early(&mut self, node: NodeIndex, manifest: &Manifest) {
        match self.store.peek(&manifest.fingerprint()) {
            Ok(Peek::Kept(record)) => self.keep(node, *record, None),
            Ok(Peek::Nothing | Peek::Damaged(_)) => {}
            Err(error) => self.fail(node, error),
        }
    }

    /// The first node that is ready and for which there are threads, and the device if it needs it.
    fn next_to_start(&self) -> Option<Work<'a>> {
        let (threads, devices) = (self.scheduler.threads.max(1), self.scheduler.devices.max(1));
        let need = |node: NodeIndex| {
            let need = self.graph.node(node).resources(&self.scheduler.machine);
            (need.threads.clamp(1, threads), usize::from(need.device))
        };
        let running: Vec<_> = self.board.running().collect();
        let used = running.iter().map(|(node, _)| need(*node)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        let mut ready = self.nodes.iter().filter_map(|&node| match self.board.state(node) {
            NodeState::Ready(manifest) => Some((node, Arc::clone(manifest))),
            _ => None,
        });
        let (node, manifest) = ready.find(|(node, manifest)| {
            let (more, device) = need(*node);
            // The same result twice in one graph is made once: the twin finds it kept.
            let twin = running.iter().any(|(_, other)| other.fingerprint() == manifest.fingerprint());
            used.0 + more <= threads && used.1 + device <= devices && !twin
        })?;
        let inputs = self.graph.inputs(node);
        let records = self.board.records(&inputs)?;
        Some(Work {
            node,
            name: self.graph.node_name(node),
            graph: self.graph,
            store: self.store,
            manifest,
            inputs: inputs.into_iter().zip(records).collect(),
            listener: Arc::clone(&self.scheduler.listener),
            cancel: self.scheduler.cancel.clone(),
            machine: self.scheduler.machine.clone(),
        })
    }

    fn keep(&mut self, node: NodeIndex, record: Record, made_in: Option<Duration>) {
        let (graph, name) = (self.graph.name(), self.graph.node_name(node));
        let noted = self.store.set_head(graph, name, &record.fingerprint()).and_then(|()| match self.view {
            Some(view) => self.store.link_view(view, graph, name, &record.digest),
            None => Ok(()),
        });
        match noted {
            Ok(()) => self.board.apply(node, NodeStep::Keep(Box::new(record), made_in)),
            Err(error) => self.fail(node, error),
        }
    }

    /// Fails a node, and with it all that wait for it.
    fn fail(&mut self, node: NodeIndex, error: Error) {
        let name = self.graph.node_name(node);
        self.board.apply(node, NodeStep::Fail(error.in_stage(name)));
        for later in self.graph.descendants(node) {
            if self.nodes.contains(&later)
                && matches!(self.board.state(later), NodeState::Waiting | NodeState::Ready(_))
            {
                self.board.apply(later, NodeStep::Skip(name.to_owned()));
            }
        }
    }
}

/// What the node's result depends on, its inputs being known.
fn identify(graph: &Graph, store: &Store, node: NodeIndex, inputs: &[Record]) -> Result<Manifest> {
    let named = |(input, record): (NodeIndex, &Record)| Named {
        name: graph.node_name(input).to_owned(),
        digest: record.digest,
    };
    let inputs = graph.inputs(node).into_iter().zip(inputs).map(named).collect();
    manifest(graph, store, node, inputs)
}

fn manifest(graph: &Graph, store: &Store, node: NodeIndex, inputs: Vec<Named>) -> Result<Manifest> {
    let stage = graph.node(node);
    let files = stage.files().into_iter().map(|reads| {
        let name = reads.path().to_string_lossy().into_owned();
        Ok(Named { digest: store.digest_outside(&reads)?, name })
    });
    Manifest::new(stage.name(), stage.version(), &stage.key()?, inputs, files.collect::<Result<_>>()?)
}
