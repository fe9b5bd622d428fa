//! `coreg compare`: methods on the same images, labels, student and budget, as the paper's tables have them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use pipeline::error::{Error, OrFail, Result};
use pipeline::schedule::RunReport;
use pipeline::store::{Record, Store};

use super::ablations::mean_and_deviation;
use super::diff::{aligned, page_of_branches, write_page};
use super::record::RecordedBranch;
use super::run::{attempt, claimed};
use super::{ChoiceArgs, expanded};
use crate::artifacts::evaluation::Evaluation;
use crate::artifacts::images::Split;
use crate::artifacts::statistics::Statistics;
use crate::artifacts::table::Table;
use crate::artifacts::training::Trained;
use crate::experiment::settings::LabelSource;
use crate::experiment::variants::{Branch, BuiltIn, Shows};
use crate::experiment::{BranchNodes, Experiment};
use crate::learn::criteria;
use crate::learn::train::AGREEMENT;
use crate::methods::METHODS;
use crate::report::compare::Difference;

#[derive(Args)]
pub(super) struct CompareArgs {
    /// `all`, or some of them, separated by commas: kd, kd-average, divide-mix, divide-mix-average, ensemble-contrast, cc,
    /// rc, lwc, lws, pico, cr-dpll, pico-plus, ir-net, alim-onehot, alim-scale, warm-up, co-reg, coop-2, coop-4, coop-8,
    /// coop-16.
    #[arg(long, default_value = ALL, value_name = "NAMES")]
    methods: String,
    /// How many seeds of each.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// A TOML file with the rows, instead of those that are built in.
    #[arg(long, value_name = "FILE")]
    variants: Option<PathBuf>,
    #[command(flatten)]
    choice: ChoiceArgs,
}

const ALL: &str = "all";

/// The figure by which methods are compared: the share of test images that are right.
const ACCURACY: &str = "accuracy";
const IMAGES: &str = "images_seen";
const PROCESSOR: &str = "processor_seconds";
const MEMORY: &str = "memory_bytes";

/// Figures by name.
type Figures = BTreeMap<&'static str, f64>;

/// One row of the table at one point of the grid, with one seed.
struct Cell {
    row: String,
    point: String,
    seed: u64,
    figures: Figures,
}

pub(super) fn compare(args: CompareArgs, artifacts: &Path) -> Result<()> {
    let CompareArgs { methods, seeds, variants, choice } = args;
    if let Some(method) = &choice.method {
        return Err(Error::new(format!("METHOD={method} has no say in a comparison"))
            .help(format!("name the rows with METHODS={method},…")));
    }
    let mut experiment = choice.experiment()?;
    // Each row is one method; nobody trains beside it.
    experiment.settings.baselines.clear();
    let variants = expanded(variants)?;
    let names: Vec<String> = match methods.trim() {
        ALL => Vec::new(),
        some => some.split(',').map(|name| name.trim().to_owned()).collect(),
    };
    let branches = experiment.variants(variants.as_deref(), BuiltIn::Methods, &names, seeds)?;
    if let Some(branch) = branches.iter().find(|branch| ANNOTATORS.iter().any(|(row, _)| *row == branch.row))
    {
        return Err(Error::new(format!("`{}` is the title of a row of the annotators", branch.row))
            .help("give the variant another title"));
    }
    let (branches, mut left_out) = possible(&experiment, branches, names.is_empty())?;
    let (experiments, store) = claimed(&mut experiment, &branches, artifacts)?;
    let wanted: Vec<String> = (branches.iter().zip(&experiments.branches))
        .flat_map(|(branch, nodes)| needed(branch, nodes))
        .collect();
    let recorded = RecordedBranch::all(&experiment, &branches, &experiments)?;
    let report = attempt(&experiment, &recorded, &experiments.graph, &store, artifacts, &wanted)?;
    if report.stopped {
        return report.into_result().map(drop);
    }
    let whole = |branch: &Branch, nodes: &BranchNodes| {
        needed(branch, nodes).iter().all(|node| result(node, &report).is_ok())
    };
    let done: Vec<(&Branch, &BranchNodes)> =
        (branches.iter().zip(&experiments.branches)).filter(|(branch, nodes)| whole(branch, nodes)).collect();
    for branch in branches.iter().filter(|branch| !done.iter().any(|(done, _)| done.suffix == branch.suffix))
    {
        left_out.push(format!(
            "{} with seed {} failed, and has no place here",
            branch.variant, branch.settings.seed
        ));
    }
    let (mut cells, mut training_images) = (Vec::new(), None);
    of_annotators(&done, &report, &store, &mut cells, &mut left_out)?;
    for (branch, nodes) in &done {
        cells.push(of_branch(branch, nodes, &report, &store, &mut training_images)?);
    }
    let differences = differences(&cells);
    let table = Comparison { cells: &cells, branches: &branches, left_out: &left_out, training_images };
    let (rows, notes) = (table.rows(), table.notes());
    out!("");
    for line in aligned(&rows, 1).iter().chain(&notes) {
        out!("{line}");
    }
    let name =
        variants.as_deref().and_then(Path::file_stem).map_or("compare".into(), |s| s.to_string_lossy());
    let path = artifacts.join(&experiment.data_set.name).join(format!("{name}.md"));
    let text = markdown(&rows, &notes, &differences);
    std::fs::write(&path, text).or_fail(|| Error::new("cannot write the table").at(&path))?;
    out!("written to {}", path.display());
    let parquet = path.with_extension("parquet");
    save(&cells, &parquet)?;
    let csv = path.with_extension("csv");
    save_csv(&cells, &csv)?;
    out!("each seed by itself is in {} and {}", parquet.display(), csv.display());
    let students: Vec<RecordedBranch> = (recorded.into_iter().zip(&branches))
        .filter(|(_, branch)| branch.shows == Shows::Student)
        .filter(|(_, branch)| done.iter().any(|(done, _)| done.suffix == branch.suffix))
        .map(|(recorded, _)| recorded)
        .collect();
    if !students.is_empty() {
        let html = path.with_extension("html");
        write_page(&page_of_branches(&experiment, &students, &report, &store, &differences)?, &html)?;
        out!("the methods side by side, with their curves, are in {}", html.display());
    }
    // What failed, with the causes.
    report.into_result().map(drop)
}

