//! The losses of method §§4 and 7 as pure functions of logits and targets.
//!
//! Shapes: B samples, C classes. Every loss is a scalar tensor, a mean over samples. None of them knows
//! of networks, epochs or data sets.

use candle_core::{D, Result, Tensor};
use candle_nn::ops::{log_softmax, softmax};

/// Keeps logarithms of probabilities finite; far below any share that matters.
const TINY: f64 = 1e-12;

/// First term of the warm-up loss: −log Σ_j Y_j f_j(x) (method §4), from logits (B, C) and candidate
/// masks (B, C) of zeros and ones.
///
/// A sample whose candidates are all classes carries no information and is skipped; the mean is over the
/// others, and zero if there is none.
#[doc(alias = "L_warm")]
pub fn partial_cross_entropy(logits: &Tensor, candidates: &Tensor) -> Result<Tensor> {
    let classes = candidates.dim(D::Minus1)? as f64;
    let informative = candidates.sum(D::Minus1)?.lt(classes)?.to_dtype(logits.dtype())?; // (B)
    // 0 for candidates, −1e9 for the others: exp(−1e9) is 0 in f32, and unlike −∞ it never makes 0 · ∞.
    let outside = candidates.affine(1e9, -1e9)?;
    let mass = (log_softmax(logits, D::Minus1)? + outside)?.log_sum_exp(D::Minus1)?; // log Σ Y f, (B)
    let total = (mass.neg()? * &informative)?.sum_all()?;
    total / informative.sum_all()?.clamp(1f64, f64::MAX)?
}

/// Second term of the warm-up loss: Σ_j f_j(x) log f_j(x), the negative entropy (method §4), from
/// logits (B, C).
#[doc(alias = "L_warm")]
pub fn negative_entropy(logits: &Tensor) -> Result<Tensor> {
    let log_probs = log_softmax(logits, D::Minus1)?;
    (log_probs.exp()? * log_probs)?.sum(D::Minus1)?.mean_all()
}

/// Cross-entropy of logits (B, C) to soft targets (B, C): L_cr on 𝒫 (method §7).
#[doc(alias = "L_cr")]
pub fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    (log_softmax(logits, D::Minus1)? * targets)?.sum(D::Minus1)?.mean_all()?.neg()
}

/// Mean squared error between the probabilities of logits (B, C) and soft targets (B, C): L_cr on 𝒰
/// (method §7). The mean is over samples and classes.
#[doc(alias = "L_cr")]
#[doc(alias = "L_prot")]
pub fn mean_squared_error(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    (softmax(logits, D::Minus1)? - targets)?.sqr()?.mean_all()
}

/// Similarities of embeddings (B, E) to prototypes (C, E) as logits (B, C): z·o / temperature
/// (method §7).
pub fn prototype_logits(embeddings: &Tensor, prototypes: &Tensor, temperature: f64) -> Result<Tensor> {
    embeddings.matmul(&prototypes.t()?)? / temperature
}

/// KL(target ‖ softmax(logits)) for logits and targets (B, C): L_prot on 𝒫 (method §7).
#[doc(alias = "L_prot")]
pub fn kl_divergence(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let log_targets = targets.maximum(TINY)?.log()?;
    let difference = (log_targets - log_softmax(logits, D::Minus1)?)?;
    (difference * targets)?.sum(D::Minus1)?.mean_all()
}

/// Σ_c π_c log(π_c / m_c) with a uniform π and m the mean over the batch of the probabilities of logits (B, C): keeps a
/// network from giving everything to a few classes (Li et al. 2020, DivideMix).
#[doc(alias = "L_reg")]
pub fn prior_divergence(logits: &Tensor) -> Result<Tensor> {
    let (rows, classes) = logits.dims2()?;
    // log m_c + log B, without the probabilities themselves: a class that nobody is given has a tiny one, not 0.
    let log_sums = log_softmax(logits, D::Minus1)?.log_sum_exp(0)?; // (C)
    log_sums.mean_all()?.affine(-1.0, (rows as f64).ln() - (classes as f64).ln())
}
