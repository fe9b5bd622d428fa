//! What the one-network methods for partial labels learn from, as pure functions: losses on both sides of the candidate
//! set, and how the numbers that they weigh classes with follow the predictions.
//!
//! B samples, C classes. Logits (B, C); candidates (B, C) of zeros and ones; f is the softmax of the logits. Losses are
//! means over samples. What follows predictions carries no gradient, and is computed from logits, so that a prediction
//! that leaves all candidates next to nothing still says which of them it prefers.

use candle_core::{D, Result, Tensor};
use candle_nn::ops::{log_softmax, sigmoid, softmax};

/// LWS, the leveraged weighted loss with ψ(g) = 1/(1 + e^g) (Wen et al. 2021):
/// Σ_{j∈Y} w_j σ(−g_j) + β Σ_{j∉Y} w_j σ(g_j), with g the logits and w the `weights` (B, C).
///
/// # Errors
/// Shapes, types or devices that do not fit.
#[doc(alias = "LWS")]
pub fn leveraged_sigmoid(
    logits: &Tensor,
    candidates: &Tensor,
    weights: &Tensor,
    beta: f64,
) -> Result<Tensor> {
    let signed = (logits * candidates.affine(-2.0, 1.0)?)?; // −g_j of candidates, g_j of the others
    leveraged(&sigmoid(&signed)?, candidates, weights, beta)
}

/// LWC, the leveraged weighted loss with logarithms (Wen et al. 2021):
/// −Σ_{j∈Y} w_j log f_j − β Σ_{j∉Y} w_j log(1 − f_j), with w the `weights` (B, C).
///
/// # Errors
/// Shapes, types or devices that do not fit.
#[doc(alias = "LWC")]
pub fn leveraged_cross_entropy(
    logits: &Tensor,
    candidates: &Tensor,
    weights: &Tensor,
    beta: f64,
) -> Result<Tensor> {
    // The authors' guard.
    let of_others = (log_of_rest(logits, 1e-8)? * outside(candidates)?)?;
    let terms = ((log_softmax(logits, D::Minus1)? * candidates)? + of_others)?;
    leveraged(&terms.neg()?, candidates, weights, beta)
}

/// Σ_{j∈Y} w_j l_j + β Σ_{j∉Y} w_j l_j for `terms` l and `weights` w (B, C).
fn leveraged(terms: &Tensor, candidates: &Tensor, weights: &Tensor, beta: f64) -> Result<Tensor> {
    let lever = candidates.affine(1.0 - beta, beta)?; // 1 for candidates, β for the others
    ((terms * weights)? * lever)?.sum(D::Minus1)?.mean_all()
}

/// −Σ_{j∉Y} log(1 − f_j): what is no candidate is not the class (Wu et al. 2022, the supervised term of CR-DPLL).
///
/// # Errors
/// Shapes, types or devices that do not fit.
#[doc(alias = "L_sup")]
pub fn non_candidate_loss(logits: &Tensor, candidates: &Tensor) -> Result<Tensor> {
    // The authors' guard.
    (log_of_rest(logits, 1e-7)? * outside(candidates)?)?.sum(D::Minus1)?.mean_all()?.neg()
}

/// log(1 − f_j + `guard`) of every class: (B, C). The guard keeps it finite where f_j is 1.
fn log_of_rest(logits: &Tensor, guard: f64) -> Result<Tensor> {
    // A GPU's division may round f above 1.
    (softmax(logits, D::Minus1)?.affine(-1.0, 1.0)?.relu()? + guard)?.log()
}

/// f scaled to sum 1 over the candidates and, by itself, to sum 1 over the other classes: the weights of the leveraged
/// losses (Wen et al. 2021). (B, C).
///
/// # Errors
/// Shapes, types or devices that do not fit.
pub fn normalise_both_sides(logits: &Tensor, candidates: &Tensor) -> Result<Tensor> {
    let logits = logits.detach();
    let inside = (within(&logits, candidates)? * candidates)?;
    let others = outside(candidates)?;
    inside + (within(&logits, &others)? * others)?
}