/// The branches that can be wired, and the reasons why rows are left out: a method that needs what the labels lack has no
/// row where all are asked for.
///
/// # Errors
/// A method that was asked for by name cannot be wired; none can.
fn possible(experiment: &Experiment, branches: Vec<Branch>, all: bool) -> Result<(Vec<Branch>, Vec<String>)> {
    let (mut kept, mut left_out, mut first) = (Vec::new(), Vec::new(), None);
    let mut wired: Vec<String> = Vec::new();
    for branch in branches {
        // Another seed of what can be wired can be, too.
        if wired.contains(&branch.variant) {
            kept.push(branch);
            continue;
        }
        match experiment.graph(std::slice::from_ref(&branch)).and_then(|_| shows_what_it_says(&branch)) {
            Ok(()) => {
                wired.push(branch.variant.clone());
                kept.push(branch);
            }
            Err(error) if all => {
                let what = error.to_string();
                let reason =
                    format!("{} has no row: {}", branch.row, what.lines().next().unwrap_or_default());
                if !left_out.contains(&reason) {
                    left_out.push(reason);
                }
                first = first.or(Some(error));
            }
            Err(error) => return Err(error),
        }
    }
    match first {
        Some(error) if kept.is_empty() => Err(error),
        _ => Ok((kept, left_out)),
    }
}

/// Refuses a row of annotators in which others would vote beside the prompt that CLIP learns.
fn shows_what_it_says(branch: &Branch) -> Result<()> {
    match branch.shows == Shows::Student || branch.settings.labels == LabelSource::Clip {
        true => Ok(()),
        false => Err(Error::new("it learns a prompt for a CLIP, and here not CLIP alone votes")
            .help("leave LABELS and VOTES out, or the row")),
    }
}

/// The nodes that a branch is compared by.
fn needed(branch: &Branch, nodes: &BranchNodes) -> Vec<String> {
    let mut wanted = vec![nodes.statistics.clone()];
    if branch.shows == Shows::Student {
        wanted.extend(nodes.before.iter().map(|training| training.node.clone()));
        wanted.push(nodes.evaluation.clone());
    }
    wanted
}

fn result<'a>(node: &str, report: &'a RunReport) -> Result<&'a Record> {
    let record = report.node(node).and_then(|node| node.result.as_ref());
    record.ok_or_else(|| Error::new(format!("node {node} has no result")))
}

