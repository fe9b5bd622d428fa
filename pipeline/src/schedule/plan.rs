//! What a run would do, and why, without doing it.

use std::fmt;

use serde::Serialize;

use super::{identify, manifest};
use crate::error::Result;
use crate::fingerprint::{Change, Fingerprint, Manifest, Subject};
use crate::graph::Graph;
use crate::store::{Peek, Record, Store};

/// What a run would do with one node.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedNode {
    /// The node's name.
    pub node: String,
    /// Its stage's name.
    pub stage: &'static str,
    /// The key of its result, where all inputs are known.
    pub fingerprint: Option<Fingerprint>,
    /// What would happen.
    pub status: Status,
}

/// What would happen to a node. Prints as one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "status")]
pub enum Status {
    /// Its result is kept.
    Cached {
        /// How it differs from the result the node used last; empty if it is that one.
        differs: Vec<String>,
    },
    /// It would run.
    WouldRun {
        /// Why, one line a reason.
        why: Vec<String>,
    },
    /// Nodes it takes inputs from run first.
    DependsOn {
        /// Those nodes.
        upstream: Vec<String>,
        /// What else changed. If this is empty, the node runs only if their output changes.
        why: Vec<String>,
    },
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cached { differs } if differs.is_empty() => f.write_str("cached"),
            Self::Cached { differs } => write!(f, "cached, from an older run ({})", differs.join("; ")),
            Self::WouldRun { why } => write!(f, "would run: {}", why.join("; ")),
            Self::DependsOn { upstream, why } if why.is_empty() => {
                write!(f, "runs only if the output of {} changes", upstream.join(" or "))
            }
            Self::DependsOn { upstream, why } => {
                write!(f, "would run after {}: {}", upstream.join(" and "), why.join("; "))
            }
        }
    }
}

/// What [`Scheduler::run`](super::Scheduler::run) would do with each node, in the graph's order.
/// Changes nothing but the memory of outside files' digests.
///
/// # Errors
/// An unknown target, a file that a stage reads and that is not there, a store that cannot be read.
pub fn plan(graph: &Graph, store: &Store, targets: Option<&[&str]>) -> Result<Vec<PlannedNode>> {
    let mut known: Vec<Option<Record>> = graph.indices().map(|_| None).collect();
    let mut planned = Vec::new();
    for node in graph.needed_for(targets)? {
        let name = graph.node_name(node);
        let inputs = graph.inputs(node);
        let records: Option<Vec<_>> = inputs.iter().map(|input| known[input.index()].clone()).collect();
        let mut fingerprint = None;
        let status = if let Some(records) = records {
            let manifest = identify(graph, store, node, &records).map_err(|error| error.in_stage(name))?;
            let key = manifest.fingerprint();
            fingerprint = Some(key);
            match store.peek(&key)? {
                Peek::Kept(record) => {
                    known[node.index()] = Some(*record);
                    Status::Cached { differs: differences(store, graph.name(), name, &manifest)? }
                }
                Peek::Damaged(what) => {
                    Status::WouldRun { why: vec![format!("its kept result is damaged: {what}")] }
                }
                Peek::Nothing => Status::WouldRun { why: why(store, graph.name(), name, &manifest)? },
            }
        } else {
            let upstream = inputs.iter().filter(|input| known[input.index()].is_none());
            let upstream: Vec<_> = upstream.map(|input| graph.node_name(*input).to_owned()).collect();
            let manifest = manifest(graph, store, node, Vec::new()).map_err(|error| error.in_stage(name))?;
            Status::DependsOn { why: own_reasons(store, graph.name(), name, &manifest)?, upstream }
        };
        planned.push(PlannedNode {
            node: name.to_owned(),
            stage: graph.node(node).name(),
            fingerprint,
            status,
        });
    }
    Ok(planned)
}

