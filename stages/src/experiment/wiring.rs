//! A graph that several branches share: a node is made once for all who want the same of the same.

use std::any::Any;

use pipeline::error::{Error, Result};
use pipeline::graph::{Graph, Handle};
use pipeline::stage::{Inputs, Stage};

/// A graph, and what says how its branches went, in their order.
pub struct Wired {
    /// The graph.
    pub graph: Graph,
    /// Of each branch, the nodes to ask.
    pub branches: Vec<Findings>,
}

/// Names of the nodes that say how a branch went.
pub struct Findings {
    /// The CLIPs that voted.
    pub clips: Vec<ClipNodes>,
    /// How good the labels are.
    pub statistics: String,
    /// The plain student, if there is one.
    pub distilled: Option<String>,
    /// How good the student is.
    pub evaluation: String,
}

/// A CLIP that voted, and the nodes that know it.
pub struct ClipNodes {
    /// What the setting `clip.model` calls it.
    pub model: String,
    /// Which files it is made of.
    pub fetched: String,
    /// What it saw.
    pub embedded: String,
}

/// A graph under construction, and what was added to it.
pub(super) struct Wiring {
    graph: Graph,
    made: Vec<Box<dyn Any>>,
}

impl Wiring {
    pub(super) fn new(name: &str) -> Result<Self> {
        Ok(Self { graph: Graph::new(name)?, made: Vec::new() })
    }

    pub(super) fn into_graph(self) -> Graph {
        self.graph
    }

    /// As [`add_as`](Self::add_as), under the stage's own name.
    pub(super) fn add<S: Stage + PartialEq + Clone>(
        &mut self,
        suffix: &str,
        stage: S,
        inputs: <S::Inputs as Inputs>::Handles,
    ) -> Result<Handle<S::Output>> {
        self.add_as(S::NAME, suffix, stage, inputs)
    }

    /// The node that runs `stage` on `inputs`: the one that is there already, or a new one of this name, which
    /// carries the suffix if the name is taken.
    pub(super) fn add_as<S: Stage + PartialEq + Clone>(
        &mut self,
        name: &str,
        suffix: &str,
        stage: S,
        inputs: <S::Inputs as Inputs>::Handles,
    ) -> Result<Handle<S::Output>> {
        type Made<S> = (S, <<S as Stage>::Inputs as Inputs>::Handles, Handle<<S as Stage>::Output>);
        let same = self.made.iter().filter_map(|made| made.downcast_ref::<Made<S>>());
        if let Some((.., handle)) = same.into_iter().find(|(s, i, _)| *s == stage && *i == inputs) {
            return Ok(*handle);
        }
        let taken = self.graph.nodes().any(|node| node.node == name);
        let name = if taken { format!("{name}{suffix}") } else { name.to_owned() };
        let handle = self.graph.add(name, stage.clone(), inputs.clone())?;
        self.made.push(Box::new((stage, inputs, handle)));
        Ok(handle)
    }

    pub(super) fn name_of<T>(&self, handle: Handle<T>) -> Result<String> {
        let name = self.graph.name_of(handle).map(str::to_owned);
        name.ok_or_else(|| Error::new("a node is not in its own graph"))
    }
}
