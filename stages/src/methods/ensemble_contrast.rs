//! Ensemble-contrast (docs/methods.md): this project's stand-in for Transductive CLIP (Huang et al. 2022, "Transductive
//! CLIP with Class-Conditional Contrastive Learning").
//!
//! What is known of that method are its two ideas: contrastive learning within classes, so that less rests on wrong
//! labels, and labels that are an ensemble of predictions. Its formulas and constants are not published in what could
//! be read. Those here are this project's, and **figures of it must never be reported as that method's**.

use candle_core::{D, DType, Device, Result as Computed, Tensor};
use pipeline::error::{Error, OrFail, Result};
use pipeline::graph::Handle;
use pipeline::stage::Context;
use serde::{Deserialize, Serialize};
use toml::Table;

use super::pico_state::labelled;
use super::{Wire, Wired, counts};
use crate::artifacts::annotation::{Labels, Votes};
use crate::artifacts::images::Images;
use crate::artifacts::training::SampleLabels;
use crate::dataset::catalog::Schedule;
use crate::learn::bounds::Bounds;
use crate::learn::confidence::Confidence;
use crate::learn::contrastive::weighted_contrast;
use crate::learn::key_encoder::KeyEncoder;
use crate::learn::key_queue::KeyQueue;
use crate::learn::learner::predict;
use crate::learn::losses::cross_entropy;
use crate::learn::method::{Figure, Method, State, Step};
use crate::learn::optimizer::Optimizer;
use crate::learn::step_losses::StepLosses;
use crate::learn::train::Training;
use crate::learn::training_set::TrainingSet;
use crate::learn::viewed_batches::{ViewedBatches, check_batch, on_device};
use crate::network::Pass;
use crate::runtime::checkpoint::{Tensors, join, part};
use crate::vision::View;

/// Ensemble-contrast with its constants, all of them this project's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnsembleContrast {
    /// Epochs, over which the learning rate follows the whole cosine.
    pub epochs: usize,
    /// Images a step.
    pub batch: usize,
    /// Epochs that learn the annotators' averaged probabilities as they are, without contrast.
    pub warm_up_epochs: usize,
    /// What the ensemble keeps of itself where it follows the network's predictions, once an epoch.
    pub ensemble_momentum: f64,
    /// Weight of the contrastive term.
    pub lambda_contrast: f64,
    /// Temperature of the contrastive term.
    pub contrast_temperature: f64,
    /// Keys that the queue holds.
    pub queue: usize,
    /// What the key network keeps of itself in a step.
    pub key_momentum: f64,
}

impl Default for EnsembleContrast {
    fn default() -> Self {
        Self {
            epochs: 100,
            batch: 256,
            warm_up_epochs: 50,
            ensemble_momentum: 0.9,
            lambda_contrast: 0.5,
            contrast_temperature: 0.07,
            queue: 8192,
            key_momentum: 0.999,
        }
    }
}

/// The state of ensemble-contrast.
pub struct EnsembleState {
    /// θ_k with the queue of its keys; in use once warm-up is over.
    encoder: KeyEncoder,
    /// Beside every key the row of E that its sample had then.
    labels_of_keys: KeyQueue,
    /// E: the ensemble labels; starts as the annotators' averaged probabilities.
    ensemble: Confidence,
}

impl EnsembleState {
    /// L_c of queries and keys (B, E) of samples with these ensemble labels (B, C): own key, and rows of one largest
    /// class as far as their labels agree. The keys then join the queue, with their labels.
    fn contrast(
        &mut self,
        queries: &Tensor,
        keys: Tensor,
        labels: &Tensor,
        temperature: f64,
    ) -> Computed<Tensor> {
        let past = self.encoder.queue.keys()?.map(|keys| keys.embeddings);
        let past_labels = self.labels_of_keys.keys()?.map(|labels| labels.embeddings);
        let parts: Vec<&Tensor> = [queries, &keys].into_iter().chain(&past).collect();
        let others = Tensor::cat(&parts, 0)?; // (A, E)
        let parts: Vec<&Tensor> = [labels, labels].into_iter().chain(&past_labels).collect();
        let weights = attraction(labels, &Tensor::cat(&parts, 0)?)?; // (B, A)
        let loss = weighted_contrast(queries, &others, &weights, temperature)?.mean_all()?;
        let classes = labels.argmax(D::Minus1)?;
        self.encoder.queue.push(&labelled(keys, &classes)?)?;
        self.labels_of_keys.push(&labelled(labels.clone(), &classes)?)?;
        Ok(loss)
    }
}

