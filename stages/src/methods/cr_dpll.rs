//! CR-DPLL (docs/methods.md; Wu, Wang and Zhang 2022, "Revisiting Consistency Regularization for Deep Partial Label
//! Learning"): one network learns what an image is not from the classes that are no candidates, and draws several views
//! of an image towards one distribution over its candidates.

use candle_core::{Result as Computed, Tensor};
use pipeline::error::{Error, OrFail, Result};
use pipeline::graph::Handle;
use pipeline::stage::Context;
use serde::{Deserialize, Serialize};
use toml::Table;

use super::{Wire, Wired, counts};
use crate::artifacts::annotation::Labels;
use crate::artifacts::images::Images;
use crate::artifacts::training::SampleLabels;
use crate::dataset::catalog::Schedule;
use crate::learn::bounds::Bounds;
use crate::learn::confidence::Confidence;
use crate::learn::losses::kl_divergence;
use crate::learn::method::{Figure, Method, Step};
use crate::learn::optimizer::{Decay, Optimizer};
use crate::learn::partial_losses::{geometric_mean, non_candidate_loss};
use crate::learn::schedule::linear_ramp;
use crate::learn::step_losses::StepLosses;
use crate::learn::train::Training;
use crate::learn::viewed_batches::{ViewedBatches, check_batch, on_device};
use crate::network::Pass;
use crate::vision::View;

/// CR-DPLL with its constants. \[I\] comes from the authors' implementation; see docs/methods.md.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrDpll {
    /// Epochs, over which the learning rate goes through its three levels.
    pub epochs: usize,
    /// Images a step.
    pub batch: usize,
    /// λ₀, weight of the consistency term once the ramp is over \[I\].
    pub lambda: f64,
    /// Epochs over which that weight grows from 0 \[I: half of all\].
    pub ramp: usize,
    /// Learning rate of epoch 0.
    pub learning_rate: f64,
    /// Weight decay.
    pub weight_decay: f64,
}

impl Default for CrDpll {
    fn default() -> Self {
        Self { epochs: 100, batch: 256, lambda: 1.0, ramp: 50, learning_rate: 0.05, weight_decay: 5e-4 }
    }
}

/// x₀, whose prediction the non-candidates are for as well, and x₁, x₂.
const VIEWS: [View; 3] = [View::Weak, View::Strong, View::Strong];

impl Method for CrDpll {
    const NAME: &'static str = "cr-dpll";
    const TITLE: &'static str = "CR-DPLL";
    const VERSION: u32 = 1;
    const NETWORKS: &'static [&'static str] = &["network"];
    const FIGURES: &'static [&'static str] =
        &["loss_supervised", "loss_consistency", "pseudo_label_accuracy"];
    const TOLD: &'static [(&'static str, &'static str)] = &[("pseudo_label_accuracy", "pseudo-labels right")];

    type Inputs = (Images, Labels);
    /// P: starts uniform over the candidates.
    type State = Confidence;
    type Lesson<'a> = ViewedBatches<'a>;

    fn check(&self) -> Result<()> {
        check_batch(Self::NAME, self.batch)?;
        let bounds = Bounds(Self::NAME);
        bounds.weight("lambda", self.lambda)?;
        bounds.positive("learning_rate", self.learning_rate)?;
        bounds.weight("weight_decay", self.weight_decay)
    }

    fn epochs(&self) -> usize {
        self.epochs
    }

    fn optimizer(&self, shared: &Optimizer) -> Optimizer {
        Optimizer {
            learning_rate: self.learning_rate,
            weight_decay: self.weight_decay,
            decay: Decay::TenthsAtHalfAndThreeQuarters,
            ..shared.over(self.epochs)
        }
    }

    fn start(&self, training: &Training<'_, Self, ()>) -> Result<Confidence> {
        Confidence::uniform(training.set, &training.device)
            .or_fail(|| Error::new("cannot make the confidence matrix"))
    }

    fn lesson<'a>(training: &mut Training<'a, Self>, network: usize) -> Result<ViewedBatches<'a>> {
        let annotated = training.set.annotated_samples();
        Ok(ViewedBatches::new(training, network, &annotated, training.stage.method.batch, &VIEWS))
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
        Ok(vec![("pseudo_label_accuracy", training.state.accuracy(training.set)?)])
    }

    fn sample_labels(training: &Training<'_, Self>, _: &Context) -> Result<Option<SampleLabels>> {
        training.state.sample_labels(training.set).map(Some)
    }
}

impl CrDpll {
    /// λ in an epoch, counted from 0: min(λ₀ · epoch / ramp, λ₀).
    fn lambda(&self, epoch: usize) -> f64 {
        self.lambda * linear_ramp(epoch as f64, self.ramp)
    }
}

