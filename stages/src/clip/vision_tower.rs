//! The image tower: patches and a class token through the encoder, the class token projected.
//!
//! It takes normalised pixels.

use candle_core::Tensor;
use pipeline::error::{OrFail, Result};

use super::config::{Config, VisionConfig};
use super::encoder::{Encoder, LayerNorm, Linear, TensorPlace};
use super::ops;
use super::weights::{ClipWeights, Shapes};

const ROOT: &str = "vision_model";

/// The weights of the image tower, in place.
pub struct VisionTower {
    config: VisionConfig,
    patch: Linear,
    /// (tokens, hidden): the position embeddings, the class embedding added to the first.
    base: Tensor,
    pre_norm: LayerNorm,
    encoder: Encoder,
    post_norm: LayerNorm,
    projection: Linear,
}

impl VisionTower {
    /// Reads the tensors named by [`VisionTower::shapes`].
    pub fn load(weights: &ClipWeights, config: &Config, place: &TensorPlace) -> Result<Self> {
        let (vision, tower) = (config.vision, &config.vision.tower);
        let embedding =
            |name: &str, shape: &[usize]| weights.read(&format!("{ROOT}.embeddings.{name}"), shape);
        let norm = |name: &str| LayerNorm::load(weights, &format!("{ROOT}.{name}"), tower, place);
        let (hidden, side) = (tower.hidden, vision.patch);
        let kernel = format!("{ROOT}.embeddings.patch_embedding.weight");
        let mut base = embedding("position_embedding.weight", &[vision.tokens(), hidden])?;
        base.iter_mut().zip(embedding("class_embedding", &[hidden])?).for_each(|(x, class)| *x += class);
        Ok(Self {
            config: vision,
            patch: Linear::load_unbiased(weights, &kernel, &[hidden, 3, side, side], place)?,
            base: place.tensor(base, &[vision.tokens(), hidden]).or_fail(super::cannot_load)?,
            pre_norm: norm("pre_layrnorm")?, // the hub's spelling
            encoder: Encoder::load(weights, &format!("{ROOT}.encoder"), tower, false, place)?,
            post_norm: norm("post_layernorm")?,
            projection: Linear::load_unbiased(
                weights,
                "visual_projection.weight",
                &[config.projection, hidden],
                place,
            )?,
        })
    }

    /// What [`VisionTower::load`] will read.
    pub fn shapes(config: &Config) -> Shapes {
        let (hidden, side) = (config.vision.tower.hidden, config.vision.patch);
        let mut shapes = Shapes::new();
        shapes.tensor(&format!("{ROOT}.embeddings.class_embedding"), &[hidden]);
        shapes.tensor(&format!("{ROOT}.embeddings.patch_embedding.weight"), &[hidden, 3, side, side]);
        shapes.tensor(
            &format!("{ROOT}.embeddings.position_embedding.weight"),
            &[config.vision.tokens(), hidden],
        );
        shapes.norm(&format!("{ROOT}.pre_layrnorm"), hidden);
        shapes.norm(&format!("{ROOT}.post_layernorm"), hidden);
        shapes.tensor("visual_projection.weight", &[config.projection, hidden]);
        shapes.and(Encoder::shapes(&format!("{ROOT}.encoder"), &config.vision.tower))
    }

    /// Normalised pixels (count, 3, image, image) to features (count, projection), not yet of unit length.
    pub fn forward(&self, pixels: &Tensor) -> candle_core::Result<Tensor> {
        let (count, tokens) = (pixels.dim(0)?, self.config.tokens());
        let patches = ops::patches(pixels, self.config.patch)?; // (count · tokens, 3 · patch²)
        let x = self.pre_norm.forward(&self.patch.forward_onto(&patches, &self.base)?)?;
        let firsts: Vec<u32> = (0..count).map(|i| (i * tokens) as u32).collect();
        let x = self.encoder.forward(x, tokens, &Tensor::from_vec(firsts, count, pixels.device())?)?;
        self.projection.forward(&self.post_norm.forward(&x)?, None)
    }
}
