//! What one network learns from in one epoch: its steps' samples, views and targets.

use candle_core::{Device, Tensor};
use pipeline::error::{Error, OrFail, Result};
use pipeline::random;
use rand::seq::SliceRandom;

use super::divide::Division;
use super::pseudo_label::rescale;
use super::step::Batch;
use super::training::Training;
use super::{CoReg, Partner, stream_name};
use crate::learn::training_set::TrainingSet;
use crate::vision::{Draw, View, Views};

/// The samples of every step, in order, and what is known of each.
pub(super) struct Lesson<'a> {
    stage: &'a CoReg,
    set: &'a TrainingSet,
    views: Views,
    device: Device,
    me: usize,
    epoch: usize,
    /// Samples of 𝒫, each once.
    partial: Vec<usize>,
    /// Samples of 𝒰, again and again, `per_step` a step.
    unlabeled: Vec<usize>,
    per_step: usize,
    /// w of every sample: (N).
    w: Tensor,
    /// p of method §6 of every sample: (N, C).
    other: Tensor,
}

/// The views of one step, made ahead of it on the CPU.
pub(super) struct StepViews {
    weak: Tensor,
    strong: Tensor,
}

impl<'a> Lesson<'a> {
    /// What network `me` learns in this epoch from `division` and the predictions of `teacher`.
    pub(super) fn new(
        training: &Training<'a>,
        me: usize,
        division: &Division,
        teacher: &Division,
    ) -> Result<Self> {
        let (stage, set, device) = (training.stage, training.set, training.device.clone());
        let method = &stage.method;
        let shuffled = |purpose: &str, samples: &[usize], count: usize| {
            let name = stream_name(me, training.epoch, purpose);
            shuffled(stage.seed, &name, samples, count)
        };
        let partial = shuffled("partial", &division.partial, division.partial.len());
        let steps = partial.len().div_ceil(method.batch_partial);
        let unlabeled = shuffled("unlabeled", &division.unlabeled, steps * method.batch_unlabeled);
        let tensors = || -> candle_core::Result<(Tensor, Tensor)> {
            let matrix = |values: &[f32]| Tensor::from_slice(values, (set.len(), set.classes), &device);
            let candidates = || set.candidate_masks(&(0..set.len()).collect::<Vec<_>>(), &device);
            // The paper rescales the prediction itself, the authors' code the aligned one (method §6).
            let other = match method.partner {
                Partner::Rescaled => rescale(&matrix(&teacher.probs)?, &candidates()?)?,
                Partner::Aligned => matrix(&teacher.aligned)?,
                Partner::AlignedRescaled => rescale(&matrix(&teacher.aligned)?, &candidates()?)?,
            };
            Ok((Tensor::from_slice(&division.w, set.len(), &device)?, other))
        };
        let (w, other) = tensors().or_fail(|| Error::new("cannot put the targets on the device"))?;
        let (views, epoch) = (training.views.clone(), training.epoch);
        let per_step = unlabeled.len() / steps.max(1);
        Ok(Self { stage, set, views, device, me, epoch, partial, unlabeled, per_step, w, other })
    }

    /// Steps of the epoch: one pass over 𝒫.
    pub(super) fn steps(&self) -> usize {
        self.partial.len().div_ceil(self.stage.method.batch_partial)
    }

    /// Samples of 𝒫 and of 𝒰 of one step.
    fn samples(&self, step: usize) -> (&[usize], &[usize]) {
        let size = self.stage.method.batch_partial;
        let partial = &self.partial[step * size..((step + 1) * size).min(self.partial.len())];
        (partial, &self.unlabeled[step * self.per_step..(step + 1) * self.per_step])
    }

    /// K weak and two strong views of a step's samples.
    pub(super) fn views(&self, step: usize) -> Result<StepViews> {
        let (partial, unlabeled) = self.samples(step);
        let make = |view, purpose: &str, times: usize| {
            let samples = [partial.repeat(times), unlabeled.repeat(times)].concat();
            let name = format!("co-reg/{}/{purpose}", super::NETWORKS[self.me]);
            let draw = Draw::new(self.stage.seed, &name, self.epoch as u64, step as u64);
            self.views.batch(&self.set.train, &samples, view, &draw)
        };
        Ok(StepViews {
            weak: make(View::Weak, "weak", self.stage.method.weak_views)?,
            strong: make(View::Strong, "strong", 2)?,
        })
    }

    /// The whole batch of a step, on the device.
    pub(super) fn batch(&self, step: usize, views: StepViews) -> candle_core::Result<Batch> {
        let (partial, unlabeled) = self.samples(step);
        let rows = partial.iter().map(|&i| i as u32).collect();
        let rows = Tensor::from_vec(rows, partial.len(), &self.device)?;
        Ok(Batch {
            partial: partial.len(),
            unlabeled: unlabeled.len(),
            w: self.w.index_select(&rows, 0)?,
            other: self.other.index_select(&rows, 0)?,
            weak: views.weak.to_device(&self.device)?,
            strong: views.strong.to_device(&self.device)?,
        })
    }

    /// Whether the pseudo-labels of all steps, one after the other, are right, where that is known: of 𝒫's
    /// samples, then of 𝒰's.
    pub(super) fn hits(&self, labels: &[u32], truth: &[Option<u32>]) -> [Vec<bool>; 2] {
        let mut hits = [Vec::new(), Vec::new()];
        let mut labels = labels.iter();
        for step in 0..self.steps() {
            let (partial, unlabeled) = self.samples(step);
            for (samples, hits) in [partial, unlabeled].into_iter().zip(&mut hits) {
                // By reference, and samples first: zip must not take a label too many.
                let labelled = samples.iter().zip(labels.by_ref());
                hits.extend(labelled.filter_map(|(&i, label)| truth[i].map(|truth| truth == *label)));
            }
        }
        hits
    }
}

/// `count` of `samples` in random order; once all were drawn, all over again.
fn shuffled(seed: u64, name: &str, samples: &[usize], count: usize) -> Vec<usize> {
    let mut rng = random::stream(seed, name);
    let mut drawn = Vec::with_capacity(count);
    while drawn.len() < count && !samples.is_empty() {
        let mut round = samples.to_vec();
        round.shuffle(&mut rng);
        round.truncate(count - drawn.len());
        drawn.extend(round);
    }
    drawn
}
