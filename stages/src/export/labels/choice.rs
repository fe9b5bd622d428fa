//! Which images are written, and in which order: the most doubtful first, for people correct those first.
//!
//! A student's probability and a share of votes are two measures of doubt. An image is compared with those of the same
//! measure alone.

use super::said::LabelledImage;
use crate::artifacts::images::Split;

/// How many images are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// So many, the first in order.
    Doubtful(usize),
    /// Those of less confidence than this, by whichever measure, and those without a label.
    Below(f32),
}

/// Which images are written.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Choice {
    /// Those of this split, or of both.
    pub split: Option<Split>,
    /// Of these the doubtful ones alone, or all.
    pub limit: Option<Limit>,
}

impl Choice {
    /// Places of the chosen images: first those without a label, then those that the student labels, then those of the
    /// annotators; within each the least confidence first, and of equals the one that comes first in the table of images.
    pub fn rows(&self, images: &[LabelledImage]) -> Vec<usize> {
        let doubt = |row: usize| match images[row].said {
            None => (Measure::Unlabelled, 0.0),
            Some(said) if said.source.is_the_students() => (Measure::Probability, said.confidence),
            Some(said) => (Measure::Votes, said.confidence),
        };
        let mut rows: Vec<usize> = (0..images.len())
            .filter(|&row| self.split.is_none_or(|split| images[row].split == split))
            .collect();
        rows.sort_by(|&a, &b| {
            let ((one, a), (other, b)) = (doubt(a), doubt(b));
            one.cmp(&other).then(a.total_cmp(&b))
        });
        match self.limit {
            None => {}
            Some(Limit::Doubtful(count)) => rows.truncate(count),
            Some(Limit::Below(limit)) => {
                rows.retain(|&row| images[row].said.is_none_or(|said| said.confidence < limit));
            }
        }
        rows
    }
}

/// What a confidence is, in the order in which images are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Measure {
    /// There is no label.
    Unlabelled,
    /// A probability of the student's networks.
    Probability,
    /// How much of the annotators' votes is for the label.
    Votes,
}

#[cfg(test)]
mod tests {
    use super::super::said::{Said, Source};
    use super::*;

    fn image(split: Split, confidence: Option<f32>) -> LabelledImage {
        let said = confidence.map(|confidence| Said { class: 0, confidence, source: Source::Method });
        LabelledImage { id: String::new(), split, said, candidates: Vec::new(), truth: None }
    }

    #[test]
    fn the_most_doubtful_come_first_and_equals_stay_in_their_order() {
        let images = [
            image(Split::Train, Some(0.9)),
            image(Split::Train, Some(0.5)),
            image(Split::Test, Some(0.5)),
            image(Split::Test, None),
            image(Split::Train, Some(0.0)),
        ];
        let rows = |split, limit| Choice { split, limit }.rows(&images);
        assert_eq!(rows(None, None), [3, 4, 1, 2, 0]);
        assert_eq!(rows(Some(Split::Train), None), [4, 1, 0]);
        assert_eq!(rows(None, Some(Limit::Doubtful(2))), [3, 4]);
        assert_eq!(rows(Some(Split::Train), Some(Limit::Doubtful(9))), [4, 1, 0]);
        assert_eq!(rows(None, Some(Limit::Below(0.5))), [3, 4]);
        assert_eq!(rows(Some(Split::Test), Some(Limit::Below(0.6))), [3, 2]);
    }

    #[test]
    fn probabilities_and_shares_of_votes_are_not_compared() {
        let of = |source: Source, confidence: f32| {
            let mut image = image(Split::Train, Some(confidence));
            image.said = image.said.map(|said| Said { source, ..said });
            image
        };
        let images = [
            of(Source::Annotators, 0.3),
            of(Source::Student, 0.9),
            of(Source::Annotators, 0.2),
            of(Source::Method, 0.8),
            of(Source::Student, 0.4),
            image(Split::Train, None),
        ];
        let rows = |limit| Choice { split: None, limit }.rows(&images);
        assert_eq!(rows(None), [5, 4, 3, 1, 2, 0]);
        assert_eq!(rows(Some(Limit::Doubtful(3))), [5, 4, 3]);
        assert_eq!(rows(Some(Limit::Below(0.5))), [5, 4, 2, 0]);
    }
}
