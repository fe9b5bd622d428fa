//! Warm-up (method §4): both networks, separately, learn from the candidate sets as they are. What Co-Reg goes on from;
//! by itself a method, too.

use candle_core::{D, Result as Computed, Tensor};
use candle_nn::ops::softmax;
use pipeline::error::{Error, Result};
use pipeline::graph::Handle;
use serde::{Deserialize, Serialize};
use toml::Table;

use super::{Wire, Wired, epochs};
use crate::artifacts::annotation::Labels;
use crate::artifacts::images::Images;
use crate::dataset::catalog::Schedule;
use crate::learn::losses::{cross_entropy, negative_entropy, partial_cross_entropy};
use crate::learn::method::{Method, Step};
use crate::learn::step_losses::StepLosses;
use crate::learn::train::Training;
use crate::learn::viewed_batches::{ViewedBatches, check_batch};
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
    /// Added within the logarithm of the first term \[P: 0; I: 1e-5\].
    pub epsilon: f64,
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
        Self { epochs: 50, batch: 512, epsilon: 0.0, target: Target::Candidates }
    }
}

impl Method for WarmUp {
    const NAME: &'static str = "warm-up";
    const TITLE: &'static str = "warm-up";
    // 5: the first term may have an epsilon.
    const VERSION: u32 = 5;
    const NETWORKS: &'static [&'static str] = &["network1", "network2"];
    const FIGURES: &'static [&'static str] = &["loss_partial", "loss_negative_entropy"];

    type Inputs = (Images, Labels);
    type State = ();
    type Lesson<'a> = ViewedBatches<'a>;

    fn check(&self) -> Result<()> {
        if !(0.0..1.0).contains(&self.epsilon) {
            return Err(Error::new(format!("warm-up.epsilon = {} must be 0 or a small share", self.epsilon))
                .help("set warm-up.epsilon=0, as in the paper, or 1e-5, as in the authors' implementation"));
        }
        check_batch(Self::NAME, self.batch)
    }

    fn epochs(&self) -> usize {
        self.epochs
    }

    fn start(&self, _training: &Training<'_, Self, ()>) -> Result<()> {
        Ok(())
    }

    fn lesson<'a>(training: &mut Training<'a, Self>, network: usize) -> Result<ViewedBatches<'a>> {
        let samples = match training.stage.method.target {
            Target::Candidates => (0..training.set.len()).collect(),
            Target::Weights => training.set.annotated_samples(),
        };
        Ok(ViewedBatches::new(training, network, &samples, training.stage.method.batch, &[View::Strong]))
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

/// One step on these samples.
fn learn(
    training: &mut Training<'_, WarmUp>,
    step: Step,
    samples: &[usize],
    images: &Tensor,
) -> Computed<StepLosses> {
    let learner = &mut training.learners[step.network];
    let logits = learner.network.forward(images, Pass::Train)?.logits; // (B, C)
    let mut losses = StepLosses::default();
    let WarmUp { target, epsilon, .. } = training.stage.method;
    match target {
        Target::Candidates => {
            let candidates = training.set.candidate_masks(samples, &training.device)?;
            let partial = match epsilon == 0.0 {
                true => partial_cross_entropy(&logits, &candidates)?,
                false => guarded_partial_cross_entropy(&logits, &candidates, epsilon)?,
            };
            losses.add("loss_partial", 1.0, partial)?;
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

/// −log(Σ_j Y_j f_j(x) + ε), the first term of the warm-up loss in the authors' implementation (method §4), from logits
/// (B, C) and candidates (B, C) of zeros and ones. A sample whose candidates leave it next to no probability weighs no more
/// than −log ε, and pulls hardly. Samples whose candidates are all classes are skipped; the mean is over the others.
fn guarded_partial_cross_entropy(logits: &Tensor, candidates: &Tensor, epsilon: f64) -> Computed<Tensor> {
    let classes = candidates.dim(D::Minus1)? as f64;
    let informative = candidates.sum(D::Minus1)?.lt(classes)?.to_dtype(logits.dtype())?; // (B)
    let inside = (softmax(logits, D::Minus1)? * candidates)?.sum(D::Minus1)?; // (B)
    let total = ((inside + epsilon)?.log()?.neg()? * &informative)?.sum_all()?;
    total / informative.sum_all()?.clamp(1f64, f64::MAX)?
}

impl Wired for WarmUp {
    const QUICK: &'static str = include_str!("../../../data/profiles/quick/warm-up.toml");

    fn scheduled(schedule: &Schedule) -> Table {
        epochs(schedule.warm_up)
    }

    fn inputs(&self, wire: &mut Wire) -> Result<(Handle<Images>, Handle<Labels>)> {
        Ok((wire.images, wire.labels))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use candle_core::{Device, Var};

    use super::*;
    use crate::methods::golden_tests::Steps;

    fn first_view(
        training: &mut Training<'_, WarmUp>,
        step: Step,
        samples: &[usize],
        views: &[Tensor],
    ) -> Computed<StepLosses> {
        learn(training, step, samples, &views[0])
    }

    fn are_pytorchs(name: &str, method: WarmUp) {
        let golden = include_str!("golden/warm_up.json");
        Steps { golden, name, method, weight_decay: 5e-4, views: 1 }.are_pytorchs(
            |_| {},
            first_view,
            |_| Vec::new(),
        );
    }

    #[test]
    fn whole_steps_are_pytorchs() {
        are_pytorchs("paper", WarmUp::default());
    }

    #[test]
    fn whole_steps_with_an_epsilon_are_pytorchs() {
        are_pytorchs("epsilon", WarmUp { epsilon: 0.05, ..WarmUp::default() });
    }

    #[test]
    fn a_sample_whose_candidates_have_no_probability_stays_finite_and_all_candidates_say_nothing() {
        let logits = Tensor::new(&[[0f32, -200., -200.], [0., 0., 0.]], &Device::Cpu).unwrap();
        let logits = Var::from_tensor(&logits).unwrap();
        let candidates = Tensor::new(&[[0f32, 1., 1.], [1., 1., 1.]], &Device::Cpu).unwrap();
        let loss = guarded_partial_cross_entropy(&logits, &candidates, 1e-5).unwrap();
        assert!((loss.to_scalar::<f32>().unwrap() + 1e-5f32.ln()).abs() < 1e-4);
        let gradients = loss.backward().unwrap();
        let gradient: Vec<f32> = gradients.get(&logits).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        assert!(gradient.iter().all(|g| g.abs() < 1e-6), "{gradient:?}");
    }

    #[test]
    fn an_epsilon_is_a_small_share() {
        for (epsilon, right) in [(0.0, true), (1e-5, true), (-1e-5, false), (1.0, false), (f64::NAN, false)] {
            assert_eq!(WarmUp { epsilon, ..WarmUp::default() }.check().is_ok(), right, "{epsilon}");
        }
    }
}
