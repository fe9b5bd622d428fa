//! The figures of a run that are compared, with their names for people.

use crate::artifacts::evaluation::Evaluation;
use crate::artifacts::images::Split;
use crate::artifacts::statistics::Statistics;

/// A figure of a run, or of several runs in one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// Its value, or the mean of several.
    pub value: f64,
    /// The deviation of several.
    pub deviation: Option<f64>,
    /// Whether it is a share, told in percent.
    pub share: bool,
}

/// Figures of the annotation, in the order in which they are told, each with whether it is a share.
const ANNOTATION: [(&str, &str, bool); 10] = [
    ("images", "images", false),
    ("labelled", "images of known truth", false),
    ("human_labels", "human labels", false),
    ("voted", "images that somebody voted on", true),
    ("avg_candidates", "candidates an image", false),
    ("eta", "images whose candidates lack the truth (eta)", true),
    (FIRST, "accuracy of the first template", true),
    ("zero_shot_mean", "accuracy of the annotators' average", true),
    ("macro_recall_mean", "macro recall of the annotators' average", true),
    ("label_single", "accuracy of the likeliest candidate", true),
];

/// The first annotator's accuracy.
const FIRST: &str = "zero_shot";

/// Figures of the student, likewise.
const STUDENT: [(&str, &str, bool); 8] = [
    ("accuracy", ACCURACY, true),
    ("accuracy_network1", "test accuracy, network 1 alone", true),
    ("accuracy_network2", "test accuracy, network 2 alone", true),
    ("macro_recall", "macro recall", true),
    ("macro_f1", "macro F1", true),
    ("agreement", "both networks agree", true),
    ("mean_confidence", "mean confidence", true),
    ("parameters", "parameters of a network", false),
];

/// What the student's test accuracy is called, among figures and among curves.
pub(super) const ACCURACY: &str = "test accuracy";

/// A test accuracy, as a figure.
pub fn accuracy(value: f64) -> Figure {
    Figure { value, deviation: None, share: true }
}

/// Whether an annotator of this name is a template of a CLIP: it has a place for the class, and nobody who votes is called
/// so.
pub(in crate::report) fn is_template(name: &str) -> bool {
    name.contains("{}")
}

/// The figures of a student's test.
pub fn of_student(evaluation: &Evaluation) -> Vec<(String, Figure)> {
    let figure = |(name, title, share): (&str, &str, bool)| {
        let value = evaluation.get(name)?;
        Some((title.to_owned(), Figure { value, deviation: None, share }))
    };
    STUDENT.into_iter().filter_map(figure).collect()
}

/// The figures of an annotation. Of imported votes the first annotator is the first one in the alphabet, on whatever he
/// voted on: his accuracy is nothing to compare, and is left out.
pub fn of_labels(statistics: &Statistics) -> Vec<(String, Figure)> {
    let templates = statistics.annotators.iter().all(|of| is_template(&of.template));
    let mut all = Vec::new();
    for (name, title, share) in ANNOTATION.into_iter().filter(|of| templates || of.0 != FIRST) {
        for split in Split::ALL {
            let value = statistics.get(name, split);
            let figure = |value| Figure { value, deviation: None, share };
            all.extend(value.map(|value| (format!("{title}, {split}"), figure(value))));
        }
    }
    all
}

impl Figure {
    /// Its value for people: `76.60 %`, `76.60 ± 0.45 %`, `2.04`, `1000`.
    pub fn shown(&self) -> String {
        let number = |value: f64| match self.share {
            true => format!("{:.2}", 100.0 * value),
            false if value.fract() == 0.0 => format!("{value:.0}"),
            false => format!("{value:.2}"),
        };
        let deviation = self.deviation.map(|deviation| format!(" ± {}", number(deviation)));
        let unit = if self.share { " %" } else { "" };
        format!("{}{}{unit}", number(self.value), deviation.unwrap_or_default())
    }

    /// How far it lies from that of another run, in points where it is a share; none where it does not.
    pub fn difference_to(&self, other: &Self) -> Option<String> {
        let difference = self.value - other.value;
        if difference == 0.0 {
            return None;
        }
        Some(match self.share {
            true => format!("{:+.2}", 100.0 * difference),
            false if difference.fract() == 0.0 => format!("{difference:+.0}"),
            false => format!("{difference:+.2}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifacts::statistics::{AnnotatorStatistics, Metric};

    #[test]
    fn a_share_is_told_in_percent_and_its_difference_in_points() {
        let [a, b] = [accuracy(0.75), accuracy(0.766)];
        assert_eq!((a.shown(), b.shown()), ("75.00 %".to_owned(), "76.60 %".to_owned()));
        assert_eq!(b.difference_to(&a).as_deref(), Some("+1.60"));
        assert_eq!(a.difference_to(&a), None);
        let count = |value| Figure { value, deviation: None, share: false };
        assert_eq!((count(1000.0).shown(), count(2.0385).shown()), ("1000".to_owned(), "2.04".to_owned()));
        assert_eq!(count(2.0).difference_to(&count(2.5)).as_deref(), Some("-0.50"));
        let mean = Figure { deviation: Some(0.0045), ..b };
        assert_eq!(mean.shown(), "76.60 ± 0.45 %");
    }

    #[test]
    fn figures_are_those_that_there_are() {
        let metric = |name: &str| Metric { name: name.to_owned(), split: Split::Test, value: 0.25 };
        let statistics = Statistics { summary: vec![metric("eta")], ..Statistics::default() };
        let eta = "images whose candidates lack the truth (eta), test".to_owned();
        assert_eq!(of_labels(&statistics), [(eta, accuracy(0.25))]);
        let evaluation = Evaluation { metrics: vec![("accuracy".to_owned(), 0.75)], ..Evaluation::default() };
        assert_eq!(of_student(&evaluation), [("test accuracy".to_owned(), accuracy(0.75))]);
        assert!(of_labels(&Statistics::default()).is_empty());
    }

    #[test]
    fn the_first_annotator_is_told_where_it_is_a_template() {
        let told = |name: &str| {
            let annotator = AnnotatorStatistics {
                template: name.to_owned(),
                split: Split::Test,
                accuracy: None,
                voted: 1.0,
                agreement: None,
                candidates_added: 0.0,
                truths_added: None,
            };
            let metric = Metric { name: "zero_shot".to_owned(), split: Split::Test, value: 0.5 };
            let statistics =
                Statistics { summary: vec![metric], annotators: vec![annotator], ..Statistics::default() };
            of_labels(&statistics).len()
        };
        assert_eq!((told("a photo of a {}"), told("anna")), (1, 0));
    }
}
