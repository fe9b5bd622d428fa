//! The graph: stages as nodes, artifacts as edges.
//!
//! A node can only be joined to nodes that are there already, and a [`Handle`] carries the type of
//! what its node makes. So a cycle cannot be built, and an edge of the wrong type does not compile.
//! It knows nothing of schedules or stores.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Dfs, EdgeRef, Reversed};

use crate::artifact::{Artifact, PartOf};
use crate::error::{Error, OrFail, Result};
use crate::node::Node;
use crate::stage::{Inputs, Stage};

/// A graph of stages.
///
/// An edge of the wrong type does not compile:
/// ```compile_fail
/// # use pipeline::{artifact::Artifact, error::Result, graph::Graph, stage::{Context, Inputs, Stage}};
/// # use std::path::Path;
/// # struct Images; struct Labels;
/// # impl Artifact for Images { fn save(&self, _: &Path) -> Result<()> { Ok(()) } fn load(_: &Path) -> Result<Self> { Ok(Self) } }
/// # impl Artifact for Labels { fn save(&self, _: &Path) -> Result<()> { Ok(()) } fn load(_: &Path) -> Result<Self> { Ok(Self) } }
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Fetch;
/// # impl Stage for Fetch { type Inputs = (); type Output = Images; const NAME: &'static str = "fetch"; const VERSION: u32 = 1;
/// #     fn run(&self, (): (), _: &Context) -> Result<Images> { Ok(Images) } }
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Train;
/// # impl Stage for Train { type Inputs = (Labels,); type Output = Images; const NAME: &'static str = "train"; const VERSION: u32 = 1;
/// #     fn run(&self, _: <(Labels,) as Inputs>::Loaded, _: &Context) -> Result<Images> { Ok(Images) } }
/// let mut graph = Graph::new("demo")?;
/// let images = graph.add("images", Fetch, ())?;
/// graph.add("train", Train, (images,))?; // Train takes Labels, not Images
/// # Ok::<(), pipeline::error::Error>(())
/// ```
/// The same with a stage that takes what it is given does:
/// ```
/// # use pipeline::{artifact::Artifact, error::Result, graph::Graph, stage::{Context, Inputs, Stage}};
/// # use std::path::Path;
/// # struct Images;
/// # impl Artifact for Images { fn save(&self, _: &Path) -> Result<()> { Ok(()) } fn load(_: &Path) -> Result<Self> { Ok(Self) } }
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Fetch;
/// # impl Stage for Fetch { type Inputs = (); type Output = Images; const NAME: &'static str = "fetch"; const VERSION: u32 = 1;
/// #     fn run(&self, (): (), _: &Context) -> Result<Images> { Ok(Images) } }
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Train;
/// # impl Stage for Train { type Inputs = (Images,); type Output = Images; const NAME: &'static str = "train"; const VERSION: u32 = 1;
/// #     fn run(&self, _: <(Images,) as Inputs>::Loaded, _: &Context) -> Result<Images> { Ok(Images) } }
/// let mut graph = Graph::new("demo")?;
/// let images = graph.add("images", Fetch, ())?;
/// graph.add("train", Train, (images,))?;
/// # Ok::<(), pipeline::error::Error>(())
/// ```
pub struct Graph {
    name: String,
    id: usize,
    nodes: DiGraph<Placed, usize>,
}

struct Placed {
    name: String,
    stage: Box<dyn Node>,
}

/// A node, and with it the artifact of type `T` that it makes.
pub struct Handle<T> {
    link: Link,
    makes: PhantomData<fn() -> T>,
}

/// A handle without its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub struct Link {
    graph: usize,
    node: NodeIndex,
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Handle<T> {}

impl<T> PartialEq for Handle<T> {
    fn eq(&self, other: &Self) -> bool {
        self.link == other.link
    }
}

impl<T> Eq for Handle<T> {}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.link.node.index())
    }
}

impl<T> Handle<T> {
    pub(crate) fn link(self) -> Link {
        self.link
    }

    /// The same node, of which no more is read than the part `P`.
    pub fn part<P: PartOf<T>>(self) -> Handle<P>
    where
        T: Artifact,
    {
        Handle { link: self.link, makes: PhantomData }
    }
}

/// One node as it can be shown.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct NodeInfo {
    /// The node's name.
    pub node: String,
    /// Its stage's name.
    pub stage: &'static str,
    /// The nodes it takes its inputs from, in order.
    pub inputs: Vec<String>,
}

