//! PiCO (docs/methods.md; Wang et al. 2022, "PiCO: Contrastive Label Disambiguation for Partial Label Learning"): one
//! network learns targets within the candidates, which move towards the candidate whose prototype is nearest, and
//! embeddings in which samples of one pseudo-label attract each other.

use candle_core::{Result as Computed, Tensor};
use pipeline::error::Result;
use pipeline::graph::Handle;
use pipeline::stage::Context;
use serde::{Deserialize, Serialize};

use super::pico_state::{PicoState, best_candidate, momentum_of_targets, own_rates};
use super::{Wire, Wired};
use crate::artifacts::annotation::Labels;
use crate::artifacts::images::Images;
use crate::artifacts::training::SampleLabels;
use crate::learn::bounds::Bounds;
use crate::learn::losses::cross_entropy;
use crate::learn::method::{Figure, Method, Step};
use crate::learn::optimizer::Optimizer;
use crate::learn::step_losses::StepLosses;
use crate::learn::train::Training;
use crate::learn::viewed_batches::{ViewedBatches, check_batch, on_device};
use crate::vision::View;

/// PiCO with its constants. \[I\] comes from the authors' implementation; see docs/method.md for this mark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pico {
    /// Epochs, over which the learning rate follows the whole cosine.
    pub epochs: usize,
    /// Images a step \[I\].
    pub batch: usize,
    /// Learning rate of epoch 0 \[I\].
    pub learning_rate: f64,
    /// Weight decay \[I\].
    pub weight_decay: f64,
    /// Epochs in which targets stay uniform and an embedding is attracted by its own key alone \[I\].
    pub uniform_epochs: usize,
    /// Weight of the contrastive term \[I\].
    pub lambda_contrast: f64,
    /// Temperature of the contrastive term \[I\].
    pub contrast_temperature: f64,
    /// Keys that the queue holds \[I\].
    pub queue: usize,
    /// What the key network keeps of itself in a step \[I\].
    pub key_momentum: f64,
    /// γ, what a prototype keeps of itself for each sample of its class \[I\].
    pub prototype_momentum: f64,
}

impl Default for Pico {
    fn default() -> Self {
        Self {
            epochs: 100,
            batch: 256,
            learning_rate: 0.01,
            weight_decay: 1e-3,
            uniform_epochs: 1,
            lambda_contrast: 0.5,
            contrast_temperature: 0.07,
            queue: 8192,
            key_momentum: 0.999,
            prototype_momentum: 0.99,
        }
    }
}

impl Method for Pico {
    const NAME: &'static str = "pico";
    const TITLE: &'static str = "PiCO";
    const VERSION: u32 = 1;
    const NETWORKS: &'static [&'static str] = &["network"];
    const FIGURES: &'static [&'static str] = &["loss_targets", "loss_contrastive", "pseudo_label_accuracy"];
    const TOLD: &'static [(&'static str, &'static str)] = &[("pseudo_label_accuracy", "pseudo-labels right")];

    type Inputs = (Images, Labels);
    type State = PicoState;
    type Lesson<'a> = ViewedBatches<'a>;

    fn check(&self) -> Result<()> {
        check_batch(Self::NAME, self.batch)?;
        let bounds = Bounds(Self::NAME);
        bounds.weight("learning_rate", self.learning_rate)?;
        bounds.weight("weight_decay", self.weight_decay)?;
        bounds.weight("lambda_contrast", self.lambda_contrast)?;
        bounds.positive("contrast_temperature", self.contrast_temperature)?;
        bounds.queue(self.queue)?;
        bounds.share("key_momentum", self.key_momentum)?;
        bounds.share("prototype_momentum", self.prototype_momentum)
    }

    fn epochs(&self) -> usize {
        self.epochs
    }

    fn optimizer(&self, shared: &Optimizer) -> Optimizer {
        own_rates(shared, self.epochs, self.learning_rate, self.weight_decay)
    }

    fn start(&self, training: &Training<'_, Self, ()>) -> Result<PicoState> {
        PicoState::new(training, self.queue)
    }

    fn lesson<'a>(training: &mut Training<'a, Self>, network: usize) -> Result<ViewedBatches<'a>> {
        let annotated = training.set.annotated_samples();
        let (batch, kinds) = (training.stage.method.batch, [View::Weak, View::Strong]);
        Ok(ViewedBatches::new(training, network, &annotated, batch, &kinds))
    }

    fn step(
        training: &mut Training<'_, Self>,
        lesson: &ViewedBatches<'_>,
        step: Step,
        views: Vec<Tensor>,
    ) -> Computed<StepLosses> {
        let views = on_device(&views, &training.device)?; // (B, H, W, channels) each
        learn(training, step, lesson.samples(step.number), &views)
    }

    fn figures(training: &mut Training<'_, Self>, _: &ViewedBatches<'_>, _: usize) -> Result<Vec<Figure>> {
        let right = training.state.confidence.accuracy(training.set)?;
        Ok(vec![("pseudo_label_accuracy", right)])
    }

    fn sample_labels(training: &Training<'_, Self>, _: &Context) -> Result<Option<SampleLabels>> {
        training.state.confidence.sample_labels(training.set).map(Some)
    }
}

