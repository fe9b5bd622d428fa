//! The transformer that both towers share: pre-norm blocks of attention and a two-layer map, each added to its input.
//!
//! Rows of token vectors come in, one row a sequence comes out.

use candle_core::{DType, Device, Tensor};
use pipeline::error::{OrFail, Result};

use super::config::{Activation, TowerConfig};
use super::ops;
use super::weights::{ClipWeights, Shapes};

/// Where and in which type a model's tensors live.
#[derive(Clone)]
pub struct TensorPlace {
    /// The device.
    pub device: Device,
    /// F32 on the CPU; F32, F16 or BF16 elsewhere.
    pub dtype: DType,
}

impl TensorPlace {
    /// Values of this shape, put in place.
    pub fn tensor(&self, values: Vec<f32>, shape: &[usize]) -> candle_core::Result<Tensor> {
        Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(self.dtype)?.to_device(&self.device)
    }
}

/// x · weight + bias. The weight is kept as (inputs, outputs), the order in which the product reads it.
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// One linear map from the outputs of several side by side, stored as (outputs, inputs) in the file.
    pub fn load(
        weights: &ClipWeights,
        names: &[String],
        [inputs, outputs]: [usize; 2],
        place: &TensorPlace,
    ) -> Result<Self> {
        let mut weight = Vec::with_capacity(names.len() * inputs * outputs);
        let mut bias = Vec::with_capacity(names.len() * outputs);
        for name in names {
            weight.extend(weights.read(&format!("{name}.weight"), &[outputs, inputs])?);
            bias.extend(weights.read(&format!("{name}.bias"), &[outputs])?);
        }
        Self::new(weight, bias, inputs, place)
    }

    /// One linear map without bias.
    pub fn load_unbiased(
        weights: &ClipWeights,
        name: &str,
        shape: &[usize],
        place: &TensorPlace,
    ) -> Result<Self> {
        let outputs = shape[0];
        Self::new(weights.read(name, shape)?, vec![0.0; outputs], shape[1..].iter().product(), place)
    }

    fn new(weight: Vec<f32>, bias: Vec<f32>, inputs: usize, place: &TensorPlace) -> Result<Self> {
        let outputs = bias.len();
        let build = || {
            let weight = Tensor::from_vec(weight, (outputs, inputs), &Device::Cpu)?.t()?.contiguous()?;
            let weight = weight.to_dtype(place.dtype)?.to_device(&place.device)?;
            candle_core::Result::Ok(Self { weight, bias: place.tensor(bias, &[outputs])? })
        };
        build().or_fail(super::cannot_load)
    }

    /// x (rows, inputs) to (rows, outputs).
    pub fn forward(&self, x: &Tensor, activation: Option<Activation>) -> candle_core::Result<Tensor> {
        ops::linear(x, &self.weight, &self.bias, None, activation)
    }

    /// `residual` + x · weight + bias, the residual's rows being repeated as often as they fit.
    pub fn forward_onto(&self, x: &Tensor, residual: &Tensor) -> candle_core::Result<Tensor> {
        ops::linear(x, &self.weight, &self.bias, Some(residual), None)
    }
}

/// Layer norm with gain and bias.
pub struct LayerNorm {
    gain: Tensor,
    bias: Tensor,
    eps: f32,
}

impl LayerNorm {
    /// Reads `{name}.weight` and `{name}.bias`.
    pub fn load(
        weights: &ClipWeights,
        name: &str,
        config: &TowerConfig,
        place: &TensorPlace,
    ) -> Result<Self> {
        let read = |part: &str| {
            let values = weights.read(&format!("{name}.{part}"), &[config.hidden])?;
            place.tensor(values, &[config.hidden]).or_fail(super::cannot_load)
        };
        Ok(Self { gain: read("weight")?, bias: read("bias")?, eps: config.eps })
    }

    /// Every row of x (rows, hidden).
    pub fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        ops::layer_norm(x, &self.gain, &self.bias, self.eps)
    }
}

struct TransformerBlock {
    norm1: LayerNorm,
    qkv: Linear,
    out: Linear,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    config: TowerConfig,
}

