//! Training steps and inference of PreAct ResNet-18 with classifier and projector, 32 and 64 pixels.

use candle_core::Tensor;
use candle_nn::loss::cross_entropy;
use pipeline::error::{Error, Result};
use pipeline::random;
use stages::network::{Architecture, Network, Pass, Precision, Sgd};

use crate::Setting;
use crate::count::Count;
use crate::measure::{report, timed};

/// Prints a line for each size, training and inference.
pub fn run(setting: &Setting) -> Result<()> {
    for size in [32, 64] {
        let trainer = Trainer::new(setting, size, setting.batch)?;
        let count = Count::of(trainer.network.architecture());
        let images = setting.batch as f64;
        let times = timed(setting, 2, || trainer.train().map_err(failed))?;
        // The projector runs forward, but the loss does not use it.
        let work = images * (count.train(false) + count.project());
        report(setting, &format!("preact_resnet18_train_{size}"), setting.batch, work, &times, &[]);
        let times = timed(setting, 2, || trainer.infer().map_err(failed))?;
        let work = images * count.forward(true);
        report(setting, &format!("preact_resnet18_infer_{size}"), setting.batch, work, &times, &[]);
    }
    Ok(())
}

/// A network with its optimizer and one batch of numbers that look random.
pub struct Trainer {
    network: Network,
    sgd: Sgd,
    images: Tensor,
    labels: Tensor,
}

impl Trainer {
    /// PreAct ResNet-18 of width 64 for `batch` colour images of `size` pixels, ten classes.
    pub fn new(setting: &Setting, size: usize, batch: usize) -> Result<Self> {
        let device = &setting.device;
        let architecture = Architecture::resnet18(3, size, 10);
        let mut network =
            Network::new(&architecture, &mut random::stream(1, "bench"), device).map_err(failed)?;
        network.set_precision(precision(setting))?;
        let sgd = Sgd::new(network.parameters(), 0.9, 5e-4).map_err(failed)?;
        let images = numbers(batch * size * size * 3);
        let images = Tensor::from_vec(images, (batch, size, size, 3), device).map_err(failed)?;
        let labels = (0..batch).map(|i| (i % 10) as u32).collect();
        let labels = Tensor::from_vec(labels, batch, device).map_err(failed)?;
        Ok(Self { network, sgd, images, labels })
    }

    /// One step on the cross-entropy. The projector runs forward with its graph kept, as in `peer.py`.
    pub fn train(&self) -> candle_core::Result<()> {
        let output = self.network.forward(&self.images, Pass::Train)?;
        self.network.project(&output.features, Pass::Train)?;
        let loss = cross_entropy(&output.logits, &self.labels)?;
        self.sgd.step(&loss.backward()?, 0.01)
    }

    fn infer(&self) -> candle_core::Result<()> {
        let output = self.network.forward(&self.images, Pass::Eval)?;
        self.network.project(&output.features, Pass::Eval).map(drop)
    }
}

/// The type in which networks train.
pub fn precision(setting: &Setting) -> Precision {
    if setting.amp { Precision::Bf16 } else { Precision::F32 }
}

/// Numbers in ±1, evenly spread, without a pattern that a product of matrices could notice.
pub fn numbers(count: usize) -> Vec<f32> {
    (0..count as u32).map(|i| i.wrapping_mul(2_654_435_761) as f32 / 2_147_483_648.0 - 1.0).collect()
}

/// A failure of candle, as an error.
pub fn failed(cause: candle_core::Error) -> Error {
    Error::new("a measured pass failed").because(cause).help("if memory is short, use a smaller --batch")
}
