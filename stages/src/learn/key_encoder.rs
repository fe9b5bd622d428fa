//! A momentum copy of a network with the queue of its past keys (He et al. 2020, "Momentum Contrast"; method §8).

use candle_core::Result as Computed;
use candle_core::Tensor;
use pipeline::error::{Error, OrFail, Result};

use super::key_queue::KeyQueue;
use super::method::{Method, State};
use super::train::Training;
use crate::network::{Network, Pass};
use crate::runtime::checkpoint::{Tensors, join, part};

/// The key network θ_k of a network θ, and the queue.
pub struct KeyEncoder {
    /// θ_k: starts as a copy of θ.
    pub network: Network,
    /// Past keys.
    pub queue: KeyQueue,
}

impl KeyEncoder {
    /// A copy of network number `network` of the training, with room for `capacity` keys.
    ///
    /// # Errors
    /// The device has no room.
    pub fn new<M: Method>(training: &Training<'_, M, ()>, network: usize, capacity: usize) -> Result<Self> {
        let cannot = || Error::new("cannot make the key network");
        let width = training.stage.architecture.embedding;
        Ok(Self {
            network: training.learners[network].network.copy_of().or_fail(cannot)?,
            queue: KeyQueue::new(capacity, width, &training.device).or_fail(cannot)?,
        })
    }

    /// θ_k ← m θ_k + (1 − m) θ with m = `momentum`, then the keys of `images` (B, H, W, channels): embeddings (B, E) of unit
    /// length, by statistics of the batch, without gradient. They do not join the queue yet.
    ///
    /// # Errors
    /// The device runs out of memory.
    pub fn keys(&mut self, of: &Network, momentum: f64, images: &Tensor) -> Computed<Tensor> {
        self.network.ema_from(of, momentum)?;
        let features = self.network.forward(images, Pass::TrainNoGrad)?.features;
        Ok(self.network.project(&features, Pass::TrainNoGrad)?.detach())
    }
}

const NETWORK: &str = "key";
const QUEUE: &str = "keys";

impl State for KeyEncoder {
    fn tensors(&self) -> Result<Tensors> {
        let network = self.network.state().or_fail(|| Error::new("cannot copy the key network"))?;
        Ok(join(vec![(NETWORK, network.into_iter().collect()), (QUEUE, self.queue.tensors()?)]))
    }

    fn restore(&mut self, tensors: &Tensors) -> Result<()> {
        self.network.load_state(&part(tensors, NETWORK).into_iter().collect())?;
        self.queue.restore(&part(tensors, QUEUE))
    }
}