impl TransformerBlock {
    fn load(weights: &ClipWeights, prefix: &str, config: &TowerConfig, place: &TensorPlace) -> Result<Self> {
        let name = |part: &str| format!("{prefix}.{part}");
        let (hidden, wide) = (config.hidden, config.intermediate);
        let qkv = ["q", "k", "v"].map(|part| name(&format!("self_attn.{part}_proj")));
        Ok(Self {
            norm1: LayerNorm::load(weights, &name("layer_norm1"), config, place)?,
            qkv: Linear::load(weights, &qkv, [hidden, hidden], place)?,
            out: Linear::load(weights, &[name("self_attn.out_proj")], [hidden, hidden], place)?,
            norm2: LayerNorm::load(weights, &name("layer_norm2"), config, place)?,
            fc1: Linear::load(weights, &[name("mlp.fc1")], [hidden, wide], place)?,
            fc2: Linear::load(weights, &[name("mlp.fc2")], [wide, hidden], place)?,
            config: *config,
        })
    }

    fn attend(&self, x: &Tensor, tokens: usize, causal: bool) -> candle_core::Result<Tensor> {
        let qkv = self.qkv.forward(&self.norm1.forward(x)?, None)?; // (rows, 3 hidden)
        ops::attention(&qkv, tokens, self.config.heads, causal)
    }

    fn finish(&self, attended: &Tensor, x: &Tensor) -> candle_core::Result<Tensor> {
        let x = self.out.forward_onto(attended, x)?;
        let wide = self.fc1.forward(&self.norm2.forward(&x)?, Some(self.config.activation))?; // (rows, intermediate)
        self.fc2.forward_onto(&wide, &x)
    }
}

/// The stack of blocks.
pub struct Encoder {
    blocks: Vec<TransformerBlock>,
    causal: bool,
}

impl Encoder {
    /// Reads the blocks `{prefix}.layers.0` and on. `causal`: no token looks at later ones.
    pub fn load(
        weights: &ClipWeights,
        prefix: &str,
        config: &TowerConfig,
        causal: bool,
        place: &TensorPlace,
    ) -> Result<Self> {
        let load = |i| TransformerBlock::load(weights, &format!("{prefix}.layers.{i}"), config, place);
        Ok(Self { blocks: (0..config.layers).map(load).collect::<Result<_>>()?, causal })
    }

    /// What [`Encoder::load`] will read.
    pub fn shapes(prefix: &str, config: &TowerConfig) -> Shapes {
        let (hidden, wide) = (config.hidden, config.intermediate);
        let mut shapes = Shapes::new();
        for i in 0..config.layers {
            let name = |part: &str| format!("{prefix}.layers.{i}.{part}");
            for part in ["layer_norm1", "layer_norm2"] {
                shapes.norm(&name(part), hidden);
            }
            for part in ["q", "k", "v", "out"] {
                shapes.linear(&name(&format!("self_attn.{part}_proj")), [hidden, hidden]);
            }
            shapes.linear(&name("mlp.fc1"), [hidden, wide]);
            shapes.linear(&name("mlp.fc2"), [wide, hidden]);
        }
        shapes
    }

    /// x (sequences · tokens, hidden) to the rows named by `pooled` (u32, one a sequence): (sequences, hidden).
    ///
    /// The last block works on those rows alone after its attention, since nothing else is looked at: that saves a
    /// sixteenth of a ViT-B/32's work.
    pub fn forward(&self, x: Tensor, tokens: usize, pooled: &Tensor) -> candle_core::Result<Tensor> {
        let Some((last, blocks)) = self.blocks.split_last() else { return x.index_select(pooled, 0) };
        let mut x = x;
        for block in blocks {
            let attended = block.attend(&x, tokens, self.causal)?;
            x = block.finish(&attended, &x)?;
        }
        let attended = last.attend(&x, tokens, self.causal)?.index_select(pooled, 0)?;
        last.finish(&attended, &x.index_select(pooled, 0)?)
    }
}
