//! All that a report speaks of, gathered from the artifacts of one run.

use std::collections::HashMap;

use crate::artifacts::annotation::{Labels, Votes};
use crate::artifacts::evaluation::Evaluation;
use crate::artifacts::findings::Findings;
use crate::artifacts::history::History;
use crate::artifacts::images::{Images, Split};
use crate::artifacts::statistics::Statistics;
use crate::artifacts::training::Trained;

use super::About;

/// All that a report speaks of. Rows are those of the table of images: labels, and votes where there are any, have the
/// same.
pub(crate) struct Facts<'a> {
    /// What the run was asked to do.
    pub about: &'a About,
    /// The images.
    pub images: &'a Images,
    /// Their candidates.
    pub labels: &'a Labels,
    /// The annotators' votes; synthetic labels have none.
    pub votes: Option<&'a Votes>,
    /// How good the labels are.
    pub statistics: &'a Statistics,
    /// All trainings: baselines, what the method goes on from, and the method's own, which is the last.
    pub trainings: Vec<Training<'a>>,
    /// What the method left behind.
    pub trained: &'a Trained,
    /// What the student says of the test images.
    pub evaluation: &'a Evaluation,
    /// What is to be warned of.
    pub findings: &'a Findings,
    /// For each row of the images, its row among the evaluation's.
    tested: HashMap<usize, usize>,
    /// For each row of the images, its row among the method's labels of training images.
    settled: HashMap<usize, usize>,
}

/// A training and its epochs.
pub(crate) struct Training<'a> {
    /// Its name for people.
    pub title: &'a str,
    /// Whether it goes on from the training before it.
    pub goes_on: bool,
    /// One row an epoch and network.
    pub history: &'a History,
}

/// What is known of one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Said {
    /// A class.
    pub class: usize,
    /// Its probability.
    pub confidence: f32,
}

impl<'a> Facts<'a> {
    pub(crate) fn new(
        about: &'a About,
        (images, labels, votes): (&'a Images, &'a Labels, Option<&'a Votes>),
        statistics: &'a Statistics,
        trainings: Vec<Training<'a>>,
        trained: &'a Trained,
        evaluation: &'a Evaluation,
        findings: &'a Findings,
    ) -> Self {
        let rows: HashMap<&str, usize> =
            images.index.ids.iter().enumerate().map(|(row, id)| (id.as_str(), row)).collect();
        let places = |ids: &[String]| -> HashMap<usize, usize> {
            ids.iter().enumerate().filter_map(|(at, id)| Some((*rows.get(id.as_str())?, at))).collect()
        };
        let tested = places(&evaluation.ids);
        let settled = trained.sample_labels.as_ref().map(|labels| places(&labels.ids)).unwrap_or_default();
        Self {
            about,
            images,
            labels,
            votes,
            statistics,
            trainings,
            trained,
            evaluation,
            findings,
            tested,
            settled,
        }
    }

    /// Class names.
    pub(crate) fn classes(&self) -> &'a [String] {
        &self.images.index.classes
    }

    /// A class's name.
    pub(crate) fn class(&self, class: usize) -> &'a str {
        self.classes().get(class).map_or("", String::as_str)
    }

    /// An image's id.
    pub(crate) fn id(&self, row: usize) -> &'a str {
        &self.images.index.ids[row]
    }

    /// An image's split.
    pub(crate) fn split(&self, row: usize) -> Split {
        self.images.index.splits[row]
    }

    /// An image's true class, where known.
    pub(crate) fn truth(&self, row: usize) -> Option<usize> {
        self.images.index.labels[row].and_then(|class| usize::try_from(class).ok())
    }

    /// The class that the labels hold the most likely one; none where nobody voted.
    pub(crate) fn annotated(&self, row: usize) -> Option<usize> {
        self.labels.single[row].map(usize::from)
    }

    /// The candidates of an image, each with how much it is believed, the most believed first.
    pub(crate) fn candidates(&self, row: usize) -> Vec<(usize, f32)> {
        let classes = self.labels.candidates[row].iter().map(|&class| usize::from(class));
        let mut all: Vec<_> = classes.zip(self.labels.weights[row].iter().copied()).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all
    }

    /// How many annotators named each class that somebody named, the class with most votes first.
    pub(crate) fn votes_on(&self, row: usize) -> Vec<(usize, usize)> {
        let mut counts: HashMap<usize, usize> = HashMap::new();
        for class in self.votes.into_iter().flat_map(|votes| votes.named_on(row)).flatten() {
            *counts.entry(usize::from(class)).or_default() += 1;
        }
        let mut all: Vec<_> = counts.into_iter().collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        all
    }

    /// What the student says of a test image, and what the method settled on for a training image; none where it settled
    /// on nothing.
    pub(crate) fn said(&self, row: usize) -> Option<Said> {
        if let Some(&at) = self.tested.get(&row) {
            let class = usize::from(self.evaluation.predictions[at]);
            let confidence = self.evaluation.probs[at * self.evaluation.class_count + class];
            return Some(Said { class, confidence });
        }
        let labels = self.trained.sample_labels.as_ref()?;
        let &at = self.settled.get(&row)?;
        Some(Said { class: usize::from(labels.labels[at]), confidence: labels.confidence[at] })
    }

    /// Whether the method counts a training image into 𝒫 rather than 𝒰; none where it divides nothing.
    pub(crate) fn believed(&self, row: usize) -> Option<bool> {
        let division = self.trained.sample_labels.as_ref()?.division.as_ref()?;
        division.partial.get(*self.settled.get(&row)?).copied()
    }

    /// Rows of the test images, in the order of the evaluation.
    pub(crate) fn test_rows(&self) -> Vec<usize> {
        let mut rows: Vec<(usize, usize)> = self.tested.iter().map(|(&row, &at)| (at, row)).collect();
        rows.sort_unstable();
        rows.into_iter().map(|(_, row)| row).collect()
    }

    /// Rows of the training images on whose class the method settled, in its order.
    pub(crate) fn settled_rows(&self) -> Vec<usize> {
        let mut rows: Vec<(usize, usize)> = self.settled.iter().map(|(&row, &at)| (at, row)).collect();
        rows.sort_unstable();
        rows.into_iter().map(|(_, row)| row).collect()
    }
}
