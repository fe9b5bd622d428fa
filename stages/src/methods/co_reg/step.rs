//! The parts of one step of Co-Reg: pseudo-label → self-train → contrast (method §§6–8).
//!
//! Nothing here waits for the device: what a step finds out stays there until the epoch is over.

use candle_core::{D, DType, Result, Tensor};
use candle_nn::ops::softmax;

use super::{CoReg, UnlabeledError, stream_name};
use crate::learn::contrastive::contrastive_loss;
use crate::learn::key_queue::Labelled;
use crate::learn::losses::{cross_entropy, kl_divergence, mean_squared_error, prototype_logits};
use crate::learn::method::Step;
use crate::learn::mixup::Mixing;
use crate::learn::pseudo_labels::{fuse, mean_of_views, sharpen};
use crate::learn::schedule::linear_ramp;
use crate::learn::step_losses::StepLosses;
use crate::learn::train::Training;
use crate::network::{Network, Pass};

/// The samples of one step: p of 𝒫 and u of 𝒰.
pub(super) struct Batch {
    /// p.
    pub(super) partial: usize,
    /// u.
    pub(super) unlabeled: usize,
    /// w of 𝒫's samples: (p).
    pub(super) w: Tensor,
    /// p of method §6, the other network's share of 𝒫's pseudo-labels: (p, C).
    pub(super) other: Tensor,
    /// K weak views of 𝒫, then K of 𝒰: (K·p + K·u, H, W, channels).
    pub(super) weak: Tensor,
    /// Two strong views of 𝒫, then two of 𝒰: (2p + 2u, H, W, channels).
    pub(super) strong: Tensor,
}

/// What a step learns, p̃, and what goes with it.
pub(super) struct Targets {
    /// p̃ of 𝒫: (p, C).
    pub(super) partial: Tensor,
    /// p̃ of 𝒰: (u, C).
    unlabeled: Option<Tensor>,
    /// argmax p̃ of 𝒫's samples, then 𝒰's: (p + u), u32.
    pub(super) labels: Tensor,
    /// Embeddings of 𝒫's first weak views: (p, E).
    pub(super) embeddings: Tensor,
}

/// Co-pseudo-labels p̃ for the network that learns (method §6).
pub(super) fn pseudo_label(training: &Training<'_, CoReg>, step: Step, batch: &Batch) -> Result<Targets> {
    let (me, method) = (step.network, &training.stage.method);
    let (p, u, k) = (batch.partial, batch.unlabeled, method.weak_views);
    let network = &training.learners[me].network;
    let own = network.forward(&batch.weak, Pass::TrainNoGrad)?;
    let probs = softmax(&own.logits, D::Minus1)?; // (K·p + K·u, C)
    let own_partial = mean_of_views(&probs.narrow(0, 0, k * p)?, k)?;
    let partial = fuse(&batch.w, &batch.other, &own_partial)?;
    let partial = sharpen(&partial, method.temperature)?.detach();
    let mut unlabeled = None;
    if u > 0 {
        let mut mean = mean_of_views(&probs.narrow(0, k * p, k * u)?, k)?;
        if method.co_pseudo_label {
            let views = batch.weak.narrow(0, k * p, k * u)?;
            let logits = training.learners[1 - me].network.forward(&views, Pass::Eval)?.logits;
            mean = ((mean + mean_of_views(&softmax(&logits, D::Minus1)?, k)?)? * 0.5)?;
        }
        unlabeled = Some(sharpen(&mean, method.temperature)?.detach());
    }
    let all: Vec<&Tensor> = [&partial].into_iter().chain(&unlabeled).collect();
    let labels = Tensor::cat(&all, 0)?.argmax(D::Minus1)?;
    let embeddings = network.project(&own.features.narrow(0, 0, p)?, Pass::TrainNoGrad)?;
    Ok(Targets { partial, unlabeled, labels, embeddings })
}