/// P_ij ∝ Y_ij Π_k f_j(x_k)^{1/K}, (B, C), for the logits of K views: what CR-DPLL aligns a sample's views with
/// (Wu et al. 2022).
///
/// Where that leaves every candidate less than f32 has a number for, the views say nothing, and the row of `old` (B, C)
/// stays.
///
/// # Errors
/// No view, or shapes, types or devices that do not fit.
pub fn geometric_mean(logits: &[Tensor], candidates: &Tensor, old: &Tensor) -> Result<Tensor> {
    let logs = logits.iter().map(|of_view| log_softmax(&of_view.detach(), D::Minus1));
    let mean = Tensor::stack(&logs.collect::<Result<Vec<_>>>()?, 0)?.mean(0)?; // (B, C)
    let best = alone(&mean, candidates)?.max_keepdim(D::Minus1)?; // (B, 1)
    let says = best.ge(f64::from(f32::MIN_POSITIVE.ln()))?.broadcast_as(old.shape())?.contiguous()?;
    says.where_cond(&within(&mean, candidates)?, old)
}

/// `rows` (B, C), but for the samples whose class a human gave, which are certain: their row becomes that of `candidates`
/// (B, C), which is that class alone. `human` says which of the B they are.
///
/// # Errors
/// Shapes, types or devices that do not fit.
pub fn keep_certain(rows: &Tensor, candidates: &Tensor, human: &[bool]) -> Result<Tensor> {
    if !human.contains(&true) {
        return Ok(rows.clone());
    }
    let human: Vec<u8> = human.iter().map(|&human| u8::from(human)).collect();
    let human = Tensor::from_slice(&human, (human.len(), 1), rows.device())?;
    human.broadcast_as(rows.shape())?.contiguous()?.where_cond(candidates, rows)
}

/// 1 for what is no candidate: (B, C).
fn outside(candidates: &Tensor) -> Result<Tensor> {
    candidates.affine(-1.0, 1.0)
}

/// The softmax over the classes that are `chosen` (B, C), 0 for the others; a row without any is no distribution.
fn within(logits: &Tensor, chosen: &Tensor) -> Result<Tensor> {
    softmax(&alone(logits, chosen)?, D::Minus1)
}

