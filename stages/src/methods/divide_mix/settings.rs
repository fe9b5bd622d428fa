//! The constants of DivideMix, and what of them makes sense.
//!
//! \[P\] is stated in the paper (Li et al. 2020), \[I\] comes from the authors' implementation; see docs/methods.md.

use pipeline::error::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::learn::bounds::Bounds;
use crate::learn::viewed_batches::check_batch;
use crate::methods::Voters;

/// DivideMix with its constants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DivideMix {
    /// Epochs in all \[I: 300\].
    pub epochs: usize,
    /// The first of them, in which both networks learn from all labels \[I: 10 for CIFAR-10, 30 for CIFAR-100\].
    pub warm_up: usize,
    /// Samples of 𝒫 a step, and at most so many of 𝒰 \[I: 64\]; of warm-up twice as many.
    pub batch: usize,
    /// An image of 𝒰 is looked at no more than so many times as often as one of 𝒫; a step then has fewer of 𝒰. 0 for no
    /// limit \[I\].
    pub unlabeled_repeats: f64,
    /// Whose single label of an image it learns.
    pub labels: Voters,
    /// Whether warm-up keeps the negative entropy down \[I, where wrong labels follow the classes\].
    pub entropy: bool,
    /// A sample is of 𝒫 where w exceeds this \[I\].
    pub threshold: f64,
    /// Epochs whose losses are averaged for the division; 1 for the last alone \[I, but 5 where nine in ten labels are
    /// wrong\].
    pub loss_history: usize,
    /// Sharpening temperature T \[I\].
    pub temperature: f64,
    /// Both parameters of MixUp's Beta distribution \[I\].
    pub mixup: f64,
    /// λ_u, weight of the term of 𝒰 \[I; P: of 0, 25, 50 and 150, by data set and noise\].
    pub unlabeled_weight: f64,
    /// Epochs after warm-up over which that weight grows from 0 \[I\].
    pub ramp: usize,
    /// Whether L_reg, which keeps the mean prediction near the uniform one, is part of the loss \[I\].
    pub regularise: bool,
    /// Learning rate; a tenth of it from the middle on \[I\].
    pub learning_rate: f64,
    /// Weight decay \[I\].
    pub weight_decay: f64,
}

impl Default for DivideMix {
    fn default() -> Self {
        Self {
            epochs: 300,
            warm_up: 10,
            batch: 256,
            unlabeled_repeats: 0.0,
            labels: Voters::Average,
            entropy: true,
            threshold: 0.5,
            loss_history: 1,
            temperature: 0.5,
            mixup: 4.0,
            unlabeled_weight: 25.0,
            ramp: 16,
            regularise: true,
            learning_rate: 0.02,
            weight_decay: 5e-4,
        }
    }
}

impl DivideMix {
    /// Refuses constants that make no sense.
    ///
    /// # Errors
    /// The first such constant by name.
    pub(super) fn check_constants(&self) -> Result<()> {
        check_batch("divide-mix", self.batch)?;
        // No epoch at all is told by the stage.
        if self.epochs > 0 && self.warm_up >= self.epochs {
            let (warm_up, epochs) = (self.warm_up, self.epochs);
            return Err(Error::new(format!(
                "divide-mix.warm_up = {warm_up} leaves none of {epochs} epochs for DivideMix itself"
            ))
            .help("set divide-mix.warm_up below divide-mix.epochs"));
        }
        let bounds = Bounds("divide-mix");
        bounds.count("loss_history", self.loss_history, 1, 1_000_000)?;
        bounds.share("threshold", self.threshold)?;
        bounds.positive("temperature", self.temperature)?;
        bounds.positive("mixup", self.mixup)?;
        bounds.weight("unlabeled_repeats", self.unlabeled_repeats)?;
        bounds.weight("unlabeled_weight", self.unlabeled_weight)?;
        bounds.weight("learning_rate", self.learning_rate)?;
        bounds.weight("weight_decay", self.weight_decay)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_constant_that_makes_no_sense_is_refused_by_name() {
        let good = DivideMix::default;
        good().check_constants().unwrap();
        let bad = [
            ("batch", DivideMix { batch: 1, ..good() }),
            ("warm_up", DivideMix { warm_up: 300, ..good() }),
            ("loss_history", DivideMix { loss_history: 0, ..good() }),
            ("threshold", DivideMix { threshold: 1.5, ..good() }),
            ("temperature", DivideMix { temperature: 0.0, ..good() }),
            ("mixup", DivideMix { mixup: f64::NAN, ..good() }),
            ("unlabeled_repeats", DivideMix { unlabeled_repeats: -1.0, ..good() }),
            ("unlabeled_weight", DivideMix { unlabeled_weight: -1.0, ..good() }),
            ("learning_rate", DivideMix { learning_rate: f64::INFINITY, ..good() }),
            ("weight_decay", DivideMix { weight_decay: -1.0, ..good() }),
        ];
        for (name, method) in bad {
            let error = method.check_constants().unwrap_err().to_string();
            assert!(error.contains(&format!("divide-mix.{name} = ")), "{name}: {error}");
        }
    }
}
