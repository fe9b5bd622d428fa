//! The trunk's backward pass: activations are made again from the raw outputs that the forward pass kept.

use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::{Result, bail};

use super::{DeviceTrunk, PackedConv, Saved};
use crate::network::cuda::engine::{Address, Buffer};
use crate::network::cuda::kernels::Extent;
use crate::network::cuda::norm::OutputGradient;
use crate::network::parameters::Norm;

impl DeviceTrunk {
    /// Gradient of features (B, F) → gradient of the flat parameters.
    ///
    /// # Errors
    /// The device has no room, or refuses a convolution.
    pub fn backward(&self, images: Address, saved: Saved, features_grad: Address) -> Result<CudaSlice<f32>> {
        let engine = &self.engine;
        let Saved { batch, packed, images: input, coefficients, stem, blocks: mut kept } = saved;
        let flat = engine.floats(self.len)?;
        let mut back = Back {
            trunk: self,
            batch,
            packed,
            coefficients,
            flat: engine.address(&flat),
            gradients: self.values(self.packed_len)?,
        };
        let Some(last) = self.blocks.last() else { bail!("a network without blocks") };
        let of = self.output_of(&last.conv2.conv, batch);
        // The gradient of the block's output.
        let mut grad = self.values(of.values())?;
        let area = of.rows / batch;
        engine.kernels.average_pool_gradient(features_grad, area, of, grad.address())?;
        for block in self.blocks.iter().rev() {
            let Some((mid, _)) = kept.pop() else { bail!("the forward pass kept too little") };
            let of = self.output_of(&block.conv1.conv, batch);
            let hidden = self.norm_relu(&mid, None, of, &block.norm2, &back.coefficients)?;
            back.weight(&block.conv2, hidden.address(), &grad)?;
            drop(hidden);
            let inner = back.input(&block.conv2, &grad)?;
            back.norm(&block.norm2, &inner, None, &mid, of)?;
            drop(mid);
            let of = self.input_of(&block.conv1.conv, batch);
            let x = match kept.last_mut() {
                Some((_, out)) => out.take(),
                None => Some(self.norm_relu(&stem, None, of, &self.stem_norm, &back.coefficients)?),
            };
            let Some(x) = x else { bail!("the forward pass kept too little") };
            let a = self.norm_relu(&x, None, of, &block.norm1, &back.coefficients)?;
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
        back.norm(&self.stem_norm, &grad, None, &stem, self.output_of(&self.stem.conv, batch))?;
        back.weight(&self.stem, input.as_ref().map_or(images, Buffer::address), &grad)?;
        engine.kernels.unpack(self.precision, back.gradients.address(), self.weight_table(), back.flat)?;
        Ok(flat)
    }
}

/// A backward pass on its way.
struct Back<'a> {
    trunk: &'a DeviceTrunk,
    batch: usize,
    packed: Buffer,
    coefficients: Buffer,
    /// The gradient of the flat parameters.
    flat: Address,
    /// The gradients of the weights, packed.
    gradients: Buffer,
}

impl Back<'_> {
    /// The gradient of a convolution's weight.
    fn weight(&mut self, layer: &PackedConv, x: Address, dy: &Buffer) -> Result<()> {
        let to = self.trunk.weight(&self.gradients, layer);
        let shape = self.trunk.shape(layer, self.batch);
        self.trunk.engine.convolutions.filter(shape, x, dy.address(), to)
    }

    /// The gradient of a convolution's input.
    fn input(&self, layer: &PackedConv, dy: &Buffer) -> Result<Buffer> {
        let dx = self.trunk.values(self.trunk.input_of(&layer.conv, self.batch).values())?;
        let (shape, w) = (self.trunk.shape(layer, self.batch), self.trunk.weight(&self.packed, layer));
        self.trunk.engine.convolutions.data(shape, dy.address(), w, dx.address())?;
        Ok(dx)
    }

    /// da ← the gradient of x, da + add being that of relu(norm(x)); the norm's own gradients too.
    fn norm(&self, norm: &Norm, da: &Buffer, add: Option<&Buffer>, x: &Buffer, of: Extent) -> Result<()> {
        let engine = &self.trunk.engine;
        let coefficients = self.trunk.coefficients(&self.coefficients, norm);
        let parts = engine.bytes(4 * of.split().parts())?;
        let slopes = engine.bytes(2 * 4 * of.channels)?;
        let (da, add, x) = (da.address(), add.map(Buffer::address), x.address());
        let upstream = OutputGradient { da, add, x, of, norm: coefficients };
        engine.kernels.norm_sums(upstream, parts.address())?;
        let gradients = [norm.weight, norm.bias].map(|at| self.flat + 4 * at as u64);
        engine.kernels.norm_slopes(parts.address(), of, coefficients, gradients, slopes.address())?;
        engine.kernels.norm_gradient(upstream, slopes.address())
    }
}
