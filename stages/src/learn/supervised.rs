//! Training on targets that stay as they are: what warm-up and plain distillation share. Strong views in random
//! order, one epoch of every network after the other, a checkpoint after each.
//!
//! The loss comes from the stage.

use std::time::Instant;

use candle_core::Tensor;
use pipeline::error::{Error, OrFail, Result};
use pipeline::random;
use pipeline::stage::Context;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::learner::{Learner, Optimizer, finite, in_epoch, predict};
use super::loss_terms::{Tally, Terms};
use super::training_set::{Input, TrainingSet, accuracy, argmax_rows};
use crate::artifacts::training::Epoch;
use crate::network::{Architecture, Pass};
use crate::runtime::checkpoint;
use crate::runtime::device::Place;
use crate::runtime::prefetch::ahead;
use crate::vision::{Draw, View, Views};

/// Batches of views that are made while a step is under way.
const AHEAD: usize = 2;

/// Settings of a training on fixed targets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Epochs of each network.
    pub epochs: usize,
    /// Images a step.
    pub batch: usize,
    /// Seed of weights, order and views.
    pub seed: u64,
    /// The optimizer and its schedule.
    pub optimizer: Optimizer,
    /// How images become input.
    pub input: Input,
    /// What the networks look like.
    pub architecture: Architecture,
    /// Where it is computed; not part of the key.
    #[serde(skip)]
    pub place: Place,
}

impl Settings {
    /// Refuses what cannot be trained.
    ///
    /// # Errors
    /// The first setting that makes no sense, or a device that is not there.
    pub fn check(&self) -> Result<()> {
        self.architecture.validate()?;
        self.input.views()?;
        self.optimizer.check(self.place)?;
        if self.epochs == 0 || !(2..=1 << 16).contains(&self.batch) {
            return Err(Error::new(format!(
                "{} epochs of batch {} are no training",
                self.epochs, self.batch
            ))
            .help("set warm-up.epochs ≥ 1 and warm-up.batch between 2 and 65536"));
        }
        self.place.device().map(drop)
    }
}

/// One training of one or more networks, each for itself.
pub struct Supervised<'a> {
    /// The stage's name, with which its random streams begin.
    pub name: &'static str,
    /// Names of the networks, in streams and checkpoints.
    pub networks: &'a [&'static str],
    /// The settings.
    pub settings: &'a Settings,
    /// The images.
    pub set: &'a TrainingSet,
    /// Those of them to learn from.
    pub samples: Vec<usize>,
}

