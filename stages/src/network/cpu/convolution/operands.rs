//! Where a convolution's input comes from, and where the gradient of its output does: norms, ReLUs, the average pool
//! and shortcuts are applied on the way, while the padded image is built.

use super::{fill_padded, padded_len};
use crate::network::cpu::average_pool::average_pool_gradient;
use crate::network::cpu::norm::{Coefficients, GradientCoefficients, norm_gradient, norm_relu};
use crate::network::cpu::simd::Level;
use crate::network::parameters::Conv;

/// Where a convolution's input comes from.
#[derive(Clone, Copy)]
pub enum ConvInput<'a> {
    /// Images as they are.
    Images(&'a [f32]),
    /// relu(norm(x')), x' = relu(inner(x)) where there is an inner norm.
    Norm { x: &'a [f32], inner: Option<&'a Coefficients>, norm: &'a Coefficients },
}

impl ConvInput<'_> {
    /// Builds the padded images `first..` of a convolution's input.
    pub fn fill(&self, level: Level, conv: &Conv, first: usize, images: usize, to: &mut [f32]) {
        let (size, c) = (conv.size, conv.cin_memory);
        let line = size * c;
        for (i, image) in to.chunks_exact_mut(padded_len(size, c)).take(images).enumerate() {
            let base = (first + i) * size * line;
            fill_padded(image, size, c, |y, row| {
                let at = base + y * line..base + (y + 1) * line;
                match self {
                    ConvInput::Images(x) => row.copy_from_slice(&x[at]),
                    ConvInput::Norm { x, inner, norm } => {
                        let x = &x[at];
                        // SAFETY: both rows hold `size · c` values, and the norms have c channels.
                        unsafe {
                            norm_relu(level, x.as_ptr(), size, c, *inner, norm, false, row.as_mut_ptr())
                        }
                    }
                }
            });
        }
    }

    /// Adds the activations of images `first..`, of `image` values each, to `to`.
    pub fn add_to(&self, level: Level, c: usize, image: usize, first: usize, to: &mut [f32]) {
        if let ConvInput::Norm { x, inner, norm } = self {
            let x = &x[first * image..first * image + to.len()];
            // SAFETY: both hold the same whole pixels, and the norms have c channels.
            unsafe { norm_relu(level, x.as_ptr(), to.len() / c, c, *inner, norm, true, to.as_mut_ptr()) }
        }
    }
}

/// Where the gradient of a convolution's output comes from.
#[derive(Clone, Copy)]
pub enum OutputGradient<'a> {
    /// The average pool: (B, features) gradients, shared by all pixels of an image.
    Pool { grad: &'a [f32], features: usize },
    /// A batch norm over this output x, whose own output's gradient is dz.
    Norm { dz: &'a [f32], x: &'a [f32], norm: &'a Coefficients, grad: &'a GradientCoefficients },
}

impl OutputGradient<'_> {
    /// Writes (or adds) the gradient of `n` pixels from `pixel` of image `image`, channels `from..` as many as
    /// `width`.
    #[allow(clippy::too_many_arguments)]
    fn write(
        &self,
        level: Level,
        of: &Conv,
        image: usize,
        pixel: usize,
        n: usize,
        [from, width]: [usize; 2],
        add: bool,
        to: &mut [f32],
    ) {
        let (area, c) = (of.out_size() * of.out_size(), of.cout_memory());
        match self {
            OutputGradient::Pool { grad, features } => {
                let grad = &grad[image * features..(image + 1) * features];
                average_pool_gradient(grad, area, [from, width], add, to);
            }
            OutputGradient::Norm { dz, x, norm, grad } => {
                let at = (image * area + pixel) * c..(image * area + pixel + n) * c;
                let (dz, x) = (&dz[at.clone()], &x[at]);
                assert!(to.len() >= n * width && from + width <= c);
                let (dz, x, to) = (dz.as_ptr(), x.as_ptr(), to.as_mut_ptr());
                // SAFETY: n pixels of c channels are read, of `width` written, and the norms have c channels.
                unsafe { norm_gradient(level, dz, x, n, c, from, width, None, norm, grad, add, to) }
            }
        }
    }

    /// Builds the padded gradients of images `first..`.
    pub fn fill(
        &self,
        level: Level,
        of: &Conv,
        first: usize,
        images: usize,
        channels: [usize; 2],
        to: &mut [f32],
    ) {
        let (size, width) = (of.out_size(), channels[1]);
        for (i, image) in to.chunks_exact_mut(padded_len(size, width)).take(images).enumerate() {
            fill_padded(image, size, width, |y, row| {
                self.write(level, of, first + i, y * size, size, channels, false, row);
            });
        }
    }

    /// Adds the gradients of images `first..` to `to`.
    pub fn add_to(&self, level: Level, of: &Conv, first: usize, to: &mut [f32]) {
        let (area, c) = (of.out_size() * of.out_size(), of.cout_memory());
        for (i, image) in to.chunks_exact_mut(area * c).enumerate() {
            self.write(level, of, first + i, 0, area, [0, c], true, image);
        }
    }
}

/// What else reaches the input of a block's first convolution.
#[derive(Clone, Copy)]
pub enum Shortcut<'a> {
    None,
    /// The block's output gradient itself, the output having the first convolution's shape.
    Identity(OutputGradient<'a>),
    /// The block's output gradient through a 1×1 convolution.
    Conv(&'a Conv, OutputGradient<'a>),
}
