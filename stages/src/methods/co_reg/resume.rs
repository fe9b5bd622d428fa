//! What Co-Reg writes down after each epoch, and how it goes on from there.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::Context;
use serde::{Deserialize, Serialize};

use super::NETWORKS;
use super::training::Training;
use crate::artifacts::training::Epoch;
use crate::runtime::checkpoint;

/// Names of the parts that hold what each network knows of samples: queue, losses, w.
const SAMPLES: [&str; 2] = ["samples1", "samples2"];

/// The checkpoint's part that is no tensor.
#[derive(Serialize, Deserialize)]
pub(super) struct Notes {
    epoch: usize,
    history: Vec<Epoch>,
    queues: [QueueNotes; 2],
}

#[derive(Serialize, Deserialize)]
struct QueueNotes {
    count: usize,
    next: usize,
}

impl Training<'_> {
    /// Writes the checkpoint of the epochs done.
    pub(super) fn save(&self, context: &Context) -> Result<()> {
        let cannot = || Error::new("cannot write the checkpoint");
        let tensor = |values: &[f32]| Tensor::from_slice(values, values.len(), &Device::Cpu).or_fail(cannot);
        let on_cpu = |tensor: &Tensor| tensor.to_device(&Device::Cpu).or_fail(cannot);
        let mut parts = Vec::new();
        for (n, name) in NETWORKS.into_iter().enumerate() {
            parts.push((name, self.learners[n].state().or_fail(cannot)?));
            let slots = &self.queues[n].slots;
            let mut samples = BTreeMap::from([
                ("queue".to_owned(), on_cpu(&slots.embeddings)?),
                ("queue.labels".to_owned(), on_cpu(&slots.labels)?),
                ("queue.partial".to_owned(), on_cpu(&slots.partial)?),
                ("w".to_owned(), tensor(&self.w[n])?),
            ]);
            for (i, losses) in self.losses[n].0.iter().enumerate() {
                samples.insert(format!("losses.{i}"), tensor(losses)?);
            }
            parts.push((SAMPLES[n], samples));
        }
        let shared = BTreeMap::from([("prototypes".to_owned(), on_cpu(&self.prototypes.0)?)]);
        parts.push(("shared", shared));
        let queues = self.queues.each_ref().map(|queue| QueueNotes { count: queue.count, next: queue.next });
        let notes = Notes { epoch: self.epoch, history: self.history.clone(), queues };
        checkpoint::save(context, &checkpoint::join(parts), &notes)
    }

    /// Takes on a checkpoint.
    pub(super) fn restore(&mut self, tensors: &checkpoint::Tensors, notes: Notes) -> Result<()> {
        let cannot = |name: &str| Error::new(format!("the checkpoint's `{name}` cannot be used"));
        let values = |part: &checkpoint::Tensors, name: &str| -> Result<Vec<f32>> {
            let tensor = part.get(name).ok_or_else(|| cannot(name))?;
            tensor.flatten_all().and_then(|t| t.to_vec1()).or_fail(|| cannot(name))
        };
        // In place of a tensor of the same shape and type, on its device.
        let take = |part: &checkpoint::Tensors, name: &str, place: &mut Tensor| -> Result<()> {
            let found = part.get(name).filter(|t| t.dims() == place.dims() && t.dtype() == place.dtype());
            let found = found.ok_or_else(|| cannot(name))?;
            // A copy of its own, since the queue is written in place.
            *place = found.to_device(place.device()).and_then(|t| t.copy()).or_fail(|| cannot(name))?;
            Ok(())
        };
        for (n, (name, notes)) in NETWORKS.into_iter().zip(notes.queues).enumerate() {
            self.learners[n].load_state(&checkpoint::part(tensors, name))?;
            let part = checkpoint::part(tensors, SAMPLES[n]);
            let queue = &mut self.queues[n];
            take(&part, "queue", &mut queue.slots.embeddings)?;
            take(&part, "queue.labels", &mut queue.slots.labels)?;
            take(&part, "queue.partial", &mut queue.slots.partial)?;
            let capacity = queue.slots.labels.elem_count();
            if notes.count > capacity || notes.next > capacity {
                return Err(cannot("queue"));
            }
            (queue.count, queue.next) = (notes.count, notes.next);
            self.w[n] = values(&part, "w")?;
            let count = part.keys().filter(|name| name.starts_with("losses.")).count();
            self.losses[n].0 =
                (0..count).map(|i| values(&part, &format!("losses.{i}"))).collect::<Result<_>>()?;
        }
        take(&checkpoint::part(tensors, "shared"), "prototypes", &mut self.prototypes.0)?;
        (self.epoch, self.history) = (notes.epoch, notes.history);
        Ok(())
    }
}
