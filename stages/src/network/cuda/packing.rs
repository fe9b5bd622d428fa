//! Images and weights into the layout and type that convolutions take, and the gradients of weights back: launches of
//! the kernels of `packing.cu`.

use candle_core::Result;
use candle_core::cuda_backend::cudarc::driver::CudaFunction;

use super::engine::Address;
use super::kernels::{Arg, Extent, Kernels, blocks, grid, index, int};
use crate::network::Precision;

/// Where the weights are, flat and packed.
#[derive(Clone, Copy)]
pub(super) struct WeightTable {
    /// `count` entries of `packing.cu`'s `Weight`.
    pub at: Address,
    pub count: usize,
    /// Tiles of all weights together.
    pub tiles: usize,
}

impl Kernels {
    /// f32 images of `of.channels` channels → `memory` channels in the type of computation.
    pub(super) fn images(&self, x: Address, of: Extent, memory: usize, out: Address) -> Result<()> {
        let args = [Arg::At(x), Arg::Count(of.rows as u32), int(of.channels), int(memory), Arg::At(out)];
        self.launch(&self.images[index(of.precision)], blocks(of.rows * memory)?, &args)
    }

    /// All weights, from the flat parameters to the type of computation.
    pub(super) fn pack(
        &self,
        precision: Precision,
        flat: Address,
        weights: WeightTable,
        packed: Address,
    ) -> Result<()> {
        self.copy_weights(&self.pack[index(precision)], flat, weights, packed)
    }

    /// The gradients of all weights, from the type of computation to the flat gradient.
    pub(super) fn unpack(
        &self,
        precision: Precision,
        packed: Address,
        weights: WeightTable,
        flat: Address,
    ) -> Result<()> {
        self.copy_weights(&self.unpack[index(precision)], packed, weights, flat)
    }

    fn copy_weights(&self, kernel: &CudaFunction, from: Address, of: WeightTable, to: Address) -> Result<()> {
        let args = [Arg::At(from), Arg::At(of.at), int(of.count), Arg::At(to)];
        self.launch(kernel, grid([of.tiles, 1], [32, 8]), &args)
    }
}
