//! The stage that trains by a method, and the only training loop: resume, prefetched views, progress, history,
//! recalibration, finiteness.

use std::time::Instant;

use candle_core::Device;
use pipeline::error::{Error, OrFail, Result};
use pipeline::random;
use pipeline::stage::{Context, Inputs, Machine, Resources, Stage};
use rand::seq::{IndexedRandom, SliceRandom};
use serde::{Deserialize, Serialize};

use super::criteria::{self, HeldOut};
use super::learner::{Learner, logits, recalibrate};
use super::method::{Figure, Lesson, Material, Method, State, Step};
use super::metrics::{accuracy, argmax_rows, share, softmax_rows};
use super::optimizer::Optimizer;
use super::schedule::turns;
use super::step_losses::EpochLosses;
use super::training_set::{Input, TrainingSet};
use crate::artifacts::history::{Epoch, History};
use crate::artifacts::student::{Provenance, Student, Weights};
use crate::artifacts::training::Trained;
use crate::network::Architecture;
use crate::runtime::checkpoint;
use crate::runtime::device::Place;
use crate::runtime::prefetch::prefetch;
use crate::vision::{Draw, View, Views};

/// Batches of views that are made while a step is under way: one to take at once, one in the making.
const AHEAD: usize = 2;

/// Figures of every history beside the method's own: at its beginning, and at its end. The accuracy of all networks
/// together is there where there are several.
const FIRST: [&str; 2] = ["learning_rate", "loss"];
const TEST: &str = "accuracy_test";
const TEST_TOGETHER: &str = "accuracy_test_both";
/// Share of the test images on which all networks agree, where there are several.
pub const AGREEMENT: &str = "agreement";

/// The stage: one training by the method `M`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(serialize = "M: Serialize", deserialize = "M: for<'a> Deserialize<'a>"))]
pub struct Train<M> {
    /// The method with its constants.
    pub method: M,
    /// Seed of weights, order, views and mixing.
    pub seed: u64,
    /// The optimizer and its schedule.
    pub optimizer: Optimizer,
    /// How images become input.
    pub input: Input,
    /// What the networks look like.
    pub architecture: Architecture,
}

/// A training under way.
pub struct Training<'a, M: Method, S = <M as Method>::State> {
    /// The stage with all settings.
    pub stage: &'a Train<M>,
    /// The images and their labels.
    pub set: &'a TrainingSet,
    /// How views are made of the images.
    pub views: Views,
    /// Where it is computed.
    pub device: Device,
    /// The networks with their optimizers, in the order of [`Method::NETWORKS`].
    pub learners: Vec<Learner>,
    /// What the method carries along.
    pub state: S,
    /// Epochs done.
    pub epoch: usize,
    /// Epochs of the earlier training that this one goes on from: its learning rate does.
    pub epochs_before: usize,
    /// A row an epoch and network.
    pub history: History,
}

impl<M: Method> Stage for Train<M> {
    type Inputs = M::Inputs;
    type Output = Trained;
    const NAME: &'static str = M::NAME;
    const VERSION: u32 = M::VERSION;

    fn resources(&self, machine: &Machine) -> Resources {
        Place::of(machine).resources()
    }

    fn check(&self, machine: &Machine) -> Result<()> {
        let place = Place::of(machine);
        self.method.check()?;
        if self.method.epochs() == 0 {
            return Err(Error::new(format!("0 epochs of {} are no training", M::NAME))
                .help(format!("set {}.epochs ≥ 1", M::NAME)));
        }
        self.optimizer.check(place)?;
        self.architecture.validate()?;
        self.input.views()?;
        place.device().map(drop)
    }

    fn run(&self, inputs: <Self::Inputs as Inputs>::Loaded, context: &Context) -> Result<Trained> {
        let material: Material = inputs.into();
        let Material { images, labels, votes, start } = &material;
        let set = TrainingSet::new(images, labels, votes.as_deref(), &self.input, context)?;
        let device = Place::of(context.machine()).device()?;
        let mut training = self.resume(&set, start.as_deref(), &device, context)?;
        let epochs = self.method.epochs();
        context.progress().begin(epochs as u64, "epochs");
        context.progress().advance(training.epoch as u64);
        while training.epoch < epochs {
            let began = Instant::now();
            training.run_epoch(context)?;
            training.save(context)?;
            context.progress().advance(1);
            let seconds = began.elapsed().as_secs_f64();
            context.progress().note(format!("{}, {seconds:.1} s", training.describe()));
        }
        let sample_labels = M::sample_labels(&training, context)?;
        let provenance = Provenance {
            version: M::VERSION,
            settings: self.key()?,
            training_images: set.len(),
            annotators: labels.names.annotators.clone(),
        };
        let student = Student {
            method: M::NAME.to_owned(),
            classes: labels.names.classes.clone(),
            input: self.input.format(),
            architecture: self.architecture.clone(),
            networks: training.weights()?,
            provenance,
        };
        Ok(Trained { student, history: training.history, sample_labels })
    }
}

