//! The text tower: tokens through the causal encoder, the token at the end mark projected.
//!
//! It takes token ids.

use candle_core::Tensor;
use pipeline::error::{OrFail, Result};

use super::config::Config;
use super::encoder::{Encoder, LayerNorm, Linear, TensorPlace};
use super::tokenizer::TokenizedText;
use super::weights::{ClipWeights, Shapes};

const ROOT: &str = "text_model";

/// The weights of the text tower, in place.
pub struct TextTower {
    tokens: Tensor,
    positions: Tensor,
    encoder: Encoder,
    norm: LayerNorm,
    projection: Linear,
    place: TensorPlace,
}

impl TextTower {
    /// Reads the tensors named by [`TextTower::shapes`].
    pub fn load(weights: &ClipWeights, config: &Config, place: &TensorPlace) -> Result<Self> {
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

    /// Features (texts, projection), not yet of unit length. There must be a text, and all must have one length.
    ///
    /// Filling up shorter ones would be harmless under the causal mask, were it not that sums then run in another
    /// order: a text's last bits would depend on its company.
    pub fn forward(&self, texts: &[&TokenizedText]) -> candle_core::Result<Tensor> {
        let length = texts.first().map_or(0, |text| text.ids.len());
        let ids: Vec<u32> = texts.iter().flat_map(|text| &text.ids).copied().collect();
        let pooled: Vec<usize> = texts.iter().map(|text| text.pooled).collect();
        let x = self.embed(ids)?; // (texts · length, hidden)
        let hidden = x.dim(1)?;
        self.forward_embedded(&x.reshape((texts.len(), length, hidden))?, &pooled)
    }

    /// The embeddings of tokens, without positions: (tokens, hidden).
    pub fn embed(&self, ids: Vec<u32>) -> candle_core::Result<Tensor> {
        let count = ids.len();
        self.tokens.index_select(&Tensor::from_vec(ids, count, &self.place.device)?, 0)
    }

    /// Features as [`TextTower::forward`] gives them, of texts whose tokens are embedded (texts, length, hidden);
    /// `pooled` says of each which token carries its feature. Where a variable is behind the embeddings, it has a
    /// gradient.
    pub fn forward_embedded(&self, x: &Tensor, pooled: &[usize]) -> candle_core::Result<Tensor> {
        let (texts, length, hidden) = x.dims3()?;
        let pooled: Vec<u32> = pooled.iter().enumerate().map(|(i, at)| (i * length + at) as u32).collect();
        let pooled = Tensor::from_vec(pooled, texts, &self.place.device)?;
        let x = x.broadcast_add(&self.positions.narrow(0, 0, length)?)?;
        let x = self.encoder.forward(x.reshape((texts * length, hidden))?, length, &pooled)?;
        self.projection.forward(&self.norm.forward(&x)?, None)
    }
}