/// How much each query is attracted by each of queries ∪ keys ∪ queue, from the labels (n, C) of the queries and those
/// of all (A, C): 1 by its own key, ⟨E_i, E_a⟩ by whatever has the same largest class, else 0: (n, A).
fn attraction(own: &Tensor, all: &Tensor) -> Computed<Tensor> {
    let (count, others) = (own.dim(0)?, all.dim(0)?);
    let class = |labels: &Tensor| labels.argmax(D::Minus1);
    let same = class(own)?.unsqueeze(1)?.broadcast_eq(&class(all)?.unsqueeze(0)?)?; // (n, A)
    let agreement = (own.matmul(&all.t()?)? * same.to_dtype(DType::F32)?)?;
    let own_key = Tensor::eye(count, DType::F32, own.device())?;
    let own_key = own_key.pad_with_zeros(1, count, others - 2 * count)?;
    (agreement * own_key.affine(-1.0, 1.0)?)? + own_key
}

const ENCODER: &str = "encoder";
const LABELS_OF_KEYS: &str = "labels_of_keys";
const ENSEMBLE: &str = "ensemble";

impl State for EnsembleState {
    fn tensors(&self) -> Result<Tensors> {
        Ok(join(vec![
            (ENCODER, self.encoder.tensors()?),
            (LABELS_OF_KEYS, self.labels_of_keys.tensors()?),
            (ENSEMBLE, self.ensemble.tensors()?),
        ]))
    }

    fn restore(&mut self, tensors: &Tensors) -> Result<()> {
        self.encoder.restore(&part(tensors, ENCODER))?;
        self.labels_of_keys.restore(&part(tensors, LABELS_OF_KEYS))?;
        self.ensemble.restore(&part(tensors, ENSEMBLE))
    }
}

impl Method for EnsembleContrast {
    const NAME: &'static str = "ensemble-contrast";
    const TITLE: &'static str = "ensemble-contrast";
    const VERSION: u32 = 1;
    const NETWORKS: &'static [&'static str] = &["network"];
    const FIGURES: &'static [&'static str] = &["loss_ensemble", "loss_contrastive", "pseudo_label_accuracy"];
    const TOLD: &'static [(&'static str, &'static str)] = &[("pseudo_label_accuracy", "pseudo-labels right")];

    type Inputs = (Images, Labels, Votes);
    type State = EnsembleState;
    type Lesson<'a> = ViewedBatches<'a>;

    fn check(&self) -> Result<()> {
        check_batch(Self::NAME, self.batch)?;
        let bounds = Bounds(Self::NAME);
        bounds.share("ensemble_momentum", self.ensemble_momentum)?;
        bounds.weight("lambda_contrast", self.lambda_contrast)?;
        bounds.positive("contrast_temperature", self.contrast_temperature)?;
        bounds.queue(self.queue)?;
        bounds.share("key_momentum", self.key_momentum)
    }

    fn epochs(&self) -> usize {
        self.epochs
    }

    fn optimizer(&self, shared: &Optimizer) -> Optimizer {
        shared.over(self.epochs)
    }

    fn start(&self, training: &Training<'_, Self, ()>) -> Result<EnsembleState> {
        let (set, device) = (training.set, &training.device);
        let cannot = || Error::new("cannot make the ensemble labels");
        Ok(EnsembleState {
            encoder: KeyEncoder::new(training, 0, self.queue)?,
            labels_of_keys: KeyQueue::new(self.queue, set.classes, device).or_fail(cannot)?,
            ensemble: Confidence::from_rows(first_labels(set), set.classes, device).or_fail(cannot)?,
        })
    }

    fn begin_epoch(training: &mut Training<'_, Self>, context: &Context) -> Result<()> {
        let (set, method) = (training.set, &training.stage.method);
        if !method.contrasts(training.epoch) {
            return Ok(());
        }
        let network = &training.learners[0].network;
        if training.epoch == method.warm_up_epochs {
            let copied = training.state.encoder.network.copy_from(network);
            copied.or_fail(|| Error::new("cannot copy the network to its key network"))?;
        }
        let draws = training.draws(0, "ensemble");
        let probs = predict(network, &set.train, &training.views, View::Weak, draws, context)
            .map_err(|error| training.in_epoch(0, error))?;
        follow(&mut training.state.ensemble, set, &probs, method.ensemble_momentum, &training.device)
            .or_fail(|| Error::new("cannot move the ensemble labels"))
    }

    fn lesson<'a>(training: &mut Training<'a, Self>, network: usize) -> Result<ViewedBatches<'a>> {
        let (method, voted) = (&training.stage.method, training.set.annotated_samples());
        let views: &[View] =
            if method.contrasts(training.epoch) { &[View::Strong, View::Weak] } else { &[View::Strong] };
        Ok(ViewedBatches::new(training, network, &voted, method.batch, views))
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
        let right = training.state.ensemble.accuracy(training.set)?;
        Ok(vec![("pseudo_label_accuracy", right)])
    }

    fn sample_labels(training: &Training<'_, Self>, _: &Context) -> Result<Option<SampleLabels>> {
        // Those that nobody annotated have the network's own.
        let all: Vec<usize> = (0..training.set.len()).collect();
        training.state.ensemble.sample_labels_of(training.set, &all).map(Some)
    }
}

