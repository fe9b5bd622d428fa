//! What the methods that build on PiCO share (Wang et al. 2022, "PiCO: Contrastive Label Disambiguation for Partial
//! Label Learning"): a key network with its queue, prototypes and the targets of the training set, and what a step does
//! with them.

use candle_core::{D, DType, Device, Result as Computed, Tensor};
use pipeline::error::{Error, OrFail, Result};

use crate::learn::confidence::Confidence;
use crate::learn::contrastive::{Positives, contrastive_loss, info_nce};
use crate::learn::key_encoder::KeyEncoder;
use crate::learn::key_queue::Labelled;
use crate::learn::losses::prototype_logits;
use crate::learn::method::{Method, State, restore_tensor};
use crate::learn::optimizer::{Decay, Optimizer};
use crate::learn::prototypes::Prototypes;
use crate::learn::schedule::linear;
use crate::learn::train::Training;
use crate::network::{Network, Pass};
use crate::runtime::checkpoint::{Tensors, join, part};

/// The state of PiCO.
pub struct PicoState {
    /// θ_k with the queue of its keys.
    pub(super) encoder: KeyEncoder,
    /// o: one a class.
    pub(super) prototypes: Prototypes,
    /// P: the target of every sample; starts uniform over its candidates.
    pub(super) confidence: Confidence,
}

/// What the two networks see in the samples of a step, before the step.
pub(super) struct Seen {
    /// Y: (B, C) of zeros and ones.
    pub(super) candidates: Tensor,
    /// Logits of the weak views: (B, C).
    pub(super) logits: Tensor,
    /// z of the weak views: (B, E).
    pub(super) queries: Tensor,
    /// z of the strong views by the key network, without gradient: (B, E).
    pub(super) keys: Tensor,
    /// z·o of the weak views, with the prototypes as they were before the step, without gradient: (B, C).
    pub(super) scores: Tensor,
}

impl PicoState {
    /// Before the first epoch: θ_k = θ, room for `queue` keys, no prototype, P_ij = Y_ij / Σ_k Y_ik.
    ///
    /// # Errors
    /// The device has no room.
    pub(super) fn new<M: Method>(training: &Training<'_, M, ()>, queue: usize) -> Result<Self> {
        let (width, device) = (training.stage.architecture.embedding, &training.device);
        let cannot = || Error::new("cannot make the prototypes and targets");
        Ok(Self {
            encoder: KeyEncoder::new(training, 0, queue)?,
            prototypes: Prototypes::new(training.set.classes, width, device).or_fail(cannot)?,
            confidence: Confidence::uniform(training.set, device).or_fail(cannot)?,
        })
    }

    /// Shows the weak views (B, H, W, channels) to `network`, θ, and the strong ones to the key network, which follows
    /// θ before: θ_k ← m θ_k + (1 − m) θ with m = `key_momentum`.
    ///
    /// # Errors
    /// The device runs out of memory.
    pub(super) fn look(
        &mut self,
        network: &Network,
        key_momentum: f64,
        candidates: Tensor,
        weak: &Tensor,
        strong: &Tensor,
    ) -> Computed<Seen> {
        let output = network.forward(weak, Pass::Train)?;
        let queries = network.project(&output.features, Pass::Train)?;
        let scores = prototype_logits(&queries.detach(), &self.prototypes.0, 1.0)?.detach();
        let keys = self.encoder.keys(network, key_momentum, strong)?;
        Ok(Seen { candidates, logits: output.logits, queries, keys, scores })
    }

    /// Moves the targets of these samples towards the candidate whose prototype is nearest:
    /// P_i ← φ P_i + (1 − φ) onehot(argmax_j Y_ij z_i·o_j) with φ = `keep`. A sample with one candidate keeps it for
    /// certain.
    ///
    /// # Errors
    /// Shapes or devices that do not fit.
    pub(super) fn move_targets(&mut self, samples: &[usize], seen: &Seen, keep: f64) -> Computed<()> {
        // Of z·o itself: its softmax has the same order.
        let nearest = best_candidate(&seen.scores, &seen.candidates)?;
        self.confidence.blend(samples, &one_hot(&nearest, seen.candidates.dim(D::Minus1)?)?, keep)
    }

    /// L_cont of queries and keys (B, E) whose pseudo-labels (B), u32, are these: all rows of one label among queries,
    /// keys and queue attract each other, own key included. The keys then join the queue.
    ///
    /// # Errors
    /// Shapes or devices that do not fit.
    pub(super) fn contrast_labels(
        &mut self,
        queries: Tensor,
        keys: Tensor,
        labels: &Tensor,
        temperature: f64,
    ) -> Computed<Tensor> {
        let queries = labelled(queries, labels)?;
        let keys = labelled(keys, labels)?;
        let queue = self.encoder.queue.keys()?;
        let loss = contrastive_loss(&queries, &keys, queue.as_ref(), temperature, Positives::Supervised)?;
        self.encoder.queue.push(&keys)?;
        Ok(loss)
    }

    /// The contrastive loss of MoCo of queries and keys (B, E): own key against the queue. The keys then join the queue
    /// with these pseudo-labels (B), u32.
    ///
    /// # Errors
    /// Shapes or devices that do not fit.
    pub(super) fn contrast_samples(
        &mut self,
        queries: &Tensor,
        keys: Tensor,
        labels: &Tensor,
        temperature: f64,
    ) -> Computed<Tensor> {
        let queue = self.encoder.queue.keys()?;
        let loss = info_nce(queries, &keys, queue.as_ref().map(|keys| &keys.embeddings), temperature)?;
        self.encoder.queue.push(&labelled(keys, labels)?)?;
        Ok(loss)
    }
}

