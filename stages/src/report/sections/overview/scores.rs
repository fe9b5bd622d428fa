//! Who gets how much of the test right, from the first annotator to the student; without truth, who agrees with whom. The
//! words are those of the terminal's summary.

use crate::artifacts::evaluation::Evaluation;
use crate::artifacts::images::Split;
use crate::artifacts::statistics::Statistics;
use crate::learn::metrics::share;
use crate::report::compare::is_template;
use crate::report::facts::Facts;
use crate::report::sections::curves::course::before_the_last;

/// How those are spoken of who voted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Teacher {
    pub who: &'static str,
    pub whose: &'static str,
    /// Whoever comes first, where that is somebody to compare with.
    first: Option<&'static str>,
    all: &'static str,
    /// What there are several of.
    pub votes: &'static str,
}

const CLIP: Teacher = Teacher {
    who: "CLIP",
    whose: "CLIP's",
    first: Some("CLIP, its first template"),
    all: "CLIP, the average of its templates",
    votes: "votes an image, one a template",
};

const VOTES: Teacher = Teacher {
    who: "the votes",
    whose: "the votes'",
    // The first one in the alphabet, on whatever he voted on.
    first: None,
    all: "the votes, their average",
    votes: "annotators",
};

impl Teacher {
    /// None where nobody voted.
    pub(super) fn of(statistics: &Statistics) -> Option<Self> {
        let mut names = statistics.annotators.iter().map(|annotator| annotator.template.as_str()).peekable();
        names.peek()?;
        Some(if names.all(is_template) { CLIP } else { VOTES })
    }
}

/// The accuracy of one of them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Score {
    pub who: String,
    pub accuracy: f64,
    /// The mean of the classes' accuracies, where their numbers of images are far from equal.
    pub recall: Option<f64>,
    /// Whether this is what it all was for.
    pub final_one: bool,
}

/// All that the summary tells of the test images.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Scores {
    /// The student's accuracy.
    pub accuracy: Option<f64>,
    /// How many points it is above the annotators' average.
    pub gain: Option<f64>,
    /// Empty without truth.
    pub accuracies: Vec<Score>,
    /// Figures that need no truth, by their names for people.
    pub beside: Vec<(String, f64)>,
}

impl Scores {
    pub(super) fn of(facts: &Facts, teacher: Option<Teacher>) -> Self {
        let student = |name: &str| facts.evaluation.get(name);
        let accuracy = student("accuracy");
        let average = facts.statistics.get("zero_shot_mean", Split::Test).filter(|_| teacher.is_some());
        // An average over some test images is not to be compared with one over all.
        let all_voted = facts.statistics.get("voted", Split::Test).is_none_or(|voted| voted == 1.0);
        let gain =
            accuracy.zip(average).filter(|_| all_voted).map(|(right, average)| 100.0 * (right - average));
        let accuracies = accuracy.map(|right| accuracies(facts, teacher, right)).unwrap_or_default();
        let agreement = || {
            let same = |row: usize| Some(facts.annotated(row)? == facts.said(row)?.class);
            share(facts.test_rows().into_iter().filter_map(same))
        };
        let confidence = student("mean_confidence").filter(|_| accuracy.is_none());
        let beside = [
            ("mean confidence".to_owned(), confidence),
            ("both networks agree".to_owned(), student("agreement")),
            (
                format!("the student agrees with {}", teacher.map_or("the labels", |teacher| teacher.who)),
                teacher.and_then(|_| agreement()),
            ),
        ];
        let beside = beside.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        Self { accuracy, gain, accuracies, beside }
    }
}

/// From the first annotator to the student, of which `right` is right.
fn accuracies(facts: &Facts, teacher: Option<Teacher>, right: f64) -> Vec<Score> {
    let votes = |name: &str| facts.statistics.get(name, Split::Test);
    let student = |name: &str| facts.evaluation.get(name);
    let recall = |recall: Option<f64>| recall.filter(|_| unequal(facts.evaluation));
    let mut scores = Vec::new();
    let mut add = |who: String, accuracy: Option<f64>, recall: Option<f64>| {
        scores.extend(accuracy.map(|accuracy| Score { who, accuracy, recall, final_one: false }));
    };
    if let Some(Teacher { first, all, .. }) = teacher {
        let average = votes("zero_shot_mean");
        if let Some(first) = first {
            add(first.to_owned(), votes("zero_shot"), None);
        }
        add(all.to_owned(), average, recall(votes("macro_recall_mean")));
        // What the labels hold the most likely class is something else only where it was refined.
        let refined = votes("label_single").filter(|single| Some(*single) != average);
        add("the same average, refined".to_owned(), refined, None);
    }
    let method = &facts.about.method;
    let others = facts.trainings.len().saturating_sub(1);
    let baselines = others.saturating_sub(before_the_last(&facts.trainings));
    for (at, training) in facts.trainings.iter().take(others).enumerate() {
        let who = match at < baselines {
            true => format!("{}, {} epochs", training.title, training.history.epochs()),
            false => format!("{method}, after {}", training.title),
        };
        add(who, training.history.accuracy(), None);
    }
    let alone = [student("accuracy_network1"), student("accuracy_network2")];
    let who = match alone.iter().any(Option::is_some) {
        true => format!("{method}, both networks"),
        false => method.clone(),
    };
    for (number, accuracy) in (1..).zip(alone) {
        add(format!("{method}, network {number} alone"), accuracy, None);
    }
    scores.push(Score { who, accuracy: right, recall: recall(student("macro_recall")), final_one: true });
    scores
}

