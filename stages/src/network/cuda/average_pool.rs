//! The average pool and its gradient: launches of the kernels of `average_pool.cu`.

use candle_core::Result;

use super::engine::Address;
use super::kernels::{Arg, Extent, Kernels, blocks, index, int};

impl Kernels {
    /// Mean of x + add over the `area` pixels of each image: (images, channels) in f32.
    pub(super) fn average_pool(
        &self,
        [x, add]: [Address; 2],
        area: usize,
        of: Extent,
        out: Address,
    ) -> Result<()> {
        let images = of.rows / area;
        let args =
            [Arg::At(x), Arg::At(add), int(area), int(of.channels), Arg::Count(images as u32), Arg::At(out)];
        self.launch(&self.average_pool[index(of.precision)], blocks(images * of.channels)?, &args)
    }

    /// The gradient of x (and of add), `of` pixels, from that of the features.
    pub(super) fn average_pool_gradient(
        &self,
        grad: Address,
        area: usize,
        of: Extent,
        out: Address,
    ) -> Result<()> {
        let images = (of.rows / area) as u32;
        let args = [Arg::At(grad), int(area), int(of.channels), Arg::Count(images), Arg::At(out)];
        self.launch(&self.average_pool_gradient[index(of.precision)], blocks(of.values())?, &args)
    }
}
