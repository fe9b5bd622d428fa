//! Images whose class changed from one run to another.

use std::collections::{BTreeMap, HashMap};

use super::{RunFacts, same_images};
use crate::artifacts::evaluation::Evaluation;

/// What a student says of a test image.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The image.
    pub id: String,
    /// Its true class, where known.
    pub truth: Option<usize>,
    /// The class that it is taken for.
    pub class: usize,
    /// Probabilities of all classes.
    pub probs: Vec<f32>,
    /// What identifies the image's bytes; none where nobody looked, since the id says enough among runs of the same images.
    pub content: Option<String>,
}

impl Prediction {
    /// The probability of a class.
    fn prob(&self, class: usize) -> f32 {
        self.probs.get(class).copied().unwrap_or(0.0)
    }

    /// The probability of the class that the image is taken for.
    pub fn confidence(&self) -> f32 {
        self.prob(self.class)
    }
}

/// What an evaluation says of each image.
pub fn predictions(evaluation: &Evaluation) -> Vec<Prediction> {
    let probs = evaluation.probs.chunks(evaluation.class_count.max(1));
    let said = evaluation.labels.iter().zip(&evaluation.predictions).zip(probs);
    let all = evaluation.ids.iter().zip(said);
    all.map(|(id, ((truth, &class), probs))| Prediction {
        id: id.clone(),
        truth: truth.and_then(|truth| usize::try_from(truth).ok()),
        class: usize::from(class),
        probs: probs.to_vec(),
        content: None,
    })
    .collect()
}

/// How two runs fare on one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Both are right.
    BothRight,
    /// The first run alone is right.
    OnlyFirst,
    /// The second run alone is right.
    OnlySecond,
    /// Both are wrong, with one class.
    WrongAlike,
    /// Both are wrong, each with another class.
    WrongOtherwise,
    /// The truth is not known, and both name one class.
    UnknownAlike,
    /// The truth is not known, and each names another class.
    UnknownOtherwise,
}

impl Outcome {
    fn of(first: &Prediction, second: &Prediction) -> Self {
        let same = first.class == second.class;
        match first.truth.filter(|_| first.truth == second.truth) {
            None if same => Self::UnknownAlike,
            None => Self::UnknownOtherwise,
            Some(truth) => match (first.class == truth, second.class == truth) {
                (true, true) => Self::BothRight,
                (true, false) => Self::OnlyFirst,
                (false, true) => Self::OnlySecond,
                (false, false) if same => Self::WrongAlike,
                (false, false) => Self::WrongOtherwise,
            },
        }
    }
}

/// An image that two runs take for different classes.
#[derive(Clone, Copy, Debug)]
pub struct Changed<'a> {
    /// What the first run says.
    pub first: &'a Prediction,
    /// What the second run says.
    pub second: &'a Prediction,
    /// Which of them is right.
    pub outcome: Outcome,
}

impl Changed<'_> {
    /// How much probability went over from the first run's class to the second run's: the mean of what the one lost and
    /// the other gained.
    pub fn shift(&self) -> f32 {
        let (from, to) = (self.first.class, self.second.class);
        let lost = self.first.prob(from) - self.second.prob(from);
        let gained = self.second.prob(to) - self.first.prob(to);
        (lost + gained) / 2.0
    }
}

/// Two runs on the test images of both.
#[derive(Clone, Debug)]
pub struct Changes<'a> {
    /// How many images each of them tested.
    pub tested: [usize; 2],
    /// How the runs fare on each image.
    outcomes: Vec<Outcome>,
    /// The images that the runs take for different classes, those first of which the probabilities changed most.
    pub changed: Vec<Changed<'a>>,
}

