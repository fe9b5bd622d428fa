//! CLIP with gradients: the two towers of `stages::clip` over again, small, on candle's differentiable operations.
//!
//! Parameters carry the hub's names. It knows nothing of captions or of training.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{D, DType, Device, Result, Tensor, Var};
use serde_json::{Value, json};

use super::draw::Draw;
use super::ops;

/// Side of a patch of the image, in pixels.
pub const PATCH: usize = 8;
/// Longest caption, both marks included.
pub const POSITIONS: usize = 24;
const IMAGE: usize = stages::dataset::demo::SIDE as usize;
const TOKENS: usize = (IMAGE / PATCH) * (IMAGE / PATCH) + 1;
const EPS: f32 = 1e-5;
/// Width of the space that both towers share.
const SHARED: usize = 64;

/// Sizes of a tower.
#[derive(Clone, Copy)]
struct Size {
    width: usize,
    layers: usize,
    heads: usize,
}

const VISION: Size = Size { width: 128, layers: 3, heads: 4 };
const TEXT: Size = Size { width: 96, layers: 2, heads: 4 };

/// All parameters under the hub's names, in the order in which they were drawn.
pub struct Clip {
    parameters: Vec<(String, Var)>,
    places: HashMap<String, usize>,
}

/// Captions as ids, filled up with padding.
pub struct Captions {
    /// (texts · length) ids.
    pub ids: Tensor,
    /// Length of each.
    pub length: usize,
    /// For each text, the row of `ids` with the end mark.
    pub ends: Tensor,
}

impl Clip {
    /// Random weights.
    pub fn new(seed: u64, vocabulary: usize) -> Result<Self> {
        let mut clip = Self { parameters: Vec::new(), places: HashMap::new() };
        let mut draw = Draw::new(seed, "weights");
        let patch = 3 * PATCH * PATCH;
        clip.draw(&mut draw, "vision_model.embeddings.class_embedding", &[VISION.width], 0.02)?;
        let kernel = [VISION.width, 3, PATCH, PATCH];
        clip.draw(
            &mut draw,
            "vision_model.embeddings.patch_embedding.weight",
            &kernel,
            (patch as f32).powf(-0.5),
        )?;
        let place = "vision_model.embeddings.position_embedding.weight";
        clip.draw(&mut draw, place, &[TOKENS, VISION.width], 0.02)?;
        clip.norm("vision_model.pre_layrnorm", VISION.width)?;
        clip.encoder(&mut draw, "vision_model", VISION)?;
        clip.norm("vision_model.post_layernorm", VISION.width)?;
        for (table, rows) in [("token", vocabulary), ("position", POSITIONS)] {
            let name = format!("text_model.embeddings.{table}_embedding.weight");
            clip.draw(&mut draw, &name, &[rows, TEXT.width], 0.02)?;
        }
        clip.encoder(&mut draw, "text_model", TEXT)?;
        clip.norm("text_model.final_layer_norm", TEXT.width)?;
        for (name, size) in [("visual", VISION), ("text", TEXT)] {
            let deviation = (size.width as f32).powf(-0.5);
            clip.draw(&mut draw, &format!("{name}_projection.weight"), &[SHARED, size.width], deviation)?;
        }
        clip.add("logit_scale", Tensor::new((1f32 / 0.07).ln(), &Device::Cpu)?)?;
        Ok(clip)
    }

    /// What training changes.
    pub fn parameters(&self) -> Vec<Var> {
        self.parameters.iter().map(|(_, var)| var.clone()).collect()
    }

    /// What training changes in the text tower.
    pub fn text_parameters(&self) -> Vec<Var> {
        let text = self.parameters.iter().filter(|(name, _)| name.starts_with("text_"));
        text.map(|(_, var)| var.clone()).collect()
    }

