//! Runs side by side: what each was asked and what it made, where two of them differ, and a page that shows it.
//!
//! It knows nothing of stores: settings come as words, results as artifacts.

mod changes;
mod curves;
mod figures;
mod mcnemar;
mod mean;
mod sections;
mod words;

use pipeline::error::Result;
use pipeline::stage::Context;

pub use changes::{Changed, Changes, Outcome, Prediction, predictions};
pub use curves::{Curve, curves};
pub use figures::{Figure, accuracy, figures};
pub use mcnemar::mcnemar;
pub use mean::mean;
pub use words::tally;

use crate::artifacts::images::Images;
use crate::report::page::document;

/// What is compared of a run, or of a branch of one. What it does not have is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunFacts {
    /// What tables call it: `A`, or a variant's title.
    pub name: String,
    /// Which run it is; empty where the name says so.
    pub title: String,
    /// The data set's name.
    pub data_set: String,
    /// All settings, as they are written behind SET.
    pub settings: Vec<(String, String)>,
    /// Figures by their names for people.
    pub figures: Vec<(String, Figure)>,
    /// What the epochs were like, by the figures' names for people.
    pub curves: Vec<(String, Curve)>,
    /// Class names.
    pub classes: Vec<String>,
    /// What the student says of the test images.
    pub predictions: Vec<Prediction>,
    /// The stages in the order of the graph, each with what identifies its result.
    pub stages: Vec<(String, String)>,
}

impl RunFacts {
    /// A class's name.
    pub fn class(&self, class: usize) -> &str {
        self.classes.get(class).map_or("", String::as_str)
    }
}

/// What each run has under one name.
pub struct Row<'a, T> {
    /// The name.
    pub name: &'a str,
    /// A value for each run, in their order; none where a run has nothing of this name.
    pub values: Vec<Option<&'a T>>,
}

impl<T: PartialEq> Row<'_, T> {
    /// Whether all runs have the same.
    pub fn is_same(&self) -> bool {
        self.values.windows(2).all(|pair| pair[0] == pair[1])
    }
}

/// A row for each name that any run has, in the order in which the names first come.
pub fn side_by_side<'a, T: 'a>(
    runs: &'a [RunFacts],
    of: impl Fn(&'a RunFacts) -> &'a [(String, T)],
) -> Vec<Row<'a, T>> {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in runs.iter().flat_map(&of) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let value = |run: &'a RunFacts, name: &str| {
        of(run).iter().find(|(known, _)| known == name).map(|(_, value)| value)
    };
    let row = |name: &'a str| Row { name, values: runs.iter().map(|run| value(run, name)).collect() };
    names.into_iter().map(row).collect()
}

/// The settings that not all runs have alike.
pub fn changed_settings(runs: &[RunFacts]) -> Vec<Row<'_, String>> {
    let mut rows = side_by_side(runs, |run| &run.settings[..]);
    rows.retain(|row| !row.is_same());
    rows
}

/// Whether two runs speak of different classes; those that know none do not.
pub fn classes_differ(runs: &[RunFacts]) -> bool {
    let mut known = runs.iter().map(|run| &run.classes).filter(|classes| !classes.is_empty());
    known.next().is_some_and(|first| known.any(|classes| classes != first))
}

/// Whether nothing that is compared differs between the runs: data set, settings, figures, predictions and stages.
pub fn no_difference(runs: &[RunFacts]) -> bool {
    changed_settings(runs).is_empty()
        && side_by_side(runs, |run| &run.figures[..]).iter().all(Row::is_same)
        && side_by_side(runs, |run| &run.stages[..]).iter().all(Row::is_same)
        && runs.windows(2).all(|pair| {
            let [a, b] = [&pair[0], &pair[1]];
            a.data_set == b.data_set && a.classes == b.classes && a.predictions == b.predictions
        })
}

/// The page. With `images`, those of the first run, it shows those whose class changed.
///
/// # Errors
/// An image that cannot be decoded; the user asked to stop.
pub fn page(
    title: &str,
    subtitle: &str,
    runs: &[RunFacts],
    images: Option<(&Images, &Context)>,
) -> Result<String> {
    let (sections, sheets) = sections::all(runs, images)?;
    Ok(document(title, subtitle, &sections, &sheets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, settings: &[(&str, &str)]) -> RunFacts {
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        RunFacts { name: name.to_owned(), settings: settings.collect(), ..RunFacts::default() }
    }

    #[test]
    fn settings_that_differ_are_told_with_each_runs_value_and_what_a_run_does_not_have() {
        let runs = [
            run("A", &[("seed", "0"), ("co-reg.epochs", "20"), ("co-reg.divide.threshold", "0.5")]),
            run(
                "B",
                &[("seed", "0"), ("co-reg.epochs", "30"), ("co-reg.divide.threshold", "0.5"), ("new", "1")],
            ),
        ];
        let rows = changed_settings(&runs);
        let told: Vec<(&str, Vec<Option<&str>>)> = rows
            .iter()
            .map(|row| (row.name, row.values.iter().map(|value| value.map(String::as_str)).collect()))
            .collect();
        let expected = [("co-reg.epochs", vec![Some("20"), Some("30")]), ("new", vec![None, Some("1")])];
        assert_eq!(told, expected);
        assert!(!no_difference(&runs));
        assert!(no_difference(&[runs[0].clone(), RunFacts { name: "B".to_owned(), ..runs[0].clone() }]));
    }

    #[test]
    fn a_run_that_knows_no_classes_has_no_other_ones() {
        let of = |classes: &[&str]| RunFacts {
            classes: classes.iter().map(|&class| class.to_owned()).collect(),
            ..RunFacts::default()
        };
        assert!(!classes_differ(&[of(&["cat"]), of(&[]), of(&["cat"])]));
        assert!(classes_differ(&[of(&[]), of(&["cat"]), of(&["dog"])]));
        assert!(!classes_differ(&[]));
    }

    #[test]
    fn another_data_set_is_a_difference_even_where_all_else_is_the_same() {
        let [a, b] = [run("A", &[]), run("B", &[])];
        assert!(no_difference(&[a.clone(), b.clone()]));
        assert!(!no_difference(&[a, RunFacts { data_set: "demo".to_owned(), ..b }]));
    }
}
