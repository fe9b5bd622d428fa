//! MixUp of a batch with a shuffled copy of itself (method §7; Zhang et al. 2018).

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use pipeline::random;
use rand::seq::SliceRandom;
use rand_distr::{Beta, Distribution};
use rayon::prelude::*;

/// What MixUp draws for a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixing {
    /// λ, at least ½.
    pub lambda: f64,
    /// Which row each is mixed with: (B).
    pub order: Vec<u32>,
}

impl Mixing {
    /// λ ~ Beta(`beta`, `beta`), folded to at least ½, and a random order of so many rows, from the stream of this name.
    ///
    /// # Errors
    /// A `beta` that is not positive.
    pub fn draw(seed: u64, stream: &str, beta: f64, rows: usize) -> Result<Self> {
        let mut rng = random::stream(seed, stream);
        let lambda = Beta::new(beta, beta).map_err(candle_core::Error::wrap)?.sample(&mut rng);
        let mut order: Vec<u32> = (0..rows as u32).collect();
        order.shuffle(&mut rng);
        Ok(Self { lambda: lambda.max(1.0 - lambda), order })
    }

    /// The images (B, …), each mixed with its partner, without gradient.
    ///
    /// # Errors
    /// Another number of rows than was drawn for.
    pub fn images(&self, images: &Tensor) -> Result<Tensor> {
        mix(images, &self.order, self.lambda)
    }

    /// The rows (B, C) of each one's partner.
    ///
    /// # Errors
    /// Another number of rows than was drawn for.
    pub fn partners(&self, rows: &Tensor) -> Result<Tensor> {
        rows.index_select(&Tensor::from_slice(&self.order, self.order.len(), rows.device())?, 0)
    }

    /// λ · own + (1 − λ) · partner: of targets (B, C), say, or of losses.
    ///
    /// # Errors
    /// Shapes or devices that do not fit.
    pub fn weigh(&self, own: &Tensor, partner: &Tensor) -> Result<Tensor> {
        (own * self.lambda)? + (partner * (1.0 - self.lambda))?
    }
}

/// λ · x + (1 − λ) · x\[order\] for x (B, …), without gradient.
///
/// # Errors
/// An order of another length, or one that names rows beyond the batch.
pub fn mix(x: &Tensor, order: &[u32], lambda: f64) -> Result<Tensor> {
    if x.device().is_cpu() {
        // One pass on all cores, where candle's operators take four on one.
        return x.contiguous()?.apply_op1_no_bwd(&MixRows { order, lambda: lambda as f32 });
    }
    let order = Tensor::from_slice(order, order.len(), x.device())?;
    (x * lambda)? + (x.index_select(&order, 0)? * (1.0 - lambda))?
}

struct MixRows<'a> {
    order: &'a [u32],
    lambda: f32,
}

impl CustomOp1 for MixRows<'_> {
    fn name(&self) -> &'static str {
        "mix-rows"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = match (storage, layout.contiguous_offsets()) {
            (CpuStorage::F32(all), Some((from, to))) => &all[from..to],
            _ => bail!("mixing needs contiguous f32 rows"),
        };
        let rows = layout.shape().dims().first().copied().unwrap_or(0);
        if rows != self.order.len() || self.order.iter().any(|&row| row as usize >= rows) {
            bail!("an order of {} rows does not fit a batch of {rows}", self.order.len());
        }
        let width = x.len() / rows.max(1);
        let mut mixed = vec![0.0; x.len()];
        mixed.par_chunks_exact_mut(width.max(1)).zip(self.order).enumerate().for_each(
            |(row, (mixed, &other))| {
                let own = &x[row * width..(row + 1) * width];
                let other = &x[other as usize * width..][..width];
                for ((mixed, own), other) in mixed.iter_mut().zip(own).zip(other) {
                    *mixed = self.lambda * own + (1.0 - self.lambda) * other;
                }
            },
        );
        Ok((CpuStorage::F32(mixed), layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use candle_core::Device;

    #[test]
    fn a_row_is_mixed_with_the_row_that_the_order_names() {
        let x = Tensor::new(&[[1f32, 2.], [10., 20.], [100., 200.]], &Device::Cpu).unwrap();
        let mixed: Vec<f32> = mix(&x, &[2, 1, 0], 0.75).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(mixed, [25.75, 51.5, 10.0, 20.0, 75.25, 150.5]);
    }

    #[test]
    fn an_order_that_does_not_fit_is_refused() {
        let x = Tensor::new(&[[1f32], [2.]], &Device::Cpu).unwrap();
        assert!(mix(&x, &[0], 0.5).is_err());
        assert!(mix(&x, &[0, 2], 0.5).is_err());
    }
}