/// One step on these samples, with x₀, x₁, x₂ in `views`: L = −Σ_{j∉Y} log(1 − f_j(x₀)) + λ Σ_k KL(P_i ‖ f(x_k)); then
/// P_ij ∝ Y_ij Π_k f_j(x_k)^{1/3}, of the predictions that the step was made with.
fn learn(
    training: &mut Training<'_, CrDpll>,
    step: Step,
    samples: &[usize],
    views: &[Tensor],
) -> Computed<StepLosses> {
    let candidates = training.set.candidate_masks(samples, &training.device)?; // (B, C)
    let targets = training.state.rows(samples)?; // (B, C)
    let lambda = training.stage.method.lambda(training.epoch);
    let learner = &mut training.learners[step.network];
    let forward = |view: &Tensor| learner.network.forward(view, Pass::Train).map(|output| output.logits);
    let logits = views.iter().map(forward).collect::<Computed<Vec<_>>>()?; // (B, C) each
    let divergences = logits.iter().map(|of_view| kl_divergence(of_view, &targets));
    let consistency = Tensor::stack(&divergences.collect::<Computed<Vec<_>>>()?, 0)?.sum_all()?;
    let mut losses = StepLosses::default();
    losses.add("loss_supervised", 1.0, non_candidate_loss(&logits[0], &candidates)?)?;
    losses.add("loss_consistency", lambda, consistency)?;
    learner.step(losses.total()?, step.rate)?;
    training.state.replace(samples, &geometric_mean(&logits, &candidates, &targets)?)?;
    Ok(losses)
}

impl Wired for CrDpll {
    const QUICK: &'static str = include_str!("../../../data/profiles/quick/cr-dpll.toml");
    const OWN_EPOCHS: Option<usize> = Some(200);

    fn scheduled(schedule: &Schedule) -> Table {
        counts(&[("epochs", schedule.total), ("ramp", schedule.total / 2)])
    }

    fn inputs(&self, wire: &mut Wire) -> Result<(Handle<Images>, Handle<Labels>)> {
        Ok((wire.images, wire.labels))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::methods::golden_tests::Steps;

    #[test]
    fn whole_steps_of_cr_dpll_are_pytorchs() {
        let method = CrDpll { lambda: 0.8, ramp: 4, ..CrDpll::default() };
        let weight_decay = method.weight_decay;
        let (golden, name) = (include_str!("golden/cr_dpll.json"), "cr_dpll");
        let steps = Steps { golden, name, method, weight_decay, views: 3 };
        // λ = .8 · 3/4 in both steps.
        let prepare = |training: &mut Training<'_, CrDpll>| training.epoch = 3;
        steps.are_pytorchs(prepare, learn, |training| training.state.to_vec().unwrap());
    }

    #[test]
    fn the_consistency_term_grows_over_the_first_half() {
        let schedule = CrDpll::scheduled(&Schedule { warm_up: 10, total: 30 });
        assert_eq!([&schedule["epochs"], &schedule["ramp"]].map(|n| n.as_integer()), [Some(30), Some(15)]);
        let method = CrDpll { lambda: 2.0, ramp: 4, ..CrDpll::default() };
        assert_eq!([0, 1, 2, 4, 9].map(|epoch| method.lambda(epoch)), [0.0, 0.5, 1.0, 2.0, 2.0]);
        assert_eq!(CrDpll { ramp: 0, ..method }.lambda(0), 2.0);
    }

    #[test]
    fn its_rates_are_its_own() {
        let shared = Optimizer { budget: 5000, ..Optimizer::default() };
        let optimizer = CrDpll { epochs: 40, ..CrDpll::default() }.optimizer(&shared);
        assert_eq!((optimizer.horizon, optimizer.budget), (40, 5000));
        let rates = [0, 19, 20, 29, 30].map(|epoch| (optimizer.rate(epoch) * 1e6).round() / 1e6);
        assert_eq!(rates, [0.05, 0.05, 0.005, 0.005, 0.0005]);
    }

    #[test]
    fn nonsense_is_refused_by_its_name() {
        let refused = |method: CrDpll| method.check().unwrap_err().to_string();
        assert!(refused(CrDpll { lambda: -1.0, ..CrDpll::default() }).contains("cr-dpll.lambda = -1"));
        assert!(
            refused(CrDpll { learning_rate: 0.0, ..CrDpll::default() }).contains("cr-dpll.learning_rate")
        );
        assert!(refused(CrDpll { weight_decay: f64::NAN, ..CrDpll::default() }).contains("weight_decay"));
        assert!(refused(CrDpll { batch: 1, ..CrDpll::default() }).contains("cr-dpll.batch"));
        CrDpll { lambda: 0.0, ramp: 0, ..CrDpll::default() }.check().unwrap();
    }
}