/// The rows of the annotators that students learn from, once for every point of the grid and seed: the first template's
/// votes, and the average. None where rows differ in their annotators.
fn of_annotators(
    done: &[(&Branch, &BranchNodes)],
    report: &RunReport,
    store: &Store,
    cells: &mut Vec<Cell>,
    notes: &mut Vec<String>,
) -> Result<()> {
    let students: Vec<&(&Branch, &BranchNodes)> =
        done.iter().filter(|(branch, _)| branch.shows == Shows::Student).collect();
    let place = |branch: &Branch| (branch.point.clone(), branch.settings.seed);
    for (point, seed) in distinct(students.iter().map(|(branch, _)| place(branch))) {
        let here = students.iter().filter(|(branch, _)| place(branch) == (point.clone(), seed));
        let digests = here.map(|(_, nodes)| Ok(result(&nodes.statistics, report)?.digest));
        let digests: Vec<_> = distinct(digests.collect::<Result<Vec<_>>>()?.into_iter());
        let [_] = digests[..] else {
            let note =
                "Rows learn from different annotators or labels, so that none stand above them.".to_owned();
            notes.extend((!notes.contains(&note)).then_some(note));
            continue;
        };
        let Some((_, nodes)) = students.iter().find(|(branch, _)| place(branch) == (point.clone(), seed))
        else {
            continue;
        };
        let statistics: Statistics = store.load(result(&nodes.statistics, report)?)?;
        for (row, name) in ANNOTATORS {
            let figures: Figures = [(TRAIN, Split::Train), (ACCURACY, Split::Test)]
                .into_iter()
                .filter_map(|(figure, split)| Some((figure, statistics.get(name, split)?)))
                .collect();
            if !figures.is_empty() {
                cells.push(Cell { row: row.to_owned(), point: point.clone(), seed, figures });
            }
        }
    }
    Ok(())
}

/// The rows of the annotators, and the statistics that they are.
const ANNOTATORS: [(&str, &str); 2] = [("Zero-shot", "zero_shot"), ("Zero-shot*", "zero_shot_mean")];

/// The share of training images that annotators have right.
const TRAIN: &str = "accuracy_train";

/// The figures of a row's own branch.
fn of_branch(
    branch: &Branch,
    nodes: &BranchNodes,
    report: &RunReport,
    store: &Store,
    training_images: &mut Option<usize>,
) -> Result<Cell> {
    let mut figures = Figures::new();
    let mut add = |name, value: Option<f64>| value.map(|value| figures.insert(name, value));
    let mut trainings = Vec::new();
    match branch.shows {
        Shows::Annotators => {
            let statistics: Statistics = store.load(result(&nodes.statistics, report)?)?;
            add(TRAIN, statistics.get("zero_shot_mean", Split::Train));
            add(ACCURACY, statistics.get("zero_shot_mean", Split::Test));
            trainings.extend(nodes.learned.iter());
        }
        Shows::Student => {
            let evaluation: Evaluation = store.load(result(&nodes.evaluation, report)?)?;
            add(ACCURACY, evaluation.get(ACCURACY));
            add("macro_recall", evaluation.get("macro_recall"));
            let Trained { student, history, .. } = store.load(result(&nodes.method.node, report)?)?;
            let images = student.provenance.training_images;
            for criterion in std::iter::once(AGREEMENT).chain(criteria::NAMES) {
                add(criterion, history.mean(criterion));
            }
            *training_images = Some(images);
            let of = nodes.before.iter().chain([&nodes.method]);
            let seen: usize = of.clone().map(|training| training.images_seen(images)).sum();
            add(IMAGES, Some(seen as f64));
            trainings.extend(of.map(|training| &training.node));
        }
    }
    let made: Vec<_> = trainings
        .into_iter()
        .map(|node| result(node, report).map(|record| &record.made))
        .collect::<Result<_>>()?;
    if !made.is_empty() {
        add(PROCESSOR, Some(made.iter().map(|made| made.processor).sum()));
        add(MEMORY, made.iter().map(|made| made.memory as f64).reduce(f64::max));
    }
    let name = if branch.row.is_empty() { branch.variant.clone() } else { branch.row.clone() };
    Ok(Cell { row: name, point: branch.point.clone(), seed: branch.settings.seed, figures })
}

/// What the table says.
struct Comparison<'a> {
    cells: &'a [Cell],
    branches: &'a [Branch],
    left_out: &'a [String],
    /// How many images train; none where no student was trained.
    training_images: Option<usize>,
}

