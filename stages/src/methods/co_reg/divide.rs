//! Dividing the training set into 𝒫, whose candidates are believed, and 𝒰, whose are not (method §5).
//!
//! \[P\], \[I\]: see docs/method.md.

use candle_core::{Device, Tensor};
use pipeline::error::{Error, OrFail, Result};
use serde::{Deserialize, Serialize};

use crate::learn::gaussian_mixture::Fit;
use crate::learn::loss_history::LossHistory;
use crate::learn::method::State;
use crate::learn::training_set::TrainingSet;
use crate::runtime::checkpoint::Tensors;

/// Epochs over which normalised losses are averaged, and other constants of the division (method §5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DivisionSettings {
    /// By which mean prediction predictions are aligned to a uniform prior before the loss \[I\].
    pub align: Alignment,
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

/// Distribution alignment (method §5): by which mean prediction f is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alignment {
    /// By none: f as it is. The paper has no alignment.
    None,
    /// By the mean over this epoch's predictions of all samples. Ours.
    WholeSet,
    /// By a mean over the last prediction of every sample, which moves batch by batch within the pass that uses
    /// it \[I\].
    Running,
}

impl Default for DivisionSettings {
    fn default() -> Self {
        let Fit { max_steps, tolerance, variance_floor } = Fit::default();
        Self {
            align: Alignment::Running,
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

/// Samples between two moves of the running mean, in the order of the set \[I\].
const BATCH: usize = 256;

/// What is known of the N samples that are divided.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    /// 1 for every candidate, row after row: (N, C).
    pub candidates: &'a [u8],
    /// Whether anybody annotated the sample: (N).
    pub annotated: &'a [bool],
    /// Whether a human said its class, which then is its only candidate: (N).
    pub human: &'a [bool],
    /// Number of classes, C.
    pub classes: usize,
}

impl<'a> Samples<'a> {
    /// All of a training set.
    pub fn of(set: &'a TrainingSet) -> Self {
        let TrainingSet { candidates, annotated, human, classes, .. } = set;
        Self { candidates, annotated, human, classes: *classes }
    }
}

/// How one network divides the training set, for the *other* network to learn from.
#[derive(Clone, Debug, Default)]
pub struct Division {
    /// The prediction for every sample as the network made it, row after row: (N, C). Of those that a human labelled it
    /// is their label.
    pub probs: Vec<f32>,
    /// The prediction after distribution alignment, which the losses were computed from: (N, C). Of those that a human
    /// labelled it is their label.
    pub aligned: Vec<f32>,
    /// Posterior that the candidate set holds the true class, of every sample.
    pub w: Vec<f32>,
    /// Samples of 𝒫, ascending.
    pub partial: Vec<usize>,
    /// Samples of 𝒰, ascending.
    pub unlabeled: Vec<usize>,
}

/// What one network's divisions leave for its next one.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    /// Losses of its last epochs.
    losses: LossHistory,
    /// Its last prediction for every sample, row after row: (N, C). Empty before the first division, and where no
    /// alignment asks for it.
    predictions: Vec<f32>,
}

impl Memory {
    /// Of so many samples, before their first division.
    pub fn new(samples: usize) -> Self {
        Self { losses: LossHistory::new(samples), predictions: Vec::new() }
    }
}

/// The checkpoint's name for the last predictions.
const PREDICTIONS: &str = "predictions";

impl State for Memory {
    fn tensors(&self) -> Result<Tensors> {
        let mut tensors = self.losses.tensors()?;
        if !self.predictions.is_empty() {
            let tensor = Tensor::from_slice(&self.predictions, self.predictions.len(), &Device::Cpu);
            let tensor = tensor.or_fail(|| Error::new("cannot copy the last predictions"))?;
            tensors.insert(PREDICTIONS.to_owned(), tensor);
        }
        Ok(tensors)
    }

