//! Pseudo-labels out of predictions (method §6): rescaled to the candidates, averaged over views, fused, sharpened.
//!
//! B samples, C classes, K weak views; nothing here carries gradients.

use candle_core::{D, Result, Tensor};

/// p_j = Y_j f_j / Σ_k Y_k f_k: the other network's prediction (B, C), rescaled to the candidates (B, C).
///
/// Where the prediction leaves the candidates no mass, they share it evenly.
#[doc(alias = "co-pseudo-label")]
pub fn rescale(probs: &Tensor, candidates: &Tensor) -> Result<Tensor> {
    let within = ((probs * candidates)? + (candidates * 1e-12)?)?;
    within.broadcast_div(&within.sum_keepdim(D::Minus1)?)
}

/// p̄ = mean over the K weak views of one network's probabilities (K·B, C), views stacked: (B, C).
pub fn mean_of_views(probs: &Tensor, views: usize) -> Result<Tensor> {
    let (rows, classes) = probs.dims2()?;
    probs.reshape((views, rows / views, classes))?.mean(0)
}

/// p′ = w p + (1 − w) p̄ for a sample of 𝒫: `w` (B), `p` and `own` (B, C).
#[doc(alias = "co-pseudo-label")]
pub fn fuse(w: &Tensor, p: &Tensor, own: &Tensor) -> Result<Tensor> {
    let w = w.unsqueeze(1)?;
    p.broadcast_mul(&w)? + own.broadcast_mul(&w.affine(-1.0, 1.0)?)?
}

/// p̃ = p′^{1/T} normalised, for p′ (B, C).
pub fn sharpen(probs: &Tensor, temperature: f64) -> Result<Tensor> {
    // Relative to the largest, or a low temperature would leave nothing but zeros.
    let powered = probs.broadcast_div(&probs.max_keepdim(D::Minus1)?)?.powf(1.0 / temperature)?;
    powered.broadcast_div(&powered.sum_keepdim(D::Minus1)?)
}
