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
use crate::learn::one_view::{OneView, check_batch};
use crate::learn::optimizer::Optimizer;
use crate::learn::step_losses::StepLosses;
use crate::learn::train::Training;
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
    type Lesson<'a> = OneView<'a>;

    fn check(&self) -> Result<()> {
        check_batch(Self::NAME, self.batch)
    }

    fn epochs(&self) -> usize {
        self.epochs
    }

    fn optimizer(&self, shared: &Optimizer) -> Optimizer {
        Optimizer { horizon: self.epochs, ..shared.clone() }
    }

    fn start(&self, _training: &Training<'_, Self, ()>) -> Result<()> {
        Ok(())
    }

    fn lesson<'a>(training: &mut Training<'a, Self>, network: usize) -> Result<OneView<'a>> {
        let annotated = training.set.annotated_samples();
        Ok(OneView::new(training, network, &annotated, training.stage.method.batch, View::Weak))
    }

    /// L = −log Σ_{j∈Y} f_j.
    fn step(
        training: &mut Training<'_, Self>,
        lesson: &OneView<'_>,
        step: Step,
        views: Tensor,
    ) -> Computed<StepLosses> {
        let learner = &mut training.learners[step.network];
        let images = views.to_device(&training.device)?; // (B, H, W, channels)
        let logits = learner.network.forward(&images, Pass::Train)?.logits; // (B, C)
        let candidates = lesson.candidate_masks(step.number, &training.device)?; // (B, C)
        let losses = StepLosses::of(partial_cross_entropy(&logits, &candidates)?);
        learner.step(losses.total()?, step.rate)?;
        Ok(losses)
    }
}

impl Wired for Cc {
    fn inputs(&self, wire: &mut Wire) -> Result<(Handle<Images>, Handle<Labels>)> {
        Ok((wire.images, wire.labels))
    }
}
