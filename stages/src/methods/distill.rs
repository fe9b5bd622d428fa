//! Plain distillation, the student to beat (method §14): one network of the same shape learns the annotators'
//! class probabilities, averaged over templates, as soft targets; no candidates, no division, no second
//! network.

use candle_core::{Result as Computed, Tensor};
use pipeline::error::Result;
use pipeline::graph::Handle;
use serde::{Deserialize, Serialize};

use super::{Wire, Wired};
use crate::artifacts::annotation::{Labels, Votes};
use crate::artifacts::images::Images;
use crate::learn::losses::cross_entropy;
use crate::learn::method::{Method, Step};
use crate::learn::one_view::{OneView, check_batch};
use crate::learn::optimizer::Optimizer;
use crate::learn::step_losses::StepLosses;
use crate::learn::train::Training;
use crate::network::Pass;
use crate::vision::View;

/// Plain distillation with its constants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distill {
    /// Epochs, over which its learning rate follows the whole cosine.
    pub epochs: usize,
    /// Images a step.
    pub batch: usize,
}

impl Default for Distill {
    fn default() -> Self {
        Self { epochs: 100, batch: 256 }
    }
}

impl Method for Distill {
    const NAME: &'static str = "distill";
    const TITLE: &'static str = "plain student";
    // 2: the network is a student's; settings of the stage are laid out anew.
    const VERSION: u32 = 2;
    const NETWORKS: &'static [&'static str] = &["network"];
    const FIGURES: &'static [&'static str] = &[];

    type Inputs = (Images, Labels, Votes);
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
        let voted = training.set.annotated_samples();
        Ok(OneView::new(training, network, &voted, training.stage.method.batch, View::Strong))
    }

    fn step(
        training: &mut Training<'_, Self>,
        lesson: &OneView<'_>,
        step: Step,
        views: Tensor,
    ) -> Computed<StepLosses> {
        let learner = &mut training.learners[step.network];
        let images = views.to_device(&training.device)?; // (B, H, W, channels)
        let logits = learner.network.forward(&images, Pass::Train)?.logits; // (B, C)
        let targets = lesson.soft_labels(step.number, &training.device)?; // (B, C)
        let losses = StepLosses::of(cross_entropy(&logits, &targets)?);
        learner.step(losses.total()?, step.rate)?;
        Ok(losses)
    }
}

impl Wired for Distill {
    const LEARNS_VOTES: bool = true;

    fn inputs(&self, wire: &mut Wire) -> Result<(Handle<Images>, Handle<Labels>, Handle<Votes>)> {
        Ok((wire.images, wire.labels, wire.votes(Self::NAME)?))
    }
}
