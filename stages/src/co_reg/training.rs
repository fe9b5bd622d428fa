//! One epoch of Co-Reg after the other: divide → pseudo-label → self-train → contrast.

use std::collections::BTreeMap;

use candle_core::{D, Device, Tensor};
use candle_nn::ops::softmax;
use pipeline::error::{Error, OrFail, Result};
use pipeline::random;
use pipeline::stage::Context;
use rand::seq::SliceRandom;
use rand_distr::{Beta, Distribution};
use serde::{Deserialize, Serialize};

use super::contrast::{Labelled, Queue, contrastive_loss};
use super::divide::{Division, LossHistory, divide};
use super::losses::{cross_entropy, kl_divergence, mean_squared_error, prototype_logits};
use super::prototypes::Prototypes;
use super::pseudo::{fuse, mean_of_views, rescale, sharpen};
use super::schedule::linear_ramp;
use super::{CoReg, NETWORKS};
use crate::artifacts::training::{CoRegResult, Epoch, Pair, PseudoLabel, WarmedUp};
use crate::checkpoint;
use crate::learner::{Learner, finite, predict};
use crate::network::{Network, Pass};
use crate::training_set::{TrainingSet, accuracy, argmax_rows, share};
use crate::vision::{Draw, View, Views};

/// Everything that Co-Reg carries from one epoch to the next.
pub(super) struct Training<'a> {
    stage: &'a CoReg,
    set: &'a TrainingSet,
    views: Views,
    device: Device,
    learners: [Learner; 2],
    keys: [Network; 2],
    queues: [Queue; 2],
    prototypes: Prototypes,
    losses: [LossHistory; 2],
    w: [Vec<f32>; 2],
    history: Vec<Epoch>,
    /// Epochs done.
    pub(super) epoch: usize,
}

/// The samples of one step.
struct Batch<'a> {
    partial: &'a [usize],
    unlabeled: &'a [usize],
}

impl Batch<'_> {
    /// `times` copies of 𝒫's samples, then as many of 𝒰's.
    fn repeated(&self, times: usize) -> Vec<usize> {
        [self.partial.repeat(times), self.unlabeled.repeat(times)].concat()
    }
}

/// What a step learns: p̃ of 𝒫 and 𝒰, (p, C) and (u, C), and what goes with it.
struct Targets {
    partial: Tensor,
    unlabeled: Option<Tensor>,
    /// argmax p̃ of 𝒫's samples, then 𝒰's.
    labels: Vec<u32>,
    /// Embeddings of 𝒫's first weak views: (p, E).
    embeddings: Tensor,
}

