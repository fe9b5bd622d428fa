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
const ANNOTATION: [(&str, &str, bool); 9] = [
    ("images", "images", false),
    ("labelled", "images of known truth", false),
    ("voted", "images that somebody voted on", true),
    ("avg_candidates", "candidates an image", false),
    ("eta", "images whose candidates lack the truth (eta)", true),
    ("zero_shot", "accuracy of the first annotator", true),
    ("zero_shot_mean", "accuracy of the annotators' average", true),
    ("macro_recall_mean", "macro recall of the annotators' average", true),
    ("label_single", "accuracy of the likeliest candidate", true),
];

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

/// The figures of an annotation and of a student, of whatever there is.
pub fn figures(statistics: Option<&Statistics>, evaluation: Option<&Evaluation>) -> Vec<(String, Figure)> {
    let figure = |value, share| Figure { value, deviation: None, share };
    let mut all = Vec::new();
    for (name, title, share) in ANNOTATION {
        for split in Split::ALL {
            let value = statistics.and_then(|statistics| statistics.get(name, split));
            all.extend(value.map(|value| (format!("{title}, {split}"), figure(value, share))));
        }
    }
    for (name, title, share) in STUDENT {
        let value = evaluation.and_then(|evaluation| evaluation.get(name));
        all.extend(value.map(|value| (title.to_owned(), figure(value, share))));
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
    use crate::artifacts::statistics::Metric;

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
        let metric = Metric { name: "eta".to_owned(), split: Split::Test, value: 0.25 };
        let statistics = Statistics { summary: vec![metric], ..Statistics::default() };
        let evaluation = Evaluation { metrics: vec![("accuracy".to_owned(), 0.75)], ..Evaluation::default() };
        let expected = [
            ("images whose candidates lack the truth (eta), test".to_owned(), accuracy(0.25)),
            ("test accuracy".to_owned(), accuracy(0.75)),
        ];
        assert_eq!(figures(Some(&statistics), Some(&evaluation)), expected);
        assert!(figures(None, None).is_empty());
    }
}