/// L_cr + λ₁ L_prot on mixed strong views (method §7).
pub(super) fn self_train(
    training: &Training<'_, CoReg>,
    step: Step,
    strong: &Tensor,
    targets: &Targets,
    losses: &mut StepLosses,
) -> Result<()> {
    let (me, method) = (step.network, &training.stage.method);
    let rows = strong.dim(0)?; // 2p + 2u
    let of_partial = 2 * targets.partial.dim(0)?;
    let of_unlabeled = rows - of_partial;
    let mut stacked = vec![&targets.partial, &targets.partial];
    stacked.extend(targets.unlabeled.iter().flat_map(|u| [u, u]));
    let stacked = Tensor::cat(&stacked, 0)?; // (2p + 2u, C)

    let stream = stream_name(me, training.epoch, &format!("mixup/{}", step.number));
    let mixing = Mixing::draw(training.stage.seed, &stream, method.mixup, rows)?;
    let images = mixing.images(strong)?;
    let partner = mixing.partners(&stacked)?;
    let mixed = mixing.weigh(&stacked, &partner)?;

    let network = &training.learners[me].network;
    let output = network.forward(&images, Pass::Train)?;
    let first = |t: &Tensor| t.narrow(0, 0, of_partial);
    let rest = |t: &Tensor| t.narrow(0, of_partial, of_unlabeled);
    let squared_error = |logits: &Tensor, targets: &Tensor| -> Result<Tensor> {
        let mean = mean_squared_error(logits, targets)?;
        match method.unlabeled_error {
            UnlabeledError::Mean => Ok(mean),
            UnlabeledError::Sum => mean * training.set.classes as f64,
        }
    };
    losses.add("loss_partial", 1.0, cross_entropy(&first(&output.logits)?, &first(&mixed)?)?)?;
    if of_unlabeled > 0 {
        let ramp = linear_ramp(step.progress, method.ramp);
        let unlabeled = squared_error(&rest(&output.logits)?, &rest(&mixed)?)?;
        losses.add("loss_unlabeled", ramp, unlabeled)?;
    }
    if method.lambda_proto > 0.0 && method.regularises(training.epoch) {
        let z = network.project(&output.features, Pass::Train)?; // (2p + 2u, E)
        let logits = prototype_logits(&z, &training.state.prototypes.0, method.prototype_temperature)?;
        // λ-weighted over both targets of a mixed image.
        let weighted = |term: &dyn Fn(&Tensor, &Tensor) -> Result<Tensor>,
                        rows: &dyn Fn(&Tensor) -> Result<Tensor>| {
            let logits = rows(&logits)?;
            mixing.weigh(&term(&logits, &rows(&stacked)?)?, &term(&logits, &rows(&partner)?)?)
        };
        losses.add("loss_prototype_partial", method.lambda_proto, weighted(&kl_divergence, &first)?)?;
        if of_unlabeled > 0 {
            let unlabeled = weighted(&squared_error, &rest)?;
            losses.add("loss_prototype_unlabeled", method.lambda_proto, unlabeled)?;
        }
    }
    Ok(())
}

/// λ₂ L_ncont between the first and the second strong views (method §8); the keys then join the queue.
pub(super) fn contrast(
    training: &mut Training<'_, CoReg>,
    step: Step,
    batch: &Batch,
    targets: &Targets,
    losses: &mut StepLosses,
) -> Result<()> {
    let (me, method) = (step.network, &training.stage.method);
    let (p, u) = (batch.partial, batch.unlabeled);
    let view = |n: usize| {
        let partial = batch.strong.narrow(0, n * p, p)?;
        if u == 0 {
            return Ok(partial);
        }
        Tensor::cat(&[partial, batch.strong.narrow(0, 2 * p + n * u, u)?], 0)
    };
    let embed = |network: &Network, images: &Tensor, pass| {
        network.project(&network.forward(images, pass)?.features, pass)
    };
    let [of_partial, of_unlabeled] =
        [Tensor::ones(p, DType::U8, &training.device)?, Tensor::zeros(u, DType::U8, &training.device)?];
    let partial = Tensor::cat(&[of_partial, of_unlabeled], 0)?;
    let labelled = |embeddings: Tensor| Labelled {
        embeddings,
        labels: targets.labels.clone(),
        partial: partial.clone(),
    };
    let state = &mut training.state.networks[me];
    let queries = labelled(embed(&training.learners[me].network, &view(0)?, Pass::Train)?);
    let keys = labelled(embed(&state.key.network, &view(1)?, Pass::TrainNoGrad)?.detach());
    let queue = state.key.queue.keys()?;
    let (temperature, positives) = (method.contrast_temperature, method.positives);
    let loss = contrastive_loss(&queries, &keys, queue.as_ref(), temperature, positives)?;
    state.key.queue.push(&keys)?;
    losses.add("loss_contrastive", method.lambda_contrast, loss)
}
