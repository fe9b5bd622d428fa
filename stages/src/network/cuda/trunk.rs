//! The trunk on a GPU: forward and backward over the whole network, convolution by convolution.
//!
//! The forward pass keeps the raw outputs of the convolutions; the backward pass makes the activations again
//! from them, as `program.rs` does on a CPU. It knows nothing of candle's graph: addresses in, memory out.

use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::{Result, bail};

use super::convolution::Shape;
use super::engine::{Address, Buffer, Engine};
use super::kernels::{Extent, State};
use crate::network::Precision;
use crate::network::plan::{self, Norm, Plan};

/// A convolution and where its weight lies among the packed ones.
struct Layer {
    conv: plan::Conv,
    /// Channels of the input in memory: the images' are padded to whole vectors.
    cin: usize,
    /// In values.
    packed: usize,
}

struct Block {
    norm1: Norm,
    conv1: Layer,
    norm2: Norm,
    conv2: Layer,
    shortcut: Option<Layer>,
}

/// A network's trunk on a device.
pub(in crate::network) struct DeviceTrunk {
    engine: Arc<Engine>,
    precision: Precision,
    exact: bool,
    input_channels: usize,
    features: usize,
    stem: Layer,
    stem_norm: Norm,
    blocks: Vec<Block>,
    /// Where each weight is, flat and packed, for the kernels that copy all of them.
    weights: CudaSlice<i32>,
    weight_count: usize,
    tiles: usize,
    packed_len: usize,
    /// Where weight and bias of each norm's channel are.
    places: CudaSlice<i32>,
    /// Length of the flat vectors of parameters and of statistics.
    len: usize,
    channels: usize,
}

/// What the backward pass needs.
pub(super) struct Saved {
    batch: usize,
    packed: Buffer,
    /// Without, they are read where they lie.
    images: Option<Buffer>,
    state: Buffer,
    stem: Buffer,
    /// First convolution's output, and the block's own, which the last block need not keep.
    blocks: Vec<(Buffer, Option<Buffer>)>,
}

/// Which statistics the norms use.
pub(super) enum Statistics {
    /// Those of the batch.
    Batch,
    /// Running means and variances.
    Running([Address; 2]),
}

/// Result of a forward pass.
pub(super) struct Forward {
    /// (B, features) in f32.
    pub features: CudaSlice<f32>,
    /// Flat means and unbiased variances of the batch, where they were used.
    pub batch: Option<[CudaSlice<f32>; 2]>,
    /// Kept for the backward pass, if asked for.
    pub saved: Option<Saved>,
}

/// Lays out the packed weights: each begins on a cache line, as cuDNN's vector loads want.
#[derive(Default)]
struct Packer {
    table: Vec<i32>,
    len: usize,
    tiles: usize,
}

impl Packer {
    fn layer(&mut self, conv: &plan::Conv, cin: usize) -> Layer {
        let taps = conv.kernel * conv.kernel;
        let packed = self.len;
        // In the order of the kernels' `Weight`.
        let of = [conv.offset, packed, conv.cin, cin, conv.cout, taps, self.tiles];
        self.table.extend(of.map(|v| v as i32));
        self.len += (taps * cin * conv.cout).next_multiple_of(64);
        self.tiles += taps * cin.div_ceil(32) * conv.cout.div_ceil(32);
        Layer { conv: conv.clone(), cin, packed }
    }
}

