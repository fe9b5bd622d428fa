//! An experiment: its settings and the only wiring of the graph.

mod annotators;
mod budget;
pub mod claims;
mod human_labels;
mod layers;
mod report;
pub mod settings;
pub mod variants;

use std::path::Path;

use pipeline::error::{Error, Result};
use pipeline::graph::{Graph, Handle};
use pipeline::registry::Registry;
use pipeline::shared_graph::SharedGraph;
use pipeline::stage::{Machine, Stage};

use crate::annotation::candidates::Label;
use crate::annotation::human_labels::HumanLabels;
use crate::annotation::refine::{self, RefineByNeighbours, RefineVotes};
use crate::annotation::statistics::{Summarise, SummariseLabels};
use crate::annotation::synthetic::Synthesise;
use crate::artifacts::annotation::{Embeddings, Labels, Votes};
use crate::artifacts::images::Images;
use crate::dataset::ImportImages;
use crate::dataset::catalog::{Classes, DataSet, Source};
use crate::dataset::download::Download;
use crate::dataset::set_name;
use crate::dataset::user_images::UserDataSet;
use crate::methods::{Entry, FirstTemplate, SharedSettings, TrainingNode, Wire};
use crate::network::Architecture;
use crate::report::Report;
use crate::results::evaluate::Evaluate;
use crate::results::inspect::Inspect;
use crate::runtime::device::{self, Place};
use annotators::{Annotators, First};
use claims::Claimant;
use human_labels::add_labels;
use report::Shown;
use settings::{LabelSource, Settings, overrides};
use variants::Branch;

/// A graph, and the nodes of its branches, in their order.
pub struct ExperimentGraph {
    /// The graph.
    pub graph: Graph,
    /// Of each branch, the nodes that say how it went.
    pub branches: Vec<BranchNodes>,
}

/// Candidates, and who is behind them.
struct Labelled {
    /// The votes that they are made of; synthetic ones are made of the truth.
    votes: Option<Handle<Votes>>,
    labels: Handle<Labels>,
    first: Option<First>,
    learned: Vec<String>,
}

/// Names of the nodes that say how a branch went.
pub struct BranchNodes {
    /// The CLIPs that voted.
    pub clips: Vec<ClipNodes>,
    /// Nodes that learned prompts, which vote like a CLIP's.
    pub learned: Vec<String>,
    /// What is to be said of how the prompts and the aliases were read.
    pub notes: Vec<String>,
    /// The candidates.
    pub labels: String,
    /// How good the labels are.
    pub statistics: String,
    /// Trainings to compare with.
    pub baselines: Vec<TrainingNode>,
    /// Baselines that are left out, each with the reason.
    pub left_out: Vec<String>,
    /// The trainings that the method goes on from.
    pub before: Vec<TrainingNode>,
    /// The training by the method.
    pub method: TrainingNode,
    /// How good its student is.
    pub evaluation: String,
    /// What is to be warned of.
    pub findings: String,
    /// The page that shows all this.
    pub report: String,
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

/// A data set and all settings.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// The data set.
    pub data_set: DataSet,
    /// All settings.
    pub settings: Settings,
    /// Where it is computed.
    pub place: Place,
    /// What was assumed of the user's input before any stage runs, a line each.
    pub notes: Vec<String>,
    /// Who asks for the data set's name; none where it is one of the catalog.
    pub claimant: Option<Claimant>,
    setters: report::Setters,
}

/// What the user chose.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// A data set of the catalog, or a TOML file like those.
    pub data_set: String,
    /// Images of one's own, in place of a data set.
    pub own: Option<UserDataSet>,
    /// `quick` or `paper`.
    pub profile: String,
    /// A CLIP other than the default: repository or folder.
    pub clip: Option<String>,
    /// Votes from elsewhere: a table as Parquet, CSV or JSON lines.
    pub votes: Option<String>,
    /// How the student learns: a method by its name.
    pub method: Option<String>,
    /// Where the candidates come from: `clip`, `votes`, `clip+votes`, or `synthetic q=… eta=…`.
    pub labels: Option<String>,
    /// So many training images of each class have the label that a human gave.
    pub shots: Option<usize>,
    /// A table of images and the labels that humans gave them.
    pub truth: Option<String>,
    /// How long the student trains: `small`, `medium`, `large`, or how many images each of its networks sees.
    pub budget: Option<String>,
    /// `key=value` pairs.
    pub set: Vec<String>,
}

impl Choice {
    /// Who asks for the data set's name.
    fn claimant(&self) -> Option<Claimant> {
        if let Some(own) = &self.own {
            let (place, named) = (set_name::place(&own.images), own.name.is_some());
            return Some(Claimant { place, named, how: "NAME=name".to_owned() });
        }
        let description = Some(&self.data_set).filter(|name| !set_name::is_of_catalog(name))?;
        let how = format!("`name` in {description}");
        Some(Claimant { place: set_name::place(Path::new(description)), named: false, how })
    }
}

