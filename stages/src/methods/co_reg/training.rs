//! One epoch of Co-Reg after the other: divide, then a pass of steps for each network, then measure.
//!
//! What a step does is in `step.rs`, what it is given in `lesson.rs`, what a checkpoint holds in `resume.rs`.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::Context;

use super::divide::{Division, LossHistory, divide};
use super::lesson::Lesson;
use super::resume::Notes;
use super::step::Moment;
use super::{CoReg, NETWORKS};
use crate::artifacts::training::{CoRegResult, Epoch, Pair, PseudoLabel, WarmedUp};
use crate::learn::contrastive::Queue;
use crate::learn::learner::{Learner, finite, in_epoch, logits, predict};
use crate::learn::loss_terms::Tally;
use crate::learn::prototypes::Prototypes;
use crate::learn::training_set::{TrainingSet, accuracy, argmax_rows, share};
use crate::network::Network;
use crate::runtime::checkpoint;
use crate::runtime::prefetch::ahead;
use crate::vision::{Draw, View, Views};

/// Batches of views that are made while a step is under way.
const AHEAD: usize = 2;

/// Everything that Co-Reg carries from one epoch to the next.
pub(super) struct Training<'a> {
    pub(super) stage: &'a CoReg,
    pub(super) set: &'a TrainingSet,
    pub(super) views: Views,
    pub(super) device: Device,
    pub(super) learners: [Learner; 2],
    /// Momentum copies of the networks; each epoch starts them anew.
    pub(super) keys: [Network; 2],
    pub(super) queues: [Queue; 2],
    pub(super) prototypes: Prototypes,
    pub(super) losses: [LossHistory; 2],
    /// w of every sample by the division of each network's last epoch.
    pub(super) w: [Vec<f32>; 2],
    pub(super) history: Vec<Epoch>,
    /// Epochs done.
    pub(super) epoch: usize,
}

impl<'a> Training<'a> {
    /// Goes on from the checkpoint, or from the warmed-up networks.
    ///
    /// The optimizer starts without momentum: warm-up hands over weights alone.
    pub(super) fn start(
        stage: &'a CoReg,
        set: &'a TrainingSet,
        warm: &WarmedUp,
        context: &Context,
    ) -> Result<Self> {
        let mut training = Self::from_warm_up(stage, set, warm)?;
        if let Some((tensors, notes)) = checkpoint::load::<Notes>(context)
            && let Err(error) = training.restore(&tensors, notes)
        {
            context.progress().note(format!("the checkpoint does not fit, starting afresh: {error}"));
            training = Self::from_warm_up(stage, set, warm)?;
        }
        Ok(training)
    }

    fn from_warm_up(stage: &'a CoReg, set: &'a TrainingSet, warm: &WarmedUp) -> Result<Self> {
        let device = stage.place.device()?;
        let architecture = &warm.pair.architecture;
        let cannot = || Error::new("cannot make the networks");
        let learner = |n: usize| -> Result<Learner> {
            let learner = Learner::new(architecture, &stage.optimizer, stage.seed, NETWORKS[n], &device)
                .or_fail(cannot)?;
            learner.network.load_state(&warm.pair.states[n].clone().into_iter().collect())?;
            Ok(learner)
        };
        let learners = [learner(0)?, learner(1)?];
        let key = |n: usize| learners[n].network.copy_of().or_fail(cannot);
        let width = architecture.embedding;
        let queue = || Queue::new(stage.method.queue, width, &device).or_fail(cannot);
        Ok(Self {
            stage,
            set,
            views: stage.input.views()?,
            keys: [key(0)?, key(1)?],
            learners,
            queues: [queue()?, queue()?],
            prototypes: Prototypes::new(set.classes, width, &device).or_fail(cannot)?,
            losses: Default::default(),
            w: Default::default(),
            history: Vec::new(),
            epoch: 0,
            device,
        })
    }

    /// One epoch of both networks.
    pub(super) fn epoch(&mut self, context: &Context) -> Result<()> {
        let divisions = [self.divide(0, context)?, self.divide(1, context)?];
        let mut rows = Vec::new();
        for me in [0, 1] {
            let figures = self.train(me, &divisions, context)?;
            rows.push(figures);
        }
        self.measure(rows, context)?;
        self.w = divisions.map(|division| division.w);
        self.epoch += 1;
        Ok(())
    }

