//! Which nodes of a run's graph are a branch's, and what the branch was asked.

use std::collections::BTreeSet;

use pipeline::error::{Error, OrFail, Result};
use pipeline::graph::NodeInfo;
use pipeline::stage::Stage;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::dataset::download::Download;
use crate::experiment::settings::{Settings, leaves};
use crate::experiment::variants::Branch;
use crate::experiment::{BranchNodes, Experiment, ExperimentGraph};
use crate::methods::TrainingNode;

/// A branch of a run: which of the run's nodes are its own or shared by it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct RecordedBranch {
    /// What its own nodes' names end with, behind a point; empty for the branch of a plain run.
    pub(in crate::cli) name: String,
    /// The variant's title; empty for the branch of a plain run.
    pub(in crate::cli) variant: String,
    /// The settings that differ from the run's, by their dotted names.
    #[serde(default, skip_serializing_if = "Table::is_empty")]
    settings: Table,
    /// The node of the images.
    pub(in crate::cli) images: String,
    /// The node of the candidates.
    pub(in crate::cli) labels: String,
    /// The node of the annotation's statistics.
    pub(in crate::cli) statistics: String,
    /// Trainings to compare with.
    pub(in crate::cli) baselines: Vec<RecordedTraining>,
    /// The trainings that the method goes on from.
    pub(in crate::cli) before: Vec<RecordedTraining>,
    /// The training by the method.
    pub(in crate::cli) method: RecordedTraining,
    /// The node of the student's evaluation.
    pub(in crate::cli) evaluation: String,
    /// All stages that lead there, in the order of the graph.
    pub(in crate::cli) stages: Vec<RecordedStage>,
}

/// A training of a branch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct RecordedTraining {
    /// The method's name for people.
    pub(in crate::cli) title: String,
    /// The node.
    pub(in crate::cli) node: String,
}

/// A stage of a branch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct RecordedStage {
    /// Its name, the same in all branches.
    pub(in crate::cli) stage: String,
    /// The node.
    pub(in crate::cli) node: String,
}

impl RecordedBranch {
    /// The branches of an experiment, in their order.
    ///
    /// # Errors
    /// Settings that cannot be listed.
    pub(in crate::cli) fn all(
        experiment: &Experiment,
        branches: &[Branch],
        graph: &ExperimentGraph,
    ) -> Result<Vec<Self>> {
        let infos: Vec<NodeInfo> = graph.graph.nodes().collect();
        let suffixes: Vec<&str> = branches.iter().map(|branch| branch.suffix.as_str()).collect();
        let base = leaves("", listed(&experiment.settings)?);
        let mut all = Vec::new();
        for (branch, nodes) in branches.iter().zip(&graph.branches) {
            let own = leaves("", listed(&branch.settings)?).into_iter();
            let stages = stages(&infos, &suffixes, nodes);
            let images = infos.iter().find(|info| {
                info.stage == Download::NAME && stages.iter().any(|stage| stage.node == info.node)
            });
            all.push(Self {
                name: branch.suffix.trim_start_matches('.').to_owned(),
                variant: branch.variant.clone(),
                settings: own.filter(|setting| !base.contains(setting)).collect(),
                images: images.map(|info| info.node.clone()).unwrap_or_default(),
                labels: nodes.labels.clone(),
                statistics: nodes.statistics.clone(),
                baselines: nodes.baselines.iter().map(RecordedTraining::of).collect(),
                before: nodes.before.iter().map(RecordedTraining::of).collect(),
                method: RecordedTraining::of(&nodes.method),
                evaluation: nodes.evaluation.clone(),
                stages,
            });
        }
        Ok(all)
    }

    /// The branch's settings by their dotted names, as they are written behind SET; `base` are those of the run.
    pub(in crate::cli) fn settings(&self, base: Table) -> Vec<(String, String)> {
        let of = |(key, value): (String, Value)| {
            let written = written(self.settings.get(&key).unwrap_or(&value));
            (key, written)
        };
        leaves("", base).into_iter().map(of).collect()
    }
}

#[cfg(test)]
impl RecordedBranch {
    /// A branch of this name and title, with no stage.
    pub(in crate::cli) fn for_test(name: &str, variant: &str) -> Self {
        let method = RecordedTraining { title: String::new(), node: String::new() };
        let [images, labels, statistics, evaluation] = [const { String::new() }; 4];
        Self {
            name: name.to_owned(),
            variant: variant.to_owned(),
            settings: Table::new(),
            images,
            labels,
            statistics,
            baselines: Vec::new(),
            before: Vec::new(),
            method,
            evaluation,
            stages: Vec::new(),
        }
    }
}

