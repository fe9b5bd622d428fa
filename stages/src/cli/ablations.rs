//! `coreg ablations`: several variants on one graph, and a table that compares them.

use std::path::Path;

use pipeline::error::{Error, OrFail, Result};
use pipeline::schedule::RunReport;
use pipeline::store::Store;

use super::open_store;
use super::run::execute;
use crate::artifacts::evaluation::Evaluation;
use crate::artifacts::images::Split;
use crate::artifacts::statistics::Statistics;
use crate::artifacts::table::Table;
use crate::artifacts::training::Distilled;
use crate::experiment::{Experiment, Findings};

/// Test accuracies of a branch, by metric and title, in the order of [`figures`].
const COLUMNS: [(&str, &str); 4] = [
    ("zero_shot_mean", "annotators, average"),
    ("accuracy_distilled", "plain student"),
    ("accuracy_after_warm_up", "after warm-up"),
    LAST,
];
/// The column that stands in every table, even where no truth is known.
const LAST: (&str, &str) = ("accuracy", "after Co-Reg");

/// A variant's title, and for each of its seeds the figures of [`COLUMNS`].
type Row = (String, Vec<(u64, [Option<f64>; 4])>);

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
    let mut rows: Vec<Row> = Vec::new();
    for (branch, nodes) in branches.iter().zip(&wired.branches) {
        let figures = (branch.settings.seed, figures(nodes, &report, &store)?);
        match rows.iter_mut().find(|(title, _)| *title == branch.variant) {
            Some((_, seeds)) => seeds.push(figures),
            None => rows.push((branch.variant.clone(), vec![figures])),
        }
    }
    let table = markdown(&rows);
    out!("\n{table}");
    let name = variants.and_then(Path::file_stem).map_or("ablations".into(), |stem| stem.to_string_lossy());
    let path = artifacts.join(&experiment.data_set.name).join(format!("{name}.md"));
    std::fs::write(&path, table).or_fail(|| Error::new("cannot write the table").at(&path))?;
    out!("written to {}", path.display());
    let path = path.with_extension("parquet");
    save(&rows, &path)?;
    out!("each seed by itself is in {}", path.display());
    Ok(())
}

/// The figures of a branch; what it does not have is absent.
fn figures(nodes: &Findings, report: &RunReport, store: &Store) -> Result<[Option<f64>; 4]> {
    let result = |node: &str| {
        let record = report.node(node).and_then(|node| node.result.as_ref());
        record.ok_or_else(|| Error::new(format!("node {node} has no result")))
    };
    let evaluation: Evaluation = store.load(result(&nodes.evaluation)?)?;
    let statistics: Statistics = store.load(result(&nodes.statistics)?)?;
    let distilled =
        nodes.distilled.as_deref().map(|node| store.load::<Distilled>(result(node)?)).transpose()?;
    Ok([
        statistics.get("zero_shot_mean", Split::Test),
        distilled.as_ref().and_then(Distilled::accuracy),
        evaluation.get("accuracy_after_warm_up"),
        evaluation.get("accuracy"),
    ])
}

/// The table in Markdown: a row a variant, mean ± deviation over its seeds. A column that nobody has is left out.
fn markdown(rows: &[Row]) -> String {
    let value_of = |column: usize| move |(_, values): &(u64, [Option<f64>; 4])| values[column];
    let some =
        |column: usize| rows.iter().flat_map(|(_, seeds)| seeds).any(|row| value_of(column)(row).is_some());
    let columns: Vec<usize> =
        (0..COLUMNS.len()).filter(|&column| some(column) || COLUMNS[column] == LAST).collect();
    let titles: Vec<&str> = columns.iter().map(|&column| COLUMNS[column].1).collect();
    let mut table = format!("Test accuracy in %.\n\n| variant | {} | seeds |\n", titles.join(" | "));
    table += &format!("|{}\n", "---|".repeat(columns.len() + 2));
    for (title, seeds) in rows {
        let cell = |&column: &usize| -> String {
            let values: Vec<f64> = seeds.iter().filter_map(value_of(column)).collect();
            mean_and_deviation(&values)
        };
        let cells: Vec<String> = columns.iter().map(cell).collect();
        table += &format!("| {title} | {} | {} |\n", cells.join(" | "), seeds.len());
    }
    table
}

/// One row a variant, seed and figure.
fn save(rows: &[Row], path: &Path) -> Result<()> {
    let flat = || {
        rows.iter().flat_map(|(title, seeds)| {
            seeds.iter().flat_map(move |(seed, values)| {
                let named = COLUMNS.iter().zip(values);
                named.filter_map(move |((name, _), value)| Some((title, *seed, *name, (*value)?)))
            })
        })
    };
    Table::new()
        .strings("variant", flat().map(|row| row.0))
        .u64("seed", flat().map(|row| row.1))
        .strings("metric", flat().map(|row| row.2))
        .f64("value", flat().map(|row| row.3))
        .write(path)
}

/// `mean ± standard deviation` in percent; the deviation of a sample, from two values on.
fn mean_and_deviation(values: &[f64]) -> String {
    let count = values.len() as f64;
    if values.is_empty() {
        return "–".to_owned();
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
    fn a_row_has_mean_and_deviation_and_no_column_is_empty() {
        let rows = [
            (
                "a".to_owned(),
                vec![
                    (0, [Some(0.4), None, Some(0.5), Some(0.5)]),
                    (1, [Some(0.4), None, Some(0.5), Some(0.6)]),
                ],
            ),
            ("b".to_owned(), vec![(0, [None, None, Some(0.25), None])]),
        ];
        let table = markdown(&rows);
        assert!(table.contains(
            "| variant | annotators, average | after warm-up | after Co-Reg | seeds |\n|---|---|---|---|---|\n"
        ));
        assert!(table.contains("| a | 40.00 ± 0.00 | 50.00 ± 0.00 | 55.00 ± 7.07 | 2 |"), "{table}");
        assert!(table.contains("| b | – | 25.00 | – | 1 |"), "{table}");
    }

    #[test]
    fn the_deviation_is_that_of_a_sample() {
        assert_eq!(mean_and_deviation(&[0.5, 0.6]), "55.00 ± 7.07");
        assert_eq!(mean_and_deviation(&[0.5]), "50.00");
        assert_eq!(mean_and_deviation(&[]), "–");
    }
}
