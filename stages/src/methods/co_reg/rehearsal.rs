//! Co-Reg's training loop a piece at a time, for measuring: one step by itself, or one epoch after the other,
//! with all terms on and the queue full from the start.
//!
//! It does what the stage does, through the stage's own code, and keeps no result.

use candle_core::Tensor;
use pipeline::error::{Error, OrFail, Result};
use pipeline::random;
use pipeline::stage::Context;
use rand::RngExt;

use super::CoReg;
use super::divide::Division;
use super::lesson::Lesson;
use super::step::Moment;
use super::training::Training;
use crate::artifacts::training::WarmedUp;
use crate::learn::contrastive::Labelled;
use crate::learn::training_set::TrainingSet;

/// A training that nobody waits for the result of.
pub struct Rehearsal<'a> {
    training: Training<'a>,
    steps: usize,
}

impl<'a> Rehearsal<'a> {
    /// Both networks as `warm` has them, and queues full of random keys. With `regularise_after` 0 in the
    /// stage's method, all terms are on at once.
    ///
    /// # Errors
    /// The networks do not fit, or the device has no room.
    pub fn new(stage: &'a CoReg, set: &'a TrainingSet, warm: &WarmedUp, context: &Context) -> Result<Self> {
        let mut training = Training::start(stage, set, warm, context)?;
        let mut random = random::stream(stage.seed, "rehearsal/queue");
        let cannot = || Error::new("cannot fill the queue");
        for queue in &mut training.queues {
            let (capacity, width) = queue.slots.embeddings.dims2().or_fail(cannot)?;
            let mut keys = Vec::with_capacity(capacity * width);
            for _ in 0..capacity {
                let key: Vec<f32> = (0..width).map(|_| random.random_range(-1.0..1.0)).collect();
                let length = key.iter().map(|k| k * k).sum::<f32>().sqrt();
                keys.extend(key.into_iter().map(|k| k / length));
            }
            let labels = (0..capacity).map(|_| random.random_range(0..set.classes as u32)).collect();
            let partial = (0..capacity).map(|_| u8::from(random.random_bool(0.5))).collect();
            let device = &training.device;
            let keys = || {
                candle_core::Result::Ok(Labelled {
                    embeddings: Tensor::from_vec(keys, (capacity, width), device)?,
                    labels: Tensor::from_vec(labels, capacity, device)?,
                    partial: Tensor::from_vec(partial, capacity, device)?,
                })
            };
            keys().and_then(|keys| queue.push(&keys)).or_fail(cannot)?;
        }
        Ok(Self { training, steps: 0 })
    }

    /// One step of network 1: the first `batch_partial` images of the set as 𝒫, the next `batch_unlabeled` as
    /// 𝒰, w = ½, and a teacher that thinks all classes alike. Gives the loss.
    ///
    /// # Errors
    /// The set is smaller than that, or the device runs out of memory.
    pub fn step(&mut self) -> Result<f32> {
        let (method, set) = (&self.training.stage.method, self.training.set);
        let (p, u) = (method.batch_partial, method.batch_unlabeled);
        let division = Division {
            probs: vec![1.0 / set.classes as f32; set.len() * set.classes],
            aligned: vec![1.0 / set.classes as f32; set.len() * set.classes],
            w: vec![0.5; set.len()],
            partial: (0..p).collect(),
            unlabeled: (p..p + u).collect(),
        };
        let lesson = Lesson::new(&self.training, 0, &division, &division)?;
        let moment = Moment {
            me: 0,
            step: self.steps,
            progress: method.ramp as f64,
            rate: self.training.stage.optimizer.rate(0),
        };
        self.steps += 1;
        let failed = || Error::new(format!("step {} failed", moment.step));
        let batch = lesson.batch(0, lesson.views(0)?).or_fail(failed)?;
        let (terms, _) = self.training.step(moment, &batch).or_fail(failed)?;
        // Every term is read, so that a device has finished.
        let read = |term: &Tensor| term.to_scalar::<f32>().or_fail(failed);
        let values = terms.iter().map(|(_, term)| read(term)).collect::<Result<Vec<f32>>>()?;
        Ok(values.last().copied().unwrap_or_default())
    }

    /// One epoch of both networks: divide, train, measure on the test images. Gives how many samples were in
    /// 𝒫, of both divisions together: as many are trained on.
    ///
    /// # Errors
    /// As the stage.
    pub fn epoch(&mut self, context: &Context) -> Result<usize> {
        self.training.epoch(context)?;
        let last = &self.training.history[self.training.history.len().saturating_sub(2)..];
        let size = |values: &std::collections::BTreeMap<String, f64>| values.get("size_partial").copied();
        Ok(last.iter().filter_map(|row| size(&row.values)).sum::<f64>() as usize)
    }
}
