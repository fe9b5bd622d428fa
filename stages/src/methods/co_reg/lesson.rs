//! What one network learns from in one epoch: its steps' samples, views and targets.

use candle_core::{Device, Tensor};
use pipeline::error::{Error, OrFail, Result};

use super::divide::Division;
use super::step::Batch;
use super::{CoReg, Partner};
use crate::learn::method::Lesson;
use crate::learn::pseudo_labels::rescale;
use crate::learn::split_batches::{SplitBatches, unlabeled_per_step};
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
    batches: SplitBatches,
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
        let splits = [&division.partial[..], &division.unlabeled];
        let repeats = method.unlabeled_repeats;
        let most = [method.batch_partial, method.batch_unlabeled];
        let of_unlabeled = unlabeled_per_step(splits.map(<[usize]>::len), most, repeats);
        let batches = SplitBatches::new(training, me, splits, [method.batch_partial, of_unlabeled]);
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
            draws: (0..batches.steps() as u64).map(|step| [weak(step), strong(step)]).collect(),
            device,
            batches,
            w,
            other,
        })
    }

    /// The whole batch of a step, on the device.
    pub(super) fn batch(&self, step: usize, views: StepViews) -> candle_core::Result<Batch> {
        let (partial, unlabeled) = self.batches.samples(step);
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
        self.batches.hits(labels, self.set)
    }
}

impl Lesson for CoRegLesson<'_> {
    type Views = StepViews;

    /// One pass over 𝒫.
    fn steps(&self) -> usize {
        self.batches.steps()
    }

    /// K weak and two strong views of a step's samples.
    fn views(&self, step: usize) -> Result<StepViews> {
        let (partial, unlabeled) = self.batches.samples(step);
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