impl EnsembleContrast {
    /// Whether warm-up is over in this epoch, which counts from 0.
    fn contrasts(&self, epoch: usize) -> bool {
        epoch >= self.warm_up_epochs
    }
}

/// E before the first epoch, row after row, (N, C): the annotators' averaged probabilities, and the class itself where
/// a human said which it is. Without probabilities, how much each candidate is believed.
fn first_labels(set: &TrainingSet) -> Vec<f32> {
    let classes = set.classes;
    let mut rows = set.soft_labels.clone().unwrap_or_else(|| set.weights.clone());
    for (i, row) in rows.chunks_mut(classes.max(1)).enumerate().filter(|&(i, _)| set.human[i]) {
        row.iter_mut().zip(set.candidate_row(i)).for_each(|(e, &y)| *e = f32::from(y));
    }
    rows
}

/// E_i ← normalise(m E_i + (1 − m) f(x_i)) with m = `momentum` and the predictions (N, C) for every sample; where a
/// human said which class it is, E stays.
fn follow(
    ensemble: &mut Confidence,
    set: &TrainingSet,
    probs: &[f32],
    momentum: f64,
    device: &Device,
) -> Computed<()> {
    let samples: Vec<usize> = (0..set.len()).filter(|&i| !set.human[i]).collect();
    if samples.is_empty() {
        return Ok(());
    }
    let predicted = samples.iter().flat_map(|&i| &probs[i * set.classes..(i + 1) * set.classes]);
    let predicted = Tensor::from_vec(predicted.copied().collect(), (samples.len(), set.classes), device)?;
    let moved = ((ensemble.rows(&samples)? * momentum)? + (predicted * (1.0 - momentum))?)?;
    ensemble.replace(&samples, &moved.broadcast_div(&moved.sum_keepdim(D::Minus1)?)?)
}

/// One step on these samples: L = CE(E_i, f(strong view)), and λ L_c between the strong view and the key network's weak
/// one, which is there once warm-up is over.
fn learn(
    training: &mut Training<'_, EnsembleContrast>,
    step: Step,
    samples: &[usize],
    views: &[Tensor],
) -> Computed<StepLosses> {
    let method = &training.stage.method;
    let contrasts = method.contrasts(training.epoch);
    let (learner, state) = (&mut training.learners[step.network], &mut training.state);
    let labels = state.ensemble.rows(samples)?; // (B, C)
    let output = learner.network.forward(&views[0], Pass::Train)?;
    let mut losses = StepLosses::default();
    losses.add("loss_ensemble", 1.0, cross_entropy(&output.logits, &labels)?)?;
    if contrasts {
        let queries = learner.network.project(&output.features, Pass::Train)?;
        let keys = state.encoder.keys(&learner.network, method.key_momentum, &views[1])?;
        let contrast = state.contrast(&queries, keys, &labels, method.contrast_temperature)?;
        losses.add("loss_contrastive", method.lambda_contrast, contrast)?;
    }
    learner.step(losses.total()?, step.rate)?;
    Ok(losses)
}

impl Wired for EnsembleContrast {
    const QUICK: &'static str = include_str!("../../../data/profiles/quick/ensemble-contrast.toml");
    const LEARNS_VOTES: bool = true;

    fn scheduled(schedule: &Schedule) -> Table {
        counts(&[("epochs", schedule.total), ("warm_up_epochs", schedule.warm_up)])
    }

