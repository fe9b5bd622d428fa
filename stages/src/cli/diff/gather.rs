//! What is compared of a branch, gathered from the store.

use std::collections::HashMap;

use pipeline::artifact::Artifact;
use pipeline::error::Result;
use pipeline::store::{Record, Store};

use crate::artifacts::annotation::Labels;
use crate::artifacts::evaluation::Evaluation;
use crate::artifacts::history::History;
use crate::artifacts::images::Images;
use crate::artifacts::statistics::Statistics;
use crate::cli::record::RecordedBranch;
use crate::report::compare::{
    Figure, Prediction, RunFacts, accuracy, curves, of_labels, of_student, predictions,
};

/// Finds the record of a node's result; none where the run left the node out.
pub(in crate::cli) type Find<'a> = dyn Fn(&str) -> Result<Option<Record>> + 'a;

/// Figures, those of the test before those of the labels, curves and predictions of a branch. What a run left out is left
/// out.
///
/// # Errors
/// A result that cannot be found or read.
pub(in crate::cli) fn facts(branch: &RecordedBranch, store: &Store, find: &Find) -> Result<RunFacts> {
    let statistics: Option<Statistics> = load(&branch.statistics, store, find)?;
    let evaluation: Option<Evaluation> = load(&branch.evaluation, store, find)?;
    let mut told = evaluation.as_ref().map(of_student).unwrap_or_default();
    for baseline in &branch.baselines {
        let history: Option<History> = load(&baseline.node, store, find)?;
        let right = history.and_then(|history| history.accuracy());
        told.extend(
            right.map(|right| (format!("test accuracy of {}, beside it", baseline.title), accuracy(right))),
        );
    }
    told.extend(statistics.as_ref().map(of_labels).unwrap_or_default());
    let mut seconds = 0.0;
    let mut trainings: Vec<History> = Vec::new();
    for training in branch.before.iter().chain([&branch.method]) {
        if let Some(record) = find(&training.node)? {
            seconds += record.made.seconds;
            trainings.push(store.load(&record)?);
        }
    }
    if !trainings.is_empty() {
        let figure = Figure { value: seconds, deviation: None, share: false };
        told.push(("seconds of training, as it was made".to_owned(), figure));
    }
    Ok(RunFacts {
        figures: told,
        curves: curves(&trainings.iter().collect::<Vec<_>>()),
        predictions: evaluation.as_ref().map(predictions).unwrap_or_default(),
        ..RunFacts::default()
    })
}

/// Class names; none where the run has no labels.
///
/// # Errors
/// As [`facts`].
pub(super) fn classes(branch: &RecordedBranch, store: &Store, find: &Find) -> Result<Vec<String>> {
    let labels: Option<Labels> = load(&branch.labels, store, find)?;
    Ok(labels.map(|labels| labels.names.classes).unwrap_or_default())
}

/// Says of each prediction what identifies its image's bytes.
///
/// # Errors
/// Images that cannot be read.
pub(super) fn identify(predictions: &mut [Prediction], images: &Images) -> Result<()> {
    let encoded = images.encoded()?;
    let rows: HashMap<&str, usize> =
        images.index.ids.iter().enumerate().map(|(row, id)| (id.as_str(), row)).collect();
    for prediction in predictions {
        let row = rows.get(prediction.id.as_str()).copied().filter(|&row| row < encoded.len());
        prediction.content = row.map(|row| blake3::hash(encoded.get(row)).to_hex().to_string());
    }
    Ok(())
}

fn load<A: Artifact>(node: &str, store: &Store, find: &Find) -> Result<Option<A>> {
    find(node)?.map(|record| store.load(&record)).transpose()
}