impl Comparison<'_> {
    /// The points of the grid, in their order.
    fn points(&self) -> Vec<&str> {
        distinct(self.cells.iter().map(|cell| cell.point.as_str()))
    }

    /// The rows of the table, a title row first: a row a method; with several points of a grid the accuracy at each of
    /// them, else also what the method cost.
    fn rows(&self) -> Vec<Vec<String>> {
        let points = self.points();
        let names = distinct(self.cells.iter().map(|cell| cell.row.as_str()));
        let mut title = vec!["method".to_owned()];
        if points.len() > 1 {
            title.extend(points.iter().map(|&point| point.to_owned()));
        } else {
            let columns = ["train, %", "test, %", "images seen", "processor time", "peak memory"];
            title.extend(columns.map(str::to_owned));
        }
        title.push("seeds".to_owned());
        let row = |name: &&str| -> Vec<String> {
            let mut row = vec![(*name).to_owned()];
            if points.len() > 1 {
                let accuracy = |point: &&str| mean_and_deviation(&self.values(name, point, ACCURACY));
                row.extend(points.iter().map(accuracy));
            } else {
                let point = points.first().copied().unwrap_or_default();
                row.extend([TRAIN, ACCURACY].map(|of| mean_and_deviation(&self.values(name, point, of))));
                let mean = |of| mean(&self.values(name, point, of));
                row.push(mean(IMAGES).map_or_else(dash, |images| grouped(images.round() as u64)));
                row.push(mean(PROCESSOR).filter(|&s| s > 0.0).map_or_else(dash, |s| format!("{s:.1} s")));
                let memory = mean(MEMORY).filter(|&bytes| bytes > 0.0);
                row.push(memory.map_or_else(dash, |bytes| format!("{:.0} MB", bytes / 1e6)));
            }
            let seeds = self.cells.iter().filter(|cell| cell.row == *name).map(|cell| cell.seed);
            row.push(distinct(seeds).len().to_string());
            row
        };
        std::iter::once(title).chain(names.iter().map(row)).collect()
    }

    fn values(&self, row: &str, point: &str, figure: &str) -> Vec<f64> {
        let of = self.cells.iter().filter(|cell| cell.row == row && cell.point == point);
        of.filter_map(|cell| cell.figures.get(figure).copied()).collect()
    }

    /// What is to be said below the table.
    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            "Mean ± standard deviation over the seeds; of students the last epoch's, and both networks' where there are two."
                .to_owned(),
            "Zero-shot: the votes of the first template, or of the first who votes. A star: the average of all, or what was learned from it."
                .to_owned(),
            "Images seen: how often each network had an image's turn to learn from. Processor time: of the trainings, without what the rows share. Peak memory: the most that the whole process held meanwhile, earlier rows' leavings included."
                .to_owned(),
        ];
        if !self.cells.iter().any(|cell| cell.figures.contains_key(ACCURACY)) {
            notes.push(
                "No true class is known, so there is no accuracy. The Parquet file has agreement of networks and other figures that need none."
                    .to_owned(),
            );
        }
        let mut shorter: Vec<String> = Vec::new();
        for branch in self.branches.iter().filter(|branch| branch.shows == Shows::Student) {
            let method = METHODS.iter().find(|method| method.name == branch.settings.method);
            let Some((title, own)) = method.and_then(|method| Some((method.title, method.own_epochs?)))
            else {
                continue;
            };
            let seen = self.values(&branch.row, &branch.point, IMAGES);
            let (Some(seen), Some(images)) = (mean(&seen), self.training_images) else { continue };
            let told = format!("{title} {own}");
            if seen < own as f64 * images as f64 && !shorter.contains(&told) {
                shorter.push(told);
            }
        }
        if !shorter.is_empty() {
            notes.push(format!(
                "Shorter than their authors' own schedules, whose epochs of the whole set are: {}.",
                shorter.join(", ")
            ));
        }
        notes.extend(self.left_out.iter().cloned());
        notes
    }
}

fn dash() -> String {
    "–".to_owned()
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Each once, in the order of the first time.
fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut found = Vec::new();
    for one in all {
        if !found.contains(&one) {
            found.push(one);
        }
    }
    found
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    groups.map(|group| String::from_utf8_lossy(group)).collect::<Vec<_>>().join(",")
}

/// How far each row is from Co-Reg, or from the last row where Co-Reg has none, seed by seed and point by point.
fn differences(cells: &[Cell]) -> Vec<Difference> {
    let rows = distinct(cells.iter().map(|cell| cell.row.as_str()));
    let Some(reference) = reference(&rows) else { return Vec::new() };
    let of = |row: &str| -> Option<Difference> {
        let points = cells.iter().filter(|cell| cell.row == row).filter_map(|cell| {
            let other = cells.iter().find(|other| {
                other.row == reference && (&other.point, other.seed) == (&cell.point, cell.seed)
            })?;
            Some(100.0 * (cell.figures.get(ACCURACY)? - other.figures.get(ACCURACY)?))
        });
        Difference::of(row, &points.collect::<Vec<_>>())
    };
    rows.iter().filter(|row| **row != reference).filter_map(|row| of(row)).collect()
}

