//! Launches of the kernels of `norm.cu`. It knows nothing of networks.

use candle_core::Result;

use super::{Arg, Extent, Kernels, State, blocks, grid, int, maybe};
use crate::network::Precision;
use crate::network::cuda::engine::Address;

impl Kernels {
    /// x += add; its moments to `parts`.
    pub fn moments(
        &self,
        precision: Precision,
        x: Address,
        add: Option<Address>,
        of: Extent,
        parts: Address,
    ) -> Result<()> {
        let split = of.split(precision);
        let (variant, width) = of.variant(precision);
        of.each(width)?;
        let args = [Arg::At(x), maybe(add), int(of.rows), int(of.channels), int(split.chunk), Arg::At(parts)];
        self.launch(&self.moments[variant], split.launch(), &args)
    }

    /// Moments → coefficients, and the batch's mean and unbiased variance.
    #[allow(clippy::too_many_arguments)]
    pub fn norm_state(
        &self,
        precision: Precision,
        parts: Address,
        of: Extent,
        [weight, bias]: [Address; 2],
        state: State,
        [means, variances]: [Address; 2],
    ) -> Result<()> {
        let split = of.split(precision);
        let args = [
            Arg::At(parts),
            int(split.chunks),
            int(split.chunk),
            int(of.rows),
            int(of.channels),
            Arg::At(weight),
            Arg::At(bias),
            Arg::At(state.at),
            int(state.stride),
            Arg::At(means),
            Arg::At(variances),
        ];
        self.launch(&self.norm_state, grid([of.channels.div_ceil(32), 1], [32, 32]), &args)
    }

    /// Coefficients of all norms from running statistics.
    pub fn running_state(
        &self,
        theta: Address,
        places: Address,
        [mean, variance]: [Address; 2],
        state: State,
    ) -> Result<()> {
        let n = state.stride;
        let args =
            [Arg::At(theta), Arg::At(places), Arg::At(mean), Arg::At(variance), Arg::At(state.at), int(n)];
        self.launch(&self.running_state, blocks(n)?, &args)
    }

    /// out = relu(norm(x + add)).
    pub fn activate(
        &self,
        precision: Precision,
        x: Address,
        add: Option<Address>,
        of: Extent,
        state: State,
        out: Address,
    ) -> Result<()> {
        let (variant, width) = of.variant(precision);
        let (config, packs) = of.each(width)?;
        let args = [
            Arg::At(x),
            maybe(add),
            int(of.channels),
            Arg::Count(packs),
            Arg::At(state.at),
            int(state.stride),
            Arg::At(out),
        ];
        self.launch(&self.activate[variant], config, &args)
    }

    /// The sums that a norm's gradient needs, to `parts`; da + add is the gradient of relu(norm(x)).
    #[allow(clippy::too_many_arguments)]
    pub fn norm_sums(
        &self,
        precision: Precision,
        da: Address,
        add: Option<Address>,
        x: Address,
        of: Extent,
        state: State,
        parts: Address,
    ) -> Result<()> {
        let split = of.split(precision);
        let (variant, width) = of.variant(precision);
        of.each(width)?;
        let args = [
            Arg::At(da),
            maybe(add),
            Arg::At(x),
            int(of.rows),
            int(of.channels),
            int(split.chunk),
            Arg::At(state.at),
            int(state.stride),
            Arg::At(parts),
        ];
        self.launch(&self.norm_sums[variant], split.launch(), &args)
    }

    /// Sums → gradients of weight and bias, and two slopes a channel.
    #[allow(clippy::too_many_arguments)]
    pub fn norm_slopes(
        &self,
        precision: Precision,
        parts: Address,
        of: Extent,
        state: State,
        [dweight, dbias]: [Address; 2],
        slopes: Address,
    ) -> Result<()> {
        let args = [
            Arg::At(parts),
            int(of.split(precision).chunks),
            int(of.rows),
            int(of.channels),
            Arg::At(state.at),
            int(state.stride),
            Arg::At(dweight),
            Arg::At(dbias),
            Arg::At(slopes),
        ];
        self.launch(&self.norm_slopes, grid([of.channels.div_ceil(32), 1], [32, 32]), &args)
    }

    /// da ← the gradient of x, da + add being that of relu(norm(x)).
    #[allow(clippy::too_many_arguments)]
    pub fn norm_gradient(
        &self,
        precision: Precision,
        da: Address,
        add: Option<Address>,
        x: Address,
        of: Extent,
        state: State,
        slopes: Address,
    ) -> Result<()> {
        let (variant, width) = of.variant(precision);
        let (config, packs) = of.each(width)?;
        let args = [
            Arg::At(da),
            maybe(add),
            Arg::At(x),
            int(of.channels),
            Arg::Count(packs),
            Arg::At(state.at),
            int(state.stride),
            Arg::At(slopes),
            Arg::At(da),
        ];
        self.launch(&self.norm_gradient[variant], config, &args)
    }
}
