//! The trunk: forward and backward over the whole network, convolution by convolution.
//!
//! The forward pass keeps the raw outputs of the convolutions; the backward pass makes the activations again from them,
//! as on a CPU. Addresses in, memory out: `custom_op.rs` alone knows candle's graph.

use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::{Result, bail};

use super::convolution::ConvShape;
use super::engine::{Address, Buffer, Engine};
use super::kernels::Extent;
use super::norm::Coefficients;
use super::packing::WeightTable;
use crate::network::Precision;
use crate::network::parameters::{Conv, Norm, TrunkLayout};

mod backward;
mod forward;

pub(super) use forward::{Saved, Statistics};

/// A convolution and where its weight lies among the packed ones.
struct PackedConv {
    conv: Conv,
    /// Channels of the input in memory: the images' are padded to whole vectors.
    cin: usize,
    /// In values.
    packed: usize,
}

struct PackedBlock {
    norm1: Norm,
    conv1: PackedConv,
    norm2: Norm,
    conv2: PackedConv,
    shortcut: Option<PackedConv>,
}

/// A network's trunk on a device.
pub(in crate::network) struct DeviceTrunk {
    engine: Arc<Engine>,
    precision: Precision,
    exact: bool,
    input_channels: usize,
    features: usize,
    stem: PackedConv,
    stem_norm: Norm,
    blocks: Vec<PackedBlock>,
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

/// Lays out the packed weights: each begins on a cache line, as cuDNN's vector loads want.
#[derive(Default)]
struct Packer {
    table: Vec<i32>,
    len: usize,
    tiles: usize,
}

impl Packer {
    fn layer(&mut self, conv: &Conv, cin: usize) -> PackedConv {
        let taps = conv.kernel * conv.kernel;
        let packed = self.len;
        // In the order of the kernels' `Weight`.
        let of = [conv.offset, packed, conv.cin, cin, conv.cout, taps, self.tiles];
        self.table.extend(of.map(|v| v as i32));
        self.len += (taps * cin * conv.cout).next_multiple_of(64);
        self.tiles += taps * cin.div_ceil(32) * conv.cout.div_ceil(32);
        PackedConv { conv: conv.clone(), cin, packed }
    }
}

impl DeviceTrunk {
    /// The trunk of this layout; `exact`: without TF32.
    ///
    /// # Errors
    /// The device has no room.
    pub fn new(engine: Arc<Engine>, layout: &TrunkLayout, precision: Precision, exact: bool) -> Result<Self> {
        let mut packer = Packer::default();
        let vector = match precision {
            Precision::F32 => 4,
            Precision::Bf16 => 8,
        };
        let stem = packer.layer(&layout.stem, layout.stem.cin.next_multiple_of(vector));
        let blocks: Vec<PackedBlock> = layout
            .blocks
            .iter()
            .map(|b| PackedBlock {
                norm1: b.norm1.clone(),
                conv1: packer.layer(&b.conv1, b.conv1.cin),
                norm2: b.norm2.clone(),
                conv2: packer.layer(&b.conv2, b.conv2.cin),
                shortcut: b.shortcut.as_ref().map(|conv| packer.layer(conv, conv.cin)),
            })
            .collect();
        if layout.len.max(packer.len) > i32::MAX as usize {
            bail!("a network of {} parameters is too large for this device's kernels", layout.len);
        }
        let mut places = vec![0; 2 * layout.buffers_len];
        let norms = blocks.iter().flat_map(|b| [&b.norm1, &b.norm2]).chain([&layout.stem_norm]);
        for norm in norms {
            for i in 0..norm.channels {
                places[norm.running + i] = (norm.weight + i) as i32;
                places[layout.buffers_len + norm.running + i] = (norm.bias + i) as i32;
            }
        }
        Ok(Self {
            precision,
            exact,
            input_channels: layout.stem.cin,
            features: layout.features,
            stem,
            stem_norm: layout.stem_norm.clone(),
            blocks,
            weight_count: packer.table.len() / 7,
            weights: engine.integers(&packer.table)?,
            tiles: packer.tiles,
            packed_len: packer.len,
            places: engine.integers(&places)?,
            len: layout.len,
            channels: layout.buffers_len,
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

    fn weight(&self, packed: &Buffer, layer: &PackedConv) -> Address {
        packed.address() + (layer.packed * self.element()) as u64
    }

    fn shape(&self, layer: &PackedConv, batch: usize) -> ConvShape {
        let conv = &layer.conv;
        ConvShape {
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

    /// The places of all weights, for the kernels that copy them.
    fn weight_table(&self) -> WeightTable {
        WeightTable {
            at: self.engine.integers_at(&self.weights),
            count: self.weight_count,
            tiles: self.tiles,
        }
    }

    /// The coefficients of all norms.
    fn all_coefficients(&self, coefficients: &Buffer) -> Coefficients {
        Coefficients { at: coefficients.address(), stride: self.channels }
    }

    /// A norm's part of the coefficients.
    fn coefficients(&self, coefficients: &Buffer, norm: &Norm) -> Coefficients {
        let Coefficients { at, stride } = self.all_coefficients(coefficients);
        Coefficients { at: at + 4 * norm.running as u64, stride }
    }

    fn convolve(&self, layer: &PackedConv, batch: usize, x: Address, packed: &Buffer) -> Result<Buffer> {
        let out = self.values(self.output_of(&layer.conv, batch).values())?;
        let w = self.weight(packed, layer);
        self.engine.convolutions.forward(self.shape(layer, batch), x, w, out.address())?;
        Ok(out)
    }

    fn norm_relu(
        &self,
        x: &Buffer,
        add: Option<&Buffer>,
        of: Extent,
        norm: &Norm,
        coefficients: &Buffer,
    ) -> Result<Buffer> {
        let out = self.values(of.values())?;
        let (add, norm) = (add.map(Buffer::address), self.coefficients(coefficients, norm));
        self.engine.kernels.norm_relu(x.address(), add, of, norm, out.address())?;
        Ok(out)
    }

    fn output_of(&self, conv: &Conv, batch: usize) -> Extent {
        let rows = batch * conv.out_size() * conv.out_size();
        Extent { rows, channels: conv.cout, precision: self.precision }
    }

    fn input_of(&self, conv: &Conv, batch: usize) -> Extent {
        let rows = batch * conv.size * conv.size;
        Extent { rows, channels: conv.cin, precision: self.precision }
    }
}
