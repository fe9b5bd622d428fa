//! `coreg ablations`: several variants on one graph, and a table that compares them.

use std::path::Path;

use pipeline::error::{Error, OrFail, Result};
use pipeline::schedule::RunReport;
use pipeline::store::Store;

use super::diff::{page_of_branches, write_page};
use super::record::RecordedBranch;
use super::run::{claimed, execute};
use crate::artifacts::evaluation::Evaluation;
use crate::artifacts::history::History;
use crate::artifacts::images::Split;
use crate::artifacts::statistics::Statistics;
use crate::artifacts::table::Table;
use crate::experiment::variants::BuiltIn;
use crate::experiment::{BranchNodes, Experiment};
use crate::learn::criteria;
use crate::learn::train::AGREEMENT;
use crate::methods::TrainingNode;
use crate::report::compare::Difference;

/// A figure: its name in the Parquet file, and its title in the table for people; without a title it has no place there.
type Column = (String, String);

/// Test accuracies of a branch, in the order in which they came about: of the annotators, of the baselines, of the
/// trainings that the method goes on from, and of the student.
type Figures = Vec<(Column, Option<f64>)>;

/// A variant's title, and the figures of each of its seeds.
type Row = (String, Vec<(u64, Figures)>);

/// What the names of criteria begin with: figures that need no truth, of the method's last epoch.
const CRITERION: &str = "criterion_";

/// The student's own column, which stands in every table, even where no truth is known.
const LAST: &str = "accuracy";

pub(super) fn ablations(
    mut experiment: Experiment,
    artifacts: &Path,
    variants: Option<&Path>,
    seeds: u64,
) -> Result<()> {
    let branches = experiment.variants(variants, BuiltIn::Ablations, &[], seeds)?;
    let (experiments, store) = claimed(&mut experiment, &branches, artifacts)?;
    // Not what is to be warned of, nor a report: a single run says that. But where results take the places of a single
    // run's in the view, those beside them must be of the same run.
    let first = experiments.branches.first().into_iter();
    let beside = first.flat_map(|nodes| [nodes.findings.clone(), nodes.report.clone()]);
    let wanted: Vec<String> = experiments.branches.iter().flat_map(wanted).chain(beside).collect();
    let recorded = RecordedBranch::all(&experiment, &branches, &experiments)?;
    let report = execute(&experiment, &recorded, &experiments.graph, &store, artifacts, &wanted)?;
    let mut rows: Vec<Row> = Vec::new();
    for (branch, nodes) in branches.iter().zip(&experiments.branches) {
        let figures = (branch.settings.seed, figures(nodes, &report, &store)?);
        match rows.iter_mut().find(|(title, _)| *title == branch.variant) {
            Some((_, seeds)) => seeds.push(figures),
            None => rows.push((branch.variant.clone(), vec![figures])),
        }
    }
    let differences = differences(&rows);
    let table = markdown(&rows) + &differences_table(&rows, &differences);
    out!("\n{table}");
    let name = variants.and_then(Path::file_stem).map_or("ablations".into(), |stem| stem.to_string_lossy());
    let path = artifacts.join(&experiment.data_set.name).join(format!("{name}.md"));
    std::fs::write(&path, table).or_fail(|| Error::new("cannot write the table").at(&path))?;
    out!("written to {}", path.display());
    let path = path.with_extension("parquet");
    save(&rows, &path)?;
    out!("each seed by itself is in {}", path.display());
    let path = path.with_extension("html");
    write_page(&page_of_branches(&experiment, &recorded, &report, &store, &differences)?, &path)?;
    out!("the variants side by side, with their curves, are in {}", path.display());
    Ok(())
}

/// The nodes that a branch is compared by.
fn wanted(nodes: &BranchNodes) -> Vec<String> {
    let trainings = nodes.baselines.iter().chain(&nodes.before).map(|training| training.node.clone());
    trainings.chain([nodes.statistics.clone(), nodes.evaluation.clone()]).collect()
}

