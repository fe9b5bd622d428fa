//! LW, the leveraged weighted loss (docs/methods.md; Wen et al. 2021, "Leveraged Weighted Loss for Partial Label
//! Learning"): one network learns that candidates are likely and the other classes are not, each class with a weight
//! that follows the network's own predictions. LWS has a sigmoid in it, LWC a cross-entropy.

use candle_core::{Device, Result as Computed, Tensor};
use pipeline::error::{Error, OrFail, Result};
use pipeline::graph::Handle;
use pipeline::stage::Context;
use serde::{Deserialize, Serialize};

use super::{Wire, Wired};
use crate::artifacts::annotation::Labels;
use crate::artifacts::images::Images;
use crate::artifacts::training::SampleLabels;
use crate::learn::bounds::Bounds;
use crate::learn::confidence::Confidence;
use crate::learn::method::{Figure, Method, Step};
use crate::learn::optimizer::{Decay, Optimizer};
use crate::learn::partial_losses::{
    keep_certain, leveraged_cross_entropy, leveraged_sigmoid, normalise_both_sides,
};
use crate::learn::step_losses::StepLosses;
use crate::learn::train::Training;
use crate::learn::viewed_batches::{ViewedBatches, check_batch};
use crate::network::Pass;
use crate::vision::View;

/// LW with its constants. \[P\] is stated in the paper, \[I\] comes from the authors' implementation; see
/// docs/methods.md.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lw {
    /// Epochs, over which the learning rate falls by half five times.
    pub epochs: usize,
    /// Images a step \[I\].
    pub batch: usize,
    /// What is leveraged.
    pub loss: Leveraged,
    /// β, how much the classes that are no candidates count against the candidates \[I: 1 or 2\].
    pub beta: f64,
    /// The weights before an image was first seen.
    pub start: Start,
    /// Whether the batch is shown again after the step and its weights follow that prediction \[I\]; otherwise they
    /// follow the prediction that the step was made with, which saves a pass.
    pub post_step: bool,
    /// Learning rate of epoch 0; 0 for the loss's own.
    pub learning_rate: f64,
    /// Weight decay; 0 for the loss's own.
    pub weight_decay: f64,
}

/// The weights before an image was first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// 1/C for every class \[I\]. Where few are candidates the others outweigh them, and the first steps push all logits
    /// down: LWS then has hardly a gradient left.
    Even,
    /// Even over the candidates and even over the others, each side summing to one, as after the first visit. Ours.
    BySide,
}

/// What the leveraged loss is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leveraged {
    /// σ(−g_j) of candidates and σ(g_j) of the others: LWS \[P\].
    Sigmoid,
    /// −log f_j of candidates and −log(1 − f_j) of the others: LWC \[P\].
    CrossEntropy,
}

impl Leveraged {
    /// The loss of logits (B, C) with candidates and weights (B, C).
    fn of(self, logits: &Tensor, candidates: &Tensor, weights: &Tensor, beta: f64) -> Computed<Tensor> {
        match self {
            Self::Sigmoid => leveraged_sigmoid(logits, candidates, weights, beta),
            Self::CrossEntropy => leveraged_cross_entropy(logits, candidates, weights, beta),
        }
    }

    /// Its learning rate and its weight decay: the authors' \[I\], but for the decay of LWC, where they have 1e-2.
    fn rates(self) -> [f64; 2] {
        match self {
            Self::Sigmoid => [0.05, 1e-3],
            Self::CrossEntropy => [0.01, 1e-3],
        }
    }
}

impl Default for Lw {
    fn default() -> Self {
        Self {
            epochs: 100,
            batch: 256,
            loss: Leveraged::Sigmoid,
            beta: 1.0,
            start: Start::Even,
            post_step: true,
            learning_rate: 0.0,
            weight_decay: 0.0,
        }
    }
}