impl DeviceTrunk {
    /// The trunk of `plan`; `exact`: without TF32.
    ///
    /// # Errors
    /// The device has no room.
    pub fn new(engine: Arc<Engine>, plan: &Plan, precision: Precision, exact: bool) -> Result<Self> {
        let mut packer = Packer::default();
        let vector = match precision {
            Precision::F32 => 4,
            Precision::Bf16 => 8,
        };
        let stem = packer.layer(&plan.stem, plan.stem.cin.next_multiple_of(vector));
        let blocks: Vec<Block> = plan
            .blocks
            .iter()
            .map(|b| Block {
                norm1: b.norm1.clone(),
                conv1: packer.layer(&b.conv1, b.conv1.cin),
                norm2: b.norm2.clone(),
                conv2: packer.layer(&b.conv2, b.conv2.cin),
                shortcut: b.shortcut.as_ref().map(|conv| packer.layer(conv, conv.cin)),
            })
            .collect();
        if plan.len.max(packer.len) > i32::MAX as usize {
            bail!("a network of {} parameters is too large for this device's kernels", plan.len);
        }
        let mut places = vec![0; 2 * plan.buffers_len];
        let norms = blocks.iter().flat_map(|b| [&b.norm1, &b.norm2]).chain([&plan.stem_norm]);
        for norm in norms {
            for i in 0..norm.channels {
                places[norm.running + i] = (norm.weight + i) as i32;
                places[plan.buffers_len + norm.running + i] = (norm.bias + i) as i32;
            }
        }
        Ok(Self {
            precision,
            exact,
            input_channels: plan.stem.cin,
            features: plan.features,
            stem,
            stem_norm: plan.stem_norm.clone(),
            blocks,
            weight_count: packer.table.len() / 7,
            weights: engine.integers(&packer.table)?,
            tiles: packer.tiles,
            packed_len: packer.len,
            places: engine.integers(&places)?,
            len: plan.len,
            channels: plan.buffers_len,
            engine,
        })
    }

    /// The device's engine.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Channels of the features.
    pub fn features(&self) -> usize {
        self.features
    }

    fn element(&self) -> usize {
        match self.precision {
            Precision::F32 => 4,
            Precision::Bf16 => 2,
        }
    }

    /// Memory for values in the type of computation.
    fn values(&self, count: usize) -> Result<Buffer> {
        self.engine.bytes(count * self.element())
    }

    fn weight(&self, packed: &Buffer, layer: &Layer) -> Address {
        packed.address() + (layer.packed * self.element()) as u64
    }

    fn shape(&self, layer: &Layer, batch: usize) -> Shape {
        let conv = &layer.conv;
        Shape {
            batch,
            size: conv.size,
            cin: layer.cin,
            cout: conv.cout,
            kernel: conv.kernel,
            stride: conv.stride,
            precision: self.precision,
            exact: self.exact,
        }
    }

    /// A norm's part of the coefficients.
    fn state(&self, state: &Buffer, norm: &Norm) -> State {
        State { at: state.address() + 4 * norm.running as u64, stride: self.channels }
    }

    fn convolve(&self, layer: &Layer, batch: usize, x: Address, packed: &Buffer) -> Result<Buffer> {
        let out = self.values(output(&layer.conv, batch).values())?;
        let w = self.weight(packed, layer);
        self.engine.convolutions.forward(self.shape(layer, batch), x, w, out.address())?;
        Ok(out)
    }

    fn activate(
        &self,
        x: &Buffer,
        add: Option<&Buffer>,
        of: Extent,
        norm: &Norm,
        state: &Buffer,
    ) -> Result<Buffer> {
        let out = self.values(of.values())?;
        let (add, state) = (add.map(Buffer::address), self.state(state, norm));
        self.engine.kernels.activate(self.precision, x.address(), add, of, state, out.address())?;
        Ok(out)
    }

