//! The trunk: forward and backward over the whole network, convolution by convolution.
//!
//! Each group of images that fits the cache goes through a convolution at once: norm and ReLU are applied while the
//! padded image is built, the shortcut is added and the next norm's statistics are taken while the output is still in
//! cache. Only a convolution's raw outputs are kept for the backward pass; activations are made again from them.
//! Groups and chunks depend on shapes alone, and parts are combined in order, so results do not depend on the number
//! of threads. Slices in, slices out: `custom_op.rs` alone knows candle.

use super::buffers::{Buffer, BufferPool};
use super::convolution::{Algorithm, padded_len};
use super::norm::Coefficients;
use super::simd::Level;
use crate::network::parameters::{Conv, TrunkLayout};

mod backward;
mod forward;
#[cfg(test)]
pub mod tests;

/// Which statistics the norms use.
#[derive(Clone, Copy)]
pub enum Statistics<'a> {
    /// Those of the batch.
    Batch,
    /// The running ones: flat means and variances.
    Running(&'a [f32], &'a [f32]),
}

/// Flat means and unbiased variances of a batch.
pub type BatchStatistics = (Vec<f32>, Vec<f32>);

/// What the backward pass needs of a block.
pub struct SavedBlock {
    norm1: Coefficients,
    /// The first convolution's output.
    mid: Buffer,
    norm2: Coefficients,
    /// The block's output.
    out: Buffer,
}

/// What the backward pass needs.
pub struct Saved {
    stem: Buffer,
    stem_norm: Coefficients,
    blocks: Vec<SavedBlock>,
}

/// Result of a forward pass.
pub struct Forward {
    /// (B, features)
    pub features: Vec<f32>,
    /// Statistics of the batch, where they were used.
    pub batch: Option<BatchStatistics>,
    /// Kept for the backward pass, if asked for.
    pub saved: Option<Saved>,
}

/// Images that go through a convolution at once: their data should fit half of a second-level cache, and
/// large weights want many pixels.
fn group(conv: &Conv, batch: usize) -> usize {
    let area = conv.out_size() * conv.out_size();
    let bytes = 4 * (padded_len(conv.size, conv.cin_memory) + area * conv.cout_memory());
    let fitting = (400_000 / bytes).max(1);
    let large = 4 * conv.len() > 500_000;
    if large { fitting.max(512 / area).min(batch.div_ceil(4)) } else { fitting.min(batch.div_ceil(8)) }.max(1)
}

/// The trunk of a network.
#[derive(Clone)]
pub struct Trunk {
    pub layout: TrunkLayout,
    pub level: Level,
    /// Use no Winograd transforms.
    pub exact: bool,
    buffers: BufferPool,
}

impl Trunk {
    /// A trunk on the given instruction set.
    pub fn new(layout: TrunkLayout, level: Level) -> Self {
        Self { layout, level, exact: false, buffers: BufferPool::shared() }
    }

    fn algorithm(&self, conv: &Conv, batch: usize) -> Algorithm {
        if self.exact { Algorithm::Direct } else { Algorithm::best(conv, batch) }
    }

    fn output_of(&self, conv: &Conv, batch: usize) -> Buffer {
        self.buffers.take(batch * conv.out_size() * conv.out_size() * conv.cout_memory())
    }
}