impl<'a> Changes<'a> {
    /// Compares two runs image by image. Images are the same that have one id and, where the runs read other images, the
    /// same bytes.
    ///
    /// # Errors
    /// Why they cannot be compared so.
    pub fn between(first: &'a RunFacts, second: &'a RunFacts) -> Result<Self, &'static str> {
        if first.predictions.is_empty() || second.predictions.is_empty() {
            return Err("not both have tested a student");
        }
        if first.classes != second.classes {
            return Err("their classes differ");
        }
        let same = same_images(first, second);
        let seen = |run: &RunFacts| run.predictions.iter().any(|prediction| prediction.content.is_some());
        if !(same || seen(first) && seen(second)) {
            return Err("they read other images, and those of one of them are no longer kept");
        }
        let tested = [first.predictions.len(), second.predictions.len()];
        let of_second: HashMap<&str, &Prediction> =
            second.predictions.iter().map(|prediction| (prediction.id.as_str(), prediction)).collect();
        let (mut outcomes, mut changed) = (Vec::new(), Vec::new());
        for first in &first.predictions {
            let Some(&second) = of_second.get(first.id.as_str()) else { continue };
            if !same && (first.content.is_none() || first.content != second.content) {
                continue;
            }
            let outcome = Outcome::of(first, second);
            outcomes.push(outcome);
            if first.class != second.class {
                changed.push(Changed { first, second, outcome });
            }
        }
        if outcomes.is_empty() {
            return Err("they have no test image in common");
        }
        changed.sort_by(|a, b| b.shift().total_cmp(&a.shift()).then_with(|| a.first.id.cmp(&b.first.id)));
        Ok(Self { tested, outcomes, changed })
    }

    /// How many images both runs tested.
    pub fn images(&self) -> usize {
        self.outcomes.len()
    }

    /// How many of them came out so.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.outcomes.iter().filter(|&&other| other == outcome).count()
    }

    /// Whether the truth of any of them is known.
    pub fn any_truth(&self) -> bool {
        self.outcomes
            .iter()
            .any(|outcome| !matches!(outcome, Outcome::UnknownAlike | Outcome::UnknownOtherwise))
    }

    /// Of the changed images whose truth is not known: how many went from which class to which, the most first.
    pub fn class_pairs(&self) -> Vec<((usize, usize), usize)> {
        let mut counts: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for changed in self.changed.iter().filter(|changed| changed.outcome == Outcome::UnknownOtherwise) {
            *counts.entry((changed.first.class, changed.second.class)).or_default() += 1;
        }
        let mut all: Vec<_> = counts.into_iter().collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        all
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn run(said: &[(&str, Option<usize>, usize, [f32; 3])]) -> RunFacts {
        let predictions = said.iter().map(|&(id, truth, class, probs)| Prediction {
            id: id.to_owned(),
            truth,
            class,
            probs: probs.to_vec(),
            content: None,
        });
        RunFacts { predictions: predictions.collect(), ..RunFacts::default() }
    }

    #[test]
    fn images_are_compared_by_their_ids_and_told_by_how_much_changed() {
        let a = run(&[
            ("both", Some(0), 0, [0.8, 0.1, 0.1]),
            ("a", Some(0), 0, [0.5, 0.4, 0.1]),
            ("b", Some(1), 0, [0.9, 0.1, 0.0]),
            ("neither", Some(2), 0, [0.6, 0.3, 0.1]),
            ("alike", Some(2), 1, [0.0, 1.0, 0.0]),
            ("unknown", None, 1, [0.0, 1.0, 0.0]),
            ("a alone tested it", Some(0), 0, [1.0, 0.0, 0.0]),
        ]);
        let b = run(&[
            ("unknown", None, 2, [0.0, 0.4, 0.6]),
            ("alike", Some(2), 1, [0.0, 1.0, 0.0]),
            ("neither", Some(2), 1, [0.4, 0.5, 0.1]),
            ("b", Some(1), 1, [0.0, 1.0, 0.0]),
            ("a", Some(0), 1, [0.4, 0.5, 0.1]),
            ("both", Some(0), 0, [0.9, 0.1, 0.0]),
        ]);
        let changes = Changes::between(&a, &b).unwrap();
        assert_eq!(changes.images(), 6);
        let all = [
            Outcome::BothRight,
            Outcome::OnlyFirst,
            Outcome::OnlySecond,
            Outcome::WrongAlike,
            Outcome::WrongOtherwise,
            Outcome::UnknownOtherwise,
        ];
        assert_eq!(all.map(|outcome| changes.count(outcome)), [1; 6]);
        assert_eq!(changes.count(Outcome::UnknownAlike), 0);
        assert!(changes.any_truth());
        let ids: Vec<&str> = changes.changed.iter().map(|changed| changed.first.id.as_str()).collect();
        assert_eq!(ids, ["b", "unknown", "neither", "a"]);
        assert!((changes.changed[0].shift() - 0.9).abs() < 1e-6);
        assert_eq!(changes.class_pairs(), [((1, 2), 1)]);
    }

    #[test]
    fn of_other_images_those_are_compared_whose_id_and_bytes_are_the_same() {
        let of = |images: &str, contents: [Option<&str>; 3]| {
            let probs = [0.8, 0.1, 0.1];
            let mut run = run(&[("a", None, 0, probs), ("b", None, 0, probs), ("c", None, 0, probs)]);
            for (prediction, content) in run.predictions.iter_mut().zip(contents) {
                prediction.content = content.map(str::to_owned);
            }
            RunFacts { images: images.to_owned(), ..run }
        };
        let one = of("one", [Some("x"), Some("y"), None]);
        let other = of("other", [Some("x"), Some("z"), None]);
        let images = |a: &RunFacts, b: &RunFacts| Changes::between(a, b).map(|changes| changes.images());
        assert_eq!(images(&one, &other), Ok(1));
        assert_eq!(Changes::between(&one, &other).unwrap().tested, [3, 3]);
        let others = of("other", [Some("u"), Some("v"), Some("w")]);
        assert_eq!(images(&one, &others), Err("they have no test image in common"));
        // Of the same images nobody looks at the bytes, whatever the data sets are called.
        let renamed = RunFacts { data_set: "renamed".to_owned(), ..of("one", [None; 3]) };
        assert_eq!(images(&one, &renamed), Ok(3));
    }

    #[test]
    fn what_cannot_be_compared_is_refused_with_the_reason() {
        let a = run(&[("x", None, 0, [1.0, 0.0, 0.0])]);
        let refused = |b: &RunFacts| Changes::between(&a, b).map(drop).unwrap_err();
        let other = RunFacts { images: "others".to_owned(), ..a.clone() };
        assert_eq!(refused(&other), "they read other images, and those of one of them are no longer kept");
        let other = RunFacts { classes: vec!["cat".to_owned()], ..a.clone() };
        assert_eq!(refused(&other), "their classes differ");
        assert_eq!(refused(&run(&[])), "not both have tested a student");
        assert_eq!(refused(&run(&[("y", None, 0, [1.0, 0.0, 0.0])])), "they have no test image in common");
    }
}
