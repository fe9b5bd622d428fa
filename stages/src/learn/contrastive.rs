//! Noisy contrastive learning (method §8): the queue of past keys, and the loss that neither attracts nor
//! repels pairs whose agreement rests on an unlabeled sample.

use candle_core::{D, DType, Device, Result, Tensor};

use super::contrastive_rows::ContrastRows;

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

/// Embeddings (n, E) with the pseudo-label and the split of each.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// Embeddings of unit length: (n, E).
    pub embeddings: Tensor,
    /// Pseudo-labels: (n), u32.
    pub labels: Tensor,
    /// 1 where the sample is from 𝒫, 0 where it is from 𝒰: (n), u8.
    pub partial: Tensor,
}

impl Labelled {
    fn cat(parts: &[&Self]) -> Result<Self> {
        let all = |of: fn(&Self) -> &Tensor| Tensor::cat(&parts.iter().map(|p| of(p)).collect::<Vec<_>>(), 0);
        Ok(Self {
            embeddings: all(|p| &p.embeddings)?,
            labels: all(|p| &p.labels)?,
            partial: all(|p| &p.partial)?,
        })
    }

    fn narrow(&self, from: usize, count: usize) -> Result<Self> {
        let part = |t: &Tensor| t.narrow(0, from, count);
        Ok(Self {
            embeddings: part(&self.embeddings)?,
            labels: part(&self.labels)?,
            partial: part(&self.partial)?,
        })
    }
}

/// The keys of the last steps, oldest overwritten first; they stay on the device.
#[derive(Debug)]
pub struct Queue {
    /// Room for `capacity` keys, of which the first `count` are filled.
    pub slots: Labelled,
    /// Keys held.
    pub count: usize,
    /// Where the next key goes.
    pub next: usize,
}

impl Queue {
    /// An empty queue for `capacity` keys of length `width`.
    ///
    /// # Errors
    /// The device has no room.
    pub fn new(capacity: usize, width: usize, device: &Device) -> Result<Self> {
        let slots = Labelled {
            embeddings: Tensor::zeros((capacity, width), DType::F32, device)?,
            labels: Tensor::zeros(capacity, DType::U32, device)?,
            partial: Tensor::zeros(capacity, DType::U8, device)?,
        };
        Ok(Self { slots, count: 0, next: 0 })
    }

    /// Adds keys with their labels and splits, one after the other.
    ///
    /// # Errors
    /// Embeddings of another length or on another device.
    pub fn push(&mut self, keys: &Labelled) -> Result<()> {
        let (capacity, count) = (self.slots.labels.elem_count(), keys.labels.elem_count());
        if capacity == 0 {
            return Ok(());
        }
        // Of more keys than there is room, the last ones stay.
        let mut from = count.saturating_sub(capacity);
        let mut at = (self.next + from) % capacity;
        while from < count {
            let piece = (count - from).min(capacity - at);
            let keys = keys.narrow(from, piece)?;
            self.slots.embeddings.slice_set(&keys.embeddings.contiguous()?, 0, at)?;
            self.slots.labels.slice_set(&keys.labels.contiguous()?, 0, at)?;
            self.slots.partial.slice_set(&keys.partial.contiguous()?, 0, at)?;
            (from, at) = (from + piece, (at + piece) % capacity);
        }
        (self.count, self.next) = ((self.count + count).min(capacity), at);
        Ok(())
    }

    /// The keys held, in the order of their slots; none of an empty queue.
    ///
    /// # Errors
    /// The device fails.
    pub fn keys(&self) -> Result<Option<Labelled>> {
        (self.count > 0).then(|| self.slots.narrow(0, self.count)).transpose()
    }
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

/// The loss of every query, (n), from its similarities (n, A), through candle's operators: for devices without
/// an operator of ours, and a second opinion in the tests.
pub(crate) fn rows_by_masks(
    similarity: &Tensor,
    queries: &Labelled,
    all: &Labelled,
    positives: Positives,
) -> Result<Tensor> {
    let (positive, counted) = masks(queries, all, positives)?;
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