impl<M: Method> Train<M> {
    /// Goes on from the checkpoint if there is one that fits, else from the start.
    fn resume<'a>(
        &'a self,
        set: &'a TrainingSet,
        start: Option<&Trained>,
        device: &Device,
        context: &Context,
    ) -> Result<Training<'a, M>> {
        let mut training = self.start(set, start, device)?;
        if let Some((tensors, history)) = checkpoint::load::<History>(context)
            && let Err(error) = training.restore(&tensors, history)
        {
            context.progress().note(format!("the checkpoint does not fit, starting afresh: {error}"));
            training = self.start(set, start, device)?;
        }
        Ok(training)
    }

    /// A training before its first epoch: with new networks, or with those of an earlier training. The optimizer starts
    /// without momentum either way: an earlier training hands over weights alone.
    ///
    /// # Errors
    /// The earlier training's networks do not fit, or the device has no room.
    pub fn start<'a>(
        &'a self,
        set: &'a TrainingSet,
        start: Option<&Trained>,
        device: &Device,
    ) -> Result<Training<'a, M>> {
        let new = |name: &&str| {
            Learner::new(&self.architecture, &self.optimizer, self.seed, name, device)
                .or_fail(|| Error::new("cannot make the network"))
        };
        let learners = M::NETWORKS.iter().map(new).collect::<Result<Vec<_>>>()?;
        if let Some(Trained { student, .. }) = start {
            if student.networks.len() != learners.len() {
                let (has, needs) = (student.networks.len(), learners.len());
                return Err(Error::new(format!(
                    "{has} networks to go on from, where {} has {needs}",
                    M::NAME
                )));
            }
            for (learner, (_, weights)) in learners.iter().zip(&student.networks) {
                learner.network.load_state(&weights.clone().into_iter().collect())?;
            }
        }
        let several: &[&str] = if M::NETWORKS.len() > 1 { &[TEST_TOGETHER, AGREEMENT] } else { &[] };
        let columns = (FIRST.into_iter().chain(M::FIGURES.iter().copied()).chain([TEST]))
            .chain(several.iter().copied())
            .chain(criteria::NAMES);
        let without_state = Training {
            stage: self,
            set,
            views: self.input.views()?,
            device: device.clone(),
            learners,
            state: (),
            epoch: 0,
            epochs_before: start.map_or(0, |start| start.history.epochs()),
            history: History::new(columns),
        };
        let state = self.method.start(&without_state)?;
        let Training { stage, set, views, device, learners, epoch, epochs_before, history, .. } =
            without_state;
        Ok(Training { stage, set, views, device, learners, state, epoch, epochs_before, history })
    }
}

impl<'a, M: Method> Training<'a, M> {
    /// One epoch of every network, one after the other; then all are measured on the test images.
    ///
    /// # Errors
    /// The user asked to stop, a figure is not finite, or the device runs out of memory.
    pub fn run_epoch(&mut self, context: &Context) -> Result<()> {
        M::begin_epoch(self, context)?;
        let mut figures = Vec::new();
        for network in 0..self.learners.len() {
            figures.push(self.train_network(network, context)?);
        }
        self.measure(figures, context)?;
        self.epoch += 1;
        Ok(())
    }

    /// The steps of one network; gives its figures.
    fn train_network(&mut self, network: usize, context: &Context) -> Result<Vec<Figure>> {
        let lesson = M::lesson(self, network)?;
        let rate = self.stage.optimizer.rate(self.epochs_before + self.epoch);
        let (steps, epoch) = (lesson.steps(), self.epoch);
        let failed =
            |step| Error::new(format!("epoch {}, network {}, step {step} failed", epoch + 1, network + 1));
        let mut losses = EpochLosses::default();
        prefetch(
            steps,
            AHEAD,
            |number| lesson.views(number),
            |number, views| {
                context.safe_point()?;
                let progress = epoch as f64 + number as f64 / steps as f64;
                let step = Step { network, number, progress, rate };
                losses.push(M::step(self, &lesson, step, views).or_fail(|| failed(number))?);
                Ok(())
            },
        )?;
        // First of all, so that a loss that is no number is told with its step.
        let terms = losses.means(failed)?;
        let (draws, count) = (self.draws(network, "recalibrate"), self.stage.optimizer.recalibrate);
        recalibrate(&self.learners[network].network, &self.set.train, &self.views, count, draws, context)?;
        let mut figures = vec![(FIRST[0], Some(rate))];
        figures.extend(terms);
        figures.extend(M::figures(self, &lesson, network)?);
        Ok(figures)
    }

