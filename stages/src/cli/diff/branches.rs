//! The page of variants that ran side by side.

use pipeline::error::Result;
use pipeline::schedule::RunReport;
use pipeline::store::{Record, Store};

use super::facts;
use crate::cli::record::{RecordedBranch, listed};
use crate::experiment::Experiment;
use crate::report::compare::{Difference, RunFacts, mean, page};

/// Figures, settings and curves of the variants, each by the mean over its seeds, and how far they are from the first.
///
/// # Errors
/// A result that cannot be read.
pub(in crate::cli) fn page_of_branches(
    experiment: &Experiment,
    branches: &[RecordedBranch],
    report: &RunReport,
    store: &Store,
    differences: &[Difference],
) -> Result<String> {
    let base = listed(&experiment.settings)?;
    let find =
        |node: &str| -> Result<Option<Record>> { Ok(report.node(node).and_then(|node| node.result.clone())) };
    let mut variants: Vec<(&str, Vec<RunFacts>)> = Vec::new();
    for branch in branches {
        let run = RunFacts {
            data_set: experiment.data_set.name.clone(),
            settings: branch.settings(base.clone()),
            // Of many branches they would be much.
            predictions: Vec::new(),
            ..facts(branch, store, &find)?
        };
        match variants.iter_mut().find(|(title, _)| *title == branch.variant) {
            Some((_, seeds)) => seeds.push(run),
            None => variants.push((branch.variant.as_str(), vec![run])),
        }
    }
    let runs: Vec<RunFacts> = variants.iter().map(|(title, seeds)| mean(title, seeds)).collect();
    let title = format!("{}: {} variants", experiment.data_set.title, runs.len());
    let subtitle = match branches.len() / runs.len().max(1) {
        0 | 1 => "one seed each".to_owned(),
        seeds => format!("mean ± standard deviation over {seeds} seeds"),
    };
    page(&title, &subtitle, &runs, differences, None)
}