    /// Normalised pixels (B, 3, S, S) to unit features (B, shared).
    pub fn images(&self, pixels: &Tensor) -> Result<Tensor> {
        let (batch, grid, width) = (pixels.dim(0)?, IMAGE / PATCH, VISION.width);
        let patches = pixels
            .reshape(&[batch, 3, grid, PATCH, grid, PATCH][..])?
            .permute(vec![0, 2, 4, 1, 3, 5])?
            .reshape((batch * grid * grid, 3 * PATCH * PATCH))?;
        let kernel = self.get("vision_model.embeddings.patch_embedding.weight")?.reshape((width, ()))?;
        let patches = patches.matmul(&kernel.t()?)?.reshape((batch, grid * grid, width))?;
        let class = self.get("vision_model.embeddings.class_embedding")?.reshape((1, 1, width))?;
        let class = class.broadcast_as((batch, 1, width))?;
        let x = Tensor::cat(&[&class, &patches], 1)?
            .broadcast_add(self.get("vision_model.embeddings.position_embedding.weight")?)?; // (B, tokens, width)
        let x = self.normed("vision_model.pre_layrnorm", &x.reshape((batch * TOKENS, width))?)?;
        let x = self.encode("vision_model", VISION, x, TOKENS, false)?;
        let class = x.reshape((batch, TOKENS, width))?.narrow(1, 0, 1)?.reshape((batch, width))?;
        let class = self.normed("vision_model.post_layernorm", &class)?;
        unit(&class.matmul(&self.get("visual_projection.weight")?.t()?)?)
    }

    /// Captions to unit features (B, shared).
    pub fn texts(&self, captions: &Captions) -> Result<Tensor> {
        let Captions { ids, length, ends } = captions;
        let (length, width) = (*length, TEXT.width);
        let words = self.get("text_model.embeddings.token_embedding.weight")?.index_select(ids, 0)?;
        let places = self.get("text_model.embeddings.position_embedding.weight")?.narrow(0, 0, length)?;
        let x = words.reshape(((), length, width))?.broadcast_add(&places)?.reshape(((), width))?;
        let x = self.encode("text_model", TEXT, x, length, true)?;
        let ends = self.normed("text_model.final_layer_norm", &x.index_select(ends, 0)?)?;
        unit(&ends.matmul(&self.get("text_projection.weight")?.t()?)?)
    }

    /// The factor of similarities, at most 100 as in CLIP.
    pub fn scale(&self) -> Result<Tensor> {
        self.get("logit_scale")?.minimum(100f64.ln())?.exp()
    }

    /// Blocks of a tower on x (B · length, width).
    fn encode(&self, tower: &str, size: Size, mut x: Tensor, length: usize, causal: bool) -> Result<Tensor> {
        let Size { heads, layers, .. } = size;
        for layer in 0..layers {
            let name = |part: &str| format!("{tower}.encoder.layers.{layer}.{part}");
            let normed = self.normed(&name("layer_norm1"), &x)?;
            let [q, k, v] =
                ["q", "k", "v"].map(|part| self.linear(&name(&format!("self_attn.{part}_proj")), &normed));
            let seen = ops::attention(&q?, &k?, &v?, ops::Attention { length, heads, causal })?;
            x = (x + self.linear(&name("self_attn.out_proj"), &seen)?)?;
            let normed = self.normed(&name("layer_norm2"), &x)?;
            let inner = self.linear(&name("mlp.fc1"), &normed)?;
            let inner = ops::gelu(&inner)?;
            x = (x + self.linear(&name("mlp.fc2"), &inner)?)?;
        }
        Ok(x)
    }

    fn linear(&self, name: &str, x: &Tensor) -> Result<Tensor> {
        let weight = self.get(&format!("{name}.weight"))?;
        ops::add_bias(&x.matmul(&weight.t()?)?, self.get(&format!("{name}.bias"))?)
    }

    fn normed(&self, name: &str, x: &Tensor) -> Result<Tensor> {
        let [weight, bias] = ["weight", "bias"].map(|part| self.get(&format!("{name}.{part}")));
        ops::layer_norm(x, weight?, bias?, EPS)
    }

    fn get(&self, name: &str) -> Result<&Tensor> {
        match self.places.get(name) {
            Some(at) => Ok(self.parameters[*at].1.as_tensor()),
            None => candle_core::bail!("there is no parameter {name}"),
        }
    }

