//! A network with its optimizer: one training step, predictions over many images, state for checkpoints.
//!
//! It knows nothing of labels, losses or stages.
//!
//! \[P\], \[I\]: see docs/method.md.

use std::collections::HashMap;

use candle_core::{D, Device, Result, Tensor};
use candle_nn::ops::softmax;
use pipeline::random;
use pipeline::stage::Context;
use serde::{Deserialize, Serialize};

use crate::artifacts::training::State;
use crate::network::{Architecture, Network, Pass, Precision, Sgd};
use crate::runtime::device::Place;
use crate::runtime::prefetch::ahead;
use crate::vision::{Draw, Pixels, View, Views};

/// Stochastic gradient descent and its learning rate (method §9).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optimizer {
    /// Learning rate of epoch 0 \[I\].
    pub learning_rate: f64,
    /// Learning rate at the end of the horizon \[I\].
    pub final_learning_rate: f64,
    /// Epochs over which the rate follows its cosine, whatever the run's length \[I\].
    pub horizon: usize,
    /// Momentum \[I\].
    pub momentum: f64,
    /// Weight decay \[I\].
    pub weight_decay: f64,
    /// Training images whose weak views re-estimate the running statistics of batch norm after each epoch
    /// (Wu & Johnson 2021, "Rethinking Batch in BatchNorm"); 0, the method's own way, leaves them as strong
    /// and mixed views made them. In runs of few steps that costs much of the accuracy.
    pub recalibrate: usize,
    /// Type in which a GPU computes images and activations: `f32` (multiplied as TF32), or `bf16`. Parameters,
    /// statistics and gradients of parameters are f32 either way.
    pub precision: Precision,
}

impl Default for Optimizer {
    fn default() -> Self {
        Self {
            learning_rate: 0.01,
            final_learning_rate: 1e-5,
            horizon: 800,
            momentum: 0.9,
            weight_decay: 5e-4,
            recalibrate: 0,
            precision: Precision::F32,
        }
    }
}

impl Optimizer {
    /// Refuses rates that make no sense, and a precision that `place` does not compute in.
    ///
    /// # Errors
    /// The first such setting by name.
    pub fn check(&self, place: Place) -> pipeline::error::Result<()> {
        if self.precision == Precision::Bf16 && place == Place::Cpu {
            return Err(pipeline::error::Error::new("optimizer.precision = bf16 needs a GPU")
                .help("use optimizer.precision=f32, or DEVICE=cuda"));
        }
        let known = [
            ("learning_rate", self.learning_rate, f64::MAX),
            ("final_learning_rate", self.final_learning_rate, f64::MAX),
            ("momentum", self.momentum, 1.0),
            ("weight_decay", self.weight_decay, f64::MAX),
        ];
        for (name, value, most) in known {
            if !(0.0..=most).contains(&value) {
                return Err(pipeline::error::Error::new(format!(
                    "optimizer.{name} = {value} cannot be used"
                ))
                .help("rates and decays are not negative, momentum lies between 0 and 1"));
            }
        }
        Ok(())
    }

    /// The learning rate of `epoch`, which counts from 0 at the start of warm-up.
    pub fn rate(&self, epoch: usize) -> f64 {
        crate::learn::schedule::cosine(self.learning_rate, self.final_learning_rate, epoch, self.horizon)
    }
}

/// One of the two networks, and what trains it.
pub struct Learner {
    /// The network.
    pub network: Network,
    sgd: Sgd,
}

impl Learner {
    /// A new network, its weights drawn from the stream `name` of `seed`.
    ///
    /// # Errors
    /// The device runs out of memory.
    pub fn new(
        architecture: &Architecture,
        optimizer: &Optimizer,
        seed: u64,
        name: &str,
        device: &Device,
    ) -> Result<Self> {
        let mut network = Network::new(architecture, &mut random::stream(seed, name), device)?;
        network.set_precision(optimizer.precision).map_err(candle_core::Error::wrap)?;
        let sgd = Sgd::new(network.parameters(), optimizer.momentum, optimizer.weight_decay)?;
        Ok(Self { network, sgd })
    }

    /// One step of gradient descent on `loss`.
    ///
    /// # Errors
    /// The device runs out of memory.
    pub fn step(&mut self, loss: &Tensor, learning_rate: f64) -> Result<()> {
        let gradients = loss.backward()?;
        self.sgd.step(&gradients, learning_rate)
    }

