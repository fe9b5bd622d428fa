//! A step of an exponential moving average: the launch of `moving_average.cu`.

use candle_core::Result;

use super::engine::Address;
use super::kernels::{Arg, Kernels, blocks};

impl Kernels {
    /// key ← decay·key + rest·query, over `count` floats at each place.
    ///
    /// # Errors
    /// The device refuses.
    pub fn moving_average(
        &self,
        [key, query]: [Address; 2],
        count: usize,
        [decay, rest]: [f32; 2],
    ) -> Result<()> {
        let args =
            [Arg::At(key), Arg::At(query), Arg::Long(count as u64), Arg::Float(decay), Arg::Float(rest)];
        self.launch(&self.moving_average, blocks(count)?, &args)
    }
}
