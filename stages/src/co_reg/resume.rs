//! What Co-Reg writes down after each epoch, and how it goes on from there.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::Context;
use serde::{Deserialize, Serialize};

use super::NETWORKS;
use super::training::Training;
use crate::artifacts::training::Epoch;
use crate::checkpoint;

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
    labels: Vec<u32>,
    partial: Vec<u8>,
    next: usize,
}

impl Training<'_> {
    /// Writes the checkpoint of the epochs done.
    pub(super) fn save(&self, context: &Context) -> Result<()> {
        let cannot = || Error::new("cannot write the checkpoint");
        let tensor = |values: &[f32]| Tensor::from_slice(values, values.len(), &Device::Cpu).or_fail(cannot);
        let mut parts = Vec::new();
        for (n, name) in NETWORKS.into_iter().enumerate() {
            parts.push((name, self.learners[n].state().or_fail(cannot)?));
            let mut samples = BTreeMap::from([
                ("queue".to_owned(), tensor(&self.queues[n].keys)?),
                ("w".to_owned(), tensor(&self.w[n])?),
            ]);
            for (i, losses) in self.losses[n].0.iter().enumerate() {
                samples.insert(format!("losses.{i}"), tensor(losses)?);
            }
            parts.push((SAMPLES[n], samples));
        }
        let shared = BTreeMap::from([("prototypes".to_owned(), tensor(&self.prototypes.values)?)]);
        parts.push(("shared", shared));
        let queues = self.queues.each_ref().map(|queue| QueueNotes {
            labels: queue.labels.clone(),
            partial: queue.partial.clone(),
            next: queue.next,
        });
        let notes = Notes { epoch: self.epoch, history: self.history.clone(), queues };
        checkpoint::save(context, &checkpoint::join(parts), &notes)
    }

    /// Takes on a checkpoint.
    pub(super) fn restore(&mut self, tensors: &checkpoint::Tensors, notes: Notes) -> Result<()> {
        let values = |part: &checkpoint::Tensors, name: &str| -> Result<Vec<f32>> {
            let cannot = || Error::new(format!("the checkpoint's `{name}` cannot be used"));
            let tensor = part.get(name).ok_or_else(cannot)?;
            tensor.flatten_all().and_then(|t| t.to_vec1()).or_fail(cannot)
        };
        for (n, (name, queue)) in NETWORKS.into_iter().zip(notes.queues).enumerate() {
            self.learners[n].load_state(&checkpoint::part(tensors, name))?;
            let part = checkpoint::part(tensors, SAMPLES[n]);
            self.queues[n].keys = values(&part, "queue")?;
            (self.queues[n].labels, self.queues[n].partial, self.queues[n].next) =
                (queue.labels, queue.partial, queue.next);
            self.w[n] = values(&part, "w")?;
            let count = part.keys().filter(|name| name.starts_with("losses.")).count();
            self.losses[n].0 =
                (0..count).map(|i| values(&part, &format!("losses.{i}"))).collect::<Result<_>>()?;
        }
        self.prototypes.values = values(&checkpoint::part(tensors, "shared"), "prototypes")?;
        (self.epoch, self.history) = (notes.epoch, notes.history);
        Ok(())
    }
}
