//! The trunk's backward pass on a GPU: activations are made again from the raw outputs that the forward pass
//! kept. Addresses in, memory out.

use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::{Result, bail};

use super::engine::{Address, Buffer};
use super::forward::Saved;
use super::kernels::Extent;
use super::trunk::{DeviceTrunk, Layer, input_of, output};
use crate::network::plan::Norm;

impl DeviceTrunk {
    /// Gradient of features (B, F) → gradient of the flat parameters.
    ///
    /// # Errors
    /// The device has no room, or refuses a convolution.
    pub(super) fn backward(
        &self,
        images: Address,
        saved: Saved,
        features_grad: Address,
    ) -> Result<CudaSlice<f32>> {
        let (engine, precision) = (&self.engine, self.precision);
        let Saved { batch, packed, images: input, state, stem, blocks: mut kept } = saved;
        let flat = engine.floats(self.len)?;
        let mut back = Back {
            trunk: self,
            batch,
            packed,
            state,
            flat: engine.address(&flat),
            gradients: self.values(self.packed_len)?,
        };
        let Some(last) = self.blocks.last() else { bail!("a network without blocks") };
        let of = output(&last.conv2.conv, batch);
        // The gradient of the block's output.
        let mut grad = self.values(of.values())?;
        let area = of.rows / batch;
        engine.kernels.unpool(precision, features_grad, area, of, grad.address())?;
        for block in self.blocks.iter().rev() {
            let Some((mid, _)) = kept.pop() else { bail!("the forward pass kept too little") };
            let of = output(&block.conv1.conv, batch);
            let hidden = self.activate(&mid, None, of, &block.norm2, &back.state)?;
            back.weight(&block.conv2, hidden.address(), &grad)?;
            drop(hidden);
            let inner = back.input(&block.conv2, &grad)?;
            back.norm(&block.norm2, &inner, None, &mid, of)?;
            drop(mid);
            let of = input_of(&block.conv1.conv, batch);
            let x = match kept.last_mut() {
                Some((_, out)) => out.take(),
                None => Some(self.activate(&stem, None, of, &self.stem_norm, &back.state)?),
            };
            let Some(x) = x else { bail!("the forward pass kept too little") };
            let a = self.activate(&x, None, of, &block.norm1, &back.state)?;
            back.weight(&block.conv1, a.address(), &inner)?;
            let through = match &block.shortcut {
                Some(layer) => {
                    back.weight(layer, a.address(), &grad)?;
                    back.input(layer, &grad)?
                }
                None => grad,
            };
            drop(a);
            grad = back.input(&block.conv1, &inner)?;
            back.norm(&block.norm1, &grad, Some(&through), &x, of)?;
        }
        back.norm(&self.stem_norm, &grad, None, &stem, output(&self.stem.conv, batch))?;
        back.weight(&self.stem, input.as_ref().map_or(images, Buffer::address), &grad)?;
        let (from, weights) = (back.gradients.address(), engine.integers_at(&self.weights));
        engine.kernels.unpack(precision, from, weights, [self.weight_count, self.tiles], back.flat)?;
        Ok(flat)
    }
}

/// A backward pass on its way.
struct Back<'a> {
    trunk: &'a DeviceTrunk,
    batch: usize,
    packed: Buffer,
    state: Buffer,
    /// The gradient of the flat parameters.
    flat: Address,
    /// The gradients of the weights, packed.
    gradients: Buffer,
}

impl Back<'_> {
    /// The gradient of a convolution's weight.
    fn weight(&mut self, layer: &Layer, x: Address, dy: &Buffer) -> Result<()> {
        let to = self.trunk.weight(&self.gradients, layer);
        let shape = self.trunk.shape(layer, self.batch);
        self.trunk.engine.convolutions.filter(shape, x, dy.address(), to)
    }

    /// The gradient of a convolution's input.
    fn input(&self, layer: &Layer, dy: &Buffer) -> Result<Buffer> {
        let dx = self.trunk.values(input_of(&layer.conv, self.batch).values())?;
        let (shape, w) = (self.trunk.shape(layer, self.batch), self.trunk.weight(&self.packed, layer));
        self.trunk.engine.convolutions.data(shape, dy.address(), w, dx.address())?;
        Ok(dx)
    }

    /// da ← the gradient of x, da + add being that of relu(norm(x)); the norm's own gradients too.
    fn norm(&self, norm: &Norm, da: &Buffer, add: Option<&Buffer>, x: &Buffer, of: Extent) -> Result<()> {
        let (engine, precision) = (&self.trunk.engine, self.trunk.precision);
        let (add, state) = (add.map(Buffer::address), self.trunk.state(&self.state, norm));
        let parts = engine.bytes(4 * of.split(precision).parts(of.channels))?;
        let slopes = engine.bytes(2 * 4 * of.channels)?;
        let (da, x, at) = (da.address(), x.address(), parts.address());
        engine.kernels.norm_sums(precision, da, add, x, of, state, at)?;
        let gradients = [norm.weight, norm.bias].map(|at| self.flat + 4 * at as u64);
        engine.kernels.norm_slopes(precision, at, of, state, gradients, slopes.address())?;
        engine.kernels.norm_gradient(precision, da, add, x, of, state, slopes.address())
    }
}
