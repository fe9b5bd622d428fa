//! Warm-up (method §4): both networks, separately, learn from the candidate sets as they are.

use pipeline::error::{Error, Result};
use pipeline::stage::{Context, Resources, Stage};
use serde::{Deserialize, Serialize};

use crate::artifacts::annotation::Labels;
use crate::artifacts::images::Images;
use crate::artifacts::training::{Pair, WarmedUp};
use crate::co_reg::NETWORKS;
use crate::co_reg::losses::{negative_entropy, partial_cross_entropy};
use crate::device::Place;
use crate::learner::Optimizer;
use crate::network::Architecture;
use crate::supervised::Supervised;
use crate::training_set::{Input, TrainingSet};

/// Settings of the stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WarmUp {
    /// Epochs \[P, by data set\].
    pub epochs: usize,
    /// Images a step \[I\].
    pub batch: usize,
    /// Seed of weights, order and views.
    pub seed: u64,
    /// The optimizer and its schedule.
    pub optimizer: Optimizer,
    /// How images become input.
    pub input: Input,
    /// What the networks look like.
    pub architecture: Architecture,
    /// Where it is computed; not part of the key.
    #[serde(skip)]
    pub place: Place,
}

impl Stage for WarmUp {
    type Inputs = (Images, Labels);
    type Output = WarmedUp;
    const NAME: &'static str = "warm-up";
    const VERSION: u32 = 2;

    fn resources(&self) -> Resources {
        self.place.resources()
    }

    fn check(&self) -> Result<()> {
        self.architecture.validate()?;
        self.input.views()?;
        self.optimizer.check(self.place)?;
        if self.epochs == 0 || !(2..=1 << 16).contains(&self.batch) {
            return Err(Error::new(format!(
                "{} epochs of batch {} are no training",
                self.epochs, self.batch
            ))
            .help("set warm-up.epochs ≥ 1 and warm-up.batch between 2 and 65536"));
        }
        self.place.device().map(drop)
    }

    fn run(
        &self,
        (images, labels): <Self::Inputs as pipeline::stage::Inputs>::Loaded,
        context: &Context,
    ) -> Result<WarmedUp> {
        let set = TrainingSet::new(&images, &labels, &self.input, context)?;
        let device = self.place.device()?;
        let training = Supervised {
            name: Self::NAME,
            networks: &NETWORKS,
            epochs: self.epochs,
            batch: self.batch,
            seed: self.seed,
            optimizer: &self.optimizer,
            architecture: &self.architecture,
            place: self.place,
            set: &set,
            views: &self.input.views()?,
        };
        let (learners, history) = training.run(context, |logits, samples| {
            let partial = partial_cross_entropy(logits, &set.candidate_masks(samples, &device)?)?;
            let negative_entropy = negative_entropy(logits)?;
            let loss = (&partial + &negative_entropy)?;
            Ok(vec![("loss", loss), ("loss_partial", partial), ("loss_negative_entropy", negative_entropy)])
        })?;
        Ok(WarmedUp { pair: Pair::of(&learners)?, history })
    }
}
