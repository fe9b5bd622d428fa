//! A small run for tests of sections that speak of more than images: four test images, of which the student takes three
//! for class 0, with statistics and histories.

use crate::artifacts::findings::Findings;
use crate::artifacts::history::{Epoch, History};
use crate::artifacts::images::Split;
use crate::artifacts::statistics::{AnnotatorStatistics, Metric, Statistics};
use crate::report::About;
use crate::report::facts::{Facts, Training};
use crate::report::sections::fixture_tests::{Example, Run};

/// What a report is told.
pub(in crate::report::sections) struct Told {
    pub run: Run,
    pub about: About,
    pub statistics: Statistics,
    pub findings: Findings,
    pub histories: Vec<(&'static str, History)>,
}

impl Told {
    /// Test images of this true class.
    pub fn new(truth: Option<i32>, statistics: Statistics) -> Self {
        let classes = ["x", "y"].map(str::to_owned).to_vec();
        let said = [(0, 0.75), (0, 0.75), (0, 0.5), (1, 0.5)];
        let mut run = Run::new(classes, &said.map(|said| Example::test(truth, Some(0), said)));
        let accuracy = truth.map(|_| ("accuracy".to_owned(), 0.75));
        run.evaluation.metrics =
            accuracy.into_iter().chain([("mean_confidence".to_owned(), 0.625)]).collect();
        let about = About { method: "Co-Reg".to_owned(), ..About::default() };
        Self { run, about, statistics, findings: Findings::default(), histories: Vec::new() }
    }

    /// Sets a figure of the test images.
    pub fn set(&mut self, name: &str, value: f64) {
        self.statistics.summary.retain(|metric| metric.name != name);
        self.statistics.summary.push(metric(name, value));
    }

    /// What is said of all this.
    pub fn facts<T>(&self, say: impl FnOnce(&Facts) -> T) -> T {
        let before = [""].into_iter().chain(self.histories.iter().map(|&(title, _)| title));
        let named = self.histories.iter().zip(before);
        let trainings = named
            .map(|(&(title, ref history), before)| Training { title, goes_on: before == "warm-up", history })
            .collect();
        let facts = Facts::new(
            &self.about,
            (&self.run.images, &self.run.labels, self.run.votes.as_ref()),
            &self.statistics,
            trainings,
            &self.run.trained,
            &self.run.evaluation,
            &self.findings,
        );
        say(&facts)
    }
}

fn metric(name: &str, value: f64) -> Metric {
    Metric { name: name.to_owned(), split: Split::Test, value }
}

/// Statistics of annotators of these names: the first gets 37.5 % right, their average 50 %.
pub(in crate::report::sections) fn statistics(names: &[&str]) -> Statistics {
    let annotator = |name: &&str| AnnotatorStatistics {
        template: (*name).to_owned(),
        split: Split::Train,
        accuracy: Some(0.375),
        voted: 1.0,
        agreement: Some(0.75),
        candidates_added: 0.125,
        truths_added: Some(0.0625),
    };
    let summary = match names {
        [] => Vec::new(),
        _ => vec![metric("zero_shot", 0.375), metric("zero_shot_mean", 0.5), metric("label_single", 0.5)],
    };
    Statistics { summary, annotators: names.iter().map(annotator).collect(), ..Statistics::default() }
}

/// As many epochs of as many networks, with the learning rate falling from one value to another, and the test accuracy
/// after each.
pub(in crate::report::sections) fn history(
    epochs: u32,
    networks: u8,
    (from, to): (f64, f64),
    accuracy: f64,
) -> History {
    let columns = ["learning_rate", "accuracy_test"];
    let row = |epoch: u32, network: u8| {
        let rate = if epoch == epochs { to } else { from };
        let values = columns.map(str::to_owned).into_iter().zip([rate, accuracy]).collect();
        Epoch { epoch, network, values }
    };
    let rows = (1..=epochs).flat_map(|epoch| (1..=networks).map(move |network| (epoch, network)));
    History {
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.map(|(epoch, network)| row(epoch, network)).collect(),
    }
}
