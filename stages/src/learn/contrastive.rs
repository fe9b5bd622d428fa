//! Noisy contrastive learning (method §8): a loss that neither attracts nor repels pairs whose agreement rests on an
//! unlabeled sample.

use candle_core::{D, DType, Result, Tensor};

use super::contrastive_rows::ContrastRows;
use super::key_queue::Labelled;

/// Which pairs attract each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Positives {
    /// The own key, and samples of the same pseudo-label if both are from 𝒫; other pairs of one label are
    /// ignored (the paper's).
    Noisy,
    /// All samples of the same pseudo-label; nothing is ignored (ablation "w/ SupCont").
    Supervised,
}

/// L_ncont (method §8): for every query x, −(1/|P(x)|) Σ_{+} log( exp(z·z₊/T) / Σ_{P∪N} exp(z·z/T) ), mean
/// over queries.
///
/// `queries` and `keys` are the two strong views of the same samples in the same order; the contrast set
/// is queries ∪ keys ∪ queue, the query itself excluded. `temperature` is T″.
///
/// # Errors
/// Shapes, types or devices that do not fit.
#[doc(alias = "L_ncont")]
#[doc(alias = "supcont")]
pub fn contrastive_loss(
    queries: &Labelled,
    keys: &Labelled,
    queue: Option<&Labelled>,
    temperature: f64,
    positives: Positives,
) -> Result<Tensor> {
    let parts: Vec<&Labelled> = [queries, keys].into_iter().chain(queue).collect();
    let all = Labelled::cat(&parts)?;
    let similarity = (queries.embeddings.matmul(&all.embeddings.t()?)? / temperature)?; // (n, A)
    if similarity.device().is_cpu() {
        let rows = ContrastRows::new(all.labels.to_vec1()?, all.partial.to_vec1()?, positives);
        return similarity.apply_op1(rows)?.mean_all();
    }
    rows_by_masks(&similarity, queries, &all, positives)?.mean_all()
}

/// The contrastive loss of MoCo (He et al. 2020): of every query, its own key against the keys of the queue; neither other
/// queries nor other keys take part. `queries` and `keys` (n, E), `queue` (Q, E); mean over queries.
///
/// # Errors
/// Shapes, types or devices that do not fit.
pub fn info_nce(queries: &Tensor, keys: &Tensor, queue: Option<&Tensor>, temperature: f64) -> Result<Tensor> {
    let own = ((queries * keys)?.sum_keepdim(D::Minus1)? / temperature)?; // (n, 1)
    let Some(queue) = queue else { return (own * 0.0)?.mean_all() };
    // A copy: keys that join the queue before the backward pass are written in its place.
    let others = (queries.matmul(&queue.copy()?.t()?)? / temperature)?; // (n, Q)
    let log_sum = Tensor::cat(&[&own, &others], 1)?.log_sum_exp(D::Minus1)?; // (n)
    (log_sum - own.squeeze(1)?)?.mean_all()
}

/// The supervised contrastive loss (Khosla et al. 2020) with weighted positives, of every query: (n).
///
/// L_i = −Σ_a m_ia (s_ia − log Σ_{a≠i} exp s_ia) / Σ_a m_ia with s = z·z_a / T. `others` (A, E) is queries ∪ keys ∪ queue, in
/// this order: the first n rows are the queries, and none is compared with itself. `weights` (n, A) is m, not negative, and
/// what it says of a query itself does not count. A query without positives has a loss of 0.
///
/// # Errors
/// Shapes, types or devices that do not fit.
pub fn weighted_contrast(
    queries: &Tensor,
    others: &Tensor,
    weights: &Tensor,
    temperature: f64,
) -> Result<Tensor> {
    let (count, all) = (queries.dim(0)?, others.dim(0)?);
    let itself = Tensor::eye(count, DType::F32, queries.device())?.pad_with_zeros(1, 0, all - count)?;
    let similarity = (queries.matmul(&others.t()?)? / temperature)?; // (n, A)
    // exp(−1e9) is 0 in f32, and unlike −∞ it never makes 0 · ∞.
    let log_sum = (&similarity - (&itself * 1e9)?)?.log_sum_exp(D::Minus1)?; // (n)
    let weights = (weights * itself.affine(-1.0, 1.0)?)?.detach();
    let total = weights.sum(D::Minus1)?; // (n)
    let attraction = (similarity * &weights)?.sum(D::Minus1)?;
    // A query without positives: 0 / 1.
    let divisor = (&total + total.eq(0f64)?.to_dtype(DType::F32)?)?;
    ((log_sum * total)? - attraction)?.div(&divisor)
}

/// The loss of every query, (n), from its similarities (n, A), through candle's operators: for devices without
/// an operator of ours, and a second opinion in the tests.
pub(crate) fn rows_by_masks(
    similarity: &Tensor,
    queries: &Labelled,
    all: &Labelled,
    positives: Positives,
) -> Result<Tensor> {
    let (positive, counted) = masks(queries, all, positives)?;
    // exp(−1e9) is 0 in f32, and unlike −∞ it never makes 0 · ∞.
    let counted_similarity = (similarity + counted.affine(1e9, -1e9)?)?;
    let log_sum = counted_similarity.log_sum_exp(D::Minus1)?; // (n)
    let mean_positive = ((similarity * &positive)?.sum(D::Minus1)? / positive.sum(D::Minus1)?)?;
    log_sum - mean_positive
}

/// Positives, and positives with negatives, of every query among `all` = queries ∪ keys ∪ …: two masks
/// (n, A) of zeros and ones.
fn masks(queries: &Labelled, all: &Labelled, positives: Positives) -> Result<(Tensor, Tensor)> {
    let count = queries.labels.elem_count();
    let others = all.labels.elem_count();
    let device = queries.labels.device();
    let same =
        (queries.labels.unsqueeze(1)?.broadcast_eq(&all.labels.unsqueeze(0)?))?.to_dtype(DType::F32)?;
    let diagonal = |offset: usize| -> Result<Tensor> {
        let eye = Tensor::eye(count, DType::F32, device)?;
        eye.pad_with_zeros(1, offset, others - offset - count)
    };
    let (itself, own_key) = (diagonal(0)?, diagonal(count)?);
    let not_itself = itself.affine(-1.0, 1.0)?;
    let attracted = match positives {
        Positives::Supervised => same.clone(),
        Positives::Noisy => {
            let of = |partial: &Tensor| partial.to_dtype(DType::F32);
            let both = of(&queries.partial)?.unsqueeze(1)?.broadcast_mul(&of(&all.partial)?.unsqueeze(0)?)?;
            (&same * both)?
        }
    };
    let positive = (attracted.maximum(&own_key)? * &not_itself)?;
    // What shares the label without being a positive is ignored; all else that is not a positive repels.
    let negative = (same.affine(-1.0, 1.0)? * not_itself)?;
    let counted = positive.maximum(&negative)?;
    Ok((positive, counted))
}