    fn restore(&mut self, tensors: &Tensors) -> Result<()> {
        let cannot = || Error::new(format!("the checkpoint's `{PREDICTIONS}` cannot be used"));
        self.losses.restore(tensors)?;
        let predictions = tensors.get(PREDICTIONS).map(|tensor| tensor.to_vec1::<f32>().or_fail(cannot));
        self.predictions = predictions.transpose()?.unwrap_or_default();
        Ok(())
    }
}

/// Divides N samples by the predictions (N, C) of one network (method §5).
///
/// Samples that nobody annotated have nothing that could be believed: they are in 𝒰, with w = 0. Of samples that a human
/// labelled there is nothing to find out: they are in 𝒫, with w = 1 and their label for a prediction. Neither takes part
/// in scaling and fit.
pub fn divide(
    mut probs: Vec<f32>,
    samples: Samples<'_>,
    memory: &mut Memory,
    settings: &DivisionSettings,
) -> Division {
    let Samples { candidates, annotated, human, classes } = samples;
    let mut aligned = probs.clone();
    match settings.align {
        Alignment::None => {}
        Alignment::WholeSet => align(&mut aligned, classes),
        Alignment::Running => align_running(&mut aligned, &mut memory.predictions, classes, BATCH),
    }
    let losses: Vec<f32> = (aligned.chunks(classes).zip(candidates.chunks(classes)))
        .map(|(probs, candidates)| division_loss(probs, candidates))
        .collect();
    let open: Vec<bool> =
        annotated.iter().zip(human).map(|(&annotated, &human)| annotated && !human).collect();
    let fit = Fit {
        max_steps: settings.mixture_steps,
        tolerance: settings.mixture_tolerance,
        variance_floor: settings.variance_floor,
    };
    let mut w = memory.losses.posteriors(&losses, &open, settings.loss_history, fit);
    for i in (0..w.len()).filter(|&i| human[i]) {
        w[i] = 1.0;
        let row = i * classes..(i + 1) * classes;
        let label: Vec<f32> = candidates[row.clone()].iter().map(|&y| f32::from(y)).collect();
        probs[row.clone()].copy_from_slice(&label);
        aligned[row].copy_from_slice(&label);
    }
    let (partial, unlabeled) = (0..w.len()).partition(|&i| human[i] || f64::from(w[i]) > settings.threshold);
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
    divide_by_mean(probs, &mean);
}

/// Distribution alignment by a running mean (method §5), in place: `batch` samples after `batch` samples of `probs` (N, C)
/// take the place of their `last` predictions (N, C), and are then aligned by the mean of all that is there. An empty
/// `last` starts uniform.
#[doc(alias = "distribution alignment")]
pub fn align_running(probs: &mut [f32], last: &mut Vec<f32>, classes: usize, batch: usize) {
    let count = (probs.len() / classes.max(1)).max(1) as f64;
    if last.len() != probs.len() {
        *last = vec![1.0 / classes as f32; probs.len()];
    }
    let mut sum = vec![0f64; classes];
    for row in last.chunks(classes) {
        sum.iter_mut().zip(row).for_each(|(sum, &p)| *sum += f64::from(p));
    }
    for (probs, last) in probs.chunks_mut(batch * classes).zip(last.chunks_mut(batch * classes)) {
        for (new, old) in probs.chunks(classes).zip(last.chunks(classes)) {
            for (sum, (&new, &old)) in sum.iter_mut().zip(new.iter().zip(old)) {
                *sum += f64::from(new) - f64::from(old);
            }
        }
        last.copy_from_slice(probs);
        let mean: Vec<f64> = sum.iter().map(|sum| sum / count).collect();
        divide_by_mean(probs, &mean);
    }
}

/// f ← normalise(f · uniform prior / `mean`) for every row of predictions.
fn divide_by_mean(probs: &mut [f32], mean: &[f64]) {
    let classes = mean.len();
    let factors: Vec<f32> = mean.iter().map(|m| (1.0 / (classes as f64 * m.max(TINY))) as f32).collect();
    for row in probs.chunks_mut(classes) {
        for (p, factor) in row.iter_mut().zip(&factors) {
            *p *= factor;
        }
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|p| *p /= sum.max(TINY as f32));
    }
}
