//! What one network learns from in one epoch: its steps' samples, views and targets.

use candle_core::{Device, Tensor};
use pipeline::error::{Error, OrFail, Result};

use super::divide::Division;

use super::step::Batch;
use super::{CoReg, Partner, stream_name};
use crate::learn::method::Lesson;
use crate::learn::pseudo_labels::rescale;
use crate::learn::train::Training;
use crate::learn::training_set::TrainingSet;
use crate::vision::{Draw, View, Views};

/// The samples of every step, in order, and what is known of each.
pub struct CoRegLesson<'a> {
    method: &'a CoReg,
    set: &'a TrainingSet,
    views: Views,
    device: Device,
    /// The random numbers of each step's weak and strong views.
    draws: Vec<[Draw; 2]>,
    /// Samples of 𝒫 of each step: those whose turn it is, each once in the epoch, and further ones with a human label.
    partial: Vec<Vec<usize>>,
    /// Samples of 𝒰, again and again, `unlabeled_per_step` a step.
    unlabeled: Vec<usize>,
    unlabeled_per_step: usize,
    /// w of every sample: (N).
    w: Tensor,
    /// p of method §6 of every sample: (N, C).
    other: Tensor,
}

/// What predictions are rescaled by: 1 for every candidate, or its weight to the power of `belief`: (N, C).
fn believed(set: &TrainingSet, belief: f64, device: &Device) -> candle_core::Result<Tensor> {
    let power = |(&y, &weight): (&u8, &f32)| if y == 0 { 0.0 } else { f64::from(weight).powf(belief) as f32 };
    let values: Vec<f32> = set.candidates.iter().zip(&set.weights).map(power).collect();
    Tensor::from_vec(values, (set.len(), set.classes), device)
}

impl CoReg {
    /// How many images of 𝒰 a step has, of so many in 𝒫 and in 𝒰.
    fn unlabeled_per_step(&self, partial: usize, unlabeled: usize) -> usize {
        if self.unlabeled_repeats == 0.0 {
            return self.batch_unlabeled;
        }
        let as_often = (self.batch_partial * unlabeled) as f64 / partial.max(1) as f64;
        // Upwards: of a few, one a step is the least.
        ((as_often * self.unlabeled_repeats).ceil() as usize).min(self.batch_unlabeled)
    }
}

/// The views of one step, on the CPU.
pub struct StepViews {
    weak: Tensor,
    strong: Tensor,
}

impl<'a> CoRegLesson<'a> {
    /// What network number `me` learns in this epoch from `division` and the predictions of `teacher`.
    pub(super) fn new(
        training: &Training<'a, CoReg>,
        me: usize,
        division: &Division,
        teacher: &Division,
    ) -> Result<Self> {
        let (method, set, device) = (&training.stage.method, training.set, training.device.clone());
        let shuffled = |purpose: &str, samples: &[usize], count: usize| {
            training.shuffled(&stream_name(me, training.epoch, purpose), samples, count)
        };
        let stream = stream_name(me, training.epoch, "partial");
        let in_turn = training.in_turn(me, &stream, &division.partial);
        let partial: Vec<Vec<usize>> = (in_turn.chunks(method.batch_partial.max(1)).enumerate())
            .map(|(step, samples)| training.with_human_labels(me, &format!("step{step}"), samples.to_vec()))
            .collect();
        let steps = partial.len();
        let per_step = method.unlabeled_per_step(division.partial.len(), division.unlabeled.len());
        let unlabeled = shuffled("unlabeled", &division.unlabeled, steps * per_step);
        let tensors = || -> candle_core::Result<(Tensor, Tensor)> {
            let matrix = |values: &[f32]| Tensor::from_slice(values, (set.len(), set.classes), &device);
            let candidates = || believed(set, method.belief, &device);
            // The paper rescales the prediction itself; the authors' code the aligned one (method §6).
            let other = match method.partner {
                Partner::Rescaled => rescale(&matrix(&teacher.probs)?, &candidates()?)?,
                Partner::Aligned => matrix(&teacher.aligned)?,
                Partner::AlignedRescaled => rescale(&matrix(&teacher.aligned)?, &candidates()?)?,
            };
            Ok((Tensor::from_slice(&division.w, set.len(), &device)?, other))
        };
        let (w, other) = tensors().or_fail(|| Error::new("cannot put the targets on the device"))?;
        let (weak, strong) = (training.draws(me, "weak"), training.draws(me, "strong"));
        Ok(Self {
            method,
            set,
            views: training.views.clone(),
            draws: (0..steps as u64).map(|step| [weak(step), strong(step)]).collect(),
            device,
            unlabeled_per_step: unlabeled.len() / steps.max(1),
            partial,
            unlabeled,
            w,
            other,
        })
    }

    /// Samples of 𝒫 and of 𝒰 of one step.
    fn samples(&self, step: usize) -> (&[usize], &[usize]) {
        let rest = self.unlabeled_per_step;
        (&self.partial[step], &self.unlabeled[step * rest..(step + 1) * rest])
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
    pub(super) fn hits(&self, labels: &[u32]) -> [Vec<bool>; 2] {
        // What a human said is not to be judged.
        let judged = |(&i, label): (&usize, &u32)| {
            let truth = self.set.truth[i].filter(|_| !self.set.human[i])?;
            Some(truth == *label)
        };
        let mut hits = [Vec::new(), Vec::new()];
        let mut labels = labels.iter();
        for step in 0..self.steps() {
            let (partial, unlabeled) = self.samples(step);
            for (samples, hits) in [partial, unlabeled].into_iter().zip(&mut hits) {
                // By reference, and samples first: zip must not take a label too many.
                let labelled = samples.iter().zip(labels.by_ref());
                hits.extend(labelled.filter_map(judged));
            }
        }
        hits
    }
}

impl Lesson for CoRegLesson<'_> {
    type Views = StepViews;

    /// One pass over 𝒫.
    fn steps(&self) -> usize {
        self.draws.len()
    }

    /// K weak and two strong views of a step's samples.
    fn views(&self, step: usize) -> Result<StepViews> {
        let (partial, unlabeled) = self.samples(step);
        let [weak, strong] = &self.draws[step];
        let make = |view, draw, times: usize| {
            let samples = [partial.repeat(times), unlabeled.repeat(times)].concat();
            self.views.batch(&self.set.train, &samples, view, draw)
        };
        Ok(StepViews {
            weak: make(View::Weak, weak, self.method.weak_views)?,
            strong: make(View::Strong, strong, 2)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_images_of_the_unlabeled_split_are_not_looked_at_over_and_over() {
        let of = |unlabeled_repeats, partial, unlabeled| {
            CoReg { batch_partial: 64, batch_unlabeled: 32, unlabeled_repeats, ..CoReg::default() }
                .unlabeled_per_step(partial, unlabeled)
        };
        assert_eq!(
            of(0.0, 600, 10),
            32,
            "no limit: each is seen twenty times while one of the others is once"
        );
        assert_eq!(of(1.0, 640, 10), 1);
        assert_eq!(of(2.0, 640, 40), 8);
        assert_eq!(of(1.0, 100, 900), 32, "never more than the batch has");
        assert_eq!(of(1.0, 640, 0), 0);
    }
}
