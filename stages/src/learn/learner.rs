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

use super::optimizer::Optimizer;
use crate::network::{Architecture, Network, Pass, Sgd};
use crate::runtime::checkpoint::Tensors;
use crate::runtime::prefetch::prefetch;
use crate::vision::{Draw, Pixels, View, Views};

/// A network, and what trains it.
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

    /// Weights, running statistics and momenta, by name.
    ///
    /// # Errors
    /// The tensors cannot be copied from the device.
    pub fn state(&self) -> Result<Tensors> {
        let momenta =
            self.sgd.state()?.into_iter().map(|(name, tensor)| (format!("momentum.{name}"), tensor));
        Ok(self.network.state()?.into_iter().chain(momenta).collect())
    }

    /// Takes on a [`state`](Self::state).
    ///
    /// # Errors
    /// A tensor is missing or of another shape.
    pub fn load_state(&mut self, state: &Tensors) -> pipeline::error::Result<()> {
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

/// Re-estimates the running statistics of `network`'s batch norm from weak views of `count` of `pixels`.
///
/// # Errors
/// The user asked to stop, or the device runs out of memory.
pub fn recalibrate(
    network: &Network,
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
            .to_device(network.device())
            .and_then(|images| network.forward(&images, Pass::TrainNoGrad))
            .map_err(cannot_predict)?;
    }
    Ok(())
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
            .help("lower the learning rate (optimizer.learning_rate, or the method's own); training then starts anew"));
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
    // Fewer than a training step of the paper takes, and without a backward pass: memory is no issue.
    const BATCH: usize = 256;
    let samples: Vec<usize> = (0..pixels.count()).collect();
    let mut parts = Vec::with_capacity(samples.len().div_ceil(BATCH));
    let batches: Vec<&[usize]> = samples.chunks(BATCH).collect();
    prefetch(
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