    /// Divides the training set by the predictions of network `me` (method §5).
    fn divide(&mut self, me: usize, context: &Context) -> Result<Division> {
        let draw = |step| self.draw(me, "divide", step);
        let network = &self.learners[me].network;
        let probs = predict(network, &self.set.train, &self.views, View::Weak, draw, context)
            .map_err(|error| in_epoch(self.epoch, me, error))?;
        let settings = &self.stage.method.divide;
        let mut division =
            divide(probs, self.set.annotation(), self.set.classes, &mut self.losses[me], settings);
        if division.partial.is_empty() {
            context
                .progress()
                .note(format!("epoch {}: no sample is believed; all are taken", self.epoch + 1));
            let annotated = self.set.annotation().1;
            (division.partial, division.unlabeled) = (0..annotated.len()).partition(|&i| annotated[i]);
            division.partial.iter().for_each(|&i| division.w[i] = 1.0);
        }
        if !self.stage.method.use_unlabeled {
            division.unlabeled.clear();
        }
        Ok(division)
    }

    /// Trains network `me` for one pass over 𝒫 of `division`; gives its figures for the history.
    fn train(
        &mut self,
        me: usize,
        divisions: &[Division; 2],
        context: &Context,
    ) -> Result<BTreeMap<String, f64>> {
        let method = &self.stage.method;
        // Network 1's division trains network 2, and the other way round.
        let division = &divisions[1 - me];
        // Whose predictions become pseudo-labels: the other network's, or its own in the ablation "w/o Co-PL".
        let teacher = &divisions[if method.co_pseudo_label { 1 - me } else { me }];
        let lesson = Lesson::new(self, me, division, teacher)?;
        (self.keys[me].copy_from(&self.learners[me].network))
            .or_fail(|| Error::new("cannot copy the network to its key network"))?;
        let rate = self.stage.optimizer.rate(self.stage.warm_up_epochs + self.epoch);
        let (steps, start) = (lesson.steps(), self.epoch as f64);
        let (mut tally, mut labels) = (Tally::default(), Vec::new());
        ahead(
            steps,
            AHEAD,
            |step| lesson.views(step),
            |step, views| {
                context.safe_point()?;
                let progress = start + step as f64 / steps as f64;
                let outcome = (lesson.batch(step, views))
                    .and_then(|batch| self.step(Moment { me, step, progress, rate }, &batch));
                let (terms, of_step) = outcome.or_fail(|| self.failed(me, step))?;
                tally.add(terms);
                labels.push(of_step);
                Ok(())
            },
        )?;
        let terms = tally.means(|step| self.failed(me, step))?;
        let again = |step| self.draw(me, "recalibrate", step);
        let count = self.stage.optimizer.recalibrate;
        self.learners[me].recalibrate(&self.set.train, &self.views, count, again, context)?;
        let mut figures = self.describe_division(division);
        figures.push(("learning_rate", Some(rate)));
        figures.extend(terms);
        let labels = Tensor::cat(&labels, 0).and_then(|labels| labels.to_vec1());
        let labels: Vec<u32> =
            labels.or_fail(|| Error::new("cannot read the pseudo-labels from the device"))?;
        let [partial, unlabeled] = lesson.hits(&labels, &self.set.truth);
        figures.push(("pseudo_label_accuracy_partial", share(partial)));
        figures.push(("pseudo_label_accuracy_unlabeled", share(unlabeled)));
        finite(self.epoch, me, &figures)?;
        Ok(figures.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
    }

    /// Sizes, purities and mean w of a division.
    fn describe_division(&self, division: &Division) -> Vec<(&'static str, Option<f64>)> {
        let purity = |samples: &[usize]| share(samples.iter().filter_map(|&i| self.set.holds_truth(i)));
        let all: Vec<usize> = (0..self.set.len()).collect();
        let mean_w = division.w.iter().map(|&w| f64::from(w)).sum::<f64>() / division.w.len() as f64;
        vec![
            ("size_partial", Some(division.partial.len() as f64)),
            ("size_unlabeled", Some((self.set.len() - division.partial.len()) as f64)),
            ("mean_w", Some(mean_w)),
            ("purity", purity(&all)),
            ("purity_partial", purity(&division.partial)),
            ("purity_unlabeled", purity(&division.unlabeled)),
        ]
    }

    /// Adds the test accuracies, and writes both networks' rows into the history.
    fn measure(&mut self, rows: Vec<BTreeMap<String, f64>>, context: &Context) -> Result<()> {
        let classes = self.set.classes;
        let draw = |step| self.draw(0, "test", step);
        let of = |n: usize| -> Result<Vec<f32>> {
            let network = &self.learners[n].network;
            let logits = logits(network, &self.set.test, &self.views, View::Plain, draw, context)?;
            let values = logits.flatten_all().and_then(|logits| logits.to_vec1());
            values.or_fail(|| Error::new("cannot measure on the test images"))
        };
        let logits = [of(0)?, of(1)?];
        let sum: Vec<f32> = logits[0].iter().zip(&logits[1]).map(|(a, b)| a + b).collect();
        let test = |values: &[f32]| accuracy(argmax_rows(values, classes), &self.set.test_truth);
        let both = test(&sum);
        for (n, mut values) in rows.into_iter().enumerate() {
            values.extend(test(&logits[n]).map(|a| ("accuracy_test".to_owned(), a)));
            values.extend(both.map(|a| ("accuracy_test_both".to_owned(), a)));
            self.history.push(Epoch { epoch: self.epoch as u32 + 1, network: n as u8 + 1, values });
        }
        Ok(())
    }

    /// The last epoch in a line.
    pub(super) fn describe(&self) -> String {
        let last = &self.history[self.history.len().saturating_sub(2)..];
        let mean = |name: &str| {
            let values: Vec<f64> = last.iter().filter_map(|row| row.values.get(name).copied()).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        let mut line = format!("epoch {}", self.epoch);
        for (text, name, percent) in [
            ("loss", "loss", false),
            ("𝒫", "size_partial", false),
            ("𝒫 pure", "purity_partial", true),
            ("pseudo-labels right in 𝒫", "pseudo_label_accuracy_partial", true),
            ("in 𝒰", "pseudo_label_accuracy_unlabeled", true),
            ("test accuracy", "accuracy_test_both", true),
        ] {
            match mean(name) {
                Some(value) if percent => line += &format!(", {text} {:.1} %", 100.0 * value),
                Some(value) if name == "size_partial" => line += &format!(", {text} {value:.0}"),
                Some(value) => line += &format!(", {text} {value:.3}"),
                None => {}
            }
        }
        line
    }

    /// The stage's output.
    pub(super) fn finish(self, context: &Context) -> Result<CoRegResult> {
        let draw = |step| self.draw(0, "finish", step);
        let predict = |n: usize| {
            predict(&self.learners[n].network, &self.set.train, &self.views, View::Plain, draw, context)
        };
        let (one, two) = (predict(0)?, predict(1)?);
        let mean: Vec<f32> = one.iter().zip(&two).map(|(a, b)| (a + b) / 2.0).collect();
        let labels = argmax_rows(&mean, self.set.classes);
        let threshold = self.stage.method.divide.threshold;
        let pseudo_labels = labels.iter().enumerate().map(|(i, &label)| {
            let w = (self.w[0][i] + self.w[1][i]) / 2.0;
            PseudoLabel {
                id: self.set.ids[i].clone(),
                pseudo_label: label as u16,
                confidence: mean[i * self.set.classes + label as usize],
                w,
                partial: f64::from(w) > threshold,
            }
        });
        Ok(CoRegResult {
            pseudo_labels: pseudo_labels.collect(),
            pair: Pair::of(&self.learners)?,
            history: self.history,
        })
    }

    pub(super) fn draw(&self, me: usize, purpose: &str, step: u64) -> Draw {
        Draw::new(self.stage.seed, &format!("co-reg/{}/{purpose}", NETWORKS[me]), self.epoch as u64, step)
    }

    fn failed(&self, me: usize, step: usize) -> Error {
        Error::new(format!("epoch {}, network {}, step {step} failed", self.epoch + 1, me + 1))
    }
}