/// One step on the weak and the strong view of these samples: L = CE(P_i, f) + λ L_cont. Prototypes and targets move
/// before the loss, by what the networks saw.
fn learn(
    training: &mut Training<'_, Pico>,
    step: Step,
    samples: &[usize],
    views: &[Tensor],
) -> Computed<StepLosses> {
    let (method, epoch) = (&training.stage.method, training.epoch);
    let candidates = training.set.candidate_masks(samples, &training.device)?; // (B, C)
    let (learner, state) = (&mut training.learners[step.network], &mut training.state);
    let seen = state.look(&learner.network, method.key_momentum, candidates, &views[0], &views[1])?;
    let labels = best_candidate(&seen.logits, &seen.candidates)?; // argmax_j Y_ij f_j, (B)
    state.prototypes.update(&seen.queries.detach(), &labels, method.prototype_momentum)?;
    let settled = epoch >= method.uniform_epochs;
    if settled {
        state.move_targets(samples, &seen, momentum_of_targets(epoch, method.epochs))?;
    }
    let mut losses = StepLosses::default();
    losses.add("loss_targets", 1.0, cross_entropy(&seen.logits, &state.confidence.rows(samples)?)?)?;
    let temperature = method.contrast_temperature;
    let contrast = if settled {
        state.contrast_labels(seen.queries, seen.keys, &labels, temperature)?
    } else {
        state.contrast_samples(&seen.queries, seen.keys, &labels, temperature)?
    };
    losses.add("loss_contrastive", method.lambda_contrast, contrast)?;
    learner.step(losses.total()?, step.rate)?;
    Ok(losses)
}

impl Wired for Pico {
    const QUICK: &'static str = include_str!("../../../data/profiles/quick/pico.toml");
    const OWN_EPOCHS: Option<usize> = Some(800);

    fn inputs(&self, wire: &mut Wire) -> Result<(Handle<Images>, Handle<Labels>)> {
        Ok((wire.images, wire.labels))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::methods::golden_tests::Steps;
    use crate::methods::pico_state::tests::{begin, kept};

    /// The steps of this epoch, counted from 0, with room for so many keys.
    fn steps_are_pytorchs(name: &str, epoch: usize, queue: usize) {
        let method = Pico {
            epochs: 4,
            uniform_epochs: 1,
            queue,
            key_momentum: 0.8,
            prototype_momentum: 0.9,
            ..Pico::default()
        };
        let golden = include_str!("golden/pico.json");
        let weight_decay = method.weight_decay;
        let begin = |training: &mut Training<'_, Pico>| {
            training.epoch = epoch;
            begin(&training.learners[0].network, &mut training.state);
        };
        let steps = Steps { golden, name, method, weight_decay, views: 2 };
        steps.are_pytorchs(begin, learn, |training| kept(&training.state));
    }

    #[test]
    fn whole_steps_of_the_first_epoch_are_pytorchs() {
        // Keys of the second step overwrite some of the first.
        steps_are_pytorchs("pico_uniform", 0, 9);
    }

    #[test]
    fn whole_steps_with_moving_targets_are_pytorchs() {
        steps_are_pytorchs("pico", 3, 24);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let told = |method: Pico| method.check().unwrap_err().to_string();
        assert!(told(Pico { batch: 1, ..Pico::default() }).contains("pico.batch = 1"));
        assert!(told(Pico { learning_rate: -0.1, ..Pico::default() }).contains("pico.learning_rate = -0.1"));
        assert!(told(Pico { key_momentum: 1.1, ..Pico::default() }).contains("pico.key_momentum = 1.1"));
        let temperature = Pico { contrast_temperature: 0.0, ..Pico::default() };
        assert!(told(temperature).contains("pico.contrast_temperature = 0"));
        assert!(Pico::default().check().is_ok());
    }

    #[test]
    fn its_own_rates_lie_over_the_shared_ones() {
        let method = Pico { epochs: 40, learning_rate: 0.2, ..Pico::default() };
        let optimizer = method.optimizer(&Optimizer { budget: 7, ..Optimizer::default() });
        assert_eq!((optimizer.horizon, optimizer.budget), (40, 7));
        assert_eq!((optimizer.learning_rate, optimizer.weight_decay), (0.2, 1e-3));
        assert!((optimizer.final_learning_rate - 2e-4).abs() < 1e-15);
    }
}