impl Experiment {
    /// The experiment that the user chose.
    ///
    /// # Errors
    /// An unknown data set, profile or setting, by its nearest known name.
    pub fn new(choice: &Choice, place: Place) -> Result<Self> {
        let mut data_set = match &choice.own {
            Some(own) => {
                // How images are read must be known before the data set is, of which other settings depend.
                let download = Settings::layered([("SET", overrides(&choice.set)?)])?.download;
                UserDataSet { reading: download.reading(), ..own.clone() }.describe()?
            }
            None => DataSet::find(&choice.data_set)?,
        };
        let layers = layers::of(choice, &data_set)?;
        let setters = report::setters(&layers);
        let settings = Settings::layered(layers)?;
        let revision = &settings.download.revision;
        if !(revision.is_empty() || matches!(data_set.source, Source::Hub(_))) {
            let name = &data_set.name;
            return Err(Error::new(format!(
                "download.revision = {revision}, but `{name}` does not come from a hub"
            ))
            .help("leave it out"));
        }
        let notes = std::mem::take(&mut data_set.notes);
        Ok(Self { data_set, settings, place, notes, claimant: choice.claimant(), setters })
    }

    /// The graph: the chain of stages once for every branch, where branches share the stages whose settings
    /// and inputs are the same. A branch's own nodes carry its suffix.
    ///
    /// # Errors
    /// Prompts that cannot be read, a method that lacks what it learns from, or a suffix that is used twice.
    pub fn graph(&self, branches: &[Branch]) -> Result<ExperimentGraph> {
        let mut graph = SharedGraph::new(&self.data_set.name)?;
        let mut nodes = Vec::new();
        for Branch { suffix, settings, .. } in branches {
            let setters = report::of_variant(self, settings)?;
            let branch = Self { settings: settings.clone(), setters, ..self.clone() };
            nodes.push(branch.wire(&mut graph, suffix)?);
        }
        Ok(ExperimentGraph { graph: graph.into_graph(), branches: nodes })
    }

    /// Takes over what was assumed when the graph was wired, each note once.
    pub fn take_notes(&mut self, graph: &ExperimentGraph) {
        for note in graph.branches.iter().flat_map(|branch| &branch.notes) {
            if !self.notes.contains(note) {
                self.notes.push(note.clone());
            }
        }
    }

    /// What the stages of this experiment are offered to run on.
    pub fn machine(&self) -> Machine {
        device::machine(self.place)
    }

    /// Wires the chain of one branch; gives the nodes that say how it went.
    fn wire(&self, graph: &mut SharedGraph, suffix: &str) -> Result<BranchNodes> {
        let method = Entry::find(&self.settings.method)?;
        let (mut clips, mut notes) = (Vec::new(), Vec::new());
        let images = graph.add("download", suffix, self.download(), ())?;
        let Labelled { votes, labels, first, learned } =
            self.wire_labels(graph, suffix, images, &mut clips, &mut notes)?;
        let statistics = match votes {
            Some(votes) => graph.add("statistics", suffix, Summarise {}, (votes, labels))?,
            None => graph.add("statistics", suffix, SummariseLabels {}, (labels,))?,
        };
        let (shared, settings) = (self.shared(), &self.settings.methods);
        let first = first.as_ref().map(|first| first as &dyn FirstTemplate);
        let trainings = Vec::new();
        let mut wire = Wire { graph, suffix, images, labels, votes, first, shared, settings, trainings };
        let left_out = self.wire_baselines(&mut wire)?;
        let mut baselines = std::mem::take(&mut wire.trainings);
        let trained = method.train(&mut wire)?;
        let mut trainings = wire.trainings;
        let evaluation = graph.add("evaluate", suffix, Evaluate {}, (images, trained))?;
        let findings = graph.add(Inspect::NAME, suffix, Inspect {}, (images, labels, trained, evaluation))?;
        let shown = Shown { images, labels, votes, statistics, evaluation, findings };
        let report = self.wire_report(graph, suffix, &shown, (&baselines, &trainings), trained, &notes)?;
        let method = trainings.pop().ok_or_else(|| Error::new("the method added no training"))?;
        baselines.retain(|baseline| baseline.node != method.node);
        Ok(BranchNodes {
            clips,
            learned,
            notes,
            labels: graph.name_of(labels)?,
            statistics: graph.name_of(statistics)?,
            baselines,
            left_out,
            before: trainings,
            method,
            evaluation: graph.name_of(evaluation)?,
            findings: graph.name_of(findings)?,
            report: graph.name_of(report)?,
        })
    }

