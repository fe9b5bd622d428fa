//! The trunk on a CPU: forward and backward over the whole network, phase by phase.
//!
//! A phase is one convolution over the batch. Each group of images that fits the cache goes through it at
//! once: norm and ReLU are applied while the padded image is built, the shortcut is added and the next norm's
//! statistics are taken while the output is still in cache. Only a convolution's raw outputs are kept for the
//! backward pass; activations are made again from them. Groups and chunks depend on shapes alone, and parts
//! are combined in order, so results do not depend on the number of threads.
//!
//! It knows nothing of candle: slices in, slices out.

use super::conv::{Algorithm, padded_len};
use super::isa::Level;
use super::pixels::NormState;
use super::plan::{Conv, Plan};
use super::pool::{Buffer, Pool};

/// Which statistics the norms use.
#[derive(Clone, Copy)]
pub(super) enum Statistics<'a> {
    /// Those of the batch.
    Batch,
    /// The running ones: flat means and variances.
    Running(&'a [f32], &'a [f32]),
}

/// Flat means and unbiased variances of a batch.
pub(super) type BatchStatistics = (Vec<f32>, Vec<f32>);

/// What the backward pass needs.
pub(super) struct Saved {
    pub(super) stem: Buffer,
    pub(super) stem_norm: NormState,
    /// First convolution's output and the block's output.
    pub(super) blocks: Vec<(NormState, Buffer, NormState, Buffer)>,
}

/// Result of a forward pass.
pub(super) struct Forward {
    /// (B, features)
    pub features: Vec<f32>,
    /// Statistics of the batch, where they were used.
    pub batch: Option<BatchStatistics>,
    /// Kept for the backward pass, if asked for.
    pub saved: Option<Saved>,
}

/// Images that go through a convolution at once: their data should fit half of a second-level cache, and
/// large weights want many pixels.
pub(super) fn group(conv: &Conv, batch: usize) -> usize {
    let area = conv.out_size() * conv.out_size();
    let bytes = 4 * (padded_len(conv.size, conv.cin_memory) + area * conv.cout_memory());
    let fitting = (400_000 / bytes).max(1);
    let large = 4 * conv.len() > 500_000;
    if large { fitting.max(512 / area).min(batch.div_ceil(4)) } else { fitting.min(batch.div_ceil(8)) }.max(1)
}

/// The trunk of a network.
#[derive(Clone)]
pub(super) struct Trunk {
    pub plan: Plan,
    pub level: Level,
    /// Use no Winograd transforms.
    pub exact: bool,
    pub(super) pool: Pool,
}

impl Trunk {
    /// A trunk on the given instruction set.
    pub fn new(plan: Plan, level: Level) -> Self {
        Self { plan, level, exact: false, pool: Pool::shared() }
    }

    pub(super) fn algorithm(&self, conv: &Conv, batch: usize) -> Algorithm {
        if self.exact { Algorithm::Direct } else { Algorithm::best(conv, batch) }
    }

    pub(super) fn output_of(&self, conv: &Conv, batch: usize) -> Buffer {
        self.pool.take(batch * conv.out_size() * conv.out_size() * conv.cout_memory())
    }
}
