//! Which images are written, and in which order: the most doubtful first, for people correct those first.

use super::said::LabelledImage;
use crate::artifacts::images::Split;

/// How many images are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// So many, of the least confidence.
    Doubtful(usize),
    /// Those of less confidence than this, and those without a label.
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
    /// Places of the chosen images: first those without a label, then by confidence, the least first; of equals the one
    /// that comes first in the table of images.
    pub fn rows(&self, images: &[LabelledImage]) -> Vec<usize> {
        let confidence = |row: usize| images[row].said.map_or(-1.0, |said| said.confidence);
        let mut rows: Vec<usize> = (0..images.len())
            .filter(|&row| self.split.is_none_or(|split| images[row].split == split))
            .collect();
        rows.sort_by(|&a, &b| confidence(a).total_cmp(&confidence(b)));
        match self.limit {
            None => {}
            Some(Limit::Doubtful(count)) => rows.truncate(count),
            Some(Limit::Below(limit)) => rows.retain(|&row| confidence(row) < limit),
        }
        rows
    }
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
}
