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
    /// How the learning rate falls over the horizon \[I\].
    pub decay: Decay,
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
    /// Least share of samples with a human label in a batch, where there are any: further ones, drawn with replacement, join
    /// a batch that has fewer. Ours. 0 for none.
    pub human_share: f64,
    /// Type in which a GPU computes images and activations: `f32` (multiplied as TF32), or `bf16`. Parameters,
    /// statistics and gradients of parameters are f32 either way.
    pub precision: Precision,
}

/// How the learning rate falls over the horizon of E epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// Along half a cosine, to [`Optimizer::final_learning_rate`] \[I\].
    Cosine,
    /// By half over every fifth of it, continuously: · .5^{5 e / E} (Wen et al. 2021).
    Halvings,
    /// To a tenth at its half (DivideMix).
    TenthAtHalf,
    /// To a tenth at its half, and to a hundredth at three quarters (CR-DPLL).
    TenthsAtHalfAndThreeQuarters,
}

impl Default for Optimizer {
    fn default() -> Self {
        Self {
            learning_rate: 0.01,
            final_learning_rate: 1e-5,
            decay: Decay::Cosine,
            horizon: 800,
            budget: 0,
            momentum: 0.9,
            weight_decay: 5e-4,
            recalibrate: 0,
            human_share: 0.125,
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
        if !(0.0..=0.9).contains(&self.human_share) {
            let share = self.human_share;
            return Err(Error::new(format!("optimizer.human_share = {share} is no part of a batch"))
                .help("set a share from 0 to 0.9, such as 0.125"));
        }
        Ok(())
    }

    /// Images that a network sees in an epoch; none where it sees every image once.
    pub fn epoch_images(&self) -> Option<usize> {
        (self.budget > 0).then(|| self.budget.div_ceil(self.horizon.max(1)))
    }

    /// This optimizer for a method whose training of so many epochs goes through the whole schedule.
    pub fn over(&self, epochs: usize) -> Self {
        Self { horizon: epochs, ..self.clone() }
    }

    /// The learning rate of `epoch`, which counts from 0 at the start of the schedule: for Co-Reg at the start of its
    /// warm-up.
    pub fn rate(&self, epoch: usize) -> f64 {
        let progress = epoch as f64 / self.horizon.max(1) as f64;
        let first = self.learning_rate;
        match self.decay {
            Decay::Cosine => cosine(first, self.final_learning_rate, epoch, self.horizon),
            Decay::Halvings => first * 0.5f64.powf(5.0 * progress),
            Decay::TenthsAtHalfAndThreeQuarters if progress >= 0.75 => first * 0.01,
            Decay::TenthAtHalf | Decay::TenthsAtHalfAndThreeQuarters if progress >= 0.5 => first * 0.1,
            Decay::TenthAtHalf | Decay::TenthsAtHalfAndThreeQuarters => first,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_cannot_be_of_human_labels_alone() {
        let checked = |human_share| Optimizer { human_share, ..Optimizer::default() }.check(Place::Cpu);
        for share in [0.0, 0.125, 0.9] {
            assert!(checked(share).is_ok(), "{share}");
        }
        for share in [-0.1, 0.95, 1.0, 2.0, f64::NAN] {
            let error = checked(share).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains("optimizer.human_share") && error.contains("from 0 to 0.9"), "{error}");
        }
    }

    #[test]
    fn the_rate_falls_as_the_method_says() {
        let at = |decay, epochs: [usize; 4]| {
            let optimizer = Optimizer { learning_rate: 1.0, decay, horizon: 100, ..Optimizer::default() };
            epochs.map(|epoch| (optimizer.rate(epoch) * 1e6).round() / 1e6)
        };
        assert_eq!(at(Decay::Halvings, [0, 20, 40, 100]), [1.0, 0.5, 0.25, 0.03125]);
        assert_eq!(at(Decay::TenthAtHalf, [0, 49, 50, 99]), [1.0, 1.0, 0.1, 0.1]);
        assert_eq!(at(Decay::TenthsAtHalfAndThreeQuarters, [49, 50, 74, 75]), [1.0, 0.1, 0.1, 0.01]);
    }
}
