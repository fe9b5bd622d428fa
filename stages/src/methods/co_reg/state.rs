//! What Co-Reg carries from step to step and from epoch to epoch, beside its two networks.

use candle_core::{Device, Tensor};
use pipeline::error::{Error, OrFail, Result};

use super::divide::{Division, Memory};
use super::{CoReg, KeyRestart};
use crate::learn::key_encoder::KeyEncoder;
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
    /// Its momentum copy, with past keys (method §8).
    pub(super) key: KeyEncoder,
    /// What its divisions so far leave for the next.
    pub(super) memory: Memory,
    /// How it divided the training set in its last epoch, for the other network.
    pub(super) division: Division,
    /// The pseudo-labels that it learned in the current epoch: argmax p̃ (p + u) of each step.
    pub(super) pseudo_labels: Vec<Tensor>,
}

impl CoRegState {
    pub(super) fn new(method: &CoReg, training: &Training<'_, CoReg, ()>) -> Result<Self> {
        let (width, device) = (training.stage.architecture.embedding, &training.device);
        let network = |n: usize| -> Result<NetworkState> {
            Ok(NetworkState {
                key: KeyEncoder::new(training, n, method.queue)?,
                memory: Memory::new(training.set.len()),
                division: Division::default(),
                pseudo_labels: Vec::new(),
            })
        };
        let prototypes = Prototypes::new(training.set.classes, width, device);
        let prototypes = prototypes.or_fail(|| Error::new("cannot make the prototypes"))?;
        Ok(Self { networks: [network(0)?, network(1)?], prototypes })
    }
}

impl NetworkState {
    /// What the start of an epoch does to the key network of `network` (method §8).
    pub(super) fn restart_key(&self, network: &Network, how: KeyRestart) -> candle_core::Result<()> {
        match how {
            KeyRestart::All => self.key.network.copy_from(network),
            KeyRestart::Parameters => self.key.network.copy_parameters_from(network),
            KeyRestart::None => Ok(()),
        }
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
        let w = Tensor::from_slice(&self.division.w, self.division.w.len(), &Device::Cpu);
        let mut tensors = self.key.tensors()?;
        tensors.extend(self.memory.tensors()?);
        tensors.insert(W.to_owned(), w.or_fail(|| Error::new("cannot copy the division"))?);
        Ok(tensors)
    }

    fn restore(&mut self, tensors: &Tensors) -> Result<()> {
        let cannot = || Error::new(format!("the checkpoint's `{W}` cannot be used"));
        self.key.restore(tensors)?;
        self.memory.restore(tensors)?;
        self.division.w = tensors.get(W).ok_or_else(cannot)?.to_vec1().or_fail(cannot)?;
        Ok(())
    }
}