impl Method for Lw {
    const NAME: &'static str = "lw";
    const TITLE: &'static str = "LW";
    const VERSION: u32 = 1;
    const NETWORKS: &'static [&'static str] = &["network"];
    const FIGURES: &'static [&'static str] = &["pseudo_label_accuracy"];
    const TOLD: &'static [(&'static str, &'static str)] = &[("pseudo_label_accuracy", "pseudo-labels right")];

    type Inputs = (Images, Labels);
    /// w: starts as `start` says; once an image was seen its row sums to one over the candidates, and to one over the others.
    type State = Confidence;
    type Lesson<'a> = ViewedBatches<'a>;

    fn check(&self) -> Result<()> {
        check_batch(Self::NAME, self.batch)?;
        let bounds = Bounds(Self::NAME);
        bounds.weight("beta", self.beta)?;
        bounds.weight("learning_rate", self.learning_rate)?;
        bounds.weight("weight_decay", self.weight_decay)
    }

    fn epochs(&self) -> usize {
        self.epochs
    }

    fn optimizer(&self, shared: &Optimizer) -> Optimizer {
        let or = |setting: f64, own: f64| if setting > 0.0 { setting } else { own };
        let [learning_rate, weight_decay] = self.loss.rates();
        Optimizer {
            learning_rate: or(self.learning_rate, learning_rate),
            weight_decay: or(self.weight_decay, weight_decay),
            decay: Decay::Halvings,
            ..shared.over(self.epochs)
        }
    }

    fn start(&self, training: &Training<'_, Self, ()>) -> Result<Confidence> {
        let (set, device) = (training.set, &training.device);
        let weights = first_weights(&set.candidates, &set.human, set.classes, training.stage.method.start);
        Confidence::from_rows(weights, set.classes, device).or_fail(|| Error::new("cannot make the weights"))
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
        let right = of_candidates(training)?.accuracy(training.set)?;
        Ok(vec![("pseudo_label_accuracy", right)])
    }

    fn sample_labels(training: &Training<'_, Self>, _: &Context) -> Result<Option<SampleLabels>> {
        of_candidates(training)?.sample_labels(training.set).map(Some)
    }
}

/// w before the first epoch, (N · C). Where a human gave the class, it has all.
fn first_weights(candidates: &[u8], human: &[bool], classes: usize, start: Start) -> Vec<f32> {
    let row = |(row, &human): (&[u8], &bool)| -> Vec<f32> {
        let count = row.iter().filter(|&&y| y == 1).count();
        let weight = |&y: &u8| match (human, start, y) {
            (true, ..) => f32::from(y),
            (false, Start::Even, _) => 1.0 / classes as f32,
            (false, Start::BySide, 1) => 1.0 / count as f32,
            (false, Start::BySide, _) => 1.0 / (classes - count) as f32,
        };
        row.iter().map(weight).collect()
    };
    candidates.chunks(classes.max(1)).zip(human).flat_map(row).collect()
}

/// One step on these samples: the loss with the weights as they are; then they follow the prediction, on either side of
/// the candidates.
fn learn(
    training: &mut Training<'_, Lw>,
    step: Step,
    samples: &[usize],
    images: &Tensor,
) -> Computed<StepLosses> {
    let method = &training.stage.method;
    let candidates = training.set.candidate_masks(samples, &training.device)?; // (B, C)
    let weights = training.state.rows(samples)?; // (B, C)
    let learner = &mut training.learners[step.network];
    let mut logits = learner.network.forward(images, Pass::Train)?.logits; // (B, C)
    let losses = StepLosses::of(method.loss.of(&logits, &candidates, &weights, method.beta)?);
    learner.step(losses.total()?, step.rate)?;
    if method.post_step {
        logits = learner.network.forward(images, Pass::TrainNoGrad)?.logits;
    }
    let human: Vec<bool> = samples.iter().map(|&i| training.set.human[i]).collect();
    let weights = keep_certain(&normalise_both_sides(&logits, &candidates)?, &candidates, &human)?;
    training.state.replace(samples, &weights)?;
    Ok(losses)
}

/// The candidates' weights, scaled to sum to one: w until an image was first seen is the same for all classes.
fn of_candidates(training: &Training<'_, Lw>) -> Result<Confidence> {
    let (set, cannot) = (training.set, || Error::new("cannot read the weights from the device"));
    let mut rows = training.state.to_vec().or_fail(cannot)?;
    share_out(&mut rows, &set.candidates, set.classes);
    Confidence::from_rows(rows, set.classes, &Device::Cpu).or_fail(cannot)
}

