//! What became of a run, as data.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::fingerprint::{Digest, Fingerprint};
use crate::store::Record;

/// What became of a run.
#[derive(Debug)]
pub struct RunReport {
    /// The graph's name.
    pub graph: String,
    /// The nodes that took part, in the order in which they were added.
    pub nodes: Vec<NodeReport>,
    /// Wall-clock time of the run.
    pub seconds: f64,
    /// Whether the user asked to stop.
    pub stopped: bool,
}

/// What became of one node.
#[derive(Debug)]
pub struct NodeReport {
    /// The node's name.
    pub node: String,
    /// Its stage's name.
    pub stage: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// Its result, if it has one: see [`Store::load`](crate::store::Store::load).
    pub result: Option<Record>,
    /// Wall-clock time of the stage; 0 if it did not run.
    pub seconds: f64,
    /// Why it failed, if it did.
    pub error: Option<Error>,
}

/// How a node ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// Its result was there.
    Cached,
    /// It ran, and its result is kept.
    Made,
    /// It went wrong, or its stage's check did.
    Failed,
    /// It did not run because one it depends on failed.
    Skipped {
        /// The node that failed.
        because_of: String,
    },
    /// The user asked to stop before it was done.
    Stopped,
    /// Nothing ran, because the check of another node failed.
    NotRun,
}

impl NodeReport {
    /// The key of the result.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.result.as_ref().map(Record::fingerprint)
    }

    /// The digest of the result's content.
    pub fn digest(&self) -> Option<Digest> {
        self.result.as_ref().map(|record| record.digest)
    }
}

impl RunReport {
    /// Whether every node that took part has its result.
    pub fn is_ok(&self) -> bool {
        self.nodes.iter().all(|node| node.result.is_some())
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<&NodeReport> {
        self.nodes.iter().find(|node| node.node == name)
    }

    /// All errors, in the order of the nodes.
    pub fn errors(&self) -> impl Iterator<Item = &Error> {
        self.nodes.iter().filter_map(|node| node.error.as_ref())
    }

    /// The report if every node has its result, else what went wrong.
    ///
    /// # Errors
    /// The node's error if one failed, all of them in one if several did; [`Error::cancelled`] if
    /// none failed and the user asked to stop.
    pub fn into_result(mut self) -> Result<Self> {
        let mut errors: Vec<_> = self.nodes.iter_mut().filter_map(|node| node.error.take()).collect();
        match errors.len() {
            0 if self.is_ok() => Ok(self),
            0 => Err(Error::cancelled()),
            1 => Err(errors.remove(0)),
            several => {
                let all: Vec<_> = errors.iter().map(ToString::to_string).collect();
                Err(Error::new(format!("{several} nodes failed\n{}", all.join("\n"))))
            }
        }
    }
}
