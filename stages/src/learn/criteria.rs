//! What can be said of a student without the truth: figures by which trainings may be ranked where nobody knows which is
//! right. How far each ranks as the test accuracy does is in docs/experiments/criteria.md.
//!
//! They are about held-out images: the test images, of which nothing but what they look like and what the annotators say
//! is used. It knows nothing of networks and stages.

use super::metrics::largest;

/// Probabilities for held-out images, and what the annotators say of them.
pub struct HeldOut<'a> {
    /// The student's probabilities, row after row: (N, C).
    pub probs: &'a [f32],
    /// How much the annotators believe each class, row after row: (N, C); 0 for what is no candidate.
    pub weights: &'a [f32],
    /// Whether anybody annotated the image: (N).
    pub annotated: &'a [bool],
    /// Number of classes, C.
    pub classes: usize,
}

/// Names of the figures, in the order of [`HeldOut::figures`].
pub const NAMES: [&str; 5] = ["within_candidates", "believed", "decisiveness", "balance", "density"];

impl HeldOut<'_> {
    /// Every figure by its name; larger is better for each.
    pub fn figures(&self) -> [(&'static str, Option<f64>); 5] {
        let values =
            [self.within_candidates(), self.believed(), self.decisiveness(), self.balance(), self.density()];
        let mut values = values.into_iter();
        NAMES.map(|name| (name, values.next().flatten()))
    }

    fn rows(&self) -> impl Iterator<Item = (&[f32], &[f32], bool)> {
        let classes = self.classes.max(1);
        let rows = self.probs.chunks(classes).zip(self.weights.chunks(classes)).zip(self.annotated);
        rows.map(|((probs, weights), &annotated)| (probs, weights, annotated))
    }

    /// Share of the annotated images whose prediction is among their candidates.
    pub fn within_candidates(&self) -> Option<f64> {
        mean(
            self.rows()
                .filter(|row| row.2)
                .map(|(probs, weights, _)| f64::from(weights[largest(probs)] > 0.0)),
        )
    }

    /// Mean log-probability that a candidate has, weighted as the annotators believe in it: how well the student foretells
    /// annotators of images that it has not seen.
    pub fn believed(&self) -> Option<f64> {
        let log = |(probs, weights, _): (&[f32], &[f32], bool)| -> f64 {
            probs.iter().zip(weights).map(|(&p, &w)| f64::from(w) * f64::from(p).max(1e-12).ln()).sum()
        };
        mean(self.rows().filter(|row| row.2).map(log))
    }

    /// H(mean prediction) − mean H(prediction), in nats: each prediction sure, all of them together diverse (Bridle et al.
    /// 1992; Krause et al. 2010).
    pub fn decisiveness(&self) -> Option<f64> {
        let certain = mean(self.rows().map(|(probs, ..)| entropy(probs.iter().map(|&p| f64::from(p)))))?;
        Some(entropy(self.mean_of(|(probs, ..)| probs).into_iter()) - certain)
    }

    /// 1 − half the difference between how often the student and the annotators name each class.
    pub fn balance(&self) -> Option<f64> {
        if self.annotated.is_empty() {
            return None;
        }
        let (student, annotators) =
            (self.mean_of(|(probs, ..)| probs), self.mean_of(|(_, weights, _)| weights));
        let difference: f64 = student.iter().zip(&annotators).map(|(a, b)| (a - b).abs()).sum();
        Some(1.0 - difference / 2.0)
    }

    /// Soft neighbourhood density (Saito et al. 2021): the mean entropy of each prediction's similarities to the others,
    /// over a softmax of temperature 0.05, of up to 1,000 images.
    pub fn density(&self) -> Option<f64> {
        const MOST: usize = 1000;
        const TEMPERATURE: f64 = 0.05;
        let all = self.annotated.len();
        let count = all.min(MOST);
        if count < 3 {
            return None;
        }
        let unit = |i: usize| -> Vec<f64> {
            // Evenly spaced: the set may be sorted by class.
            let row = i * all / count;
            let probs = &self.probs[row * self.classes..(row + 1) * self.classes];
            let length = probs.iter().map(|&p| f64::from(p).powi(2)).sum::<f64>().sqrt();
            probs.iter().map(|&p| f64::from(p) / length).collect()
        };
        let units: Vec<Vec<f64>> = (0..count).map(unit).collect();
        mean((0..count).map(|i| {
            let similar = |j: &usize| units[i].iter().zip(&units[*j]).map(|(a, b)| a * b).sum::<f64>();
            // Of unit vectors: at most 1, so no exponent is above 0.
            let weights: Vec<f64> =
                (0..count).filter(|&j| j != i).map(|j| ((similar(&j) - 1.0) / TEMPERATURE).exp()).collect();
            let sum: f64 = weights.iter().sum();
            entropy(weights.iter().map(|weight| weight / sum))
        }))
    }

    fn mean_of<'a>(&'a self, which: impl Fn((&'a [f32], &'a [f32], bool)) -> &'a [f32]) -> Vec<f64> {
        let mut sum = vec![0.0; self.classes];
        for row in self.rows() {
            sum.iter_mut().zip(which(row)).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        let count = self.annotated.len().max(1) as f64;
        sum.into_iter().map(|sum| sum / count).collect()
    }
}

/// −Σ p log p.
fn entropy(probs: impl Iterator<Item = f64>) -> f64 {
    -probs.filter(|&p| p > 0.0).map(|p| p * p.ln()).sum::<f64>()
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Four images, two classes: three sure and right by their only candidate, one wrong by it.
    fn held_out<'a>(probs: &'a [f32], weights: &'a [f32]) -> HeldOut<'a> {
        HeldOut { probs, weights, annotated: &[true; 4], classes: 2 }
    }

    const SURE: [f32; 8] = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0];
    const SAID: [f32; 8] = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0];

    #[test]
    fn predictions_are_compared_with_candidates() {
        let all = held_out(&SURE, &SAID);
        assert_eq!(all.within_candidates(), Some(0.75));
        assert_eq!(all.balance(), Some(0.75));
        let probs = [0.5, 0.5].repeat(4);
        let unsure = held_out(&probs, &SAID);
        assert!((unsure.believed().unwrap() - 0.5f64.ln()).abs() < 1e-9);
    }

    #[test]
    fn sure_and_diverse_predictions_are_decisive_and_dense() {
        let all = held_out(&SURE, &SAID);
        assert!((all.decisiveness().unwrap() - 2f64.ln()).abs() < 1e-9);
        let probs = [0.5, 0.5].repeat(4);
        let unsure = held_out(&probs, &SAID);
        assert!(unsure.decisiveness().unwrap().abs() < 1e-9);
        // Each has one twin, and two that are as far as can be; or three twins.
        assert!(all.density().unwrap().abs() < 1e-6);
        assert!((unsure.density().unwrap() - 3f64.ln()).abs() < 1e-6);
    }

    #[test]
    fn of_images_that_nobody_annotated_nothing_is_said_by_candidates() {
        let nobody = HeldOut { probs: &SURE, weights: &SAID, annotated: &[false; 4], classes: 2 };
        assert_eq!((nobody.within_candidates(), nobody.believed()), (None, None));
        let none = HeldOut { probs: &[], weights: &[], annotated: &[], classes: 2 };
        assert!(none.figures().iter().all(|(_, value)| value.is_none()));
    }
}
