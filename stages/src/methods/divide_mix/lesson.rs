//! What one network learns from in one epoch: its steps' samples, views and labels.

use candle_core::{Device, Result as Computed, Tensor};
use pipeline::error::Result;

use super::DivideMix;
use super::divide::Division;
use super::step::Batch;
use crate::learn::method::Lesson;
use crate::learn::split_batches::{SplitBatches, unlabeled_per_step};
use crate::learn::train::Training;
use crate::learn::training_set::TrainingSet;
use crate::learn::viewed_batches::ViewedBatches;
use crate::vision::{Draw, View, Views};

/// Weak views of an image a step: they make its target and are what is mixed.
pub(super) const VIEWS: usize = 2;

/// An epoch of one network.
pub enum DivideMixLesson<'a> {
    /// Of warm-up: all images with a label, once.
    WarmUp(ViewedBatches<'a>),
    /// After it: the splits of the other network's division.
    Divided(Divided<'a>),
}

/// The steps over both splits.
pub struct Divided<'a> {
    set: &'a TrainingSet,
    views: Views,
    /// The random numbers of each step's views.
    draws: Vec<Draw>,
    batches: SplitBatches,
    /// w of every sample (N).
    w: Vec<f32>,
}

impl<'a> DivideMixLesson<'a> {
    /// What network number `me` learns in an epoch of warm-up.
    pub(super) fn warm_up(training: &Training<'a, DivideMix>, me: usize) -> Self {
        let set = training.set;
        let labeled: Vec<usize> = (0..set.len()).filter(|&i| set.single[i].is_some()).collect();
        let batch = 2 * training.stage.method.batch;
        Self::WarmUp(ViewedBatches::new(training, me, &labeled, batch, &[View::Weak]))
    }

    /// What network number `me` learns from `division`.
    pub(super) fn divided(training: &Training<'a, DivideMix>, me: usize, division: &Division) -> Self {
        let (set, method) = (training.set, &training.stage.method);
        let Division { w, partial, unlabeled } = division;
        let sizes = [partial.len(), unlabeled.len()];
        let of_unlabeled = unlabeled_per_step(sizes, [method.batch; 2], method.unlabeled_repeats);
        let batches = SplitBatches::new(training, me, [partial, unlabeled], [method.batch, of_unlabeled]);
        let draw = training.draws(me, "weak");
        Self::Divided(Divided {
            set,
            views: training.views.clone(),
            draws: (0..batches.steps() as u64).map(draw).collect(),
            batches,
            w: w.clone(),
        })
    }
}

impl Lesson for DivideMixLesson<'_> {
    /// One (rows, H, W, channels).
    type Views = Vec<Tensor>;

    /// One pass over all labels, or over 𝒫.
    fn steps(&self) -> usize {
        match self {
            Self::WarmUp(batches) => batches.steps(),
            Self::Divided(divided) => divided.batches.steps(),
        }
    }

    /// A weak view of each sample; or two of 𝒫's samples, then two of 𝒰's.
    fn views(&self, step: usize) -> Result<Vec<Tensor>> {
        match self {
            Self::WarmUp(batches) => batches.views(step),
            Self::Divided(Divided { set, views, draws, batches, .. }) => {
                let (partial, unlabeled) = batches.samples(step);
                let samples = [partial.repeat(VIEWS), unlabeled.repeat(VIEWS)].concat();
                Ok(vec![views.batch(&set.train, &samples, View::Weak, &draws[step])?])
            }
        }
    }
}

impl Divided<'_> {
    /// The whole batch of a step, with its `images` (2p + 2u, H, W, channels).
    pub(super) fn batch(&self, step: usize, images: Tensor) -> Computed<Batch> {
        let (partial, unlabeled) = self.batches.samples(step);
        let w: Vec<f32> = partial.iter().map(|&i| self.w[i]).collect();
        Ok(Batch {
            partial: partial.len(),
            unlabeled: unlabeled.len(),
            w: Tensor::from_vec(w, partial.len(), images.device())?,
            labels: single_labels(self.set, partial, images.device())?,
            images,
        })
    }

    /// Whether the labels that were learned, those of all steps one after the other, are right: of 𝒫's samples, and of
    /// 𝒰's.
    pub(super) fn hits(&self, labels: &[u32]) -> [Vec<bool>; 2] {
        self.batches.hits(labels, self.set)
    }
}

/// The single labels ŷ of these samples as rows of zeros and a one: (B, C).
///
/// # Errors
/// The device runs out of memory.
pub(super) fn single_labels(set: &TrainingSet, samples: &[usize], device: &Device) -> Computed<Tensor> {
    let mut rows = vec![0f32; samples.len() * set.classes];
    for (row, &i) in rows.chunks_mut(set.classes.max(1)).zip(samples) {
        if let Some(class) = set.single[i] {
            row[usize::from(class)] = 1.0;
        }
    }
    Tensor::from_vec(rows, (samples.len(), set.classes), device)
}
