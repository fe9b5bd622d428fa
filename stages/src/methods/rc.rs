//! RC, the risk-consistent method (method §14; Feng et al. 2020, "Provably Consistent Partial-Label Learning"): one
//! network learns a distribution over each sample's candidates, which follows its own predictions.

use candle_core::{D, Result as Computed, Tensor};
use candle_nn::ops::softmax;
use pipeline::error::{Error, OrFail, Result};
use pipeline::graph::Handle;
use pipeline::stage::Context;
use serde::{Deserialize, Serialize};

use super::{Wire, Wired};
use crate::artifacts::annotation::Labels;
use crate::artifacts::images::Images;
use crate::artifacts::training::SampleLabels;
use crate::learn::confidence::Confidence;
use crate::learn::losses::cross_entropy;
use crate::learn::method::{Figure, Method, Step};
use crate::learn::optimizer::Optimizer;
use crate::learn::pseudo_labels::rescale;
use crate::learn::step_losses::StepLosses;
use crate::learn::train::Training;
use crate::learn::viewed_batches::{ViewedBatches, check_batch};
use crate::network::Pass;
use crate::vision::View;

/// RC with its constants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rc {
    /// Epochs, over which the learning rate follows the whole cosine.
    pub epochs: usize,
    /// Images a step.
    pub batch: usize,
    /// Whether the batch is shown again after the step and its confidences follow that prediction, as the authors do;
    /// otherwise they follow the prediction that the step was made with, which saves a pass.
    pub post_step: bool,
}

impl Default for Rc {
    fn default() -> Self {
        Self { epochs: 100, batch: 256, post_step: false }
    }
}

impl Method for Rc {
    const NAME: &'static str = "rc";
    const TITLE: &'static str = "RC";
    // 2: of equal candidates its labels are those that the annotators believe most.
    const VERSION: u32 = 2;
    const NETWORKS: &'static [&'static str] = &["network"];
    const FIGURES: &'static [&'static str] = &["pseudo_label_accuracy"];
    const TOLD: &'static [(&'static str, &'static str)] = &[("pseudo_label_accuracy", "pseudo-labels right")];

    type Inputs = (Images, Labels);
    /// P: starts uniform over the candidates.
    type State = Confidence;
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

    fn start(&self, training: &Training<'_, Self, ()>) -> Result<Confidence> {
        Confidence::uniform(training.set, &training.device)
            .or_fail(|| Error::new("cannot make the confidence matrix"))
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

    fn figures(training: &mut Training<'_, Self>, _: &ViewedBatches<'_>, _: usize) -> Result<Vec<Figure>> {
        Ok(vec![("pseudo_label_accuracy", training.state.accuracy(training.set)?)])
    }

    fn sample_labels(training: &Training<'_, Self>, _: &Context) -> Result<Option<SampleLabels>> {
        training.state.sample_labels(training.set).map(Some)
    }
}

/// One step on these samples: L = CE(P_i, f); then P_ij ← Y_ij f_j / Σ_k Y_ik f_k.
fn learn(
    training: &mut Training<'_, Rc>,
    step: Step,
    samples: &[usize],
    images: &Tensor,
) -> Computed<StepLosses> {
    let learner = &mut training.learners[step.network];
    let mut logits = learner.network.forward(images, Pass::Train)?.logits; // (B, C)
    let losses = StepLosses::of(cross_entropy(&logits, &training.state.rows(samples)?)?);
    learner.step(losses.total()?, step.rate)?;
    if training.stage.method.post_step {
        logits = learner.network.forward(images, Pass::TrainNoGrad)?.logits;
    }
    let candidates = training.set.candidate_masks(samples, &training.device)?; // (B, C)
    let believed = rescale(&softmax(&logits.detach(), D::Minus1)?, &candidates)?;
    training.state.replace(samples, &believed)?;
    Ok(losses)
}

impl Wired for Rc {
    const QUICK: &'static str = include_str!("../../../data/profiles/quick/rc.toml");
    const OWN_EPOCHS: Option<usize> = Some(250);

    fn inputs(&self, wire: &mut Wire) -> Result<(Handle<Images>, Handle<Labels>)> {
        Ok((wire.images, wire.labels))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::methods::golden_tests::partial_label;

    fn first_view(
        training: &mut Training<'_, Rc>,
        step: Step,
        samples: &[usize],
        views: &[Tensor],
    ) -> Computed<StepLosses> {
        learn(training, step, samples, &views[0])
    }

    fn confidence(training: &Training<'_, Rc>) -> Vec<f32> {
        training.state.to_vec().unwrap()
    }

    #[test]
    fn whole_steps_of_rc_are_pytorchs() {
        partial_label("rc", Rc::default()).are_pytorchs(|_| {}, first_view, confidence);
    }

    #[test]
    fn whole_steps_of_rc_that_looks_again_are_pytorchs() {
        let method = Rc { post_step: true, ..Rc::default() };
        partial_label("rc_post_step", method).are_pytorchs(|_| {}, first_view, confidence);
    }
}
