//! Multiply-adds of the works, counted from shapes: convolutions as direct ones, and products of matrices.

use stages::network::Architecture;

/// Multiply-adds of one image.
pub struct Count {
    /// The first convolution, whose input needs no gradient.
    stem: f64,
    /// All other convolutions, and the classifier.
    rest: f64,
    /// The projector.
    projector: f64,
}

impl Count {
    /// Of a PreAct ResNet.
    pub fn of(a: &Architecture) -> Self {
        let conv = |kernel: usize, from: usize, to: usize, size: usize| {
            (kernel * kernel * from * to * size * size) as f64
        };
        let mut size = a.input_size;
        let stem = conv(3, a.input_channels, a.width, size);
        let (mut rest, mut from) = (0.0, a.width);
        for (stage, &blocks) in a.blocks.iter().enumerate() {
            let to = a.width << stage;
            for block in 0..blocks {
                let stride = if block > 0 {
                    1
                } else if stage == 0 {
                    a.first_stride
                } else {
                    2
                };
                size = size.div_ceil(stride);
                rest += conv(3, from, to, size) + conv(3, to, to, size);
                if stride > 1 || from != to {
                    rest += conv(1, from, to, size);
                }
                from = to;
            }
        }
        let features = a.features();
        rest += (features * a.classes) as f64;
        Self { stem, rest, projector: (features * features + features * a.embedding) as f64 }
    }

    /// Forward, with or without the projector.
    pub fn forward(&self, project: bool) -> f64 {
        self.stem + self.rest + if project { self.projector } else { 0.0 }
    }

    /// Forward and both gradients, with or without the projector.
    pub fn train(&self, project: bool) -> f64 {
        2.0 * self.stem + 3.0 * (self.rest + if project { self.projector } else { 0.0 })
    }

    /// The projector's forward alone.
    pub fn project(&self) -> f64 {
        self.projector
    }
}

/// CLIP ViT-B/32's image tower, one image: 49 patches and the class token through 12 blocks of width 768.
pub fn clip_image() -> f64 {
    let (patches, tokens, width) = (49.0, 50.0, 768.0);
    let patch = patches * 3.0 * 32.0 * 32.0 * width;
    let block = tokens * 12.0 * width * width + 2.0 * tokens * tokens * width;
    patch + 12.0 * block + width * 512.0
}