impl RecordedTraining {
    fn of(node: &TrainingNode) -> Self {
        Self { title: node.title.to_owned(), node: node.node.clone() }
    }
}

/// All settings as a table.
///
/// # Errors
/// Settings that TOML cannot hold.
pub(in crate::cli) fn listed(settings: &Settings) -> Result<Table> {
    Table::try_from(settings).or_fail(|| Error::new("cannot list the settings"))
}

/// A value as it is written behind SET.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // `0.10000000149011612` is how an f64 has the f32 that everyone writes as `0.1`.
        Value::Float(double) if f64::from(*double as f32) == *double => (*double as f32).to_string(),
        Value::Float(double) => double.to_string(),
        Value::Array(values) => format!("[{}]", values.iter().map(written).collect::<Vec<_>>().join(", ")),
        other => other.to_string().trim_end().to_owned(),
    }
}

/// The stages that lead to what says how a branch went.
fn stages(infos: &[NodeInfo], suffixes: &[&str], nodes: &BranchNodes) -> Vec<RecordedStage> {
    let trainings = nodes.baselines.iter().chain(&nodes.before).chain([&nodes.method]);
    let ends = [&nodes.statistics, &nodes.evaluation, &nodes.findings];
    let mut needed: BTreeSet<&str> = ends.into_iter().map(String::as_str).collect();
    needed.extend(trainings.map(|training| training.node.as_str()));
    // A node comes after its inputs.
    for info in infos.iter().rev() {
        if needed.contains(info.node.as_str()) {
            needed.extend(info.inputs.iter().map(String::as_str));
        }
    }
    let stage = |info: &NodeInfo| RecordedStage {
        stage: without_suffix(&info.node, suffixes).to_owned(),
        node: info.node.clone(),
    };
    infos.iter().filter(|info| needed.contains(info.node.as_str())).map(stage).collect()
}

/// A node's name without the suffix of the branch that added it.
fn without_suffix<'a>(node: &'a str, suffixes: &[&str]) -> &'a str {
    let own = suffixes.iter().filter_map(|suffix| node.strip_suffix(*suffix));
    own.filter(|name| !name.is_empty()).min_by_key(|name| name.len()).unwrap_or(node)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::experiment::Choice;
    use crate::experiment::variants::BuiltIn;
    use crate::runtime::device::Place;

    #[test]
    fn a_branch_names_its_stages_as_every_other_does_and_its_settings_where_they_differ() {
        let choice = Choice { data_set: "demo".to_owned(), profile: "quick".to_owned(), ..Choice::default() };
        let experiment = Experiment::new(&choice, Place::Cpu).unwrap();
        let branches = experiment.variants(None, BuiltIn::Ablations, &[], 2).unwrap();
        let graph = experiment.graph(&branches).unwrap();
        let all = RecordedBranch::all(&experiment, &branches, &graph).unwrap();
        assert_eq!(all.len(), branches.len());
        let stages = |branch: &RecordedBranch| -> Vec<String> {
            branch.stages.iter().map(|stage| stage.stage.clone()).collect()
        };
        assert!(all.iter().all(|branch| stages(branch) == stages(&all[0])), "{all:#?}");
        let last = all.last().unwrap();
        assert!(last.name.ends_with(".seed1") && !last.name.starts_with('.'), "{}", last.name);
        assert_eq!((last.images.as_str(), last.settings.get("seed")), ("download", Some(&Value::Integer(1))));
        assert_eq!(last.evaluation, format!("evaluate.{}", last.name));
        let told = last.settings(listed(&experiment.settings).unwrap());
        let of = |key: &str| told.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        assert_eq!(
            (of("seed"), of("label.rule"), of("input.mean")),
            (Some("1"), Some("union"), Some("[0.5, 0.5, 0.5]"))
        );
    }

    #[test]
    fn the_longest_suffix_is_the_branchs() {
        let suffixes = ["", ".b.seed0", ".a.b.seed0"];
        for (node, expected) in
            [("co-reg.a.b.seed0", "co-reg"), ("co-reg.b.seed0", "co-reg"), ("co-reg", "co-reg")]
        {
            assert_eq!(without_suffix(node, &suffixes), expected);
        }
    }

    #[test]
    fn a_value_is_written_as_it_is_set() {
        let values = [
            (Value::Float(f64::from(0.1_f32)), "0.1"),
            (Value::Float(0.0005), "0.0005"),
            (Value::Float(1.0), "1"),
            (Value::String("top-k".to_owned()), "top-k"),
            (Value::Array(vec![Value::Integer(1), Value::String("rc".to_owned())]), "[1, rc]"),
            (Value::Boolean(true), "true"),
        ];
        for (value, expected) in values {
            assert_eq!(written(&value), expected);
        }
    }
}
