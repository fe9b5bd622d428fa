//! One step of Co-Reg: pseudo-label → self-train → contrast (method §§6–8).

use candle_core::{D, Result, Tensor};
use candle_nn::ops::softmax;
use pipeline::random;
use rand::seq::SliceRandom;
use rand_distr::{Beta, Distribution};

use super::Partner;
use super::contrast::{Labelled, contrastive_loss};
use super::losses::{cross_entropy, kl_divergence, mean_squared_error, prototype_logits};
use super::pseudo::{fuse, mean_of_views, rescale, sharpen};
use super::schedule::linear_ramp;
use super::training::Training;
use crate::network::{Network, Pass};
use crate::training_set::argmax_rows;
use crate::vision::View;

/// The samples of one step.
pub(super) struct Batch<'a> {
    /// Samples of 𝒫: p of them.
    pub(super) partial: &'a [usize],
    /// Samples of 𝒰: u of them.
    pub(super) unlabeled: &'a [usize],
    /// w of 𝒫's samples: (p).
    pub(super) w: Vec<f32>,
    /// The teaching network's predictions for 𝒫's samples: (p, C).
    pub(super) teacher: Vec<f32>,
}

/// Which step it is.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    /// The network that learns: 0 or 1.
    pub(super) me: usize,
    /// Steps of this epoch before it.
    pub(super) step: usize,
    /// Epochs since warm-up, with the share of this one that is done.
    pub(super) progress: f64,
    /// The learning rate.
    pub(super) rate: f64,
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
pub(super) type Terms = Vec<(&'static str, Tensor)>;

impl Training<'_> {
    /// One step of network `me`: pseudo-label → self-train → contrast. Gives the terms and argmax p̃.
    pub(super) fn step(&mut self, moment: Moment, batch: &Batch) -> Result<(Terms, Vec<u32>)> {
        let Moment { me, step, rate, .. } = moment;
        let method = &self.stage.method;
        let targets = self.pseudo_label(moment, batch)?;
        let strong = self.batch(&batch.repeated(2), View::Strong, &self.draw(me, "strong", step as u64))?; // (2p + 2u, H, W, channels)
        let (mut loss, mut terms) = self.self_train(moment, &strong, &targets)?;
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
    fn pseudo_label(&self, Moment { me, step, .. }: Moment, batch: &Batch) -> Result<Targets> {
        let method = &self.stage.method;
        let (p, u, k, classes) =
            (batch.partial.len(), batch.unlabeled.len(), method.weak_views, self.set.classes);
        let weak = self.batch(&batch.repeated(k), View::Weak, &self.draw(me, "weak", step as u64))?; // (K·p + K·u, H, W, channels)
        let network = &self.learners[me].network;
        let own = network.forward(&weak, Pass::TrainNoGrad)?;
        let probs = softmax(&own.logits, D::Minus1)?; // (K·p + K·u, C)

        let mut other = Tensor::from_slice(&batch.teacher, (p, classes), &self.device)?;
        if method.partner != Partner::Aligned {
            other = rescale(&other, &self.set.candidate_masks(batch.partial, &self.device)?)?;
        }
        let own_partial = mean_of_views(&probs.narrow(0, 0, k * p)?, k)?;
        let partial = fuse(&Tensor::from_slice(&batch.w, p, &self.device)?, &other, &own_partial)?;
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
    fn self_train(&self, moment: Moment, strong: &Tensor, targets: &Targets) -> Result<(Tensor, Terms)> {
        let Moment { me, step, progress, .. } = moment;
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
            let weighted = |term: fn(&Tensor, &Tensor) -> Result<Tensor>,
                            rows: &dyn Fn(&Tensor) -> Result<Tensor>| {
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
    fn contrast(&mut self, me: usize, strong: &Tensor, batch: &Batch, targets: &Targets) -> Result<Tensor> {
        let (p, u) = (batch.partial.len(), batch.unlabeled.len());
        let view = |n: usize| {
            let partial = strong.narrow(0, n * p, p)?;
            if u == 0 { Ok(partial) } else { Tensor::cat(&[partial, strong.narrow(0, 2 * p + n * u, u)?], 0) }
        };
        let embed = |network: &Network, images: &Tensor, pass| {
            network.project(&network.forward(images, pass)?.features, pass)
        };
        let partial = [vec![1u8; p], vec![0u8; u]].concat();
        let labelled = |embeddings| -> Result<Labelled> {
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
}