    /// Candidates, and the votes that they are made of: synthetic ones are made of the truth.
    fn wire_labels(
        &self,
        graph: &mut SharedGraph,
        suffix: &str,
        images: Handle<Images>,
        clips: &mut Vec<ClipNodes>,
        notes: &mut Vec<String>,
    ) -> Result<Labelled> {
        let Settings { labels, label, synthetic, .. } = &self.settings;
        let human = self.human_labels();
        match labels {
            LabelSource::Clip | LabelSource::Votes | LabelSource::ClipAndVotes => {
                let Annotators { votes, embedded_by, first, learned } =
                    self.wire_annotators(graph, suffix, images, clips, notes)?;
                let refined = self.wire_refinement(graph, suffix, votes, &embedded_by, notes)?;
                let stage = label.without_human_labels();
                let labels = add_labels(graph, ("label", suffix), (images, human), stage, (images, refined))?;
                Ok(Labelled { votes: Some(votes), labels, first, learned })
            }
            LabelSource::Synthetic => {
                let stage = synthetic.clone();
                let labels = add_labels(graph, ("label", suffix), (images, human), stage, (images,))?;
                Ok(Labelled { votes: None, labels, first: None, learned: Vec::new() })
            }
        }
    }

    /// The votes that become labels: as they are, or refined. Baselines and statistics keep to them as they are.
    fn wire_refinement(
        &self,
        graph: &mut SharedGraph,
        suffix: &str,
        votes: Handle<Votes>,
        embeddings: &[Handle<Embeddings>],
        notes: &mut Vec<String>,
    ) -> Result<Handle<Votes>> {
        let refine = self.settings.refine.clone();
        match (self.settings.label.refine, embeddings) {
            (refine::Rule::None, _) => Ok(votes),
            (refine::Rule::Prior, _) => graph.add("refine", suffix, RefineVotes { refine }, (votes,)),
            (refine::Rule::Neighbours, []) => Err(Error::new(
                "label.refine = neighbours, and no CLIP embeds the images, so none has neighbours",
            )
            .help("set label.refine=prior, or let a CLIP vote too with LABELS=clip+votes")),
            (refine::Rule::Neighbours, [first, more @ ..]) => {
                if !more.is_empty() {
                    notes.push("neighbours are those of the first CLIP's embeddings".to_owned());
                }
                graph.add("refine", suffix, RefineByNeighbours { refine }, (votes, *first))
            }
        }
    }

    /// Trainings to compare with. Gives the reasons why some are left out.
    fn wire_baselines(&self, wire: &mut Wire) -> Result<Vec<String>> {
        let mut left_out = Vec::new();
        for name in &self.settings.baselines {
            let baseline = Entry::find(name)?;
            if baseline.learns_votes && wire.votes.is_none() {
                left_out.push(format!(
                    "the baseline {name} is left out: it learns votes, and synthetic labels have none"
                ));
                continue;
            }
            baseline.train(wire)?;
        }
        Ok(left_out)
    }

    fn download(&self) -> Download {
        let limits = &self.settings.download;
        // Class texts change what CLIP reads, not which images there are.
        let classes = Classes { texts: Vec::new(), ..self.data_set.classes.clone() };
        Download {
            source: self.data_set.source.at(&limits.revision),
            classes,
            split: self.data_set.split,
            limit_train: limits.limit_train,
            limit_test: limits.limit_test,
            balanced: limits.balanced,
            seed: limits.seed,
            import: match self.data_set.source {
                Source::UserImages(_) => {
                    Some(ImportImages { skip_unreadable: limits.skip_unreadable, shrink: limits.shrink })
                }
                // What a hub publishes is taken as it is, unless the user expects some of it to be damaged.
                Source::Hub(_) => {
                    limits.skip_unreadable.then_some(ImportImages { skip_unreadable: true, shrink: 0 })
                }
                Source::Drawn(_) => None,
            },
        }
    }

    fn architecture(&self) -> Architecture {
        let Settings { input, network, .. } = &self.settings;
        Architecture {
            input_channels: input.channels,
            input_size: input.size,
            width: network.width,
            blocks: network.blocks,
            first_stride: network.first_stride,
            classes: self.data_set.classes.names.len(),
            embedding: network.embedding,
        }
    }

    fn shared(&self) -> SharedSettings {
        let Settings { seed, input, optimizer, .. } = &self.settings;
        SharedSettings {
            seed: *seed,
            optimizer: optimizer.clone(),
            input: input.clone(),
            architecture: self.architecture(),
        }
    }
}

/// Every stage that an experiment can have, so that it can be rebuilt from its serialised form.
///
/// # Errors
/// Two stages of one name.
pub fn registry() -> Result<Registry> {
    let mut registry = Registry::default();
    registry.register::<Download>()?;
    annotators::register(&mut registry)?;
    registry.register::<RefineVotes>()?;
    registry.register::<RefineByNeighbours>()?;
    registry.register::<Label>()?;
    registry.register::<Synthesise>()?;
    registry.register::<HumanLabels>()?;
    registry.register::<Summarise>()?;
    registry.register::<SummariseLabels>()?;
    crate::methods::register(&mut registry)?;
    registry.register::<Evaluate>()?;
    registry.register::<Inspect>()?;
    registry.register::<Report>()?;
    Ok(registry)
}

#[cfg(test)]
mod tests;
