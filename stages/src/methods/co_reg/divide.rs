//! Dividing the training set into 𝒫, whose candidates are believed, and 𝒰, whose are not (method §5).
//!
//! \[P\], \[I\]: see docs/method.md.

use serde::{Deserialize, Serialize};

use crate::learn::gaussian_mixture::{Fit, posterior_of_smaller};

/// Epochs over which normalised losses are averaged, and other constants of the division (method §5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DivisionSettings {
    /// Whether predictions are aligned to a prior before the loss \[I\].
    pub align: bool,
    /// How far that prior makes the classes equally frequent: 1 fully \[I\], 0 as frequent as the annotators believe. What
    /// lies between allows for classes that are not equally frequent, and for annotators who favour some: see [`prior`].
    pub balance: f64,
    /// Epochs whose losses are averaged \[I\].
    pub loss_history: usize,
    /// A sample is partial where w exceeds this \[P\].
    pub threshold: f64,
    /// A sample is partial, whatever the mixture says, where the network gives its candidates together more than this:
    /// then nothing contradicts them. 1 for never \[P\].
    pub sure: f64,
    /// Most steps of the mixture's fit \[I\].
    pub mixture_steps: usize,
    /// Tolerance of the mixture's fit \[I\].
    pub mixture_tolerance: f64,
    /// Floor of the mixture's variances \[I\].
    pub variance_floor: f64,
}

impl Default for DivisionSettings {
    fn default() -> Self {
        let Fit { max_steps, tolerance, variance_floor } = Fit::default();
        Self {
            align: true,
            balance: 1.0,
            loss_history: 5,
            threshold: 0.5,
            sure: 1.0,
            mixture_steps: max_steps,
            mixture_tolerance: tolerance,
            variance_floor,
        }
    }
}

/// Far below any probability that matters: keeps logarithms and quotients finite.
const TINY: f64 = 1e-12;

/// How one network divides the training set, for the *other* network to learn from.
#[derive(Clone, Debug, Default)]
pub struct Division {
    /// The prediction for every sample as the network made it, row after row: (N, C).
    pub probs: Vec<f32>,
    /// The prediction after distribution alignment, which the losses were computed from: (N, C).
    pub aligned: Vec<f32>,
    /// Posterior that the candidate set holds the true class, of every sample.
    pub w: Vec<f32>,
    /// Samples of 𝒫, ascending.
    pub partial: Vec<usize>,
    /// Samples of 𝒰, ascending.
    pub unlabeled: Vec<usize>,
}

/// Normalised losses of one network over its last epochs, newest last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LossHistory(pub Vec<Vec<f32>>);

/// Divides N samples by the predictions (N, C) of one network (method §5), which are aligned to `prior` (C).
///
/// `candidates` holds a 1 for every candidate, row after row: (N, C). Samples that nobody annotated (`annotated`, N) have
/// nothing that could be believed: they are in 𝒰, with w = 0, and take no part in scaling and fit.
pub fn divide(
    probs: Vec<f32>,
    (candidates, annotated): (&[u8], &[bool]),
    prior: &[f64],
    history: &mut LossHistory,
    settings: &DivisionSettings,
) -> Division {
    let classes = prior.len();
    let mut aligned = probs.clone();
    if settings.align {
        align(&mut aligned, prior);
    }
    let losses: Vec<f32> = (aligned.chunks(classes).zip(candidates.chunks(classes)))
        .map(|(probs, candidates)| division_loss(probs, candidates))
        .collect();
    let believable: Vec<usize> = (0..losses.len()).filter(|&i| annotated[i]).collect();
    history.0.push(scale(&believable.iter().map(|&i| losses[i]).collect::<Vec<_>>()));
    let surplus = history.0.len().saturating_sub(settings.loss_history.max(1));
    history.0.drain(..surplus);
    let mean: Vec<f32> = (0..believable.len())
        .map(|i| history.0.iter().map(|epoch| epoch[i]).sum::<f32>() / history.0.len() as f32)
        .collect();
    let fit = Fit {
        max_steps: settings.mixture_steps,
        tolerance: settings.mixture_tolerance,
        variance_floor: settings.variance_floor,
    };
    let mut w = vec![0.0; losses.len()];
    believable.iter().zip(posterior_of_smaller(&mean, fit)).for_each(|(&i, posterior)| w[i] = posterior);
    if settings.sure < 1.0 {
        let mass =
            |i: usize| mass_on(&aligned[i * classes..][..classes], &candidates[i * classes..][..classes]);
        for &i in &believable {
            let mass = mass(i);
            if f64::from(mass) > settings.sure {
                w[i] = w[i].max(mass);
            }
        }
    }
    let (partial, unlabeled) = (0..w.len()).partition(|&i| f64::from(w[i]) > settings.threshold);
    Division { probs, aligned, w, partial, unlabeled }
}