    /// Re-estimates the running statistics of batch norm from weak views of `count` of `pixels`.
    ///
    /// # Errors
    /// The user asked to stop, or the device runs out of memory.
    pub fn recalibrate(
        &self,
        pixels: &Pixels,
        views: &Views,
        count: usize,
        draw: impl Fn(u64) -> Draw,
        context: &Context,
    ) -> pipeline::error::Result<()> {
        // Small batches: after 32 of them less than 4 % of the old statistics is left.
        const BATCHES: usize = 32;
        let count = count.min(pixels.count());
        for number in 0..BATCHES.min(count) {
            context.safe_point()?;
            // Evenly spaced over the whole set, which may be sorted by class.
            let batch: Vec<usize> =
                (number..count).step_by(BATCHES).map(|i| i * pixels.count() / count).collect();
            let images = views.batch(pixels, &batch, View::Weak, &draw(number as u64))?; // (B, H, W, channels)
            images
                .to_device(self.network.device())
                .and_then(|images| self.network.forward(&images, Pass::TrainNoGrad))
                .map_err(cannot_predict)?;
        }
        Ok(())
    }

    /// Weights, running statistics and momenta, by name.
    ///
    /// # Errors
    /// The tensors cannot be copied from the device.
    pub fn state(&self) -> Result<State> {
        let momenta =
            self.sgd.state()?.into_iter().map(|(name, tensor)| (format!("momentum.{name}"), tensor));
        Ok(self.network.state()?.into_iter().chain(momenta).collect())
    }

    /// Takes on a [`state`](Self::state).
    ///
    /// # Errors
    /// A tensor is missing or of another shape.
    pub fn load_state(&mut self, state: &State) -> pipeline::error::Result<()> {
        let (momenta, network): (HashMap<_, _>, HashMap<_, _>) = state
            .iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .partition(|(name, _)| name.starts_with("momentum."));
        self.network.load_state(&network)?;
        let momenta = momenta
            .into_iter()
            .map(|(name, tensor)| (name["momentum.".len()..].to_owned(), tensor))
            .collect();
        self.sgd.load_state(&momenta)
    }
}

/// Class probabilities of `network` for all of `pixels`, row after row: (N, C).
///
/// # Errors
/// The user asked to stop, or the device runs out of memory.
pub fn predict(
    network: &Network,
    pixels: &Pixels,
    views: &Views,
    view: View,
    draw: impl Fn(u64) -> Draw + Sync,
    context: &Context,
) -> pipeline::error::Result<Vec<f32>> {
    let logits = logits(network, pixels, views, view, draw, context)?;
    let probs = softmax(&logits, D::Minus1).and_then(|p| p.flatten_all()?.to_vec1());
    let probs: Vec<f32> = probs.map_err(cannot_predict)?;
    if probs.iter().any(|p| !p.is_finite()) {
        return Err(pipeline::error::Error::new("the network predicts numbers that are not finite")
            .help("lower optimizer.learning_rate; training then starts anew"));
    }
    Ok(probs)
}

/// Logits of `network` for all of `pixels`: (N, C).
///
/// # Errors
/// The user asked to stop, or the device runs out of memory.
pub fn logits(
    network: &Network,
    pixels: &Pixels,
    views: &Views,
    view: View,
    draw: impl Fn(u64) -> Draw + Sync,
    context: &Context,
) -> pipeline::error::Result<Tensor> {
    const BATCH: usize = 256;
    let samples: Vec<usize> = (0..pixels.count()).collect();
    let mut parts = Vec::with_capacity(samples.len().div_ceil(BATCH));
    let batches: Vec<&[usize]> = samples.chunks(BATCH).collect();
    ahead(
        batches.len(),
        1,
        |number| views.batch(pixels, batches[number], view, &draw(number as u64)), // (B, H, W, channels)
        |_, images| {
            context.safe_point()?;
            let part =
                images.to_device(network.device()).and_then(|images| network.forward(&images, Pass::Eval));
            parts.push(part.map_err(cannot_predict)?.logits);
            Ok(())
        },
    )?;
    Tensor::cat(&parts, 0).map_err(cannot_predict)
}

fn cannot_predict(cause: candle_core::Error) -> pipeline::error::Error {
    pipeline::error::Error::new("cannot predict").because(cause)
}

/// An error of a prediction, with the epoch and network in which it was made; both count from 0.
pub fn in_epoch(epoch: usize, network: usize, error: pipeline::error::Error) -> pipeline::error::Error {
    if error.is_cancelled() {
        return error;
    }
    pipeline::error::Error::new(format!("epoch {}, network {} failed", epoch + 1, network + 1)).because(error)
}

/// Refuses figures of an epoch that are not finite.
///
/// # Errors
/// The first that is not, with epoch and network; both count from 0.
pub fn finite(epoch: usize, network: usize, values: &[(&str, Option<f64>)]) -> pipeline::error::Result<()> {
    match values.iter().find(|(_, value)| value.is_some_and(|v| !v.is_finite())) {
        None => Ok(()),
        Some((name, value)) => Err(pipeline::error::Error::new(format!(
            "epoch {}, network {}: {name} is {}",
            epoch + 1,
            network + 1,
            value.unwrap_or(f64::NAN)
        ))
        .help("lower optimizer.learning_rate; training then starts anew")),
    }
}
