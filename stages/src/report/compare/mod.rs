//! Runs side by side: what each was asked and what it made, where two of them differ, and a page that shows it.
//!
//! It knows nothing of stores: settings come as words, results as artifacts.

mod changes;
mod curves;
mod difference;
mod figures;
mod mean;
mod sections;
mod words;

use pipeline::error::Result;
use pipeline::stage::Context;

pub use changes::{Changed, Changes, Outcome, Prediction, predictions};
pub use curves::{Curve, curves};
pub use difference::Difference;
pub(in crate::report) use figures::is_template;
pub use figures::{Figure, accuracy, of_labels, of_student};
pub use mean::mean;
pub use words::{in_both, tally};

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
    /// What identifies the table of its images.
    pub images: String,
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

/// Whether two runs read the same images, whatever their data sets are called. Those that know none of theirs do if the
/// data sets are called alike.
pub fn same_images(first: &RunFacts, second: &RunFacts) -> bool {
    let alike = !first.images.is_empty() || first.data_set == second.data_set;
    first.images == second.images && alike
}

/// The figures that are told: those that not all runs have alike, and the test accuracy; behind them the others.
pub fn told_figures(runs: &[RunFacts]) -> [Vec<Row<'_, Figure>>; 2] {
    let rows = side_by_side(runs, |run| &run.figures[..]).into_iter();
    let (told, same) = rows.partition(|row| !row.is_same() || row.name == figures::ACCURACY);
    [told, same]
}

/// Whether nothing that is compared differs between the runs: images, settings, figures, predictions and stages.
pub fn no_difference(runs: &[RunFacts]) -> bool {
    changed_settings(runs).is_empty()
        && side_by_side(runs, |run| &run.figures[..]).iter().all(Row::is_same)
        && side_by_side(runs, |run| &run.stages[..]).iter().all(Row::is_same)
        && runs.windows(2).all(|pair| {
            let [a, b] = [&pair[0], &pair[1]];
            same_images(a, b) && a.classes == b.classes && a.predictions == b.predictions
        })
}

/// The page. With `images`, those of the first run, it shows those whose class changed. `differences` are those of
/// variants to the first run, over their seeds.
///
/// # Errors
/// An image that cannot be decoded; the user asked to stop.
pub fn page(
    title: &str,
    subtitle: &str,
    runs: &[RunFacts],
    differences: &[Difference],
    images: Option<(&Images, &Context)>,
) -> Result<String> {
    let (sections, sheets) = sections::all(runs, differences, images)?;
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
    fn other_images_are_a_difference_and_another_name_of_the_same_ones_is_none() {
        let of = |images: &str, data_set: &str| RunFacts {
            images: images.to_owned(),
            data_set: data_set.to_owned(),
            ..RunFacts::default()
        };
        assert!(no_difference(&[of("x", "demo"), of("x", "renamed")]));
        assert!(!no_difference(&[of("x", "demo"), of("y", "demo")]));
        // Of runs that read none the name is all that is known.
        assert!(no_difference(&[of("", "demo"), of("", "demo")]));
        assert!(!no_difference(&[of("", "demo"), of("", "other")]));
    }

    #[test]
    fn figures_that_all_have_alike_stand_apart_and_the_test_accuracy_never_does() {
        let of = |eta| RunFacts {
            figures: [("test accuracy", 0.5), ("eta", eta), ("images", 2.0)]
                .map(|(name, value)| (name.to_owned(), accuracy(value)))
                .to_vec(),
            ..RunFacts::default()
        };
        let runs = [of(0.25), of(0.125)];
        let names = told_figures(&runs).map(|rows| rows.iter().map(|row| row.name).collect::<Vec<_>>());
        assert_eq!(names, [vec!["test accuracy", "eta"], vec!["images"]]);
    }
}