impl Graph {
    /// An empty graph.
    ///
    /// # Errors
    /// A name that cannot be a folder's name (see [`add`](Self::add)).
    pub fn new(name: impl Into<String>) -> Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = name.into();
        check_name(&name).or_fail(|| Error::new("cannot make the graph"))?;
        Ok(Self { name, id: NEXT.fetch_add(1, Ordering::Relaxed), nodes: DiGraph::new() })
    }

    /// The graph's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds a node that runs `stage` on `inputs`: a tuple of handles, `()`, `(a,)`, `(a, b)`, or a
    /// `Vec` of them, as its [`Inputs`](Stage::Inputs) are.
    ///
    /// # Errors
    /// A name that is taken, or is not made of letters, digits, `-`, `_` and `.` (it names a folder);
    /// a handle of another graph.
    pub fn add<S: Stage>(
        &mut self,
        name: impl Into<String>,
        stage: S,
        inputs: <S::Inputs as Inputs>::Handles,
    ) -> Result<Handle<S::Output>> {
        let name = name.into();
        check_name(&name).or_fail(|| Error::new(format!("cannot add a node to graph {}", self.name)))?;
        if self.nodes.node_weights().any(|entry| entry.name == name) {
            return Err(Error::new(format!("graph {} has two nodes called `{name}`", self.name)));
        }
        let links = S::Inputs::links(inputs);
        if links.iter().any(|link| link.graph != self.id) {
            return Err(Error::new(format!("an input of node `{name}` belongs to another graph")));
        }
        let node = self.nodes.add_node(Placed { name, stage: Box::new(stage) });
        for (position, link) in links.iter().enumerate() {
            self.nodes.add_edge(link.node, node, position);
        }
        Ok(Handle { link: Link { graph: self.id, node }, makes: PhantomData })
    }

    /// All nodes in the order in which they were added, which is an order they could run in.
    pub fn nodes(&self) -> impl Iterator<Item = NodeInfo> + '_ {
        self.nodes.node_indices().map(|node| NodeInfo {
            node: self.node_name(node).to_owned(),
            stage: self.node(node).name(),
            inputs: self.inputs(node).into_iter().map(|input| self.node_name(input).to_owned()).collect(),
        })
    }

    /// The stage of the node called `name`.
    ///
    /// # Errors
    /// No node of this name: says which ones there are.
    pub fn stage(&self, name: &str) -> Result<&dyn Node> {
        Ok(self.node(self.find(name)?))
    }

    /// The name of the node behind a handle of this graph.
    pub fn name_of<T>(&self, handle: Handle<T>) -> Option<&str> {
        let Link { graph, node } = handle.link;
        (graph == self.id).then(|| self.node_name(node))
    }

    pub(crate) fn indices(&self) -> impl Iterator<Item = NodeIndex> + use<> {
        self.nodes.node_indices()
    }

    pub(crate) fn node_name(&self, node: NodeIndex) -> &str {
        &self.nodes[node].name
    }

    pub(crate) fn node(&self, node: NodeIndex) -> &dyn Node {
        &*self.nodes[node].stage
    }

    /// Where the node's inputs come from, in the order in which its stage takes them.
    pub(crate) fn inputs(&self, node: NodeIndex) -> Vec<NodeIndex> {
        let mut edges: Vec<_> = self
            .nodes
            .edges_directed(node, Direction::Incoming)
            .map(|edge| (*edge.weight(), edge.source()))
            .collect();
        edges.sort_unstable();
        edges.into_iter().map(|(_, source)| source).collect()
    }

    /// Everything that depends on `node`, near or far, itself left out.
    pub(crate) fn descendants(&self, node: NodeIndex) -> Vec<NodeIndex> {
        let mut walk = Dfs::new(&self.nodes, node);
        let mut found: Vec<_> = std::iter::from_fn(|| walk.next(&self.nodes)).skip(1).collect();
        found.sort_unstable();
        found
    }

    /// The named nodes and everything they depend on, in running order; all nodes for `None`.
    pub(crate) fn needed_for(&self, targets: Option<&[&str]>) -> Result<Vec<NodeIndex>> {
        let Some(targets) = targets else { return Ok(self.indices().collect()) };
        let mut needed = vec![false; self.nodes.node_count()];
        for &target in targets {
            let node = self.find(target)?;
            let upwards = Reversed(&self.nodes);
            let mut walk = Dfs::new(upwards, node);
            while let Some(node) = walk.next(upwards) {
                needed[node.index()] = true;
            }
        }
        Ok(self.indices().filter(|node| needed[node.index()]).collect())
    }

    /// The node called `name`.
    pub(crate) fn find(&self, name: &str) -> Result<NodeIndex> {
        self.indices().find(|&node| self.node_name(node) == name).ok_or_else(|| {
            let names: Vec<_> = self.nodes.node_weights().map(|entry| entry.name.as_str()).collect();
            let error = Error::new(format!("graph {} has no node `{name}`", self.name));
            match names.iter().min_by_key(|other| distance(name, other)) {
                Some(near) => error.help(format!("did you mean `{near}`? There are: {}", names.join(", "))),
                None => error.help("the graph is empty"),
            }
        })
    }
}

/// Graph and node names become names of folders.
fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.chars().all(allowed) {
        return Err(Error::new(format!("`{name}` cannot be a name"))
            .help("use 1 to 100 letters, digits, `-`, `_` and `.`, and do not begin with a `.`"));
    }
    Ok(())
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn the_nearest_name_is_the_one_with_fewest_letters_changed() {
        assert_eq!(distance("labels", "labels"), 0);
        assert_eq!(distance("lables", "labels"), 2);
        assert_eq!(distance("label", "labels"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