/// Loss terms of one step, as scalars.
type Terms = Vec<(&'static str, Tensor)>;

impl<'a> Training<'a> {
    /// Goes on from the checkpoint, or from the warmed-up networks.
    pub(super) fn start(
        stage: &'a CoReg,
        set: &'a TrainingSet,
        warm: &WarmedUp,
        context: &Context,
    ) -> Result<Self> {
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
        let queue = || Queue::new(stage.method.queue, architecture.embedding);
        let mut training = Self {
            stage,
            set,
            views: stage.input.views()?,
            keys: [key(0)?, key(1)?],
            learners,
            queues: [queue(), queue()],
            prototypes: Prototypes::new(set.classes, architecture.embedding),
            losses: Default::default(),
            w: Default::default(),
            history: Vec::new(),
            epoch: 0,
            device,
        };
        if let Some((tensors, notes)) = checkpoint::load::<Notes>(context) {
            training.restore(&tensors, notes)?;
        }
        Ok(training)
    }

    /// One epoch of both networks.
    pub(super) fn epoch(&mut self, context: &Context) -> Result<()> {
        let divisions = [self.divide(0, context)?, self.divide(1, context)?];
        let mut rows = Vec::new();
        for me in [0, 1] {
            // Network 1's division trains network 2, and the other way round.
            let teacher = if self.stage.method.co_pseudo_label { 1 - me } else { me };
            let figures = self.train(me, &divisions[teacher], context)?;
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
        let probs = predict(network, &self.set.train, &self.views, View::Weak, draw, context)?;
        let settings = &self.stage.method.divide;
        let mut division =
            divide(probs, &self.set.candidates, self.set.classes, &mut self.losses[me], settings);
        if division.partial.is_empty() {
            context
                .progress()
                .note(format!("epoch {}: no sample is believed; all are taken", self.epoch + 1));
            division.partial = std::mem::take(&mut division.unlabeled);
        }
        if !self.stage.method.use_unlabeled {
            division.unlabeled.clear();
        }
        Ok(division)
    }

    /// Trains network `me` for one pass over 𝒫 of `division`; gives its figures for the history.
    fn train(&mut self, me: usize, division: &Division, context: &Context) -> Result<BTreeMap<String, f64>> {
        let method = &self.stage.method;
        let rate = self.stage.optimizer.rate(self.stage.warm_up_epochs + self.epoch);
        let partial = self.shuffled(me, "partial", &division.partial, division.partial.len());
        let steps = partial.len().div_ceil(method.batch_partial);
        let unlabeled = self.shuffled(me, "unlabeled", &division.unlabeled, steps * method.batch_unlabeled);
        let unlabeled_batch = unlabeled.len() / steps;
        let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
        let mut hits = [Vec::new(), Vec::new()];
        self.keys[me].copy_from(&self.learners[me].network).or_fail(|| self.failed(me, 0))?;
        for (step, partial) in partial.chunks(method.batch_partial).enumerate() {
            context.safe_point()?;
            let batch = Batch {
                partial,
                unlabeled: &unlabeled[step * unlabeled_batch..(step + 1) * unlabeled_batch],
            };
            let progress = self.epoch as f64 + step as f64 / steps as f64;
            let done = self.step(me, &batch, division, step, progress, rate);
            let (terms, labels) = done.or_fail(|| self.failed(me, step))?;
            for (name, term) in terms {
                let value = term.to_scalar::<f32>().or_fail(|| self.failed(me, step))?;
                *sums.entry(name).or_default() += f64::from(value) / steps as f64;
            }
            for (i, (&sample, label)) in batch.partial.iter().chain(batch.unlabeled).zip(labels).enumerate() {
                let truth = self.set.truth[sample];
                hits[usize::from(i >= batch.partial.len())].extend(truth.map(|truth| truth == label));
            }
        }
        let again = |step| self.draw(me, "recalibrate", step);
        let count = self.stage.optimizer.recalibrate;
        self.learners[me].recalibrate(&self.set.train, &self.views, count, again, context)?;
        let [hits_partial, hits_unlabeled] = hits;
        let purity = |samples: &[usize]| share(samples.iter().filter_map(|&i| self.set.holds_truth(i)));
        let all: Vec<usize> = (0..self.set.len()).collect();
        let mean_w = division.w.iter().map(|&w| f64::from(w)).sum::<f64>() / division.w.len() as f64;
        let figures = [
            ("learning_rate", Some(rate)),
            ("size_partial", Some(division.partial.len() as f64)),
            ("size_unlabeled", Some((self.set.len() - division.partial.len()) as f64)),
            ("mean_w", Some(mean_w)),
            ("purity", purity(&all)),
            ("purity_partial", purity(&division.partial)),
            ("purity_unlabeled", purity(&division.unlabeled)),
            ("pseudo_label_accuracy_partial", share(hits_partial)),
            ("pseudo_label_accuracy_unlabeled", share(hits_unlabeled)),
        ];
        let sums = sums.into_iter().map(|(name, sum)| (name, Some(sum)));
        let all: Vec<_> = figures.into_iter().chain(sums).collect();
        finite(self.epoch, me, &all)?;
        Ok(all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
    }

    /// One step of network `me`: pseudo-label → self-train → contrast. Gives the terms and argmax p̃.
    fn step(
        &mut self,
        me: usize,
        batch: &Batch,
        division: &Division,
        step: usize,
        progress: f64,
        rate: f64,
    ) -> candle_core::Result<(Terms, Vec<u32>)> {
        let method = &self.stage.method;
        let targets = self.pseudo_label(me, batch, division, step)?;
        let strong = self.batch(&batch.repeated(2), View::Strong, &self.draw(me, "strong", step as u64))?; // (2p + 2u, H, W, channels)
        let (mut loss, mut terms) = self.self_train(me, &strong, &targets, step, progress)?;
        if method.lambda_contrast > 0.0 && self.epoch >= method.regularise_after {
            let contrast = self.contrast(me, &strong, batch, &targets)?;
            loss = (loss + (&contrast * method.lambda_contrast)?)?;
            terms.push(("loss_contrastive", contrast.detach()));
        }
        self.learners[me].step(&loss, rate)?;
        self.keys[me].ema_from(&self.learners[me].network, method.key_momentum)?;
        let embeddings: Vec<f32> = targets.embeddings.flatten_all()?.to_vec1()?;
        let of_partial = &targets.labels[..batch.partial.len()];
        self.prototypes.update(&embeddings, of_partial, method.prototype_momentum as f32);
        terms.push(("loss", loss.detach()));
        Ok((terms, targets.labels))
    }

    /// Co-pseudo-labels p̃ for network `me` (method §6).
    fn pseudo_label(
        &self,
        me: usize,
        batch: &Batch,
        division: &Division,
        step: usize,
    ) -> candle_core::Result<Targets> {
        let method = &self.stage.method;
        let (p, u, k, classes) =
            (batch.partial.len(), batch.unlabeled.len(), method.weak_views, self.set.classes);
        let weak = self.batch(&batch.repeated(k), View::Weak, &self.draw(me, "weak", step as u64))?; // (K·p + K·u, H, W, channels)
        let network = &self.learners[me].network;
        let own = network.forward(&weak, Pass::TrainNoGrad)?;
        let probs = softmax(&own.logits, D::Minus1)?; // (K·p + K·u, C)

        let w: Vec<f32> = batch.partial.iter().map(|&i| division.w[i]).collect();
        let row = |&i: &usize| division.probs[i * classes..(i + 1) * classes].iter().copied();
        let other: Vec<f32> = batch.partial.iter().flat_map(row).collect();
        let mut other = Tensor::from_vec(other, (p, classes), &self.device)?;
        if method.rescale {
            other = rescale(&other, &self.set.candidate_masks(batch.partial, &self.device)?)?;
        }
        let own_partial = mean_of_views(&probs.narrow(0, 0, k * p)?, k)?;
        let partial = fuse(&Tensor::from_vec(w, p, &self.device)?, &other, &own_partial)?;
        let partial = sharpen(&partial, method.temperature)?.detach();

        let unlabeled = if u == 0 {
            None
        } else {
            let mut mean = mean_of_views(&probs.narrow(0, k * p, k * u)?, k)?;
            if method.co_pseudo_label {
                let views = weak.narrow(0, k * p, k * u)?;
                let logits = self.learners[1 - me].network.forward(&views, Pass::Eval)?.logits;
                mean = ((mean + mean_of_views(&softmax(&logits, D::Minus1)?, k)?)? * 0.5)?;
            }
            Some(sharpen(&mean, method.temperature)?.detach())
        };
        let mut values: Vec<f32> = partial.flatten_all()?.to_vec1()?;
        if let Some(unlabeled) = &unlabeled {
            values.extend(unlabeled.flatten_all()?.to_vec1::<f32>()?);
        }
        let embeddings = network.project(&own.features.narrow(0, 0, p)?, Pass::TrainNoGrad)?;
        Ok(Targets { partial, unlabeled, labels: argmax_rows(&values, classes), embeddings })
    }

    /// L_cr + λ₁ L_prot on mixed strong views (method §7). `strong` is (2p + 2u, H, W, channels): two views
    /// of 𝒫, then two of 𝒰.
    fn self_train(
        &self,
        me: usize,
        strong: &Tensor,
        targets: &Targets,
        step: usize,
        progress: f64,
    ) -> candle_core::Result<(Tensor, Terms)> {
        let method = &self.stage.method;
        let rows = strong.dim(0)?;
        let of_partial = 2 * targets.partial.dim(0)?;
        let of_unlabeled = rows - of_partial;
        let mut stacked = vec![&targets.partial, &targets.partial];
        stacked.extend(targets.unlabeled.iter().flat_map(|u| [u, u]));
        let stacked = Tensor::cat(&stacked, 0)?; // (2p + 2u, C)

        let mut rng = random::stream(self.stage.seed, &self.name(me, &format!("mixup/{step}")));
        let beta = Beta::new(method.mixup, method.mixup).map_err(candle_core::Error::wrap)?;
        let lambda = beta.sample(&mut rng);
        let lambda = lambda.max(1.0 - lambda);
        let mut order: Vec<u32> = (0..rows as u32).collect();
        order.shuffle(&mut rng);
        let order = Tensor::from_vec(order, rows, &self.device)?;
        let partner = stacked.index_select(&order, 0)?;
        let mix = |a: &Tensor, b: &Tensor| (a * lambda)? + (b * (1.0 - lambda))?;
        let images = mix(strong, &strong.index_select(&order, 0)?)?;
        let mixed = mix(&stacked, &partner)?;

        let network = &self.learners[me].network;
        let output = network.forward(&images, Pass::Train)?;
        let first = |t: &Tensor| t.narrow(0, 0, of_partial);
        let rest = |t: &Tensor| t.narrow(0, of_partial, of_unlabeled);
        let partial = cross_entropy(&first(&output.logits)?, &first(&mixed)?)?;
        let mut terms: Terms = vec![("loss_partial", partial.detach())];
        let mut loss = partial;
        if of_unlabeled > 0 {
            let unlabeled = mean_squared_error(&rest(&output.logits)?, &rest(&mixed)?)?;
            terms.push(("loss_unlabeled", unlabeled.detach()));
            loss = (loss + (unlabeled * linear_ramp(progress, method.ramp))?)?;
        }
        if method.lambda_proto > 0.0 && self.epoch >= method.regularise_after {
            let z = network.project(&output.features, Pass::Train)?; // (2p + 2u, E)
            let logits =
                prototype_logits(&z, &self.prototypes.tensor(&self.device)?, method.prototype_temperature)?;
            // λ-weighted over both targets of a mixed image.
            let weighted =
                |term: fn(&Tensor, &Tensor) -> candle_core::Result<Tensor>,
                 rows: &dyn Fn(&Tensor) -> candle_core::Result<Tensor>| {
                    let logits = rows(&logits)?;
                    mix(&term(&logits, &rows(&stacked)?)?, &term(&logits, &rows(&partner)?)?)
                };
            let partial = weighted(kl_divergence, &first)?;
            terms.push(("loss_prototype_partial", partial.detach()));
            loss = (loss + (partial * method.lambda_proto)?)?;
            if of_unlabeled > 0 {
                let unlabeled = weighted(mean_squared_error, &rest)?;
                terms.push(("loss_prototype_unlabeled", unlabeled.detach()));
                loss = (loss + (unlabeled * method.lambda_proto)?)?;
            }
        }
        Ok((loss, terms))
    }

    /// L_ncont between the first and the second strong views (method §8); the keys then join the queue.
    fn contrast(
        &mut self,
        me: usize,
        strong: &Tensor,
        batch: &Batch,
        targets: &Targets,
    ) -> candle_core::Result<Tensor> {
        let (p, u) = (batch.partial.len(), batch.unlabeled.len());
        let view = |n: usize| {
            let partial = strong.narrow(0, n * p, p)?;
            if u == 0 { Ok(partial) } else { Tensor::cat(&[partial, strong.narrow(0, 2 * p + n * u, u)?], 0) }
        };
        let embed = |network: &Network, images: &Tensor, pass| {
            network.project(&network.forward(images, pass)?.features, pass)
        };
        let partial = [vec![1u8; p], vec![0u8; u]].concat();
        let labelled = |embeddings| -> candle_core::Result<Labelled> {
            Ok(Labelled {
                embeddings,
                labels: Tensor::from_slice(&targets.labels, p + u, &self.device)?,
                partial: Tensor::from_slice(&partial, p + u, &self.device)?,
            })
        };
        let queries = labelled(embed(&self.learners[me].network, &view(0)?, Pass::Train)?)?;
        let keys = labelled(embed(&self.keys[me], &view(1)?, Pass::TrainNoGrad)?.detach())?;
        let queue = self.queues[me].labelled(&self.device)?;
        let method = &self.stage.method;
        let loss = contrastive_loss(&queries, &keys, &queue, method.contrast_temperature, method.positives)?;
        let keys: Vec<f32> = keys.embeddings.flatten_all()?.to_vec1()?;
        self.queues[me].push(&keys, &targets.labels, &partial);
        Ok(loss)
    }

    /// Adds the test accuracies, and writes both networks' rows into the history.
    fn measure(&mut self, rows: Vec<BTreeMap<String, f64>>, context: &Context) -> Result<()> {
        let classes = self.set.classes;
        let draw = |step| self.draw(0, "test", step);
        let probs = |n: usize| {
            let network = &self.learners[n].network;
            crate::learner::logits(network, &self.set.test, &self.views, View::Plain, draw, context)
                .and_then(|l| l.flatten_all().and_then(|l| l.to_vec1::<f32>()).or_fail(|| self.failed(n, 0)))
        };
        let logits = if self.set.test.count() == 0 { [vec![], vec![]] } else { [probs(0)?, probs(1)?] };
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
                Some(value) if value >= 10.0 => line += &format!(", {text} {value:.0}"),
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

    /// The name of a random stream of this epoch.
    fn name(&self, me: usize, purpose: &str) -> String {
        format!("co-reg/{}/epoch{}/{purpose}", NETWORKS[me], self.epoch)
    }

    fn draw(&self, me: usize, purpose: &str, step: u64) -> Draw {
        Draw::new(self.stage.seed, &format!("co-reg/{}/{purpose}", NETWORKS[me]), self.epoch as u64, step)
    }

    /// Views of training images as input of a network: (B, H, W, channels).
    fn batch(&self, samples: &[usize], view: View, draw: &Draw) -> candle_core::Result<Tensor> {
        let images = self.views.batch(&self.set.train, samples, view, draw);
        images.map_err(candle_core::Error::wrap)?.to_device(&self.device)
    }

    /// `count` of `samples` in random order; once all were drawn, all over again.
    fn shuffled(&self, me: usize, purpose: &str, samples: &[usize], count: usize) -> Vec<usize> {
        let mut rng = random::stream(self.stage.seed, &self.name(me, purpose));
        let mut drawn = Vec::with_capacity(count);
        while drawn.len() < count && !samples.is_empty() {
            let mut round = samples.to_vec();
            round.shuffle(&mut rng);
            round.truncate(count - drawn.len());
            drawn.extend(round);
        }
        drawn
    }

    fn failed(&self, me: usize, step: usize) -> Error {
        Error::new(format!("epoch {}, network {}, step {step} failed", self.epoch + 1, me + 1))
    }
}

/// The checkpoint's part that is no tensor.
#[derive(Serialize, Deserialize)]
struct Notes {
    epoch: usize,
    history: Vec<Epoch>,
    queues: [QueueNotes; 2],
}

#[derive(Serialize, Deserialize)]
struct QueueNotes {
    labels: Vec<u32>,
    partial: Vec<u8>,
    next: usize,
}

impl Training<'_> {
    /// Writes the checkpoint of the epochs done.
    pub(super) fn save(&self, context: &Context) -> Result<()> {
        let cannot = || Error::new("cannot write the checkpoint");
        let tensor = |values: &[f32]| Tensor::from_slice(values, values.len(), &Device::Cpu).or_fail(cannot);
        let mut parts = Vec::new();
        for (n, name) in NETWORKS.into_iter().enumerate() {
            let mut part = self.learners[n].state().or_fail(cannot)?;
            part.extend(
                self.keys[n]
                    .state()
                    .or_fail(cannot)?
                    .into_iter()
                    .map(|(name, tensor)| (format!("key.{name}"), tensor)),
            );
            part.insert("queue".to_owned(), tensor(&self.queues[n].keys)?);
            part.insert("w".to_owned(), tensor(&self.w[n])?);
            for (i, losses) in self.losses[n].0.iter().enumerate() {
                part.insert(format!("losses.{i}"), tensor(losses)?);
            }
            parts.push((name, part));
        }
        let shared = BTreeMap::from([("prototypes".to_owned(), tensor(&self.prototypes.values)?)]);
        parts.push(("shared", shared));
        let queues = self.queues.each_ref().map(|queue| QueueNotes {
            labels: queue.labels.clone(),
            partial: queue.partial.clone(),
            next: queue.next,
        });
        let notes = Notes { epoch: self.epoch, history: self.history.clone(), queues };
        checkpoint::save(context, &checkpoint::join(parts), &notes)
    }

    fn restore(&mut self, tensors: &checkpoint::Tensors, notes: Notes) -> Result<()> {
        let values = |part: &checkpoint::Tensors, name: &str| -> Result<Vec<f32>> {
            let cannot = || Error::new(format!("the checkpoint's `{name}` cannot be used"));
            let tensor = part.get(name).ok_or_else(cannot)?;
            tensor.flatten_all().and_then(|t| t.to_vec1()).or_fail(cannot)
        };
        for (n, (name, queue)) in NETWORKS.into_iter().zip(notes.queues).enumerate() {
            let part = checkpoint::part(tensors, name);
            let (keys, own): (BTreeMap<_, _>, _) =
                part.clone().into_iter().partition(|(k, _)| k.starts_with("key."));
            self.learners[n].load_state(&own)?;
            self.keys[n]
                .load_state(&keys.into_iter().map(|(k, v)| (k["key.".len()..].to_owned(), v)).collect())?;
            self.queues[n].keys = values(&part, "queue")?;
            (self.queues[n].labels, self.queues[n].partial, self.queues[n].next) =
                (queue.labels, queue.partial, queue.next);
            self.w[n] = values(&part, "w")?;
            let count = part.keys().filter(|name| name.starts_with("losses.")).count();
            self.losses[n].0 =
                (0..count).map(|i| values(&part, &format!("losses.{i}"))).collect::<Result<_>>()?;
        }
        self.prototypes.values = values(&checkpoint::part(tensors, "shared"), "prototypes")?;
        (self.epoch, self.history) = (notes.epoch, notes.history);
        Ok(())
    }
}
