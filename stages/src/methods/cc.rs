//! CC, the classifier-consistent method (method §14; Feng et al. 2020, "Provably Consistent Partial-Label Learning"): one
//! network maximises the probability that it gives to the candidate set as a whole.

use candle_core::{Result as Computed, Tensor};
use pipeline::error::Result;
use pipeline::graph::Handle;
use serde::{Deserialize, Serialize};

use super::{Wire, Wired};
use crate::artifacts::annotation::Labels;
use crate::artifacts::images::Images;
use crate::learn::losses::partial_cross_entropy;
use crate::learn::method::{Method, Step};
use crate::learn::optimizer::Optimizer;
use crate::learn::step_losses::StepLosses;
use crate::learn::train::Training;
use crate::learn::viewed_batches::{ViewedBatches, check_batch};
use crate::network::Pass;
use crate::vision::View;

/// CC with its constants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cc {
    /// Epochs, over which the learning rate follows the whole cosine.
    pub epochs: usize,
    /// Images a step.
    pub batch: usize,
}

impl Default for Cc {
    fn default() -> Self {
        Self { epochs: 100, batch: 256 }
    }
}

impl Method for Cc {
    const NAME: &'static str = "cc";
    const TITLE: &'static str = "CC";
    const VERSION: u32 = 1;
    const NETWORKS: &'static [&'static str] = &["network"];
    const FIGURES: &'static [&'static str] = &[];

    type Inputs = (Images, Labels);
    type State = ();
    type Lesson<'a> = ViewedBatches<'a>;

    fn check(&self) -> Result<()> {
        check_batch(Self::NAME, self.batch)
    }

    fn epochs(&self) -> usize {
        self.epochs
    }

    fn optimizer(&self, shared: &Optimizer) -> Optimizer {
        shared.over(self.epochs)
    }

    fn start(&self, _training: &Training<'_, Self, ()>) -> Result<()> {
        Ok(())
    }

    fn lesson<'a>(training: &mut Training<'a, Self>, network: usize) -> Result<ViewedBatches<'a>> {
        let annotated = training.set.annotated_samples();
        Ok(ViewedBatches::new(training, network, &annotated, training.stage.method.batch, &[View::Weak]))
    }

    fn step(
        training: &mut Training<'_, Self>,
        lesson: &ViewedBatches<'_>,
        step: Step,
        views: Vec<Tensor>,
    ) -> Computed<StepLosses> {
        let images = views[0].to_device(&training.device)?; // (B, H, W, channels)
        learn(training, step, lesson.samples(step.number), &images)
    }
}

/// One step on these samples: L = −log Σ_{j∈Y} f_j.
fn learn(
    training: &mut Training<'_, Cc>,
    step: Step,
    samples: &[usize],
    images: &Tensor,
) -> Computed<StepLosses> {
    let candidates = training.set.candidate_masks(samples, &training.device)?; // (B, C)
    let learner = &mut training.learners[step.network];
    let logits = learner.network.forward(images, Pass::Train)?.logits; // (B, C)
    let losses = StepLosses::of(partial_cross_entropy(&logits, &candidates)?);
    learner.step(losses.total()?, step.rate)?;
    Ok(losses)
}

impl Wired for Cc {
    const QUICK: &'static str = include_str!("../../../data/profiles/quick/cc.toml");
    const OWN_EPOCHS: Option<usize> = Some(250);

    fn inputs(&self, wire: &mut Wire) -> Result<(Handle<Images>, Handle<Labels>)> {
        Ok((wire.images, wire.labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods::golden_tests::partial_label;

    #[test]
    fn whole_steps_of_cc_are_pytorchs() {
        let steps = partial_label("cc", Cc::default());
        let learn = |training: &mut Training<'_, Cc>, step, samples: &[usize], views: &[Tensor]| {
            learn(training, step, samples, &views[0])
        };
        steps.are_pytorchs(|_| {}, learn, |_| Vec::new());
    }
}
