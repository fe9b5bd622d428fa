//! Settings of stochastic gradient descent, and its learning rate over epochs (method §9).

use pipeline::error::{Error, Result};
use serde::{Deserialize, Serialize};

use super::schedule::cosine;
use crate::network::Precision;
use crate::runtime::device::Place;

/// Stochastic gradient descent and its learning rate (method §9). \[P\] is stated in the paper, \[I\] comes from the
/// authors' implementation; see docs/method.md.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optimizer {
    /// Learning rate of epoch 0 \[I\].
    pub learning_rate: f64,
    /// Learning rate at the end of the horizon \[I\].
    pub final_learning_rate: f64,
    /// Epochs over which the rate follows its cosine, whatever the run's length \[I\].
    pub horizon: usize,
    /// Images that a network sees over the horizon, however many there are: smaller sets are gone through more often, and
    /// of larger ones each epoch sees other images, in turn. 0 for whole passes, as in the paper: an epoch then sees
    /// every image once.
    pub budget: usize,
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
            budget: 0,
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
    pub fn check(&self, place: Place) -> Result<()> {
        if self.precision == Precision::Bf16 && place == Place::Cpu {
            return Err(Error::new("optimizer.precision = bf16 needs a GPU")
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
                return Err(Error::new(format!("optimizer.{name} = {value} cannot be used"))
                    .help("rates and decays are not negative, momentum lies between 0 and 1"));
            }
        }
        Ok(())
    }

    /// Images that a network sees in an epoch; none where it sees every image once.
    pub fn epoch_images(&self) -> Option<usize> {
        (self.budget > 0).then(|| self.budget.div_ceil(self.horizon.max(1)))
    }

    /// The learning rate of `epoch`, which counts from 0 at the start of the schedule: for Co-Reg at the start of its
    /// warm-up.
    pub fn rate(&self, epoch: usize) -> f64 {
        cosine(self.learning_rate, self.final_learning_rate, epoch, self.horizon)
    }
}