/// The figures of a branch; what it does not have is absent.
fn figures(nodes: &BranchNodes, report: &RunReport, store: &Store) -> Result<Figures> {
    let result = |node: &str| {
        let record = report.node(node).and_then(|node| node.result.as_ref());
        record.ok_or_else(|| Error::new(format!("node {node} has no result")))
    };
    let statistics: Statistics = store.load(result(&nodes.statistics)?)?;
    let column = |name: &str, title: &str| (name.to_owned(), title.to_owned());
    let annotators = statistics.get("zero_shot_mean", Split::Test);
    let mut figures = vec![(column("zero_shot_mean", "annotators, average"), annotators)];
    let trained = |training: &TrainingNode, title: String| -> Result<(Column, Option<f64>)> {
        let history: History = store.load(result(&training.node)?)?;
        Ok(((format!("accuracy_{}", training.method), title), history.accuracy()))
    };
    for baseline in &nodes.baselines {
        figures.push(trained(baseline, baseline.title.to_owned())?);
    }
    for before in &nodes.before {
        figures.push(trained(before, format!("after {}", before.title))?);
    }
    let history: History = store.load(result(&nodes.method.node)?)?;
    let criteria = std::iter::once(AGREEMENT).chain(criteria::NAMES);
    figures.extend(criteria.map(|name| (column(&format!("{CRITERION}{name}"), ""), history.mean(name))));
    let evaluation: Evaluation = store.load(result(&nodes.evaluation)?)?;
    figures.push((column("macro_recall", ""), evaluation.get("macro_recall")));
    let title = if nodes.before.is_empty() { "" } else { "after " };
    figures.push((column(LAST, &format!("{title}{}", nodes.method.title)), evaluation.get("accuracy")));
    Ok(figures)
}

/// The columns of the table, each once; variants that learn by different methods share the student's own.
fn columns(rows: &[Row]) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for (column, value) in rows.iter().flat_map(|(_, seeds)| seeds).flat_map(|(_, figures)| figures) {
        if column.1.is_empty() || (value.is_none() && column.0 != LAST) {
            continue;
        }
        match columns.iter_mut().find(|known| known.0 == column.0) {
            None => columns.push(column.clone()),
            Some(known) if known.1 != column.1 => known.1 = "student".to_owned(),
            Some(_) => {}
        }
    }
    // What some variants alone have was added behind.
    columns.sort_by_key(|column| column.0 == LAST);
    columns
}

/// The table in Markdown: a row a variant, mean ± deviation over its seeds. A column that nobody has is left out.
fn markdown(rows: &[Row]) -> String {
    let columns = columns(rows);
    let titles: Vec<&str> = columns.iter().map(|column| column.1.as_str()).collect();
    let mut table = format!("Test accuracy in %.\n\n| variant | {} | seeds |\n", titles.join(" | "));
    table += &format!("|{}\n", "---|".repeat(columns.len() + 2));
    for (title, seeds) in rows {
        let cell = |(name, _): &Column| -> String {
            let figures = seeds.iter().flat_map(|(_, figures)| figures);
            let values: Vec<f64> =
                figures.filter(|(column, _)| column.0 == *name).filter_map(|(_, value)| *value).collect();
            mean_and_deviation(&values)
        };
        let cells: Vec<String> = columns.iter().map(cell).collect();
        table += &format!("| {title} | {} | {} |\n", cells.join(" | "), seeds.len());
    }
    table
}

/// How far each variant's student is from the first variant's, seed by seed. None where no two variants have two seeds in
/// common.
fn differences(rows: &[Row]) -> Vec<Difference> {
    let Some(((_, of_first), rest)) = rows.split_first() else { return Vec::new() };
    let right =
        |figures: &Figures| figures.iter().find(|(column, _)| column.0 == LAST).and_then(|(_, value)| *value);
    let difference = |(title, seeds): &Row| {
        let points = seeds.iter().filter_map(|(seed, figures)| {
            let (_, other) = of_first.iter().find(|(other, _)| other == seed)?;
            Some(100.0 * (right(figures)? - right(other)?))
        });
        Difference::of(title, &points.collect::<Vec<f64>>())
    };
    rest.iter().filter_map(difference).collect()
}

