//! Warm-up (method §4): both networks, separately, learn from the candidate sets as they are.

use pipeline::error::Result;
use pipeline::stage::{Context, Resources, Stage};
use serde::{Deserialize, Serialize};

use super::co_reg::NETWORKS;
use crate::artifacts::annotation::Labels;
use crate::artifacts::images::Images;
use crate::artifacts::training::{Pair, WarmedUp};
use crate::learn::losses::{negative_entropy, partial_cross_entropy};
use crate::learn::supervised::{Settings, Supervised};
use crate::learn::training_set::TrainingSet;

/// The stage, with its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WarmUp(pub Settings);

impl Stage for WarmUp {
    type Inputs = (Images, Labels);
    type Output = WarmedUp;
    const NAME: &'static str = "warm-up";
    const VERSION: u32 = 2;

    fn resources(&self) -> Resources {
        self.0.place.resources()
    }

    fn check(&self) -> Result<()> {
        self.0.check()
    }

    fn run(
        &self,
        (images, labels): <Self::Inputs as pipeline::stage::Inputs>::Loaded,
        context: &Context,
    ) -> Result<WarmedUp> {
        let set = TrainingSet::new(&images, &labels, &self.0.input, context)?;
        let device = self.0.place.device()?;
        let samples = (0..set.len()).collect();
        let networks = &NETWORKS;
        let training = Supervised { name: Self::NAME, networks, settings: &self.0, set: &set, samples };
        let (learners, history) = training.run(context, |logits, samples| {
            let partial = partial_cross_entropy(logits, &set.candidate_masks(samples, &device)?)?;
            let negative_entropy = negative_entropy(logits)?;
            let loss = (&partial + &negative_entropy)?;
            Ok(vec![("loss", loss), ("loss_partial", partial), ("loss_negative_entropy", negative_entropy)])
        })?;
        Ok(WarmedUp { pair: Pair::of(&learners)?, history })
    }
}
