//! Dividing the training set into 𝒫, whose candidates are believed, and 𝒰, whose are not (method §5).
//!
//! \[P\], \[I\]: see docs/method.md.

use serde::{Deserialize, Serialize};

use crate::learn::gaussian_mixture::{Fit, posterior_of_smaller};

/// Epochs over which normalised losses are averaged, and other constants of the division (method §5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DivisionSettings {
    /// Whether predictions are aligned to a uniform prior before the loss \[I\].
    pub align: bool,
    /// Epochs whose losses are averaged \[I\].
    pub loss_history: usize,
    /// A sample is partial where w exceeds this \[P\].
    pub threshold: f64,
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
            loss_history: 5,
            threshold: 0.5,
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

/// Divides N samples by the predictions (N, C) of one network (method §5).
///
/// `candidates` holds a 1 for every candidate, row after row: (N, C). Samples that nobody annotated (`annotated`, N) have
/// nothing that could be believed: they are in 𝒰, with w = 0, and take no part in scaling and fit.
pub fn divide(
    probs: Vec<f32>,
    (candidates, annotated): (&[u8], &[bool]),
    classes: usize,
    history: &mut LossHistory,
    settings: &DivisionSettings,
) -> Division {
    let mut aligned = probs.clone();
    if settings.align {
        align(&mut aligned, classes);
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

/// Distribution alignment (method §5): f ← normalise(f · prior / mean prediction) with a uniform prior,
/// in place, for the last predictions of all samples (N, C).
#[doc(alias = "distribution alignment")]
pub fn align(probs: &mut [f32], classes: usize) {
    let count = (probs.len() / classes.max(1)).max(1) as f64;
    let mut mean = vec![0f64; classes];
    for row in probs.chunks(classes) {
        for (mean, &p) in mean.iter_mut().zip(row) {
            *mean += f64::from(p) / count;
        }
    }
    let factors: Vec<f32> = mean.iter().map(|m| (1.0 / (classes as f64 * m.max(TINY))) as f32).collect();
    for row in probs.chunks_mut(classes) {
        for (p, factor) in row.iter_mut().zip(&factors) {
            *p *= factor;
        }
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|p| *p /= sum.max(TINY as f32));
    }
}

/// Losses scaled to [0, 1] over the set; all zero where they are all equal.
fn scale(losses: &[f32]) -> Vec<f32> {
    let lowest = losses.iter().copied().fold(f32::INFINITY, f32::min);
    let range = losses.iter().copied().fold(f32::NEG_INFINITY, f32::max) - lowest;
    losses.iter().map(|loss| if range > 0.0 { (loss - lowest) / range } else { 0.0 }).collect()
}