/// L_div(x) = −log max_{j: Y_j = 1} f_j(x), for one sample's probabilities and candidates (method §5).
#[doc(alias = "L_div")]
pub fn division_loss(probs: &[f32], candidates: &[u8]) -> f32 {
    let best = probs.iter().zip(candidates).filter(|&(_, &y)| y != 0).map(|(&p, _)| p).fold(0.0, f32::max);
    // At most 28: a candidate without probability does not make the loss infinite.
    -best.max(TINY as f32).ln()
}

/// Σ_{j: Y_j = 1} f_j(x): what a network gives one sample's candidates together, of its probabilities.
fn mass_on(probs: &[f32], candidates: &[u8]) -> f32 {
    probs.iter().zip(candidates).filter(|&(_, &y)| y != 0).map(|(&p, _)| p).sum()
}

/// How frequent each class is taken to be, times C: of N samples of whom the annotators believe `weights` (N, C), the mean
/// belief to the power of 1 − `balance`. All 1 for a balance of 1, which takes the classes for equally frequent. A class
/// that nobody believes in counts as if a thousandth of its fair share did.
pub fn prior(weights: &[f32], annotated: &[bool], classes: usize, balance: f64) -> Vec<f64> {
    if balance >= 1.0 || !annotated.contains(&true) {
        return vec![1.0; classes];
    }
    let rows = weights.chunks(classes).zip(annotated).filter(|(_, annotated)| **annotated);
    let believed = mean_of(rows.map(|(row, _)| row), classes);
    let least = 1e-3 / classes as f64;
    let powers: Vec<f64> = believed.iter().map(|mean| mean.max(least).powf(1.0 - balance)).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| classes as f64 * power / sum).collect()
}

/// Distribution alignment (method §5): f ← normalise(f · prior / mean prediction), in place, for the last predictions of
/// all samples (N, C). `prior` is C times how frequent each class is taken to be: (C).
#[doc(alias = "distribution alignment")]
pub fn align(probs: &mut [f32], prior: &[f64]) {
    let classes = prior.len();
    let mean = mean_of(probs.chunks(classes.max(1)), classes);
    let factor = |(mean, prior): (&f64, &f64)| (prior / (classes as f64 * mean.max(TINY))) as f32;
    let factors: Vec<f32> = mean.iter().zip(prior).map(factor).collect();
    for row in probs.chunks_mut(classes.max(1)) {
        for (p, factor) in row.iter_mut().zip(&factors) {
            *p *= factor;
        }
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|p| *p /= sum.max(TINY as f32));
    }
}

/// The mean of rows of C numbers: (C).
fn mean_of<'a>(rows: impl Iterator<Item = &'a [f32]> + Clone, classes: usize) -> Vec<f64> {
    let count = rows.clone().count().max(1) as f64;
    let mut mean = vec![0f64; classes];
    for row in rows {
        for (mean, &p) in mean.iter_mut().zip(row) {
            *mean += f64::from(p) / count;
        }
    }
    mean
}

/// Losses scaled to [0, 1] over the set; all zero where they are all equal.
fn scale(losses: &[f32]) -> Vec<f32> {
    let lowest = losses.iter().copied().fold(f32::INFINITY, f32::min);
    let range = losses.iter().copied().fold(f32::NEG_INFINITY, f32::max) - lowest;
    losses.iter().map(|loss| if range > 0.0 { (loss - lowest) / range } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_the_annotators_believe_is_the_prior_as_far_as_it_is_not_balanced() {
        // Nine in ten are of the first class; the last row is nobody's.
        let weights = [[0.9f32, 0.1]; 3].concat();
        let annotated = [true, true, false];
        let at = |balance| prior(&weights, &annotated, 2, balance);
        assert_eq!(at(1.0), [1.0, 1.0]);
        let close = |a: &[f64], b: [f64; 2]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close(&at(0.0), [1.8, 0.2]), "{:?}", at(0.0));
        // Roots of 0.9 and 0.1 are as 3 to 1.
        assert!(close(&at(0.5), [1.5, 0.5]), "{:?}", at(0.5));
        assert_eq!(prior(&weights, &[false; 3], 2, 0.0), [1.0, 1.0], "nobody believes anything");
    }

    #[test]
    fn predictions_that_have_the_priors_frequencies_are_left_as_they_are() {
        let probs = [[0.9f32, 0.1], [1.0, 0.0], [0.8, 0.2]].concat();
        let mut aligned = probs.clone();
        align(&mut aligned, &[1.8, 0.2]);
        assert!(probs.iter().zip(&aligned).all(|(a, b)| (a - b).abs() < 1e-6), "{aligned:?}");
        align(&mut aligned, &[1.0, 1.0]);
        assert!(aligned[0] < 0.6, "a uniform prior takes the frequent class down: {aligned:?}");
    }
}
