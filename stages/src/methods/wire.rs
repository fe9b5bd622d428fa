//! How methods join the graph: their settings by name, and what their trainings are given.

use pipeline::error::{Error, OrFail, Result};
use pipeline::graph::Handle;
use pipeline::shared_graph::SharedGraph;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use toml::{Table, Value};

use super::{Entry, METHODS, Wired};
use crate::artifacts::annotation::{Labels, Votes};
use crate::artifacts::images::Images;
use crate::artifacts::training::Trained;
use crate::learn::optimizer::Optimizer;
use crate::learn::train::Train;
use crate::learn::training_set::Input;
use crate::network::Architecture;

/// The settings of every method, by its name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MethodSettings(Table);

impl MethodSettings {
    /// Every method's defaults.
    ///
    /// # Errors
    /// A default that TOML cannot hold.
    pub fn defaults() -> Result<Self> {
        let defaults = |method: &Entry| {
            let table = (method.defaults)()
                .or_fail(|| Error::new(format!("cannot list {}'s settings", method.name)))?;
            Ok((method.name.to_owned(), Value::Table(table)))
        };
        METHODS.iter().map(defaults).collect::<Result<Table>>().map(Self)
    }

    /// The settings of the method `M`.
    ///
    /// # Errors
    /// A setting has a value that it cannot have.
    pub fn of<M: Wired>(&self) -> Result<M> {
        let wrong = || Error::new(format!("a setting of {} has a value that it cannot have", M::NAME));
        self.0.get(M::NAME).cloned().ok_or_else(wrong)?.try_into().or_fail(wrong)
    }
}

impl<'de> Deserialize<'de> for MethodSettings {
    /// Refuses what is no method, and settings that a method does not have.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = Table::deserialize(deserializer)?;
        for (name, settings) in &all {
            let method = METHODS.iter().find(|method| method.name == name);
            let method = method.ok_or_else(|| D::Error::custom(format!("there is no method `{name}`")))?;
            let Value::Table(settings) = settings.clone() else {
                return Err(D::Error::custom(format!("the settings of {name} are no table")));
            };
            (method.check)(settings).map_err(|error| D::Error::custom(error.message()))?;
        }
        Ok(Self(all))
    }
}

/// What all trainings of an experiment have in common.
#[derive(Clone, Debug)]
pub struct SharedSettings {
    /// Seed of weights, orders, views and mixing.
    pub seed: u64,
    /// Stochastic gradient descent.
    pub optimizer: Optimizer,
    /// How images become input.
    pub input: Input,
    /// What the networks look like.
    pub architecture: Architecture,
}

/// A training in the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainingNode {
    /// The method's name.
    pub method: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// Names of its networks.
    pub networks: &'static [&'static str],
    /// Its own epochs.
    pub epochs: usize,
    /// Images that each network sees in an epoch; none where it sees every one once.
    pub epoch_images: Option<usize>,
    /// The name of the node.
    pub node: String,
    /// What it leaves behind.
    pub trained: Handle<Trained>,
}

/// Whose opinion of an image a method learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Voters {
    /// All annotators' average: the rows with a star of the paper's tables.
    Average,
    /// The first prompt template's alone, "a photo of a {}": the rows without.
    FirstTemplate,
}

impl TrainingNode {
    /// How many times an image has its turn in each network, where there are so many training images.
    pub fn images_seen(&self, training_images: usize) -> usize {
        self.epochs * self.epoch_images.unwrap_or(training_images)
    }
}

/// What the first prompt template alone says, the annotator of the paper's rows without a star: nodes that join the graph
/// when a method asks for them.
pub trait FirstTemplate {
    /// Its class probabilities.
    ///
    /// # Errors
    /// No template votes.
    fn votes(&self, graph: &mut SharedGraph) -> Result<Handle<Votes>>;

    /// Its single labels.
    ///
    /// # Errors
    /// No template votes.
    fn labels(&self, graph: &mut SharedGraph) -> Result<Handle<Labels>>;
}

/// One branch of a graph under construction, up to its labels: what trainings are added to.
pub struct Wire<'a> {
    /// The graph.
    pub graph: &'a mut SharedGraph,
    /// What the names of the branch's own nodes end with.
    pub suffix: &'a str,
    /// The images.
    pub images: Handle<Images>,
    /// Their candidates.
    pub labels: Handle<Labels>,
    /// The annotators' votes; synthetic labels have none.
    pub votes: Option<Handle<Votes>>,
    /// What the first template alone says; none where no CLIP votes.
    pub first: Option<&'a dyn FirstTemplate>,
    /// What all trainings have in common.
    pub shared: SharedSettings,
    /// Every method's settings.
    pub settings: &'a MethodSettings,
    /// The trainings so far, in the order in which they were added.
    pub trainings: Vec<TrainingNode>,
}

impl<'a> Wire<'a> {
    /// The class probabilities that the first template alone gives, for `method`.
    ///
    /// # Errors
    /// No CLIP votes.
    pub fn first_votes(&mut self, method: &str) -> Result<Handle<Votes>> {
        self.first(method)?.votes(self.graph)
    }

    /// The single labels that the first template alone gives, for `method`.
    ///
    /// # Errors
    /// No CLIP votes.
    pub fn first_labels(&mut self, method: &str) -> Result<Handle<Labels>> {
        self.first(method)?.labels(self.graph)
    }

    fn first(&self, method: &str) -> Result<&'a dyn FirstTemplate> {
        self.first.ok_or_else(|| {
            Error::new(format!("{method} learns what CLIP's first template says, and no CLIP votes"))
                .help(format!("set {method}.labels=average, or let a CLIP vote"))
        })
    }

    /// The votes, for methods that learn from soft labels.
    ///
    /// # Errors
    /// There are none.
    pub fn votes(&self, method: &str) -> Result<Handle<Votes>> {
        self.votes.ok_or_else(|| {
            Error::new(format!("{method} learns the annotators' votes, and synthetic labels have none"))
                .help("take another METHOD, or leave LABELS=synthetic out")
        })
    }

    /// Adds the training by the method `M`, with what it needs.
    ///
    /// # Errors
    /// What it learns from is not there, or a setting that makes no sense.
    pub fn train<M: Wired>(&mut self) -> Result<Handle<Trained>> {
        let method: M = self.settings.of()?;
        let inputs = method.inputs(self)?;
        let SharedSettings { seed, optimizer, input, architecture } = self.shared.clone();
        let (epochs, optimizer) = (method.epochs(), method.optimizer(&optimizer));
        let epoch_images = optimizer.epoch_images();
        let stage = Train { method, seed, optimizer, input, architecture };
        let trained = self.graph.add(M::NAME, self.suffix, stage, inputs)?;
        let node = self.graph.name_of(trained)?;
        let node = TrainingNode {
            method: M::NAME,
            title: M::TITLE,
            networks: M::NETWORKS,
            epochs,
            epoch_images,
            node,
            trained,
        };
        if !self.trainings.contains(&node) {
            self.trainings.push(node);
        }
        Ok(trained)
    }
}
