//! The trunk on a GPU: forward and backward over the whole network, convolution by convolution.
//!
//! The forward pass keeps the raw outputs of the convolutions; the backward pass makes the activations again
//! from them, as `program.rs` does on a CPU. Addresses in, memory out.

use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::{Result, bail};

use super::convolution::Shape;
use super::engine::{Address, Buffer, Engine};
use super::kernels::{Extent, State};
use crate::network::Precision;
use crate::network::plan::{self, Norm, Plan};

/// A convolution and where its weight lies among the packed ones.
pub(super) struct Layer {
    pub(super) conv: plan::Conv,
    /// Channels of the input in memory: the images' are padded to whole vectors.
    pub(super) cin: usize,
    /// In values.
    pub(super) packed: usize,
}

pub(super) struct Block {
    pub(super) norm1: Norm,
    pub(super) conv1: Layer,
    pub(super) norm2: Norm,
    pub(super) conv2: Layer,
    pub(super) shortcut: Option<Layer>,
}

/// A network's trunk on a device.
pub(in crate::network) struct DeviceTrunk {
    pub(super) engine: Arc<Engine>,
    pub(super) precision: Precision,
    pub(super) exact: bool,
    pub(super) input_channels: usize,
    pub(super) features: usize,
    pub(super) stem: Layer,
    pub(super) stem_norm: Norm,
    pub(super) blocks: Vec<Block>,
    /// Where each weight is, flat and packed, for the kernels that copy all of them.
    pub(super) weights: CudaSlice<i32>,
    pub(super) weight_count: usize,
    pub(super) tiles: usize,
    pub(super) packed_len: usize,
    /// Where weight and bias of each norm's channel are.
    pub(super) places: CudaSlice<i32>,
    /// Length of the flat vectors of parameters and of statistics.
    pub(super) len: usize,
    pub(super) channels: usize,
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
    pub(super) fn values(&self, count: usize) -> Result<Buffer> {
        self.engine.bytes(count * self.element())
    }

    pub(super) fn weight(&self, packed: &Buffer, layer: &Layer) -> Address {
        packed.address() + (layer.packed * self.element()) as u64
    }

    pub(super) fn shape(&self, layer: &Layer, batch: usize) -> Shape {
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
    pub(super) fn state(&self, state: &Buffer, norm: &Norm) -> State {
        State { at: state.address() + 4 * norm.running as u64, stride: self.channels }
    }

    pub(super) fn convolve(
        &self,
        layer: &Layer,
        batch: usize,
        x: Address,
        packed: &Buffer,
    ) -> Result<Buffer> {
        let out = self.values(output(&layer.conv, batch).values())?;
        let w = self.weight(packed, layer);
        self.engine.convolutions.forward(self.shape(layer, batch), x, w, out.address())?;
        Ok(out)
    }

    pub(super) fn activate(
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
}

pub(super) fn output(conv: &plan::Conv, batch: usize) -> Extent {
    Extent { rows: batch * conv.out_size() * conv.out_size(), channels: conv.cout }
}

pub(super) fn input_of(conv: &plan::Conv, batch: usize) -> Extent {
    Extent { rows: batch * conv.size * conv.size, channels: conv.cin }
}
