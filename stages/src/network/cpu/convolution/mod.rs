//! Convolutions on zero-padded images: the three products forward, to the input's gradient (`prepared.rs`) and to the
//! weight's gradient (`weight_gradient.rs`), for a group of images that fits the cache. `operands.rs` fills the padded
//! images.
//!
//! A padded image has one row above and below and one pixel left and right of zeros.

use super::simd::LANES;
use crate::network::parameters::Conv;

mod operands;
mod prepared;
#[cfg(test)]
mod tests;
mod weight_gradient;

pub use operands::{ConvInput, OutputGradient, Shortcut};
pub use prepared::{Direction, PreparedConvolution};
pub use weight_gradient::{COLUMNS_PER_TASK, WeightGradient, split_by_columns, unpad};

/// Values of one zero-padded square image.
pub fn padded_len(size: usize, channels: usize) -> usize {
    (size + 2) * (size + 2) * channels
}

/// Room for `images` padded images, and for the pixels that a quad computes beyond the last row.
pub fn scratch_len(images: usize, size: usize, channels: usize) -> usize {
    images * padded_len(size, channels) + 16 * channels
}

/// Calls `fill(y, row)` for every row of a padded image of `size`² pixels, and zeroes the frame.
pub fn fill_padded(image: &mut [f32], size: usize, channels: usize, mut fill: impl FnMut(usize, &mut [f32])) {
    let line = (size + 2) * channels;
    image[..line].fill(0.0);
    image[(size + 1) * line..(size + 2) * line].fill(0.0);
    for (y, row) in image[line..(size + 1) * line].chunks_exact_mut(line).enumerate() {
        row[..channels].fill(0.0);
        row[line - channels..].fill(0.0);
        fill(y, &mut row[channels..line - channels]);
    }
}

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// The sums that define it.
    Direct,
    /// Winograd F(4×4, 3×3): a quarter of the products, where it applies.
    Winograd,
}

impl Algorithm {
    /// Whether Winograd is possible.
    fn applies(conv: &Conv) -> bool {
        conv.kernel == 3
            && conv.stride == 1
            && conv.size.is_multiple_of(4)
            && conv.cin_memory.is_multiple_of(LANES)
    }

    /// The faster one: transforming the weights (four times as many values) must pay over the batch's tiles.
    pub fn best(conv: &Conv, batch: usize) -> Self {
        let tiles = batch * (conv.size / 4) * (conv.size / 4);
        if Self::applies(conv) && tiles >= conv.cin_memory / 8 { Self::Winograd } else { Self::Direct }
    }
}

/// A pointer that tasks share, each writing its own places.
#[derive(Clone, Copy)]
struct SharedPointer(*mut f32);

// SAFETY: whoever shares it promises that no two tasks write the same place.
unsafe impl Send for SharedPointer {}
// SAFETY: as above.
unsafe impl Sync for SharedPointer {}

impl SharedPointer {
    fn get(self) -> *mut f32 {
        self.0
    }
}