    /// Adds the test accuracies, and writes every network's row into the history.
    fn measure(&mut self, figures: Vec<Vec<Figure>>, context: &Context) -> Result<()> {
        let classes = self.set.classes;
        let test = |values: &[f32]| accuracy(argmax_rows(values, classes), &self.set.test_truth);
        let logits = self.test_logits(context)?;
        let mut sum = vec![0.0; logits.first().map_or(0, Vec::len)];
        for logits in &logits {
            sum.iter_mut().zip(logits).for_each(|(sum, logit)| *sum += logit);
        }
        let mut together: Vec<Figure> = Vec::new();
        if logits.len() > 1 {
            let predictions: Vec<Vec<u32>> = logits.iter().map(|of| argmax_rows(of, classes)).collect();
            let agree = |i: usize| predictions.iter().all(|of| of[i] == predictions[0][i]);
            together.push((TEST_TOGETHER, test(&sum)));
            together.push((AGREEMENT, share((0..predictions[0].len()).map(agree))));
        }
        let mean: Vec<f32> = sum.iter().map(|logit| logit / logits.len() as f32).collect();
        let held_out = HeldOut {
            probs: &softmax_rows(&mean, classes),
            weights: &self.set.test_weights,
            annotated: &self.set.test_annotated,
            classes,
        };
        together.extend(held_out.figures());
        let mut rows = Vec::new();
        for (network, mut figures) in figures.into_iter().enumerate() {
            figures.push((TEST, test(&logits[network])));
            figures.extend(together.iter().copied());
            check_finite(self.epoch, network, &figures)?;
            let values = figures.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
            let (epoch, network) = (self.epoch as u32 + 1, network as u8 + 1);
            rows.push(Epoch { epoch, network, values: values.collect() });
        }
        rows.into_iter().try_for_each(|row| self.history.push(row))
    }

    /// Every network's logits for the test images, row after row: (N, C) each.
    fn test_logits(&self, context: &Context) -> Result<Vec<Vec<f32>>> {
        let draws = self.draws(0, "test: plain views draw nothing");
        let of = |(n, learner): (usize, &Learner)| -> Result<Vec<f32>> {
            let (set, views) = (&self.set.test, &self.views);
            let logits = logits(&learner.network, set, views, View::Plain, &draws, context)
                .map_err(|error| self.in_epoch(n, error))?;
            let values: Vec<f32> = (logits.flatten_all().and_then(|logits| logits.to_vec1()))
                .or_fail(|| Error::new("cannot measure on the test images"))?;
            match values.iter().all(|value| value.is_finite()) {
                true => Ok(values),
                false => Err(self.in_epoch(
                    n,
                    Error::new("the network predicts numbers that are not finite")
                        .help("lower the learning rate (optimizer.learning_rate, or the method's own); training then starts anew"),
                )),
            }
        };
        self.learners.iter().enumerate().map(of).collect()
    }

    /// The last epoch in a line.
    fn describe(&self) -> String {
        let accuracy = if self.learners.len() > 1 { TEST_TOGETHER } else { TEST };
        let told = [(FIRST[1], FIRST[1])].into_iter().chain(M::TOLD.iter().copied());
        let mut line = format!("epoch {}", self.epoch);
        for (figure, name) in told.chain([(accuracy, "test accuracy")]) {
            match self.history.mean(figure) {
                Some(value) if figure.starts_with("size_") => line += &format!(", {name} {value:.0}"),
                Some(value) if figure == FIRST[1] => line += &format!(", {name} {value:.3}"),
                Some(value) => line += &format!(", {name} {:.1} %", 100.0 * value),
                None => {}
            }
        }
        line
    }

    /// The random numbers of the views of each batch, by its number: of this network, epoch and purpose.
    pub fn draws(&self, network: usize, purpose: &str) -> impl Fn(u64) -> Draw + Sync + use<M> {
        let name = format!("{}/{}/{purpose}", M::NAME, M::NETWORKS[network]);
        let (seed, epoch) = (self.stage.seed, self.epoch as u64);
        move |step| Draw::new(seed, &name, epoch, step)
    }

    /// `count` of `samples` in random order, from this network's stream of this epoch and purpose; once all were drawn,
    /// all over again.
    pub fn shuffled(&self, stream: &str, samples: &[usize], count: usize) -> Vec<usize> {
        let mut rng = random::stream(self.stage.seed, stream);
        let mut drawn = Vec::with_capacity(count);
        while drawn.len() < count && !samples.is_empty() {
            let mut round = samples.to_vec();
            round.shuffle(&mut rng);
            round.truncate(count - drawn.len());
            drawn.extend(round);
        }
        drawn
    }