/// The row that others are compared with.
fn reference<'a>(rows: &[&'a str]) -> Option<&'a str> {
    rows.iter().find(|row| **row == "Co-Reg").or(rows.last()).copied()
}

/// Table, notes and differences in Markdown.
fn markdown(rows: &[Vec<String>], notes: &[String], differences: &[Difference]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        text += &line(row);
        if at == 0 {
            text += &format!("|{}\n", "---|".repeat(row.len()));
        }
    }
    text += &format!("\n{}\n", notes.join("\n\n"));
    if !differences.is_empty() {
        let names: Vec<&str> =
            rows.iter().skip(1).filter_map(|row| row.first().map(String::as_str)).collect();
        let reference = reference(&names).unwrap_or_default();
        text += &format!(
            "\nPoints above {reference}, the same seeds compared; ± is the 95 % interval of the mean.\n\n\
             | method | difference | can be told apart | pairs |\n|---|---|---|---|\n"
        );
        for of in differences {
            let verdict = if of.can_be_told_apart() { "yes" } else { "no" };
            text += &format!("| {} | {} | {verdict} | {} |\n", of.name, of.shown(), of.seeds);
        }
    }
    text
}

/// One figure: row, point of the grid, seed, name, value.
fn flat(cells: &[Cell]) -> impl Iterator<Item = (&str, &str, u64, &'static str, f64)> {
    cells.iter().flat_map(|cell| {
        let of = |(&name, &value): (&&'static str, &f64)| {
            (cell.row.as_str(), cell.point.as_str(), cell.seed, name, value)
        };
        cell.figures.iter().map(of)
    })
}

fn save(cells: &[Cell], path: &Path) -> Result<()> {
    Table::new()
        .strings("method", flat(cells).map(|row| row.0))
        .strings("point", flat(cells).map(|row| row.1))
        .u64("seed", flat(cells).map(|row| row.2))
        .strings("metric", flat(cells).map(|row| row.3))
        .f64("value", flat(cells).map(|row| row.4))
        .write(path)
}

fn save_csv(cells: &[Cell], path: &Path) -> Result<()> {
    let cannot = || Error::new("cannot write the table").at(path);
    let mut csv = csv::Writer::from_path(path).or_fail(cannot)?;
    csv.write_record(["method", "point", "seed", "metric", "value"]).or_fail(cannot)?;
    for (row, point, seed, metric, value) in flat(cells) {
        csv.write_record([row, point, &seed.to_string(), metric, &value.to_string()]).or_fail(cannot)?;
    }
    csv.flush().or_fail(cannot)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(row: &str, point: &str, seed: u64, accuracy: f64) -> Cell {
        let figures = Figures::from([(ACCURACY, accuracy), (IMAGES, 150_000.0), (PROCESSOR, 60.0)]);
        Cell { row: row.to_owned(), point: point.to_owned(), seed, figures }
    }

    fn comparison(cells: &[Cell]) -> Comparison<'_> {
        Comparison { cells, branches: &[], left_out: &[], training_images: None }
    }

    #[test]
    fn a_method_has_a_row_with_what_it_cost() {
        let cells = [cell("RC", "", 0, 0.5), cell("RC", "", 1, 0.6), cell("Co-Reg", "", 0, 0.7)];
        let rows = comparison(&cells).rows();
        assert_eq!(rows[1], ["RC", "–", "55.00 ± 7.07", "150,000", "60.0 s", "–", "2"]);
        assert_eq!(rows[2][..3], ["Co-Reg", "–", "70.00"]);
    }

    #[test]
    fn the_points_of_a_grid_are_columns() {
        let cells = [cell("RC", "q = 0.1", 0, 0.5), cell("RC", "q = 0.3", 0, 0.25)];
        let rows = comparison(&cells).rows();
        assert_eq!(rows, [["method", "q = 0.1", "q = 0.3", "seeds"], ["RC", "50.00", "25.00", "1"]]);
    }

    #[test]
    fn methods_are_compared_with_co_reg_where_seed_and_point_are_the_same() {
        let cells = [
            cell("Co-Reg", "", 0, 0.7),
            cell("Co-Reg", "", 1, 0.8),
            cell("RC", "", 0, 0.6),
            cell("RC", "", 1, 0.7),
        ];
        let found = differences(&cells);
        assert_eq!((found.len(), found[0].shown().as_str()), (1, "-10.00 ± 0.00"));
        let text = markdown(&comparison(&cells).rows(), &["a note".to_owned()], &found);
        assert!(
            text.contains("Points above Co-Reg") && text.contains("| RC | -10.00 ± 0.00 | yes | 2 |"),
            "{text}"
        );
    }

    #[test]
    fn thousands_are_apart() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