    /// images (B, H, W, C), flat parameters → features (B, F).
    ///
    /// # Errors
    /// The device has no room, or refuses a convolution.
    pub(super) fn forward(
        &self,
        theta: Address,
        images: Address,
        batch: usize,
        statistics: &Statistics,
        save: bool,
    ) -> Result<Forward> {
        let (engine, precision) = (&self.engine, self.precision);
        let kernels = &engine.kernels;
        let packed = self.values(self.packed_len)?;
        let weights = engine.integers_at(&self.weights);
        kernels.pack(precision, theta, weights, [self.weight_count, self.tiles], packed.address())?;
        let state = engine.bytes(4 * 4 * self.channels)?;
        let found = match statistics {
            Statistics::Batch => Some([engine.floats(self.channels)?, engine.floats(self.channels)?]),
            Statistics::Running(running) => {
                let places = engine.integers_at(&self.places);
                let whole = State { at: state.address(), stride: self.channels };
                kernels.running_state(theta, places, *running, whole)?;
                None
            }
        };
        // x += add, and the coefficients of the norm over it, if they come from the batch.
        let settle = |norm: &Norm, x: &Buffer, add: Option<&Buffer>, of: Extent| -> Result<()> {
            let Some(found) = &found else { return Ok(()) };
            let parts = engine.bytes(4 * of.split(precision).parts(of.channels))?;
            kernels.moments(precision, x.address(), add.map(Buffer::address), of, parts.address())?;
            let affine = [norm.weight, norm.bias].map(|at| theta + 4 * at as u64);
            let to = [&found[0], &found[1]].map(|f| engine.address(f) + 4 * norm.running as u64);
            kernels.norm_state(precision, parts.address(), of, affine, self.state(&state, norm), to)
        };

        let input = self.input(images, batch)?;
        let at = input.as_ref().map_or(images, Buffer::address);
        let stem = self.convolve(&self.stem, batch, at, &packed)?;
        let mut of = output(&self.stem.conv, batch);
        settle(&self.stem_norm, &stem, None, of)?;
        let mut x = self.activate(&stem, None, of, &self.stem_norm, &state)?;
        // What is still to be added to x: batch statistics add it on their way, an activation too.
        let mut add: Option<Buffer> = None;
        let mut kept: Vec<(Buffer, Option<Buffer>)> = vec![];
        for block in &self.blocks {
            settle(&block.norm1, &x, add.as_ref(), of)?;
            let pending = if found.is_some() { None } else { add.as_ref() };
            let a = self.activate(&x, pending, of, &block.norm1, &state)?;
            match kept.last_mut() {
                Some((_, out)) => *out = Some(x),
                // The stem's activation is made again from its raw output.
                None => drop(x),
            }
            let mid = self.convolve(&block.conv1, batch, a.address(), &packed)?;
            of = output(&block.conv1.conv, batch);
            settle(&block.norm2, &mid, None, of)?;
            add = Some(match &block.shortcut {
                Some(layer) => self.convolve(layer, batch, a.address(), &packed)?,
                None => a,
            });
            let hidden = self.activate(&mid, None, of, &block.norm2, &state)?;
            if save {
                kept.push((mid, None));
            }
            x = self.convolve(&block.conv2, batch, hidden.address(), &packed)?;
        }
        let features = engine.floats(batch * self.features)?;
        let Some(add) = add else { bail!("a network without blocks") };
        let both = [x.address(), add.address()];
        kernels.pool(precision, both, of.rows / batch, of, engine.address(&features))?;
        let saved = save.then_some(Saved { batch, packed, images: input, state, stem, blocks: kept });
        Ok(Forward { features, batch: found, saved })
    }

    /// The images as the first convolution takes them, unless they are so already.
    fn input(&self, images: Address, batch: usize) -> Result<Option<Buffer>> {
        let (conv, memory) = (&self.stem.conv, self.stem.cin);
        if self.precision == Precision::F32 && memory == self.input_channels {
            return Ok(None);
        }
        let of = Extent { rows: batch * conv.size * conv.size, channels: self.input_channels };
        let out = self.values(of.rows * memory)?;
        self.engine.kernels.images(self.precision, images, of, memory, out.address())?;
        Ok(Some(out))
    }

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

fn output(conv: &plan::Conv, batch: usize) -> Extent {
    Extent { rows: batch * conv.out_size() * conv.out_size(), channels: conv.cout }
}

fn input_of(conv: &plan::Conv, batch: usize) -> Extent {
    Extent { rows: batch * conv.size * conv.size, channels: conv.cin }
}