/// Why a node whose result is not kept has to run, in comparison with the result it used last.
pub(super) fn why(store: &Store, graph: &str, node: &str, manifest: &Manifest) -> Result<Vec<String>> {
    Ok(match last(store, graph, node)? {
        Last::Never => vec!["never ran before".to_owned()],
        Last::Gone => vec!["its last result is no longer kept".to_owned()],
        Last::Used(old) => match lines(&old.changes_to(manifest)) {
            none if none.is_empty() => vec!["its last result is no longer kept".to_owned()],
            changes => changes,
        },
    })
}

/// How a result that is kept differs from the one the node used last.
fn differences(store: &Store, graph: &str, node: &str, manifest: &Manifest) -> Result<Vec<String>> {
    Ok(match last(store, graph, node)? {
        Last::Used(old) => lines(&old.changes_to(manifest)),
        Last::Never | Last::Gone => Vec::new(),
    })
}

/// Why a node would run whatever its inputs turn out to be, as far as that can be told.
fn own_reasons(store: &Store, graph: &str, node: &str, manifest: &Manifest) -> Result<Vec<String>> {
    Ok(match last(store, graph, node)? {
        Last::Never => vec!["never ran before".to_owned()],
        Last::Gone => vec!["its last result is no longer kept".to_owned()],
        Last::Used(old) => {
            let mut changes = old.changes_to(manifest);
            changes.retain(|change| !matches!(change.subject, Subject::Input(_)));
            lines(&changes)
        }
    })
}

/// The result that a node used last.
enum Last {
    Never,
    Gone,
    Used(Box<Manifest>),
}

fn last(store: &Store, graph: &str, node: &str) -> Result<Last> {
    let Some(head) = store.head(graph, node)? else { return Ok(Last::Never) };
    // A damaged record explains nothing, and is dealt with where the result is needed.
    Ok(match store.record(&head).ok().flatten() {
        Some(record) => Last::Used(Box::new(record.manifest)),
        None => Last::Gone,
    })
}

/// One line a change; of many changes within one list the first, and how many more there are.
fn lines(changes: &[Change]) -> Vec<String> {
    /// As many changes of one list are told one by one.
    const FEW: usize = 2;
    if let Some(change) = changes.iter().find(|change| change.subject == Subject::Stage) {
        // Of another stage everything is different.
        return vec![change.to_string()];
    }
    let mut told: Vec<&str> = Vec::new();
    let mut lines = Vec::new();
    for change in changes {
        let Some(list) = list_of(change) else {
            lines.push(change.to_string());
            continue;
        };
        let count = changes.iter().filter(|other| list_of(other) == Some(list)).count();
        if count <= FEW {
            lines.push(change.to_string());
        } else if !told.contains(&list) {
            lines.push(format!("{change}, and {} more changes in `{list}`", count - 1));
            told.push(list);
        }
    }
    lines
}

/// The list that a changed setting is an entry of.
fn list_of(change: &Change) -> Option<&str> {
    match &change.subject {
        Subject::Setting(path) => path.rsplit_once('[').map(|(list, _)| list),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn of_many_changes_in_a_list_the_first_is_told_and_how_many_more() {
        let manifest = |settings| Manifest::new("stage", 1, &settings, Vec::new(), Vec::new()).unwrap();
        let told = |old, new| lines(&manifest(old).changes_to(&manifest(new)));
        assert_eq!(
            told(
                json!({"a": [1, 2, 3, 4], "b": {"c": [1]}, "d": 1}),
                json!({"a": [5], "b": {"c": [2]}, "d": 2})
            ),
            [
                "setting `a[0]`: 1 → 5, and 3 more changes in `a`",
                "setting `b.c[0]`: 1 → 2",
                "setting `d`: 1 → 2"
            ]
        );
        assert_eq!(
            told(json!({"a": [1, 2]}), json!({"a": [3, 4]})),
            ["setting `a[0]`: 1 → 3", "setting `a[1]`: 2 → 4"]
        );
    }

    #[test]
    fn of_another_stage_nothing_else_is_told() {
        let manifest = |stage: &str, says: u32| {
            Manifest::new(stage, says, &json!({"says": says}), Vec::new(), Vec::new()).unwrap()
        };
        assert_eq!(lines(&manifest("one", 1).changes_to(&manifest("two", 2))), ["stage one → two"]);
    }
}