    fn inputs(&self, wire: &mut Wire) -> Result<(Handle<Images>, Handle<Labels>, Handle<Votes>)> {
        Ok((wire.images, wire.labels, wire.votes(Self::NAME)?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use candle_nn::ops::softmax;

    use super::*;
    use crate::learn::key_queue::Labelled;
    use crate::methods::golden_tests::Steps;
    use crate::network::tests::{flat, formula};
    use crate::vision::Pixels;

    const CLASSES: usize = 5;

    /// The steps of this epoch, counted from 0, as make_ensemble_contrast.py begins them.
    fn steps_are_pytorchs(name: &str, epoch: usize) {
        let method = EnsembleContrast {
            warm_up_epochs: 1,
            // Keys of the second step overwrite some of the first.
            queue: 9,
            key_momentum: 0.8,
            ..EnsembleContrast::default()
        };
        let golden = include_str!("golden/ensemble_contrast.json");
        let weight_decay = Optimizer::default().weight_decay;
        let steps = Steps { golden, name, method, weight_decay, views: 2 };
        let begin = |training: &mut Training<'_, EnsembleContrast>| {
            training.epoch = epoch;
            training.state.encoder.network.copy_from(&training.learners[0].network).unwrap();
            let (samples, device) = (training.set.len(), &training.device);
            let logits = Tensor::from_vec(formula(samples * CLASSES, 902), (samples, CLASSES), device);
            let labels = softmax(&(logits.unwrap() * 3.0).unwrap(), D::Minus1).unwrap();
            training.state.ensemble = Confidence::from_rows(flat(&labels), CLASSES, device).unwrap();
        };
        let kept = |training: &Training<'_, EnsembleContrast>| {
            let rows = |keys: Option<Labelled>| keys.map(|keys| flat(&keys.embeddings)).unwrap_or_default();
            let state = &training.state;
            let keys = rows(state.encoder.queue.keys().unwrap());
            [keys, rows(state.labels_of_keys.keys().unwrap())].concat()
        };
        steps.are_pytorchs(begin, learn, kept);
    }

    #[test]
    fn whole_steps_of_warm_up_are_pytorchs() {
        steps_are_pytorchs("warm_up", 0);
    }

    #[test]
    fn whole_steps_with_contrast_are_pytorchs() {
        steps_are_pytorchs("ensemble_contrast", 1);
    }

    #[test]
    fn rows_attract_as_far_as_their_labels_agree() {
        let own = Tensor::new(&[[0.8f32, 0.2], [0.3, 0.7]], &Device::Cpu).unwrap();
        let queue = Tensor::new(&[[0.5f32, 0.5], [0.0, 1.0]], &Device::Cpu).unwrap();
        let all = Tensor::cat(&[&own, &own, &queue], 0).unwrap();
        let found = flat(&attraction(&own, &all).unwrap());
        // Itself, which the loss leaves out, the other sample, both keys, and the queue: of equal shares the first is
        // largest.
        let expected = [0.68, 0.0, 1.0, 0.0, 0.5, 0.0, 0.0, 0.58, 0.0, 1.0, 0.0, 0.7];
        assert!(found.iter().zip(expected).all(|(a, b): (_, f32)| (a - b).abs() < 1e-6), "{found:?}");
    }

    /// Three samples of two classes, the second of which a human labelled.
    fn set(soft_labels: Option<Vec<f32>>) -> TrainingSet {
        let none = || Pixels::new(16, 3, Vec::new()).unwrap();
        TrainingSet {
            ids: ["a", "b", "c"].map(str::to_owned).to_vec(),
            train: none(),
            test: none(),
            candidates: vec![1, 1, 0, 1, 1, 0],
            weights: vec![0.75, 0.25, 0.0, 1.0, 1.0, 0.0],
            annotated: vec![true; 3],
            single: vec![Some(0), Some(1), Some(0)],
            human: vec![false, true, false],
            soft_labels,
            classes: 2,
            truth: vec![None; 3],
            test_weights: Vec::new(),
            test_annotated: Vec::new(),
            test_truth: Vec::new(),
        }
    }

    #[test]
    fn the_ensemble_starts_as_the_votes_and_follows_but_for_what_humans_say() {
        let set = set(Some(vec![0.6, 0.4, 0.9, 0.1, 0.8, 0.2]));
        assert_eq!(first_labels(&set), [0.6, 0.4, 0.0, 1.0, 0.8, 0.2]);
        let mut ensemble = Confidence::from_rows(first_labels(&set), 2, &Device::Cpu).unwrap();
        let probs = [0.1, 0.9, 0.9, 0.1, 1.0, 0.0];
        follow(&mut ensemble, &set, &probs, 0.9, &Device::Cpu).unwrap();
        let (found, expected) = (ensemble.to_vec().unwrap(), [0.55, 0.45, 0.0, 1.0, 0.82, 0.18]);
        assert!(found.iter().zip(expected).all(|(a, b): (_, f32)| (a - b).abs() < 1e-6), "{found:?}");
    }

    #[test]
    fn without_votes_it_starts_as_the_candidates_are_believed() {
        assert_eq!(first_labels(&set(None)), [0.75, 0.25, 0.0, 1.0, 1.0, 0.0]);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let told = |method: EnsembleContrast| method.check().unwrap_err().to_string();
        let momentum = EnsembleContrast { ensemble_momentum: -0.1, ..EnsembleContrast::default() };
        assert!(told(momentum).contains("ensemble-contrast.ensemble_momentum = -0.1"));
        let batch = EnsembleContrast { batch: 0, ..EnsembleContrast::default() };
        assert!(told(batch).contains("ensemble-contrast.batch = 0"));
        assert!(EnsembleContrast::default().check().is_ok());
    }
}