const ENCODER: &str = "encoder";
const PROTOTYPES: &str = "prototypes";
const CONFIDENCE: &str = "confidence";

impl State for PicoState {
    fn tensors(&self) -> Result<Tensors> {
        let mut tensors =
            join(vec![(ENCODER, self.encoder.tensors()?), (CONFIDENCE, self.confidence.tensors()?)]);
        let prototypes = self.prototypes.0.to_device(&Device::Cpu);
        let prototypes = prototypes.or_fail(|| Error::new("cannot copy the prototypes"))?;
        tensors.insert(PROTOTYPES.to_owned(), prototypes);
        Ok(tensors)
    }

    fn restore(&mut self, tensors: &Tensors) -> Result<()> {
        self.encoder.restore(&part(tensors, ENCODER))?;
        self.confidence.restore(&part(tensors, CONFIDENCE))?;
        restore_tensor(tensors, PROTOTYPES, &mut self.prototypes.0)
    }
}

/// φ at the first epoch and at the end.
const KEPT: [f64; 2] = [0.95, 0.8];

/// φ in epoch number `epoch` of `epochs`, counted from 0: what a target keeps of itself where it moves. It falls
/// linearly from .95 to .8, and is set anew after every epoch: epochs 0 and 1 have .95.
pub(super) fn momentum_of_targets(epoch: usize, epochs: usize) -> f64 {
    linear(KEPT[0], KEPT[1], epoch.saturating_sub(1) as f64 / epochs.max(1) as f64)
}

/// The candidate with the largest score: (B), u32. `scores` (B, C) are logits, or whatever is ordered as they are;
/// `candidates` (B, C) of zeros and ones.
///
/// # Errors
/// Shapes or devices that do not fit.
pub(super) fn best_candidate(scores: &Tensor, candidates: &Tensor) -> Computed<Tensor> {
    // 0 for candidates, −1e9 for the others, so that a candidate without probability is still before them.
    (scores.detach() + candidates.affine(1e9, -1e9)?)?.argmax(D::Minus1)
}

/// 1 for the class of each label (B), 0 for the others: (B, C).
///
/// # Errors
/// The device runs out of memory.
pub(super) fn one_hot(labels: &Tensor, classes: usize) -> Computed<Tensor> {
    let all = Tensor::arange(0u32, classes as u32, labels.device())?.unsqueeze(0)?; // (1, C)
    labels.unsqueeze(1)?.broadcast_eq(&all)?.to_dtype(DType::F32)
}

/// Embeddings (B, E) with their pseudo-labels (B), all of them believed.
pub(super) fn labelled(embeddings: Tensor, labels: &Tensor) -> Computed<Labelled> {
    let partial = Tensor::ones(labels.elem_count(), DType::U8, labels.device())?;
    Ok(Labelled { embeddings, labels: labels.clone(), partial })
}

/// Stochastic gradient descent with rates of the method's own, over the whole cosine down to a thousandth of the rate.
pub(super) fn own_rates(shared: &Optimizer, epochs: usize, rate: f64, weight_decay: f64) -> Optimizer {
    Optimizer {
        learning_rate: rate,
        final_learning_rate: 1e-3 * rate,
        decay: Decay::Cosine,
        weight_decay,
        ..shared.over(epochs)
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::network::tests::{flat, formula};

    /// What `golden/pico_steps.py` begins with: the key network as the network is, and prototypes of the formula.
    pub fn begin(network: &Network, state: &mut PicoState) {
        state.encoder.network.copy_from(network).unwrap();
        let (classes, width) = state.prototypes.0.dims2().unwrap();
        let rows = Tensor::from_vec(formula(classes * width, 901), (classes, width), &Device::Cpu).unwrap();
        let lengths = rows.sqr().unwrap().sum_keepdim(D::Minus1).unwrap().sqrt().unwrap();
        state.prototypes = Prototypes(rows.broadcast_div(&lengths).unwrap());
    }

    /// What it keeps: targets, prototypes, and the keys in the queue.
    pub fn kept(state: &PicoState) -> Vec<f32> {
        let keys = state.encoder.queue.keys().unwrap().unwrap().embeddings;
        [state.confidence.to_vec().unwrap(), flat(&state.prototypes.0), flat(&keys)].concat()
    }

    #[test]
    fn targets_move_more_from_epoch_to_epoch() {
        let kept = [0, 1, 2, 5, 101].map(|epoch| momentum_of_targets(epoch, 100));
        let expected = [0.95, 0.95, 0.9485, 0.944, 0.8];
        assert!(kept.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{kept:?}");
    }

    #[test]
    fn the_best_candidate_is_one_however_unlikely() {
        let scores = Tensor::new(&[[200f32, 0., -300.], [1., 3., 2.]], &Device::Cpu).unwrap();
        let candidates = Tensor::new(&[[0f32, 0., 1.], [1., 0., 1.]], &Device::Cpu).unwrap();
        let best = best_candidate(&scores, &candidates).unwrap();
        assert_eq!(best.to_vec1::<u32>().unwrap(), [2, 2]);
        let rows = one_hot(&best, 3).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(rows, [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]);
    }
}
