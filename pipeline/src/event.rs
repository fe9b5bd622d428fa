//! Everything that happens during a run, as data. The console, the run record and tests subscribe.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

/// One thing that happened. `node` is the node's name in the graph.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The run begins; nodes are named in the order in which they were added.
    RunStarted {
        /// Names of all nodes that take part.
        nodes: Vec<String>,
    },
    /// A node waits for another process that is computing the same result.
    Waiting {
        /// The node.
        node: String,
        /// Who holds the lock, as far as it is known ("process 1234 on host").
        holder: String,
    },
    /// A node's result was found in the store.
    Cached {
        /// The node.
        node: String,
        /// Fingerprint of the result.
        fingerprint: String,
    },
    /// A node begins to run.
    Started {
        /// The node.
        node: String,
        /// Fingerprint of the result it will make.
        fingerprint: String,
        /// Why it runs, one line a reason.
        why: Vec<String>,
    },
    /// How far a node is.
    Progress {
        /// The node.
        node: String,
        /// Units done so far.
        done: u64,
        /// Units in all, where known.
        total: Option<u64>,
        /// The unit's plural: "images", "epochs".
        unit: String,
    },
    /// One line worth reading from a node: a loss, a rate, what it waits for.
    Note {
        /// The node.
        node: String,
        /// The line.
        text: String,
    },
    /// A damaged result was found, set aside and will be made again.
    Damaged {
        /// The node.
        node: String,
        /// What is wrong with it.
        what: String,
        /// Where the damaged copy was put.
        moved_to: String,
    },
    /// A node finished; its result is kept.
    Finished {
        /// The node.
        node: String,
        /// Fingerprint of the result.
        fingerprint: String,
        /// Digest of the result's content.
        digest: String,
        /// Wall-clock time of the node.
        #[serde(serialize_with = "as_seconds")]
        seconds: Duration,
    },
    /// A node failed.
    Failed {
        /// The node.
        node: String,
        /// The error in full.
        error: String,
    },
    /// A node did not run because one it depends on failed or was stopped.
    Skipped {
        /// The node.
        node: String,
        /// The node that failed.
        because_of: String,
    },
    /// A node stopped at the user's request.
    Stopped {
        /// The node.
        node: String,
    },
    /// The run is over.
    RunFinished {
        /// Whether every node has its result.
        ok: bool,
        /// Wall-clock time of the run.
        #[serde(serialize_with = "as_seconds")]
        seconds: Duration,
    },
}

fn as_seconds<S: serde::Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64((time.as_secs_f64() * 1e3).round() / 1e3)
}

/// Whoever listens to events. Called from any thread; must be quick.
pub trait Listener: Send + Sync {
    /// Takes note of one event.
    fn on(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync> Listener for F {
    fn on(&self, event: &Event) {
        self(event);
    }
}

/// A node's way to say how far it is. Cheap enough for inner loops: a phase sends its first and its
/// last event, and in between no more than one each 50 ms.
#[derive(Clone)]
pub struct Progress {
    node: Arc<str>,
    listener: Arc<dyn Listener>,
    state: Arc<ProgressState>,
}

struct ProgressState {
    done: AtomicU64,
    total: AtomicU64,
    unit: std::sync::Mutex<String>,
    created: Instant,
    /// Milliseconds after `created` at which the last event was sent.
    sent: AtomicU64,
}

/// Twenty events a second are more than an eye needs.
const BETWEEN_EVENTS_MS: u64 = 50;

impl Progress {
    /// A progress that `listener` hears of under the name `node`.
    pub fn new(node: &str, listener: Arc<dyn Listener>) -> Self {
        let state = ProgressState {
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            unit: std::sync::Mutex::default(),
            created: Instant::now(),
            sent: AtomicU64::new(0),
        };
        Self { node: node.into(), listener, state: Arc::new(state) }
    }

    /// A progress nobody listens to, for tests and benchmarks.
    pub fn silent() -> Self {
        Self::new("", Arc::new(|_: &Event| {}))
    }

    /// Begins a phase of `total` units (0 where it is not known).
    pub fn begin(&self, total: u64, unit: &str) {
        self.state.done.store(0, Ordering::Relaxed);
        self.state.total.store(total, Ordering::Relaxed);
        if let Ok(mut held) = self.state.unit.lock() {
            unit.clone_into(&mut held);
        }
        self.state.sent.store(self.now(), Ordering::Relaxed);
        self.send(0);
    }

    /// `by` more units are done.
    pub fn advance(&self, by: u64) {
        let done = self.state.done.fetch_add(by, Ordering::Relaxed) + by;
        let (now, sent) = (self.now(), self.state.sent.load(Ordering::Relaxed));
        let last = done == self.state.total.load(Ordering::Relaxed);
        let due = now >= sent + BETWEEN_EVENTS_MS;
        // Of several threads that find an event due, the one that wins the exchange sends it.
        let swap = || self.state.sent.compare_exchange(sent, now, Ordering::Relaxed, Ordering::Relaxed);
        if last || (due && swap().is_ok()) {
            self.send(done);
        }
    }

    /// One line worth reading.
    pub fn note(&self, text: impl Into<String>) {
        self.listener.on(&Event::Note { node: self.node.to_string(), text: text.into() });
    }

    fn now(&self) -> u64 {
        u64::try_from(self.state.created.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn send(&self, done: u64) {
        let total = self.state.total.load(Ordering::Relaxed);
        self.listener.on(&Event::Progress {
            node: self.node.to_string(),
            done,
            total: (total > 0).then_some(total),
            unit: self.state.unit.lock().map(|unit| unit.clone()).unwrap_or_default(),
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_busy_phase_sends_its_first_and_last_event_and_few_between() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&heard);
        let listener = move |event: &Event| {
            if let Event::Progress { done, .. } = event {
                log.lock().unwrap().push(*done);
            }
        };
        let progress = Progress::new("node", Arc::new(listener));
        let units = 100_000;
        progress.begin(units, "images");
        for _ in 0..units {
            progress.advance(1);
        }
        let heard = heard.lock().unwrap();
        assert_eq!((heard[0], heard[heard.len() - 1]), (0, units));
        let allowed = 3 + progress.now() / BETWEEN_EVENTS_MS;
        assert!(heard.len() as u64 <= allowed, "{} events, {allowed} allowed", heard.len());
    }
}