/// Whether some class has three times as many test images as another.
fn unequal(evaluation: &Evaluation) -> bool {
    let mut counts = vec![0u64; evaluation.class_count];
    for label in evaluation.labels.iter().flatten().filter_map(|&label| usize::try_from(label).ok()) {
        if let Some(count) = counts.get_mut(label) {
            *count += 1;
        }
    }
    let there = || counts.iter().copied().filter(|&count| count > 0);
    there().min().zip(there().max()).is_some_and(|(least, most)| most >= 3 * least)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sections::overview::example_tests::{Told, history, statistics};

    fn scores(told: &Told) -> Scores {
        told.facts(|facts| Scores::of(facts, Teacher::of(facts.statistics)))
    }

    fn written(scores: &Scores) -> Vec<(&str, f64)> {
        scores.accuracies.iter().map(|score| (score.who.as_str(), score.accuracy)).collect()
    }

    #[test]
    fn accuracies_go_from_the_first_annotator_to_the_student() {
        let mut told = Told::new(Some(0), statistics(&["a photo of a {}", "the {}"]));
        let metric = |name: &str, value| (name.to_owned(), value);
        told.run
            .evaluation
            .metrics
            .extend([metric("accuracy_network1", 0.5), metric("accuracy_network2", 0.625)]);
        told.histories = vec![
            ("plain student", history(4, 1, (0.1, 0.001), 0.5625)),
            ("warm-up", history(2, 2, (0.1, 0.09), 0.4375)),
            ("Co-Reg", history(2, 2, (0.08, 0.001), 0.75)),
        ];
        let expected = [
            ("CLIP, its first template", 0.375),
            ("CLIP, the average of its templates", 0.5),
            ("plain student, 4 epochs", 0.5625),
            ("Co-Reg, after warm-up", 0.4375),
            ("Co-Reg, network 1 alone", 0.5),
            ("Co-Reg, network 2 alone", 0.625),
            ("Co-Reg, both networks", 0.75),
        ];
        let scores = scores(&told);
        assert_eq!(written(&scores), expected);
        assert_eq!((scores.accuracy, scores.gain), (Some(0.75), Some(25.0)));
        assert!(scores.accuracies.last().is_some_and(|score| score.final_one && score.recall.is_none()));
    }

    #[test]
    fn of_votes_whoever_comes_first_in_the_alphabet_is_nobody_to_compare_with() {
        let scores = scores(&Told::new(Some(0), statistics(&["anna", "bert"])));
        assert_eq!(written(&scores), [("the votes, their average", 0.5), ("Co-Reg", 0.75)]);
    }

    #[test]
    fn an_average_over_some_test_images_is_not_compared_with_one_over_all() {
        let mut told = Told::new(Some(0), statistics(&["a photo of a {}"]));
        told.set("voted", 0.5);
        assert_eq!(scores(&told).gain, None);
    }

    #[test]
    fn who_votes_without_a_template_is_no_clip() {
        let teacher = |names: &[&str]| Teacher::of(&statistics(names)).map(|teacher| teacher.who);
        assert_eq!(teacher(&["clip: a photo of a {}", "clip: the {}"]), Some("CLIP"));
        assert_eq!(teacher(&["clip: a photo of a {}", "people: anna"]), Some("the votes"));
        assert_eq!(teacher(&[]), None);
    }

    #[test]
    fn each_class_counts_alike_only_where_they_are_unequal() {
        let evaluation = |labels: &[i32]| Evaluation {
            labels: labels.iter().copied().map(Some).collect(),
            class_count: 3,
            ..Evaluation::default()
        };
        assert!(unequal(&evaluation(&[0, 0, 0, 1])));
        assert!(!unequal(&evaluation(&[0, 0, 1])));
        assert!(!unequal(&evaluation(&[])) && !unequal(&evaluation(&[-1, 7])));
    }

    #[test]
    fn without_truth_agreement_is_told_and_no_accuracy() {
        let told = Told::new(None, statistics(&["a photo of a {}"]));
        let scores = scores(&told);
        assert!(scores.accuracies.is_empty() && scores.gain.is_none());
        // The labels hold class 0 most likely throughout, the student takes three of four for it.
        let expected =
            [("mean confidence".to_owned(), 0.625), ("the student agrees with CLIP".to_owned(), 0.75)];
        assert_eq!(scores.beside, expected);
    }
}
