//! The trunk's forward pass.

use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::{Result, bail};

use super::DeviceTrunk;
use crate::network::Precision;
use crate::network::cuda::engine::{Address, Buffer};
use crate::network::cuda::kernels::Extent;
use crate::network::parameters::Norm;

/// What the backward pass needs.
pub struct Saved {
    pub(super) batch: usize,
    pub(super) packed: Buffer,
    /// Without, they are read where they lie.
    pub(super) images: Option<Buffer>,
    pub(super) coefficients: Buffer,
    pub(super) stem: Buffer,
    /// First convolution's output, and the block's own, which the last block need not keep.
    pub(super) blocks: Vec<(Buffer, Option<Buffer>)>,
}

/// Which statistics the norms use.
pub enum Statistics {
    /// Those of the batch.
    Batch,
    /// Running means and variances.
    Running([Address; 2]),
}

/// Result of a forward pass.
pub struct Forward {
    /// (B, features) in f32.
    pub features: CudaSlice<f32>,
    /// Flat means and unbiased variances of the batch, where they were used.
    pub batch: Option<[CudaSlice<f32>; 2]>,
    /// Kept for the backward pass, if asked for.
    pub saved: Option<Saved>,
}

impl DeviceTrunk {
    /// images (B, H, W, C), flat parameters → features (B, F).
    ///
    /// # Errors
    /// The device has no room, or refuses a convolution.
    pub fn forward(
        &self,
        theta: Address,
        images: Address,
        batch: usize,
        statistics: &Statistics,
        save: bool,
    ) -> Result<Forward> {
        let engine = &self.engine;
        let kernels = &engine.kernels;
        let packed = self.values(self.packed_len)?;
        kernels.pack(self.precision, theta, self.weight_table(), packed.address())?;
        let coefficients = engine.bytes(4 * 4 * self.channels)?;
        let of_batch = match statistics {
            Statistics::Batch => Some([engine.floats(self.channels)?, engine.floats(self.channels)?]),
            Statistics::Running(running) => {
                let places = engine.integers_at(&self.places);
                let all = self.all_coefficients(&coefficients);
                kernels.running_coefficients(theta, places, *running, all)?;
                None
            }
        };
        // x += add, and the coefficients of the norm over it, if they come from the batch.
        let batch_coefficients = |norm: &Norm, x: &Buffer, add: Option<&Buffer>, of: Extent| -> Result<()> {
            let Some(of_batch) = &of_batch else { return Ok(()) };
            let parts = engine.bytes(4 * of.split().parts())?;
            kernels.moments(x.address(), add.map(Buffer::address), of, parts.address())?;
            let affine = [norm.weight, norm.bias].map(|at| theta + 4 * at as u64);
            let to = [&of_batch[0], &of_batch[1]].map(|f| engine.address(f) + 4 * norm.running as u64);
            kernels.norm_coefficients(parts.address(), of, affine, self.coefficients(&coefficients, norm), to)
        };

        let input = self.input(images, batch)?;
        let at = input.as_ref().map_or(images, Buffer::address);
        let stem = self.convolve(&self.stem, batch, at, &packed)?;
        let mut of = self.output_of(&self.stem.conv, batch);
        batch_coefficients(&self.stem_norm, &stem, None, of)?;
        let mut x = self.norm_relu(&stem, None, of, &self.stem_norm, &coefficients)?;
        // What is still to be added to x: batch statistics add it on their way, an activation too.
        let mut add: Option<Buffer> = None;
        let mut kept: Vec<(Buffer, Option<Buffer>)> = vec![];
        for block in &self.blocks {
            batch_coefficients(&block.norm1, &x, add.as_ref(), of)?;
            let pending = if of_batch.is_some() { None } else { add.as_ref() };
            let a = self.norm_relu(&x, pending, of, &block.norm1, &coefficients)?;
            match kept.last_mut() {
                Some((_, out)) => *out = Some(x),
                // The stem's activation is made again from its raw output.
                None => drop(x),
            }
            let mid = self.convolve(&block.conv1, batch, a.address(), &packed)?;
            of = self.output_of(&block.conv1.conv, batch);
            batch_coefficients(&block.norm2, &mid, None, of)?;
            add = Some(match &block.shortcut {
                Some(layer) => self.convolve(layer, batch, a.address(), &packed)?,
                None => a,
            });
            let hidden = self.norm_relu(&mid, None, of, &block.norm2, &coefficients)?;
            if save {
                kept.push((mid, None));
            }
            x = self.convolve(&block.conv2, batch, hidden.address(), &packed)?;
        }
        let features = engine.floats(batch * self.features)?;
        let Some(add) = add else { bail!("a network without blocks") };
        let both = [x.address(), add.address()];
        kernels.average_pool(both, of.rows / batch, of, engine.address(&features))?;
        let saved = save.then_some(Saved { batch, packed, images: input, coefficients, stem, blocks: kept });
        Ok(Forward { features, batch: of_batch, saved })
    }

    /// The images as the first convolution takes them, unless they are so already.
    fn input(&self, images: Address, batch: usize) -> Result<Option<Buffer>> {
        let (conv, memory) = (&self.stem.conv, self.stem.cin);
        if self.precision == Precision::F32 && memory == self.input_channels {
            return Ok(None);
        }
        let rows = batch * conv.size * conv.size;
        let of = Extent { rows, channels: self.input_channels, precision: self.precision };
        let out = self.values(of.rows * memory)?;
        self.engine.kernels.images(images, of, memory, out.address())?;
        Ok(Some(out))
    }
}
