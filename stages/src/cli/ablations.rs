//! `coreg ablations`: several variants on one graph, and a table that compares them.

use std::path::Path;

use pipeline::error::{Error, OrFail, Result};

use super::open_store;
use super::run::execute;
use crate::artifacts::evaluation::Evaluation;
use crate::experiment::{Branch, Experiment};

pub(super) fn ablations(
    experiment: &Experiment,
    artifacts: &Path,
    variants: Option<&Path>,
    seeds: u64,
) -> Result<()> {
    let branches = experiment.variants(variants, seeds)?;
    let wired = experiment.graph(&branches)?;
    let store = open_store(artifacts)?;
    let report = execute(experiment, &wired.graph, &store, artifacts, &[])?;
    let mut rows: Vec<(&str, Vec<f64>)> = Vec::new();
    for (Branch { variant, .. }, node) in branches.iter().zip(&wired.evaluations) {
        let record = report.node(node).and_then(|node| node.result.as_ref());
        let record = record.ok_or_else(|| Error::new(format!("variant {variant} has no result")))?;
        let accuracy = store.load::<Evaluation>(record)?.get("accuracy");
        match rows.iter_mut().find(|(name, _)| name == variant) {
            Some((_, values)) => values.extend(accuracy),
            None => rows.push((variant, accuracy.into_iter().collect())),
        }
    }
    let mut table = String::from("| variant | test accuracy, % | seeds |\n|---|---|---|\n");
    for (variant, values) in &rows {
        table += &format!("| {variant} | {} | {} |\n", mean_and_deviation(values), values.len());
    }
    out!("\n{table}");
    let path = artifacts.join(&experiment.data_set.name).join("ablations.md");
    std::fs::write(&path, table).or_fail(|| Error::new("cannot write the table").at(&path))?;
    out!("written to {}", path.display());
    Ok(())
}

/// `mean ± standard deviation` in percent; the deviation of a sample, from two values on.
fn mean_and_deviation(values: &[f64]) -> String {
    let count = values.len() as f64;
    if values.is_empty() {
        return "no true labels".to_owned();
    }
    let mean = values.iter().sum::<f64>() / count;
    if values.len() < 2 {
        return format!("{:.2}", 100.0 * mean);
    }
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (count - 1.0);
    format!("{:.2} ± {:.2}", 100.0 * mean, 100.0 * variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deviation_is_that_of_a_sample() {
        assert_eq!(mean_and_deviation(&[0.5, 0.6]), "55.00 ± 7.07");
        assert_eq!(mean_and_deviation(&[0.5]), "50.00");
        assert_eq!(mean_and_deviation(&[]), "no true labels");
    }
}
