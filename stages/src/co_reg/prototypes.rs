//! Class prototypes in embedding space, shared by both networks (method §7).

use candle_core::{Device, Result, Tensor};

/// One unit vector a class; zero until the class has its first sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Prototypes {
    /// Prototypes row after row: (C, E).
    pub values: Vec<f32>,
    /// Length of one embedding.
    pub width: usize,
}

impl Prototypes {
    /// Prototypes of `classes` classes nobody has seen yet.
    pub fn new(classes: usize, width: usize) -> Self {
        Self { values: vec![0.0; classes * width], width }
    }

    /// For every sample in turn o_j ← γ o_j + (1 − γ) z with j its pseudo-label; then every prototype is
    /// normalised. `embeddings` are row after row: (B, E).
    pub fn update(&mut self, embeddings: &[f32], labels: &[u32], momentum: f32) {
        for (z, &label) in embeddings.chunks(self.width).zip(labels) {
            let start = label as usize * self.width;
            for (o, z) in self.values[start..start + self.width].iter_mut().zip(z) {
                *o = momentum * *o + (1.0 - momentum) * z;
            }
        }
        for prototype in self.values.chunks_mut(self.width) {
            let length = prototype.iter().map(|o| o * o).sum::<f32>().sqrt();
            if length > 0.0 {
                prototype.iter_mut().for_each(|o| *o /= length);
            }
        }
    }

    /// The prototypes as a tensor (C, E).
    pub fn tensor(&self, device: &Device) -> Result<Tensor> {
        Tensor::from_slice(&self.values, (self.values.len() / self.width, self.width), device)
    }
}