/// The logits of the classes that are `chosen` (B, C), and numbers far below any logit for the others.
fn alone(logits: &Tensor, chosen: &Tensor) -> Result<Tensor> {
    // exp(−1e9) is 0 in f32, and unlike −∞ it never makes 0 · ∞.
    logits + chosen.affine(1e9, -1e9)?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::learn::pseudo_labels::rescale;
    use candle_core::{Device, Var};

    fn rows<const B: usize, const C: usize>(values: &[[f32; C]; B]) -> Tensor {
        Tensor::new(values, &Device::Cpu).unwrap()
    }

    fn flat(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn assert_close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        let close = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(close, "{found:?}, not {expected:?}");
    }

    #[test]
    fn leveraged_losses_weigh_both_sides_of_the_candidates() {
        let sigma = |g: f32| 1.0 / (1.0 + (-g).exp());
        let (logits, candidates) = (rows(&[[0.5, -1.0], [2.0, 0.0]]), rows(&[[1.0, 0.0], [1.0, 1.0]]));
        let weights = rows(&[[0.8, 0.3], [0.6, 0.4]]);
        let of_each = [
            0.8 * sigma(-0.5) + 2.0 * 0.3 * sigma(-1.0),
            0.6 * sigma(-2.0) + 0.4 * sigma(0.0), // no class that β counts for
        ];
        let loss = leveraged_sigmoid(&logits, &candidates, &weights, 2.0).unwrap();
        assert_close(&flat(&loss), &[(of_each[0] + of_each[1]) / 2.0]);
        // With two classes f_1 = σ(g_1 − g_2), and 1 − f_2 = f_1.
        let of_each = [-(0.8 + 2.0 * 0.3) * sigma(1.5).ln(), -0.6 * sigma(2.0).ln() - 0.4 * sigma(-2.0).ln()];
        let loss = leveraged_cross_entropy(&logits, &candidates, &weights, 2.0).unwrap();
        assert_close(&flat(&loss), &[(of_each[0] + of_each[1]) / 2.0]);
        // Of both sides' terms only the candidates' are left.
        let loss = leveraged_cross_entropy(&logits, &candidates, &weights, 0.0).unwrap();
        assert_close(&flat(&loss), &[(of_each[1] - 0.8 * sigma(1.5).ln()) / 2.0]);
    }

    #[test]
    fn a_prediction_that_is_wholly_wrong_has_a_finite_loss_and_gradient() {
        let logits = Var::from_tensor(&rows(&[[-200.0, 200.0]])).unwrap();
        let (candidates, weights) = (rows(&[[1.0, 0.0]]), rows(&[[1.0, 1.0]]));
        let losses = [
            (leveraged_cross_entropy(&logits, &candidates, &weights, 1.0).unwrap(), 400.0 - 1e-8f32.ln()),
            (non_candidate_loss(&logits, &candidates).unwrap(), -(1e-7f32.ln())),
        ];
        for (loss, expected) in losses {
            let found = loss.to_scalar::<f32>().unwrap();
            assert!((found - expected).abs() < 1e-3, "{found}, not {expected}");
            let gradient = flat(loss.backward().unwrap().get(&logits).unwrap());
            assert!(gradient.iter().all(|slope| slope.is_finite()), "{gradient:?}");
        }
    }

    #[test]
    fn what_is_no_candidate_is_not_the_class() {
        // f = (.2, .3, .5) and (.2, .3, .5): log .7 + log .5 of the first, nothing of the second.
        let logits = rows(&[[0.2, 0.3, 0.5], [0.2, 0.3, 0.5]]).log().unwrap();
        let loss = non_candidate_loss(&logits, &rows(&[[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])).unwrap();
        assert_close(&flat(&loss), &[-(0.7f32.ln() + 0.5f32.ln()) / 2.0]);
    }

    #[test]
    fn weights_sum_to_one_on_either_side() {
        let logits = rows(&[[0.1, 0.3, 0.2, 0.4], [0.1, 0.2, 0.3, 0.4]]).log().unwrap();
        let candidates = rows(&[[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]);
        let weights = normalise_both_sides(&logits, &candidates).unwrap();
        let third = 1.0 / 3.0;
        assert_close(&flat(&weights), &[0.25, 0.75, third, 2.0 * third, 0.1, 0.2, 0.3, 0.4]);
        // Neither side loses its order where the other has all the probability.
        let logits = rows(&[[-300.0, -300.0 + 3f32.ln(), 300.0, 300.0]]);
        let weights = normalise_both_sides(&logits, &rows(&[[1.0, 1.0, 0.0, 0.0]])).unwrap();
        assert_close(&flat(&weights), &[0.25, 0.75, 0.5, 0.5]);
    }

    #[test]
    fn views_agree_on_their_geometric_mean_within_the_candidates() {
        let views = [rows(&[[0.1, 0.4, 0.5]]).log().unwrap(), rows(&[[0.4, 0.4, 0.2]]).log().unwrap()];
        let old = rows(&[[0.5, 0.5, 0.0]]);
        let mean = geometric_mean(&views, &rows(&[[1.0, 1.0, 0.0]]), &old).unwrap();
        // √(.1 · .4) = .2 and √(.4 · .4) = .4.
        assert_close(&flat(&mean), &[1.0 / 3.0, 2.0 / 3.0, 0.0]);
        assert!(geometric_mean(&[], &rows(&[[1.0, 1.0, 0.0]]), &old).is_err());
    }

    #[test]
    fn the_mean_of_one_view_is_its_prediction_rescaled_to_the_candidates() {
        let (logits, candidates) = (rows(&[[0.3, -1.2, 2.0, 0.7]]), rows(&[[1.0, 1.0, 0.0, 1.0]]));
        let rescaled = rescale(&softmax(&logits, D::Minus1).unwrap(), &candidates).unwrap();
        let mean = geometric_mean(&[logits], &candidates, &rows(&[[0.0; 4]])).unwrap();
        assert_close(&flat(&mean), &flat(&rescaled));
    }

    #[test]
    fn a_row_stays_where_all_candidates_underflow() {
        let view = |first: f32| rows(&[[first, first + 3f32.ln(), 0.0], [0.0, 0.0, 0.0]]);
        let (candidates, old) = (rows(&[[1.0, 1.0, 0.0]; 2]), rows(&[[0.9, 0.1, 0.0]; 2]));
        let mean = |logits: &[Tensor]| flat(&geometric_mean(logits, &candidates, &old).unwrap());
        assert_close(&mean(&[view(-200.0), view(-80.0)]), &[0.9, 0.1, 0.0, 0.5, 0.5, 0.0]);
        // One view that has nothing for the candidates is not all of them.
        assert_close(&mean(&[view(-110.0), view(-10.0)]), &[0.25, 0.75, 0.0, 0.5, 0.5, 0.0]);
    }

    #[test]
    fn what_a_human_said_is_certain() {
        let (weights, candidates) = (rows(&[[0.3, 0.7], [0.2, 0.8]]), rows(&[[1.0, 1.0], [0.0, 1.0]]));
        let kept = keep_certain(&weights, &candidates, &[false, true]).unwrap();
        assert_eq!(flat(&kept), [0.3, 0.7, 0.0, 1.0]);
        assert_eq!(flat(&keep_certain(&weights, &candidates, &[false; 2]).unwrap()), flat(&weights));
    }
}
