//! Co-Reg's training loop a piece at a time, for measuring: one step by itself, or one epoch after the other,
//! with all terms on and the queue full from the start.
//!
//! It does what the stage does, through the stage's own code, and keeps no result.

use candle_core::Tensor;
use pipeline::error::{Error, OrFail, Result};
use pipeline::random;
use pipeline::stage::Context;
use rand::RngExt;

use super::divide::Division;
use super::lesson::CoRegLesson;
use super::{CoReg, learn};
use crate::artifacts::training::Trained;
use crate::learn::key_queue::Labelled;
use crate::learn::method::{Lesson, Step};
use crate::learn::train::{Train, Training};
use crate::learn::training_set::TrainingSet;

/// A training that nobody waits for the result of.
pub struct Benchmark<'a> {
    training: Training<'a, CoReg>,
    steps: usize,
}

impl<'a> Benchmark<'a> {
    /// Both networks as `start` has them, and queues full of random keys. With `regularise_after` 0 in the
    /// stage's method, all terms are on at once.
    ///
    /// # Errors
    /// The networks do not fit, or the device has no room.
    pub fn new(
        stage: &'a Train<CoReg>,
        set: &'a TrainingSet,
        start: &Trained,
        device: &candle_core::Device,
    ) -> Result<Self> {
        let mut training = stage.start(set, Some(start), device)?;
        let mut random = random::stream(stage.seed, "benchmark/queue");
        let cannot = || Error::new("cannot fill the queue");
        for network in &mut training.state.networks {
            let (capacity, width) = network.key.queue.dimensions().or_fail(cannot)?;
            let mut keys = Vec::with_capacity(capacity * width);
            for _ in 0..capacity {
                let key: Vec<f32> = (0..width).map(|_| random.random_range(-1.0..1.0)).collect();
                let length = key.iter().map(|k| k * k).sum::<f32>().sqrt();
                keys.extend(key.into_iter().map(|k| k / length));
            }
            let labels = (0..capacity).map(|_| random.random_range(0..set.classes as u32)).collect();
            let partial = (0..capacity).map(|_| u8::from(random.random_bool(0.5))).collect();
            let keys = || {
                candle_core::Result::Ok(Labelled {
                    embeddings: Tensor::from_vec(keys, (capacity, width), device)?,
                    labels: Tensor::from_vec(labels, capacity, device)?,
                    partial: Tensor::from_vec(partial, capacity, device)?,
                })
            };
            keys().and_then(|keys| network.key.queue.push(&keys)).or_fail(cannot)?;
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
        let lesson = CoRegLesson::new(&self.training, 0, &division, &division)?;
        let step = Step {
            network: 0,
            number: self.steps,
            progress: method.ramp as f64,
            rate: self.training.stage.optimizer.rate(0),
        };
        self.steps += 1;
        let failed = || Error::new(format!("step {} failed", step.number));
        let batch = lesson.batch(0, lesson.views(0)?).or_fail(failed)?;
        let losses = learn(&mut self.training, step, &batch).or_fail(failed)?;
        // Every term is read, so that a device has finished.
        let read = |(_, term): (&str, Tensor)| term.to_scalar::<f32>().or_fail(failed);
        let values = losses.into_terms().into_iter().map(read).collect::<Result<Vec<f32>>>()?;
        self.training.state.networks[0].pseudo_labels.clear();
        Ok(values.last().copied().unwrap_or_default())
    }

    /// One epoch of both networks: divide, train, measure on the test images. Gives how many samples were in
    /// 𝒫, of both divisions together: as many are trained on.
    ///
    /// # Errors
    /// As the stage.
    pub fn epoch(&mut self, context: &Context) -> Result<usize> {
        self.training.run_epoch(context)?;
        let sizes = self.training.history.last().iter().filter_map(|row| row.values.get("size_partial"));
        Ok(sizes.sum::<f64>() as usize)
    }
}
