//! Labels of humans in the graph: a node between the candidates and whoever learns from them, where they are asked for.

use std::path::PathBuf;

use pipeline::error::Result;
use pipeline::graph::Handle;
use pipeline::shared_graph::SharedGraph;
use pipeline::stage::{Inputs, Stage};

use super::Experiment;
use super::settings::Settings;
use crate::annotation::human_labels::{HumanLabels, LabelTable};
use crate::artifacts::annotation::Labels;
use crate::artifacts::images::Images;

impl Experiment {
    /// The stage that lays labels of humans over others; none where they are not asked for.
    pub(super) fn human_labels(&self) -> Option<HumanLabels> {
        let Settings { label, download, .. } = &self.settings;
        let classes = &self.data_set.classes;
        let table = (!label.truth.is_empty()).then(|| LabelTable {
            file: PathBuf::from(&label.truth),
            classes: classes.names.clone(),
            class_texts: classes.texts.clone(),
            surplus: download.limit_train > 0 || download.limit_test > 0,
        });
        let asked = label.shots > 0 || table.is_some();
        asked.then_some(HumanLabels { shots: label.shots, seed: label.shots_seed, table })
    }
}

/// Adds the labels that `stage` makes, under this name and suffix. Where there are labels of humans too, the node of
/// this name has both, and one called `NAME.candidates` what `stage` makes.
///
/// # Errors
/// Those of [`SharedGraph::add`].
pub(super) fn add_labels<S: Stage<Output = Labels> + PartialEq + Clone>(
    graph: &mut SharedGraph,
    (name, suffix): (&str, &str),
    (images, human): (Handle<Images>, Option<HumanLabels>),
    stage: S,
    inputs: <S::Inputs as Inputs>::Handles,
) -> Result<Handle<Labels>> {
    let Some(human) = human else { return graph.add(name, suffix, stage, inputs) };
    let candidates = graph.add(&format!("{name}.candidates"), suffix, stage, inputs)?;
    graph.add(name, suffix, human, (images, candidates))
}
