//! What Co-Reg carries from step to step and from epoch to epoch, beside its two networks.

use candle_core::{Device, Tensor};
use pipeline::error::{Error, OrFail, Result};

use super::CoReg;
use super::divide::{Division, LossHistory};
use crate::learn::key_queue::KeyQueue;
use crate::learn::method::{State, restore_tensor};
use crate::learn::prototypes::Prototypes;
use crate::learn::train::Training;
use crate::network::Network;
use crate::runtime::checkpoint::{Tensors, join, part};

/// Of both networks, and what they share.
pub struct CoRegState {
    /// Network 1's and network 2's.
    pub(super) networks: [NetworkState; 2],
    /// Shared by both networks (method §7).
    pub(super) prototypes: Prototypes,
}

/// What goes along with one network.
pub(super) struct NetworkState {
    /// Its momentum copy (method §8); each epoch starts it anew.
    pub(super) key: Network,
    /// Its past keys.
    pub(super) queue: KeyQueue,
    /// Its division losses of the last epochs.
    pub(super) losses: LossHistory,
    /// How it divided the training set in its last epoch, for the other network.
    pub(super) division: Division,
    /// The pseudo-labels that it learned in the current epoch: argmax p̃ (p + u) of each step.
    pub(super) pseudo_labels: Vec<Tensor>,
}

impl CoRegState {
    pub(super) fn new(method: &CoReg, training: &Training<'_, CoReg, ()>) -> Result<Self> {
        let cannot = || Error::new("cannot make the networks");
        let (width, device) = (training.stage.architecture.embedding, &training.device);
        let network = |n: usize| -> Result<NetworkState> {
            Ok(NetworkState {
                key: training.learners[n].network.copy_of().or_fail(cannot)?,
                queue: KeyQueue::new(method.queue, width, device).or_fail(cannot)?,
                losses: LossHistory::default(),
                division: Division::default(),
                pseudo_labels: Vec::new(),
            })
        };
        let prototypes = Prototypes::new(training.set.classes, width, device).or_fail(cannot)?;
        Ok(Self { networks: [network(0)?, network(1)?], prototypes })
    }
}

/// Names of the parts in the checkpoint.
const NETWORKS: [&str; 2] = ["network1", "network2"];
const PROTOTYPES: &str = "prototypes";
const W: &str = "w";

impl State for CoRegState {
    fn tensors(&self) -> Result<Tensors> {
        let parts = NETWORKS.into_iter().zip(&self.networks);
        let parts = parts.map(|(name, network)| Ok((name, network.tensors()?)));
        let mut tensors = join(parts.collect::<Result<Vec<_>>>()?);
        let prototypes = self.prototypes.0.to_device(&Device::Cpu);
        let prototypes = prototypes.or_fail(|| Error::new("cannot copy the prototypes"))?;
        tensors.insert(PROTOTYPES.to_owned(), prototypes);
        Ok(tensors)
    }

    fn restore(&mut self, tensors: &Tensors) -> Result<()> {
        for (name, network) in NETWORKS.into_iter().zip(&mut self.networks) {
            network.restore(&part(tensors, name))?;
        }
        restore_tensor(tensors, PROTOTYPES, &mut self.prototypes.0)
    }
}

impl State for NetworkState {
    fn tensors(&self) -> Result<Tensors> {
        let tensor = |values: &[f32]| {
            Tensor::from_slice(values, values.len(), &Device::Cpu)
                .or_fail(|| Error::new("cannot copy the losses"))
        };
        let mut tensors = self.queue.tensors()?;
        tensors.insert(W.to_owned(), tensor(&self.division.w)?);
        for (i, losses) in self.losses.0.iter().enumerate() {
            tensors.insert(losses_of(i), tensor(losses)?);
        }
        Ok(tensors)
    }

    fn restore(&mut self, tensors: &Tensors) -> Result<()> {
        let values = |name: &str| -> Result<Vec<f32>> {
            let cannot = || Error::new(format!("the checkpoint's `{name}` cannot be used"));
            let tensor = tensors.get(name).ok_or_else(cannot)?;
            tensor.flatten_all().and_then(|tensor| tensor.to_vec1()).or_fail(cannot)
        };
        self.queue.restore(tensors)?;
        self.division.w = values(W)?;
        let kept = (0..).map(losses_of).take_while(|name| tensors.contains_key(name));
        self.losses.0 = kept.map(|name| values(&name)).collect::<Result<_>>()?;
        Ok(())
    }
}

/// The checkpoint's name for the losses of the i-th of the epochs that are averaged.
fn losses_of(i: usize) -> String {
    format!("losses.{i}")
}
