//! What a network looks like and in which type it is computed. It knows nothing of tensors.

use pipeline::error::Error;
use serde::{Deserialize, Serialize};

/// Shape of a network. The average pool takes the whole final map: 4×4 in the standard cases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// Channels of the images: 3, or 1 for grey sets.
    pub input_channels: usize,
    /// Side of the square images in pixels.
    pub input_size: usize,
    /// Channels of the first stage; every further stage has twice as many.
    pub width: usize,
    /// Residual blocks of each stage.
    pub blocks: [usize; 4],
    /// Stride of the first stage: 1 for images up to 32 pixels, 2 for 64.
    pub first_stride: usize,
    /// Classes.
    pub classes: usize,
    /// Length of the projector's output.
    pub embedding: usize,
}

impl Architecture {
    /// PreAct ResNet-18 as the paper uses it: width 64, stride 2 from the start for images over 32 pixels.
    pub fn resnet18(input_channels: usize, input_size: usize, classes: usize) -> Self {
        let first_stride = if input_size > 32 { 2 } else { 1 };
        Self { input_channels, input_size, width: 64, blocks: [2; 4], first_stride, classes, embedding: 128 }
    }

    /// Length of the features: 8 · width.
    pub fn features(&self) -> usize {
        8 * self.width
    }

    /// Refuses what cannot be built.
    ///
    /// # Errors
    /// A size is zero or absurd, or the first stride is neither 1 nor 2.
    pub fn validate(&self) -> pipeline::error::Result<()> {
        let positive = [
            ("input_channels", self.input_channels, 1 << 10),
            ("input_size", self.input_size, 1 << 12),
            ("width", self.width, 1 << 12),
            ("classes", self.classes, 1 << 20),
            ("embedding", self.embedding, 1 << 16),
        ];
        for (name, value, most) in positive {
            if !(1..=most).contains(&value) {
                return Err(Error::new(format!("network.{name} = {value} is not possible"))
                    .help(format!("use 1 to {most}")));
            }
        }
        if let Some(count) = self.blocks.iter().find(|b| !(1..=100).contains(*b)) {
            return Err(Error::new(format!("network.blocks has a stage of {count} blocks"))
                .help("use 1 to 100 blocks a stage, e.g. [2, 2, 2, 2]"));
        }
        if !(1..=2).contains(&self.first_stride) {
            return Err(Error::new(format!("network.first_stride = {} is not possible", self.first_stride))
                .help("use 1 (images up to 32 pixels) or 2"));
        }
        Ok(())
    }
}

/// In which type a network's trunk is computed. Parameters, statistics and the optimizer are f32 always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// f32; on a GPU its products are TF32's, as PyTorch's convolutions are.
    #[default]
    F32,
    /// bf16, on a GPU: activations and their gradients take half the memory, sums stay f32.
    Bf16,
}