/// The differences in Markdown, behind the table of the variants.
fn differences_table(rows: &[Row], differences: &[Difference]) -> String {
    let Some((first, _)) = rows.first().filter(|_| !differences.is_empty()) else { return String::new() };
    let line = |of: &Difference| {
        let verdict = if of.can_be_told_apart() { "yes" } else { "no" };
        format!("| {} | {} | {verdict} | {} |\n", of.name, of.shown(), of.seeds)
    };
    format!(
        "\nPoints above \"{first}\", the same seeds compared; ± is the 95 % interval of the mean.\n\n\
         | variant | difference | can be told apart | seeds |\n|---|---|---|---|\n{}",
        differences.iter().map(line).collect::<String>()
    )
}

/// One row a variant, seed and figure.
fn save(rows: &[Row], path: &Path) -> Result<()> {
    let flat = || {
        rows.iter().flat_map(|(title, seeds)| {
            seeds.iter().flat_map(move |(seed, figures)| {
                let known = figures.iter().filter_map(|((name, _), value)| Some((name, (*value)?)));
                known.map(move |(name, value)| (title, *seed, name, value))
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
pub(super) fn mean_and_deviation(values: &[f64]) -> String {
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

    fn figures(values: [Option<f64>; 3]) -> Figures {
        let columns = [("zero_shot_mean", "annotators, average"), ("accuracy_warm-up", "after warm-up")];
        let columns = columns.into_iter().chain([(LAST, "after Co-Reg")]);
        columns
            .zip(values)
            .map(|((name, title), value)| ((name.to_owned(), title.to_owned()), value))
            .collect()
    }

    #[test]
    fn a_row_has_mean_and_deviation_and_no_column_is_empty() {
        let rows = [
            (
                "a".to_owned(),
                vec![(0, figures([Some(0.4), None, Some(0.5)])), (1, figures([Some(0.4), None, Some(0.6)]))],
            ),
            ("b".to_owned(), vec![(0, figures([None, None, None]))]),
        ];
        let table = markdown(&rows);
        assert!(
            table.contains("| variant | annotators, average | after Co-Reg | seeds |\n|---|---|---|---|\n")
        );
        assert!(table.contains("| a | 40.00 ± 0.00 | 55.00 ± 7.07 | 2 |"), "{table}");
        assert!(table.contains("| b | – | – | 1 |"), "{table}");
    }

    #[test]
    fn variants_of_several_methods_share_the_students_column() {
        let mut other = figures([None, None, Some(0.25)]);
        other[2].0.1 = "RC".to_owned();
        let rows = [
            ("co-reg".to_owned(), vec![(0, figures([Some(0.4), Some(0.5), Some(0.5)]))]),
            ("rc".to_owned(), vec![(0, other)]),
        ];
        let table = markdown(&rows);
        assert!(
            table.contains("| variant | annotators, average | after warm-up | student | seeds |"),
            "{table}"
        );
        assert!(table.contains("| rc | – | – | 25.00 | 1 |"), "{table}");
    }

    #[test]
    fn variants_are_compared_seed_by_seed() {
        let seeds = |values: [f64; 3]| {
            (0..).zip(values).map(|(seed, value)| (seed, figures([None, None, Some(value)]))).collect()
        };
        // The second is always two points better, the third better and worse.
        let rows: [Row; 3] = [
            ("a".to_owned(), seeds([0.5, 0.6, 0.7])),
            ("b".to_owned(), seeds([0.52, 0.62, 0.72])),
            ("c".to_owned(), seeds([0.55, 0.55, 0.75])),
        ];
        let found = differences(&rows);
        let table = differences_table(&rows, &found);
        assert!(table.contains("| b | +2.00 ± 0.00 | yes | 3 |"), "{table}");
        assert!(table.contains("| c | +1.67 ± 14.34 | no | 3 |"), "{table}");
        assert!(table.starts_with("\nPoints above \"a\""), "{table}");
        assert_eq!((differences(&rows[..1]), differences_table(&rows, &[])), (Vec::new(), String::new()));
    }

    #[test]
    fn the_deviation_is_that_of_a_sample() {
        assert_eq!(mean_and_deviation(&[0.5, 0.6]), "55.00 ± 7.07");
        assert_eq!(mean_and_deviation(&[0.5]), "50.00");
        assert_eq!(mean_and_deviation(&[]), "–");
    }
}