    /// Those of `samples` whose turn it is in this epoch, in random order; all of them, once, where the budget asks for whole
    /// passes. Else every image has its turn before any has another: an epoch is a piece of a random order of the whole
    /// set, which is drawn anew when it was gone through, and goes through a small set several times.
    pub fn in_turn(&self, network: usize, stream: &str, samples: &[usize]) -> Vec<usize> {
        let all = self.set.len();
        let Some(most) = self.stage.optimizer.epoch_images().filter(|&most| most != all) else {
            return self.shuffled(stream, samples, samples.len());
        };
        let mut is_sample = vec![false; all];
        samples.iter().for_each(|&sample| is_sample[sample] = true);
        let everything: Vec<usize> = (0..all).collect();
        let (mut order, mut drawn, mut in_turn) = (Vec::new(), None, Vec::new());
        // Over the epochs before as well, so that what one training left out the next begins with.
        for (round, place) in turns(self.epochs_before + self.epoch, most, all) {
            if drawn != Some(round) {
                let name = format!("{}/turns{round}", M::NETWORKS[network]);
                (order, drawn) = (self.shuffled(&name, &everything, all), Some(round));
            }
            in_turn.extend(order.get(place).copied().filter(|&sample| is_sample[sample]));
        }
        in_turn
    }

    /// The batches of an epoch of this network, and behind the samples of each further ones that have a human label, until
    /// such samples are at least [`Optimizer::human_share`] of it. They are drawn with replacement, from a stream of the
    /// network, epoch and batch. Where no sample has a human label the batches stay as they are.
    pub fn with_human_labels(
        &self,
        network: usize,
        batches: impl Iterator<Item = Vec<usize>>,
    ) -> Vec<Vec<usize>> {
        let share = self.stage.optimizer.human_share;
        let human: Vec<usize> = (0..self.set.len()).filter(|&sample| self.set.human[sample]).collect();
        if share <= 0.0 || human.is_empty() {
            return batches.collect();
        }
        let enlarged = |(step, mut batch): (usize, Vec<usize>)| {
            let (name, epoch) = (format!("{}/{}", M::NAME, M::NETWORKS[network]), self.epoch);
            let stream = format!("{name}/human labels/epoch{epoch}/step{step}");
            let mut rng = random::stream(self.stage.seed, &stream);
            let mut there = batch.iter().filter(|&&sample| self.set.human[sample]).count();
            while (there as f64) < share * batch.len() as f64 {
                batch.extend(human.choose(&mut rng));
                there += 1;
            }
            batch
        };
        batches.enumerate().map(enlarged).collect()
    }

    /// An error of network number `network` in this epoch.
    pub fn in_epoch(&self, network: usize, error: Error) -> Error {
        if error.is_cancelled() {
            return error;
        }
        Error::new(format!("epoch {}, network {} failed", self.epoch + 1, network + 1)).because(error)
    }

    /// Every network's weights by name.
    fn weights(&self) -> Result<Vec<(String, Weights)>> {
        let of = |(name, learner): (&&str, &Learner)| {
            let state = learner.network.state().or_fail(|| Error::new("cannot copy the network"))?;
            Ok(((*name).to_owned(), state.into_iter().collect()))
        };
        M::NETWORKS.iter().zip(&self.learners).map(of).collect()
    }

    /// Writes the checkpoint of the epochs done.
    fn save(&self, context: &Context) -> Result<()> {
        let mut parts = vec![(STATE, self.state.tensors()?)];
        for (name, learner) in M::NETWORKS.iter().zip(&self.learners) {
            parts.push((name, learner.state().or_fail(|| Error::new("cannot copy the networks"))?));
        }
        checkpoint::save(context, &checkpoint::join(parts), &self.history)
    }

    /// Takes on a checkpoint.
    fn restore(&mut self, tensors: &checkpoint::Tensors, history: History) -> Result<()> {
        for (name, learner) in M::NETWORKS.iter().zip(&mut self.learners) {
            learner.load_state(&checkpoint::part(tensors, name))?;
        }
        self.state.restore(&checkpoint::part(tensors, STATE))?;
        (self.epoch, self.history) = (history.epochs(), history);
        Ok(())
    }
}

/// The checkpoint's part that holds the method's state.
const STATE: &str = "state";

/// Refuses figures of an epoch that are not finite; epoch and network count from 0.
fn check_finite(epoch: usize, network: usize, figures: &[Figure]) -> Result<()> {
    match figures.iter().find_map(|&(name, value)| Some((name, value.filter(|v| !v.is_finite())?))) {
        None => Ok(()),
        Some((name, value)) => {
            Err(Error::new(format!("epoch {}, network {}: {name} is {value}", epoch + 1, network + 1))
                .help("lower the learning rate (optimizer.learning_rate, or the method's own); training then starts anew"))
        }
    }
}
