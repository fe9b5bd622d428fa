//! The text tower: tokens through the causal encoder, the token at the end mark projected.
//!
//! It knows nothing of text: it takes token ids.

use candle_core::Tensor;
use pipeline::error::{OrFail, Result};

use super::config::Config;
use super::encoder::{Encoder, LayerNorm, Linear, Place};
use super::tokenizer::TokenizedText;
use super::weights::{Shapes, Weights};

const ROOT: &str = "text_model";

/// The weights of the text tower, in place.
pub struct TextTower {
    tokens: Tensor,
    positions: Tensor,
    encoder: Encoder,
    norm: LayerNorm,
    projection: Linear,
    place: Place,
}

impl TextTower {
    /// Reads the tensors named by [`TextTower::shapes`].
    pub fn load(weights: &Weights, config: &Config, place: &Place) -> Result<Self> {
        let (text, tower) = (config.text, &config.text.tower);
        let table = |name: &str, rows: usize| {
            let shape = [rows, tower.hidden];
            let values = weights.read(&format!("{ROOT}.embeddings.{name}_embedding.weight"), &shape)?;
            place.tensor(values, &shape).or_fail(super::cannot_load)
        };
        let projection = [config.projection, tower.hidden];
        Ok(Self {
            tokens: table("token", text.vocabulary)?,
            positions: table("position", text.positions)?,
            encoder: Encoder::load(weights, &format!("{ROOT}.encoder"), tower, true, place)?,
            norm: LayerNorm::load(weights, &format!("{ROOT}.final_layer_norm"), tower, place)?,
            projection: Linear::load_unbiased(weights, "text_projection.weight", &projection, place)?,
            place: place.clone(),
        })
    }

    /// What [`TextTower::load`] will read.
    pub fn shapes(config: &Config) -> Shapes {
        let hidden = config.text.tower.hidden;
        let mut shapes = Shapes::new();
        for (name, rows) in [("token", config.text.vocabulary), ("position", config.text.positions)] {
            shapes.tensor(&format!("{ROOT}.embeddings.{name}_embedding.weight"), &[rows, hidden]);
        }
        shapes.norm(&format!("{ROOT}.final_layer_norm"), hidden);
        shapes.tensor("text_projection.weight", &[config.projection, hidden]);
        shapes.and(Encoder::shapes(&format!("{ROOT}.encoder"), &config.text.tower))
    }

    /// Features (texts, projection), not yet of unit length. There must be a text.
    ///
    /// Shorter texts are filled up with id 0 behind their end mark, where the causal mask hides it from every
    /// token that matters.
    pub fn forward(&self, texts: &[&TokenizedText]) -> candle_core::Result<Tensor> {
        let length = texts.iter().map(|text| text.ids.len()).max().unwrap_or(0);
        let mut ids = vec![0u32; texts.len() * length];
        let mut pooled = Vec::with_capacity(texts.len());
        for (i, text) in texts.iter().enumerate() {
            ids[i * length..][..text.ids.len()].copy_from_slice(&text.ids);
            pooled.push((i * length + text.pooled) as u32);
        }
        let ids = Tensor::from_vec(ids, texts.len() * length, &self.place.device)?;
        let pooled = Tensor::from_vec(pooled, texts.len(), &self.place.device)?;
        let x = self.tokens.index_select(&ids, 0)?; // (texts · length, hidden)
        let hidden = x.dim(1)?;
        let x =
            x.reshape((texts.len(), length, hidden))?.broadcast_add(&self.positions.narrow(0, 0, length)?)?;
        let x = self.encoder.forward(x.reshape((texts.len() * length, hidden))?, length, &pooled)?;
        self.projection.forward(&self.norm.forward(&x)?, None)
    }
}
