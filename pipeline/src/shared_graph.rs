//! A graph that several branches share: a node is made once for all that run the same stage on the same inputs.

use std::any::Any;

use crate::error::{Error, Result};
use crate::graph::{Graph, Handle};
use crate::stage::{Inputs, Stage};

/// A graph under construction, and the stages and inputs of its nodes.
pub struct SharedGraph {
    graph: Graph,
    added: Vec<Box<dyn Any>>,
}

impl SharedGraph {
    /// An empty graph.
    ///
    /// # Errors
    /// A name that cannot be a folder's name (see [`Graph::new`]).
    pub fn new(name: impl Into<String>) -> Result<Self> {
        Ok(Self { graph: Graph::new(name)?, added: Vec::new() })
    }

    /// The finished graph.
    pub fn into_graph(self) -> Graph {
        self.graph
    }

    /// The node called `name` that runs `stage` on `inputs`: the one that is there already, under whatever name, or a
    /// new one. A new one carries the suffix if its name is taken.
    ///
    /// # Errors
    /// Those of [`Graph::add`]; a name that is taken with its suffix too.
    pub fn add<S: Stage + PartialEq + Clone>(
        &mut self,
        name: &str,
        suffix: &str,
        stage: S,
        inputs: <S::Inputs as Inputs>::Handles,
    ) -> Result<Handle<S::Output>> {
        type Added<S> = (S, <<S as Stage>::Inputs as Inputs>::Handles, Handle<<S as Stage>::Output>);
        let mut same = self.added.iter().filter_map(|added| added.downcast_ref::<Added<S>>());
        if let Some((.., handle)) = same.find(|(s, i, _)| *s == stage && *i == inputs) {
            return Ok(*handle);
        }
        let taken = self.graph.nodes().any(|node| node.node == name);
        let name = if taken { format!("{name}{suffix}") } else { name.to_owned() };
        let handle = self.graph.add(name, stage.clone(), inputs.clone())?;
        self.added.push(Box::new((stage, inputs, handle)));
        Ok(handle)
    }

    /// The name of a node of this graph.
    ///
    /// # Errors
    /// A handle of another graph.
    pub fn name_of<T>(&self, handle: Handle<T>) -> Result<String> {
        let name = self.graph.name_of(handle).map(str::to_owned);
        name.ok_or_else(|| Error::new("a node is not in its own graph"))
    }
}
