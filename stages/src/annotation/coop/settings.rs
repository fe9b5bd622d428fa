//! How CoOp learns its prompt (Zhou et al. 2022). \[I\] is of its authors' code, otherwise as in docs/method.md.

use pipeline::error::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::learn::schedule::cosine;

/// Learning rate of the first epoch, which lets the momentum find its direction \[I\].
const FIRST_RATE: f64 = 1e-5;

/// Settings of CoOp: how a prompt is learned from a few labelled images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoopSettings {
    /// So many labelled training images of each class, drawn under `label.shots_seed`: the images of `label.shots`
    /// are among them, or they among those. 0 for as many as `label.shots`, and four where that is 0.
    pub shots: usize,
    /// Vectors in the place of a prompt's words, M; where they start as words, there are as many as these have tokens
    /// \[I\].
    pub context_length: usize,
    /// Epochs; 0 for 50 with one image a class, 100 with up to four, 200 with more \[I\].
    pub epochs: usize,
    /// Images a step; all, where there are fewer \[I\].
    pub batch: usize,
    /// Learning rate of the second epoch, from which it follows half a cosine \[I\].
    pub learning_rate: f64,
    /// Weight decay, of the vectors too \[I\].
    pub weight_decay: f64,
    /// Momentum \[I\].
    pub momentum: f64,
    /// What the vectors start as.
    pub initial: Initial,
    /// Crops of each image that are drawn and encoded once, of which every epoch takes one: ours, since encoding is
    /// nearly all the work. 0 for new crops in every epoch \[I\].
    pub crops: usize,
}

/// What the vectors start as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Initial {
    /// Normal numbers of standard deviation 0.02 \[I\].
    Random,
    /// The embeddings of `a photo of a` \[I\].
    Words,
}

impl Default for CoopSettings {
    fn default() -> Self {
        Self {
            shots: 0,
            context_length: 16,
            epochs: 0,
            batch: 32,
            learning_rate: 0.002,
            weight_decay: 5e-4,
            momentum: 0.9,
            initial: Initial::Random,
            crops: 20,
        }
    }
}

impl CoopSettings {
    /// Refuses what learns nothing.
    ///
    /// # Errors
    /// The first such setting by name.
    pub(super) fn check(&self) -> Result<()> {
        for (name, count) in [("context_length", self.context_length), ("batch", self.batch)] {
            if count == 0 {
                return Err(Error::new(format!("coop.{name} = 0 learns nothing"))
                    .help(format!("set coop.{name} ≥ 1")));
            }
        }
        let rates = [
            ("learning_rate", self.learning_rate, f64::MAX),
            ("weight_decay", self.weight_decay, f64::MAX),
            ("momentum", self.momentum, 1.0),
        ];
        for (name, value, most) in rates {
            if !(0.0..=most).contains(&value) {
                return Err(Error::new(format!("coop.{name} = {value} cannot be used"))
                    .help("rates and decays are not negative, momentum lies between 0 and 1"));
            }
        }
        Ok(())
    }

    /// Epochs with so many images a class.
    pub(super) fn epochs(&self, shots: usize) -> usize {
        match (self.epochs, shots) {
            (0, ..=1) => 50,
            (0, 2..=4) => 100,
            (0, _) => 200,
            (epochs, _) => epochs,
        }
    }

    /// The learning rate of an epoch, which counts from 1, of so many.
    pub(super) fn rate(&self, epoch: usize, epochs: usize) -> f64 {
        match epoch.checked_sub(2) {
            None => FIRST_RATE,
            Some(since) => cosine(self.learning_rate, 0.0, since, epochs),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn epochs_follow_from_the_number_of_images_unless_they_are_given() {
        let by_rule = CoopSettings::default();
        assert_eq!([1, 2, 4, 5, 8, 16].map(|shots| by_rule.epochs(shots)), [50, 100, 100, 200, 200, 200]);
        assert_eq!(CoopSettings { epochs: 7, ..by_rule }.epochs(16), 7);
    }

    #[test]
    fn the_rate_is_that_of_the_authors_log() {
        let settings = CoopSettings::default();
        let rate = |epoch| settings.rate(epoch, 50);
        assert_eq!((rate(1), rate(2)), (1e-5, 0.002));
        assert!((rate(3) - 1.998_027e-3).abs() < 1e-9, "{}", rate(3));
        // One epoch of the cosine is left when the last of 50 ends.
        let last = 0.001 * (1.0 + (std::f64::consts::PI * 48.0 / 50.0).cos());
        assert!((rate(50) - last).abs() < 1e-12, "{}", rate(50));
    }

    #[test]
    fn what_learns_nothing_is_refused_by_its_name() {
        let good = CoopSettings::default();
        good.check().unwrap();
        for (bad, word) in [
            (CoopSettings { context_length: 0, ..good.clone() }, "coop.context_length = 0"),
            (CoopSettings { batch: 0, ..good.clone() }, "coop.batch = 0"),
            (CoopSettings { learning_rate: -0.1, ..good.clone() }, "coop.learning_rate = -0.1"),
            (CoopSettings { weight_decay: f64::NAN, ..good.clone() }, "coop.weight_decay"),
            (CoopSettings { momentum: 1.5, ..good }, "coop.momentum = 1.5"),
        ] {
            let error = bad.check().unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("help: "), "{error}");
        }
    }
}