/// Takes from every row of weights (N · C) what is no candidate, and scales the rest to sum to one.
fn share_out(weights: &mut [f32], candidates: &[u8], classes: usize) {
    for (row, candidates) in weights.chunks_mut(classes).zip(candidates.chunks(classes)) {
        row.iter_mut().zip(candidates).for_each(|(weight, &candidate)| *weight *= f32::from(candidate));
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|weight| *weight /= sum);
    }
}

impl Wired for Lw {
    const QUICK: &'static str = include_str!("../../../data/profiles/quick/lw.toml");
    const OWN_EPOCHS: Option<usize> = Some(250);

    fn inputs(&self, wire: &mut Wire) -> Result<(Handle<Images>, Handle<Labels>)> {
        Ok((wire.images, wire.labels))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::methods::golden_tests::Steps;

    /// The two steps that make_lw.py calls `name` are those of `method`.
    fn are_pytorchs(name: &str, method: Lw) {
        let weight_decay = method.optimizer(&Optimizer::default()).weight_decay;
        let steps = Steps { golden: include_str!("golden/lw.json"), name, method, weight_decay, views: 1 };
        let learn = |training: &mut Training<'_, Lw>, step, samples: &[usize], views: &[Tensor]| {
            learn(training, step, samples, &views[0])
        };
        steps.are_pytorchs(|_| {}, learn, |training| training.state.to_vec().unwrap());
    }

    #[test]
    fn whole_steps_of_lws_are_pytorchs() {
        are_pytorchs("lws", Lw::default());
        are_pytorchs("lws_of_the_step", Lw { post_step: false, beta: 2.0, ..Lw::default() });
    }

    #[test]
    fn whole_steps_of_lwc_are_pytorchs() {
        let lwc = Lw { loss: Leveraged::CrossEntropy, ..Lw::default() };
        are_pytorchs("lwc", lwc.clone());
        are_pytorchs("lwc_of_the_step", Lw { post_step: false, beta: 2.0, ..lwc });
    }

    #[test]
    fn each_loss_has_its_own_rates_unless_they_are_set() {
        let rates = |method: Lw| {
            let Optimizer { learning_rate, weight_decay, decay, horizon, .. } =
                method.optimizer(&Optimizer::default());
            assert_eq!((decay, horizon), (Decay::Halvings, method.epochs));
            (learning_rate, weight_decay)
        };
        let lwc = Lw { loss: Leveraged::CrossEntropy, epochs: 30, ..Lw::default() };
        assert_eq!(rates(Lw::default()), (0.05, 1e-3));
        assert_eq!(rates(lwc.clone()), (0.01, 1e-3));
        assert_eq!(rates(Lw { learning_rate: 0.08, ..lwc.clone() }), (0.08, 1e-3));
        assert_eq!(rates(Lw { weight_decay: 1e-2, ..lwc }), (0.01, 1e-2));
    }

    #[test]
    fn weights_start_even_but_where_a_human_knows() {
        let weights =
            |start| first_weights(&[1, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0], &[false, true, false], 4, start);
        let (known, third) = ([0.0, 1.0, 0.0, 0.0], 1.0 / 3.0);
        assert_eq!(weights(Start::Even), [[0.25; 4], known, [0.25; 4]].concat());
        assert_eq!(weights(Start::BySide), [[0.5; 4], known, [third, 1.0, third, third]].concat());
    }

    #[test]
    fn labels_come_from_the_candidates_weights_alone() {
        let mut weights = vec![0.2, 0.8, 0.1, 0.9, 0.25, 0.25, 0.25, 0.25];
        share_out(&mut weights, &[1, 1, 0, 0, 1, 0, 0, 1], 4);
        assert_eq!(weights, [0.2, 0.8, 0.0, 0.0, 0.5, 0.0, 0.0, 0.5]);
    }

    #[test]
    fn nonsense_is_refused_by_its_name() {
        let refused = |method: Lw| method.check().unwrap_err().to_string();
        assert!(refused(Lw { beta: -1.0, ..Lw::default() }).contains("lw.beta = -1"));
        assert!(refused(Lw { learning_rate: f64::NAN, ..Lw::default() }).contains("lw.learning_rate"));
        assert!(refused(Lw { weight_decay: -1e-3, ..Lw::default() }).contains("lw.weight_decay"));
        assert!(refused(Lw { batch: 1, ..Lw::default() }).contains("lw.batch"));
        Lw { beta: 0.0, ..Lw::default() }.check().unwrap();
    }
}
