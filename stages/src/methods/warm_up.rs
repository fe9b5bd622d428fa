//! Warm-up (method §4): both networks, separately, learn from the candidate sets as they are. What Co-Reg goes on from;
//! by itself a method, too.

use candle_core::{Result as Computed, Tensor};
use pipeline::error::Result;
use pipeline::graph::Handle;
use serde::{Deserialize, Serialize};

use super::{Wire, Wired};
use crate::artifacts::annotation::Labels;
use crate::artifacts::images::Images;
use crate::dataset::catalog::Schedule;
use crate::learn::losses::{cross_entropy, negative_entropy, partial_cross_entropy};
use crate::learn::method::{Method, Step};
use crate::learn::one_view::{OneView, check_batch};
use crate::learn::step_losses::StepLosses;
use crate::learn::train::Training;
use crate::network::Pass;
use crate::vision::View;

/// Warm-up with its constants. \[P\] is stated in the paper, \[I\] comes from the authors' implementation; see
/// docs/method.md.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmUp {
    /// Epochs \[P, by data set\].
    pub epochs: usize,
    /// Images a step \[I\].
    pub batch: usize,
    /// What it learns of the candidates: which they are \[P\], or how much each is believed.
    pub target: Target,
}

/// What warm-up learns of an image's candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// That the truth is among them: L_warm of method §4 \[P\].
    Candidates,
    /// Their weights, as soft labels: cross-entropy. Ours; see docs/experiments/README.md.
    Weights,
}

impl Default for WarmUp {
    fn default() -> Self {
        Self { epochs: 50, batch: 512, target: Target::Candidates }
    }
}

impl Method for WarmUp {
    const NAME: &'static str = "warm-up";
    const TITLE: &'static str = "warm-up";
    // 4: it may learn weights.
    const VERSION: u32 = 4;
    const NETWORKS: &'static [&'static str] = &["network1", "network2"];
    const FIGURES: &'static [&'static str] = &["loss_partial", "loss_negative_entropy"];

    type Inputs = (Images, Labels);
    type State = ();
    type Lesson<'a> = OneView<'a>;

    fn check(&self) -> Result<()> {
        check_batch(Self::NAME, self.batch)
    }

    fn epochs(&self) -> usize {
        self.epochs
    }

    fn start(&self, _training: &Training<'_, Self, ()>) -> Result<()> {
        Ok(())
    }

    fn lesson<'a>(training: &mut Training<'a, Self>, network: usize) -> Result<OneView<'a>> {
        let samples = match training.stage.method.target {
            Target::Candidates => (0..training.set.len()).collect(),
            Target::Weights => training.set.annotated_samples(),
        };
        Ok(OneView::new(training, network, &samples, training.stage.method.batch, View::Strong))
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
        let samples = lesson.samples(step.number);
        let mut losses = StepLosses::default();
        match training.stage.method.target {
            Target::Candidates => {
                let candidates = training.set.candidate_masks(samples, &training.device)?;
                losses.add("loss_partial", 1.0, partial_cross_entropy(&logits, &candidates)?)?;
                losses.add("loss_negative_entropy", 1.0, negative_entropy(&logits)?)?;
            }
            Target::Weights => {
                let weights = training.set.weight_rows(samples, &training.device)?;
                losses.add("loss_partial", 1.0, cross_entropy(&logits, &weights)?)?;
            }
        }
        learner.step(losses.total()?, step.rate)?;
        Ok(losses)
    }
}

impl Wired for WarmUp {
    fn scheduled(schedule: &Schedule) -> usize {
        schedule.warm_up
    }

    fn inputs(&self, wire: &mut Wire) -> Result<(Handle<Images>, Handle<Labels>)> {
        Ok((wire.images, wire.labels))
    }
}
