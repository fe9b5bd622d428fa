//! Launches of the kernels of `layout.cu`. It knows nothing of networks.

use candle_core::Result;

use super::{Arg, Extent, Kernels, blocks, grid, index, int};
use crate::network::Precision;
use crate::network::cuda::engine::Address;

impl Kernels {
    /// Mean of x + add over the `area` pixels of each image: (images, channels) in f32.
    pub fn pool(
        &self,
        precision: Precision,
        [x, add]: [Address; 2],
        area: usize,
        of: Extent,
        out: Address,
    ) -> Result<()> {
        let images = of.rows / area;
        let args =
            [Arg::At(x), Arg::At(add), int(area), int(of.channels), Arg::Count(images as u32), Arg::At(out)];
        self.launch(&self.pool[index(precision)], blocks(images * of.channels)?, &args)
    }

    /// The gradient of `pool`.
    pub fn unpool(
        &self,
        precision: Precision,
        grad: Address,
        area: usize,
        of: Extent,
        out: Address,
    ) -> Result<()> {
        let images = (of.rows / area) as u32;
        let args = [Arg::At(grad), int(area), int(of.channels), Arg::Count(images), Arg::At(out)];
        self.launch(&self.unpool[index(precision)], blocks(of.values())?, &args)
    }

    /// Images of `of.channels` channels → `memory` channels in the type of computation.
    pub fn images(
        &self,
        precision: Precision,
        x: Address,
        of: Extent,
        memory: usize,
        out: Address,
    ) -> Result<()> {
        let args = [Arg::At(x), Arg::Count(of.rows as u32), int(of.channels), int(memory), Arg::At(out)];
        self.launch(&self.images[index(precision)], blocks(of.rows * memory)?, &args)
    }

    /// All weights, from the flat parameters to the type of computation; `weights` says where `count` of them
    /// are, in `tiles` tiles.
    pub fn pack(
        &self,
        precision: Precision,
        flat: Address,
        weights: Address,
        [count, tiles]: [usize; 2],
        packed: Address,
    ) -> Result<()> {
        let args = [Arg::At(flat), Arg::At(weights), int(count), Arg::At(packed)];
        self.launch(&self.pack[index(precision)], grid([tiles, 1], [32, 8]), &args)
    }

    /// The other way round, for gradients.
    pub fn unpack(
        &self,
        precision: Precision,
        packed: Address,
        weights: Address,
        [count, tiles]: [usize; 2],
        flat: Address,
    ) -> Result<()> {
        let args = [Arg::At(packed), Arg::At(weights), int(count), Arg::At(flat)];
        self.launch(&self.unpack[index(precision)], grid([tiles, 1], [32, 8]), &args)
    }

    /// One step of gradient descent.
    pub fn sgd(
        &self,
        [w, v, g]: [Address; 3],
        count: usize,
        [momentum, decay, rate]: [f32; 3],
    ) -> Result<()> {
        let args = [
            Arg::At(w),
            Arg::At(v),
            Arg::At(g),
            Arg::Long(count as u64),
            Arg::Float(momentum),
            Arg::Float(decay),
            Arg::Float(rate),
        ];
        self.launch(&self.sgd, blocks(count)?, &args)
    }

    /// One step of a moving average.
    pub fn average(&self, key: Address, query: Address, count: usize, [decay, rest]: [f32; 2]) -> Result<()> {
        let args =
            [Arg::At(key), Arg::At(query), Arg::Long(count as u64), Arg::Float(decay), Arg::Float(rest)];
        self.launch(&self.average, blocks(count)?, &args)
    }
}