impl Supervised<'_> {
    /// Trains, going on from the checkpoint if there is one. `loss` gives, from logits (B, C) and the samples
    /// they belong to, the terms of a step; the first is the loss itself.
    ///
    /// # Errors
    /// The user asked to stop, a loss is not finite, the device runs out of memory, or a checkpoint cannot be
    /// written.
    pub fn run(
        &self,
        context: &Context,
        loss: impl Fn(&Tensor, &[usize]) -> candle_core::Result<Terms>,
    ) -> Result<(Vec<Learner>, Vec<Epoch>)> {
        let settings = self.settings;
        let (device, views) = (settings.place.device()?, settings.input.views()?);
        let new = || -> Result<Vec<Learner>> {
            let one = |name: &&str| {
                Learner::new(&settings.architecture, &settings.optimizer, settings.seed, name, &device)
                    .or_fail(|| Error::new("cannot make the network"))
            };
            self.networks.iter().map(one).collect()
        };
        let mut learners = new()?;
        let mut history: Vec<Epoch> = Vec::new();
        if let Some((state, rows)) = checkpoint::load::<Vec<Epoch>>(context) {
            let restored = (learners.iter_mut().zip(self.networks))
                .try_for_each(|(learner, name)| learner.load_state(&checkpoint::part(&state, name)));
            match restored {
                Ok(()) => history = rows,
                Err(error) => {
                    context.progress().note(format!("the checkpoint does not fit, starting afresh: {error}"));
                    learners = new()?;
                }
            }
        }
        let first = history.last().map_or(0, |row| row.epoch as usize);
        context.progress().begin(settings.epochs as u64, "epochs");
        context.progress().advance(first as u64);
        for epoch in first..settings.epochs {
            let began = Instant::now();
            for (n, learner) in learners.iter_mut().enumerate() {
                history.push(self.epoch(epoch, n, learner, &views, context, &loss)?);
            }
            let states = self.networks.iter().zip(&learners);
            let states = states.map(|(name, learner)| Ok((*name, learner.state()?)));
            let states = states.collect::<candle_core::Result<Vec<_>>>();
            let states = states.or_fail(|| Error::new("cannot copy the networks"))?;
            checkpoint::save(context, &checkpoint::join(states), &history)?;
            context.progress().advance(1);
            let seconds = began.elapsed().as_secs_f64();
            context.progress().note(format!("{}, {seconds:.1} s", describe(&history, learners.len())));
        }
        Ok((learners, history))
    }

    fn epoch(
        &self,
        epoch: usize,
        n: usize,
        learner: &mut Learner,
        views: &Views,
        context: &Context,
        loss: impl Fn(&Tensor, &[usize]) -> candle_core::Result<Terms>,
    ) -> Result<Epoch> {
        let (set, settings) = (self.set, self.settings);
        let name = format!("{}/{}", self.name, self.networks[n]);
        let mut samples = self.samples.clone();
        samples.shuffle(&mut random::stream(settings.seed, &format!("{name}/order/epoch{epoch}")));
        let batches: Vec<&[usize]> = samples.chunks(settings.batch).collect();
        let draw =
            |purpose: &str, step| Draw::new(settings.seed, &format!("{name}/{purpose}"), epoch as u64, step);
        let rate = settings.optimizer.rate(epoch);
        let failed = |step| Error::new(format!("epoch {}, network {}, step {step} failed", epoch + 1, n + 1));
        let mut tally = Tally::default();
        ahead(
            batches.len(),
            AHEAD,
            |step| views.batch(&set.train, batches[step], View::Strong, &draw("views", step as u64)),
            |step, x| {
                context.safe_point()?;
                let mut train = || {
                    let x = x.to_device(learner.network.device())?; // (B, H, W, channels)
                    let logits = learner.network.forward(&x, Pass::Train)?.logits; // (B, C)
                    let terms = loss(&logits, batches[step])?;
                    learner.step(&terms[0].1, rate)?;
                    candle_core::Result::Ok(
                        terms.into_iter().map(|(name, term)| (name, term.detach())).collect::<Terms>(),
                    )
                };
                tally.add(train().map_err(|e| failed(step).because(e))?);
                Ok(())
            },
        )?;
        // First of all, so that a loss that is no number is told with its step.
        let terms = tally.means(failed)?;
        let again = |step| draw("recalibrate", step);
        learner.recalibrate(&set.train, views, settings.optimizer.recalibrate, again, context)?;
        let plain = |step| draw("test: plain views draw nothing", step);
        let test = predict(&learner.network, &set.test, views, View::Plain, plain, context);
        let test = test.map_err(|error| in_epoch(epoch, n, error))?;
        let mut values = vec![("learning_rate", Some(rate))];
        values.extend(terms);
        values.push(("accuracy_test", accuracy(argmax_rows(&test, set.classes), &set.test_truth)));
        finite(epoch, n, &values)?;
        let values = values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        Ok(Epoch { epoch: epoch as u32 + 1, network: n as u8 + 1, values })
    }
}

/// The last epoch in a line, over all networks.
fn describe(history: &[Epoch], networks: usize) -> String {
    let last = &history[history.len().saturating_sub(networks)..];
    let mean =
        |name: &str| last.iter().filter_map(|row| row.values.get(name)).sum::<f64>() / last.len() as f64;
    let mut line = format!("epoch {}: loss {:.3}", last.last().map_or(0, |row| row.epoch), mean("loss"));
    if last.iter().any(|row| row.values.contains_key("accuracy_test")) {
        line += &format!(", test accuracy {:.1} %", 100.0 * mean("accuracy_test"));
    }
    line
}
