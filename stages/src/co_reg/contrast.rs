//! Noisy contrastive learning (method §8): the queue of past keys, and the loss that neither attracts nor
//! repels pairs whose agreement rests on an unlabeled sample.

use candle_core::{D, DType, Device, Result, Tensor};

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
}

/// The keys of the last steps, oldest overwritten first.
#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    /// Keys row after row, at most `capacity`.
    pub keys: Vec<f32>,
    /// Pseudo-label of each key.
    pub labels: Vec<u32>,
    /// 1 where the key's sample was from 𝒫.
    pub partial: Vec<u8>,
    /// Where the next key goes once the queue is full.
    pub next: usize,
    /// Most keys held.
    pub capacity: usize,
    /// Length of one key.
    pub width: usize,
}

impl Queue {
    /// An empty queue for `capacity` keys of length `width`.
    pub fn new(capacity: usize, width: usize) -> Self {
        Self { keys: Vec::new(), labels: Vec::new(), partial: Vec::new(), next: 0, capacity, width }
    }

    /// Adds keys (n·E values) with their labels and splits, one after the other.
    pub fn push(&mut self, keys: &[f32], labels: &[u32], partial: &[u8]) {
        for ((key, &label), &partial) in keys.chunks(self.width).zip(labels).zip(partial) {
            if self.labels.len() < self.capacity {
                self.keys.extend_from_slice(key);
                self.labels.push(label);
                self.partial.push(partial);
            } else if self.capacity > 0 {
                let start = self.next * self.width;
                self.keys[start..start + self.width].copy_from_slice(key);
                self.labels[self.next] = label;
                self.partial[self.next] = partial;
                self.next = (self.next + 1) % self.capacity;
            }
        }
    }

    /// The queue's content as tensors.
    pub fn labelled(&self, device: &Device) -> Result<Labelled> {
        let count = self.labels.len();
        Ok(Labelled {
            embeddings: Tensor::from_slice(&self.keys, (count, self.width), device)?,
            labels: Tensor::from_slice(&self.labels, count, device)?,
            partial: Tensor::from_slice(&self.partial, count, device)?,
        })
    }
}

/// L_ncont (method §8): for every query x, −(1/|P(x)|) Σ_{+} log( exp(z·z₊/T) / Σ_{P∪N} exp(z·z/T) ), mean
/// over queries.
///
/// `queries` and `keys` are the two strong views of the same samples in the same order; the contrast set
/// is queries ∪ keys ∪ queue, the query itself excluded.
pub fn contrastive_loss(
    queries: &Labelled,
    keys: &Labelled,
    queue: &Labelled,
    temperature: f64,
    positives: Positives,
) -> Result<Tensor> {
    let with_queue = queue.labels.elem_count() > 0;
    let all =
        if with_queue { Labelled::cat(&[queries, keys, queue])? } else { Labelled::cat(&[queries, keys])? };
    let similarity = (queries.embeddings.matmul(&all.embeddings.t()?)? / temperature)?; // (n, A)
    let (positive, counted) = masks(queries, &all, positives)?;
    let counted_similarity = (&similarity + counted.affine(1e9, -1e9)?)?;
    let log_sum = counted_similarity.log_sum_exp(D::Minus1)?; // (n)
    let mean_positive = ((similarity * &positive)?.sum(D::Minus1)? / positive.sum(D::Minus1)?)?;
    (log_sum - mean_positive)?.mean_all()
}

/// Positives, and positives with negatives, of every query among `all` = queries ∪ keys ∪ …: two masks
/// (n, A) of zeros and ones.
pub fn masks(queries: &Labelled, all: &Labelled, positives: Positives) -> Result<(Tensor, Tensor)> {
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
