//! A step of gradient descent: the launch of `sgd.cu`.

use candle_core::Result;

use super::engine::Address;
use super::kernels::{Arg, Kernels, blocks};

impl Kernels {
    /// v ← momentum·v + (g + decay·w); w ← w − rate·v, over `count` floats at each place.
    ///
    /// # Errors
    /// The device refuses.
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
}
