//! The parts of one step of DivideMix: warm up, or label both splits and learn from them mixed.
//!
//! Nothing here waits for the device: what a step finds out stays there until the epoch is over.

use candle_core::{D, Result, Tensor};
use candle_nn::ops::softmax;

use super::DivideMix;
use super::lesson::{VIEWS, single_labels};
use crate::learn::losses::{cross_entropy, mean_squared_error, negative_entropy, prior_divergence};
use crate::learn::method::Step;
use crate::learn::mixup::Mixing;
use crate::learn::pseudo_labels::{fuse, mean_of_views, sharpen};
use crate::learn::schedule::linear_ramp;
use crate::learn::step_losses::StepLosses;
use crate::learn::train::Training;
use crate::network::Pass;

/// The samples of one step: p of 𝒫 and u of 𝒰.
pub(super) struct Batch {
    /// p.
    pub(super) partial: usize,
    /// u.
    pub(super) unlabeled: usize,
    /// w of 𝒫's samples: (p).
    pub(super) w: Tensor,
    /// ŷ of 𝒫's samples as rows of zeros and a one: (p, C).
    pub(super) labels: Tensor,
    /// Two weak views of 𝒫, then two of 𝒰: (2p + 2u, H, W, channels).
    pub(super) images: Tensor,
}

/// What a step learns.
pub(super) struct Targets {
    /// Of every row of the batch's images: (2p + 2u, C).
    pub(super) rows: Tensor,
    /// The largest class of 𝒫's samples, then of 𝒰's: (p + u), u32.
    pub(super) labels: Tensor,
}

/// The loss of warm-up, CE(ŷ, f) + Σ_j f_j log f_j, on these samples' weak views (B, H, W, channels).
pub(super) fn label_losses(
    training: &Training<'_, DivideMix>,
    step: Step,
    samples: &[usize],
    images: &Tensor,
) -> Result<StepLosses> {
    let mut losses = StepLosses::default();
    let logits = training.learners[step.network].network.forward(images, Pass::Train)?.logits; // (B, C)
    let labels = single_labels(training.set, samples, &training.device)?;
    losses.add("loss_partial", 1.0, cross_entropy(&logits, &labels)?)?;
    if training.stage.method.entropy {
        losses.add("loss_negative_entropy", 1.0, negative_entropy(&logits)?)?;
    }
    Ok(losses)
}

/// Targets for network number `me`: its own and the given labels on 𝒫 (co-refinement), both networks' on 𝒰
/// (co-guessing), each the mean over two views and sharpened. No gradient flows.
pub(super) fn co_label(training: &Training<'_, DivideMix>, me: usize, batch: &Batch) -> Result<Targets> {
    let temperature = training.stage.method.temperature;
    let [p_rows, u_rows] = [batch.partial, batch.unlabeled].map(|samples| VIEWS * samples);
    let own = training.learners[me].network.forward(&batch.images, Pass::TrainNoGrad)?.logits;
    let own = softmax(&own, D::Minus1)?; // (2p + 2u, C)
    let refined = fuse(&batch.w, &batch.labels, &mean_of_views(&own.narrow(0, 0, p_rows)?, VIEWS)?)?;
    let mut splits = vec![sharpen(&refined, temperature)?.detach()]; // (p, C); then (u, C)
    if u_rows > 0 {
        let views = batch.images.narrow(0, p_rows, u_rows)?;
        let other = training.learners[1 - me].network.forward(&views, Pass::Eval)?.logits;
        let other = mean_of_views(&softmax(&other, D::Minus1)?, VIEWS)?;
        let guessed = ((mean_of_views(&own.narrow(0, p_rows, u_rows)?, VIEWS)? + other)? * 0.5)?;
        splits.push(sharpen(&guessed, temperature)?.detach());
    }
    let labels = Tensor::cat(&splits, 0)?.argmax(D::Minus1)?;
    let rows: Vec<&Tensor> = splits.iter().flat_map(|split| [split; VIEWS]).collect();
    Ok(Targets { rows: Tensor::cat(&rows, 0)?, labels })
}

/// L_x + λ(t) L_u + L_reg on the batch's views and `targets` (2p + 2u, C), mixed as a whole: 𝒫 with 𝒰, too.
pub(super) fn mixed_losses(
    training: &Training<'_, DivideMix>,
    step: Step,
    batch: &Batch,
    targets: &Tensor,
    mixing: &Mixing,
) -> Result<StepLosses> {
    let method = &training.stage.method;
    let [p_rows, u_rows] = [batch.partial, batch.unlabeled].map(|samples| VIEWS * samples);
    let images = mixing.images(&batch.images)?;
    let targets = mixing.weigh(targets, &mixing.partners(targets)?)?;
    let logits = training.learners[step.network].network.forward(&images, Pass::Train)?.logits;
    let mut losses = StepLosses::default();
    let of_partial = cross_entropy(&logits.narrow(0, 0, p_rows)?, &targets.narrow(0, 0, p_rows)?)?;
    losses.add("loss_partial", 1.0, of_partial)?;
    if u_rows > 0 {
        let of_unlabeled =
            mean_squared_error(&logits.narrow(0, p_rows, u_rows)?, &targets.narrow(0, p_rows, u_rows)?)?;
        losses.add("loss_unlabeled", method.weight_of_unlabeled(step.progress), of_unlabeled)?;
    }
    if method.regularise {
        losses.add("loss_prior", 1.0, prior_divergence(&logits)?)?;
    }
    Ok(losses)
}

impl DivideMix {
    /// λ(t) = λ_u · clip((t − W) / ramp, 0, 1): `progress` is t, the epochs so far with the share of the current one.
    fn weight_of_unlabeled(&self, progress: f64) -> f64 {
        self.unlabeled_weight * linear_ramp(progress - self.warm_up as f64, self.ramp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_of_the_unlabeled_split_grows_within_epochs_from_the_end_of_warm_up() {
        let method = DivideMix { warm_up: 10, ramp: 16, unlabeled_weight: 25.0, ..DivideMix::default() };
        let weights = [0.0, 10.0, 10.5, 18.0, 26.0, 90.0].map(|t| method.weight_of_unlabeled(t));
        assert_eq!(weights, [0.0, 0.0, 25.0 / 32.0, 12.5, 25.0, 25.0]);
    }
}
