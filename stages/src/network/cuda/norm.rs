//! Batch norm with ReLU, forward and backward: launches of the kernels of `norm.cu`.

use candle_core::Result;

use super::engine::Address;
use super::kernels::{Arg, Extent, Kernels, blocks, grid, int, maybe};

/// Coefficients of the norms: four arrays, `stride` floats apart, this norm's begin at `at`.
#[derive(Clone, Copy)]
pub(super) struct Coefficients {
    pub at: Address,
    pub stride: usize,
}

/// The gradient da + add of relu(norm(x)).
#[derive(Clone, Copy)]
pub(super) struct OutputGradient {
    pub da: Address,
    pub add: Option<Address>,
    pub x: Address,
    /// Of da, add and x.
    pub of: Extent,
    pub norm: Coefficients,
}

impl OutputGradient {
    fn first(&self) -> [Arg; 3] {
        [Arg::At(self.da), maybe(self.add), Arg::At(self.x)]
    }
}

impl Coefficients {
    fn args(self) -> [Arg; 2] {
        [Arg::At(self.at), int(self.stride)]
    }
}

impl Kernels {
    /// x += add; its moments to `parts`.
    pub(super) fn moments(&self, x: Address, add: Option<Address>, of: Extent, parts: Address) -> Result<()> {
        self.sum_rows(&self.moments, of, &[Arg::At(x), maybe(add)], &[Arg::At(parts)])
    }

    /// Moments → coefficients, and the batch's mean and unbiased variance.
    pub(super) fn norm_coefficients(
        &self,
        parts: Address,
        of: Extent,
        [weight, bias]: [Address; 2],
        norm: Coefficients,
        [means, variances]: [Address; 2],
    ) -> Result<()> {
        let split = of.split();
        let [at, stride] = norm.args();
        let args = [
            Arg::At(parts),
            int(split.chunks),
            int(split.chunk),
            int(of.rows),
            int(of.channels),
            Arg::At(weight),
            Arg::At(bias),
            at,
            stride,
            Arg::At(means),
            Arg::At(variances),
        ];
        self.launch(&self.norm_coefficients, grid([of.channels.div_ceil(32), 1], [32, 32]), &args)
    }

    /// Coefficients of all norms from running statistics.
    pub(super) fn running_coefficients(
        &self,
        theta: Address,
        places: Address,
        [mean, variance]: [Address; 2],
        norms: Coefficients,
    ) -> Result<()> {
        let [at, n] = norms.args();
        let args = [Arg::At(theta), Arg::At(places), Arg::At(mean), Arg::At(variance), at, n];
        self.launch(&self.running_coefficients, blocks(norms.stride)?, &args)
    }

    /// out = relu(norm(x + add)).
    pub(super) fn norm_relu(
        &self,
        x: Address,
        add: Option<Address>,
        of: Extent,
        norm: Coefficients,
        out: Address,
    ) -> Result<()> {
        let [at, stride] = norm.args();
        self.each_pack(&self.norm_relu, of, &[Arg::At(x), maybe(add)], &[at, stride, Arg::At(out)])
    }

    /// The sums that a norm's gradient needs, to `parts`.
    pub(super) fn norm_sums(&self, upstream: OutputGradient, parts: Address) -> Result<()> {
        let [at, stride] = upstream.norm.args();
        self.sum_rows(&self.norm_sums, upstream.of, &upstream.first(), &[at, stride, Arg::At(parts)])
    }

    /// Sums → gradients of weight and bias, and two slopes a channel.
    pub(super) fn norm_slopes(
        &self,
        parts: Address,
        of: Extent,
        norm: Coefficients,
        [dweight, dbias]: [Address; 2],
        slopes: Address,
    ) -> Result<()> {
        let [at, stride] = norm.args();
        let args = [
            Arg::At(parts),
            int(of.split().chunks),
            int(of.rows),
            int(of.channels),
            at,
            stride,
            Arg::At(dweight),
            Arg::At(dbias),
            Arg::At(slopes),
        ];
        self.launch(&self.norm_slopes, grid([of.channels.div_ceil(32), 1], [32, 32]), &args)
    }

    /// da ← the gradient of x.
    pub(super) fn norm_gradient(&self, upstream: OutputGradient, slopes: Address) -> Result<()> {
        let [at, stride] = upstream.norm.args();
        let last = [at, stride, Arg::At(slopes), Arg::At(upstream.da)];
        self.each_pack(&self.norm_gradient, upstream.of, &upstream.first(), &last)
    }
}