    fn encoder(&mut self, draw: &mut Draw, tower: &str, size: Size) -> Result<()> {
        let Size { width, layers, .. } = size;
        // Deeper residual streams get smaller additions, as in CLIP.
        let (inner, outer) = ((width as f32).powf(-0.5), (width as f32 * 2.0 * layers as f32).powf(-0.5));
        for layer in 0..layers {
            let name = |part: &str| format!("{tower}.encoder.layers.{layer}.{part}");
            for part in ["q", "k", "v"] {
                self.affine(draw, &name(&format!("self_attn.{part}_proj")), [width, width], inner)?;
            }
            self.affine(draw, &name("self_attn.out_proj"), [width, width], outer)?;
            self.affine(draw, &name("mlp.fc1"), [4 * width, width], inner)?;
            self.affine(draw, &name("mlp.fc2"), [width, 4 * width], outer / 2.0)?;
            self.norm(&name("layer_norm1"), width)?;
            self.norm(&name("layer_norm2"), width)?;
        }
        Ok(())
    }

    fn affine(&mut self, draw: &mut Draw, name: &str, shape: [usize; 2], deviation: f32) -> Result<()> {
        self.draw(draw, &format!("{name}.weight"), &shape, deviation)?;
        self.add(&format!("{name}.bias"), Tensor::zeros(shape[0], DType::F32, &Device::Cpu)?)
    }

    fn norm(&mut self, name: &str, width: usize) -> Result<()> {
        self.add(&format!("{name}.weight"), Tensor::ones(width, DType::F32, &Device::Cpu)?)?;
        self.add(&format!("{name}.bias"), Tensor::zeros(width, DType::F32, &Device::Cpu)?)
    }

    fn draw(&mut self, draw: &mut Draw, name: &str, shape: &[usize], deviation: f32) -> Result<()> {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| draw.bell() * deviation).collect();
        self.add(name, Tensor::from_vec(values, shape, &Device::Cpu)?)
    }

    fn add(&mut self, name: &str, value: Tensor) -> Result<()> {
        self.places.insert(name.to_owned(), self.parameters.len());
        self.parameters.push((name.to_owned(), Var::from_tensor(&value)?));
        Ok(())
    }

    /// Writes `model.safetensors` in f16, tensors in the order of their names.
    pub fn write(&self, path: &Path) -> Result<()> {
        let halves = self.parameters.iter().map(|(name, var)| Ok((name.clone(), var.to_dtype(DType::F16)?)));
        let halves: Vec<(String, Tensor)> = halves.collect::<Result<_>>()?;
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        Ok(safetensors::serialize_to_file(
            halves.iter().map(|(name, half)| (name, half)),
            Some(metadata),
            path,
        )?)
    }

    /// `config.json`; `marks` are the ids of padding, start and end.
    pub fn config(vocabulary: usize, [padding, start, end]: [usize; 3]) -> Value {
        let tower = |Size { width, layers, heads }: Size| {
            json!({"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers,
                "num_attention_heads": heads, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": EPS,
                "projection_dim": SHARED})
        };
        let and = |mut tower: Value, more: Value| {
            if let (Some(tower), Value::Object(more)) = (tower.as_object_mut(), more) {
                tower.extend(more);
            }
            tower
        };
        json!({
            "architectures": ["CLIPModel"],
            "model_type": "clip",
            "projection_dim": SHARED,
            "torch_dtype": "float16",
            "vision_config": and(tower(VISION), json!({"model_type": "clip_vision_model", "image_size": IMAGE,
                "patch_size": PATCH, "num_channels": 3})),
            "text_config": and(tower(TEXT), json!({"model_type": "clip_text_model", "vocab_size": vocabulary,
                "max_position_embeddings": POSITIONS, "pad_token_id": padding, "bos_token_id": start,
                "eos_token_id": end})),
        })
    }
}

/// Rows divided by their length.
fn unit(x: &Tensor) -> Result<Tensor> {
    x.broadcast_div(&x.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?)
}
