//! The contrastive loss of every query from its similarities, with its gradient, as one pass over memory on
//! all cores: candle's operators take a dozen, on one core.
//!
//! Rows of numbers with labels in, one number a row out.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::contrastive::Positives;

/// What an element of a row is to its query (method §8).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Positive,
    Negative,
    Ignored,
}

/// Similarities (n, A), divided by the temperature, to losses (n). The first n of the A columns are the queries
/// themselves, the next n their keys.
pub(crate) struct ContrastRows {
    labels: Vec<u32>,
    partial: Vec<u8>,
    positives: Positives,
    /// Each row's derivative by its similarities, kept from the forward pass.
    gradient: Mutex<Vec<f32>>,
}

impl ContrastRows {
    /// For A columns with these pseudo-labels, and 1 where a column is of 𝒫.
    pub(crate) fn new(labels: Vec<u32>, partial: Vec<u8>, positives: Positives) -> Self {
        Self { labels, partial, positives, gradient: Mutex::default() }
    }

    fn role(&self, query: usize, column: usize, queries: usize) -> Role {
        let same = self.labels[query] == self.labels[column];
        if column == query {
            Role::Ignored
        } else if column == queries + query {
            Role::Positive
        } else if !same {
            Role::Negative
        } else if self.positives == Positives::Supervised || self.partial[query] & self.partial[column] == 1 {
            Role::Positive
        } else {
            Role::Ignored
        }
    }

    /// The loss of one row; its derivative goes to `gradient`.
    fn row(&self, query: usize, queries: usize, similarity: &[f32], gradient: &mut [f32]) -> f32 {
        let roles = |column: usize| self.role(query, column, queries);
        let (mut largest, mut positives, mut attraction) = (f32::NEG_INFINITY, 0usize, 0f64);
        for (column, &s) in similarity.iter().enumerate() {
            let role = roles(column);
            if role != Role::Ignored {
                largest = largest.max(s);
            }
            if role == Role::Positive {
                positives += 1;
                attraction += f64::from(s);
            }
        }
        let mut sum = 0f64;
        for (column, (&s, g)) in similarity.iter().zip(gradient.iter_mut()).enumerate() {
            *g = if roles(column) == Role::Ignored { 0.0 } else { (s - largest).exp() };
            sum += f64::from(*g);
        }
        let (per_sum, per_positive) = ((1.0 / sum) as f32, 1.0 / positives as f32);
        for (column, g) in gradient.iter_mut().enumerate() {
            *g *= per_sum;
            if roles(column) == Role::Positive {
                *g -= per_positive;
            }
        }
        (f64::from(largest) + sum.ln() - attraction / positives as f64) as f32
    }
}

impl CustomOp1 for ContrastRows {
    fn name(&self) -> &'static str {
        "contrast-rows"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, columns) = layout.shape().dims2()?;
        let similarity = match (storage, layout.contiguous_offsets()) {
            (CpuStorage::F32(all), Some((from, to))) => &all[from..to],
            _ => bail!("the contrastive loss needs contiguous f32 similarities"),
        };
        if columns != self.labels.len() || columns != self.partial.len() || columns < 2 * n {
            bail!("similarities of {n} queries to {columns} others do not fit {} labels", self.labels.len());
        }
        let mut gradient = vec![0.0; similarity.len()];
        let rows = similarity.par_chunks_exact(columns).zip(gradient.par_chunks_exact_mut(columns));
        let losses: Vec<f32> = rows
            .enumerate()
            .map(|(query, (similarity, gradient))| self.row(query, n, similarity, gradient))
            .collect();
        *self.gradient.lock().unwrap_or_else(PoisonError::into_inner) = gradient;
        Ok((CpuStorage::F32(losses), Shape::from(n)))
    }

    fn bwd(&self, similarity: &Tensor, _losses: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        let mut gradient = std::mem::take(&mut *self.gradient.lock().unwrap_or_else(PoisonError::into_inner));
        if gradient.len() != similarity.elem_count() {
            bail!("the contrastive loss can go backward once for each forward pass");
        }
        let upstream: Vec<f32> = upstream.to_vec1()?;
        let columns = gradient.len() / upstream.len().max(1);
        gradient
            .par_chunks_exact_mut(columns.max(1))
            .zip(upstream)
            .for_each(|(row, upstream)| row.iter_mut().for_each(|g| *g *= upstream));
        Ok(Some(Tensor::from_vec(gradient, similarity.shape(), similarity.device())?))
    }
}
