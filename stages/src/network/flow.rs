//! Where a convolution's input comes from, and where the gradient of its output does: norms, ReLUs and shortcuts
//! are applied on the way, while the padded image is built.

use super::conv::{fill_padded, padded_len};
use super::isa::Level;
use super::pixels::{NormGrad, NormState, activate, norm_gradient};
use super::plan::Conv;

/// Where a convolution's input comes from.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// Images as they are.
    Images(&'a [f32]),
    /// relu(norm(x')), x' = relu(inner(x)) where there is an inner norm.
    Norm { x: &'a [f32], inner: Option<&'a NormState>, norm: &'a NormState },
}

impl Source<'_> {
    /// Builds the padded images `first..` of a convolution's input.
    pub fn fill(&self, level: Level, conv: &Conv, first: usize, images: usize, to: &mut [f32]) {
        let (size, c) = (conv.size, conv.cin_memory);
        let line = size * c;
        for (i, image) in to.chunks_exact_mut(padded_len(size, c)).take(images).enumerate() {
            let base = (first + i) * size * line;
            fill_padded(image, size, c, |y, row| {
                let at = base + y * line..base + (y + 1) * line;
                match self {
                    Source::Images(x) => row.copy_from_slice(&x[at]),
                    Source::Norm { x, inner, norm } => {
                        let x = &x[at];
                        // SAFETY: both rows hold `size · c` values, and the norms have c channels.
                        unsafe { activate(level, x.as_ptr(), size, c, *inner, norm, false, row.as_mut_ptr()) }
                    }
                }
            });
        }
    }

    /// Adds the activations of images `first..` to `to`.
    pub fn add_to(&self, level: Level, channels: usize, image: usize, first: usize, to: &mut [f32]) {
        if let Source::Norm { x, inner, norm } = self {
            let x = &x[first * image..first * image + to.len()];
            // SAFETY: both hold the same whole pixels, and the norms have these channels.
            unsafe {
                activate(
                    level,
                    x.as_ptr(),
                    to.len() / channels,
                    channels,
                    *inner,
                    norm,
                    true,
                    to.as_mut_ptr(),
                );
            }
        }
    }
}

/// Where the gradient of a convolution's output comes from.
#[derive(Clone, Copy)]
pub(super) enum Upstream<'a> {
    /// The average pool: (B, features) gradients, shared by all pixels of an image.
    Pool { grad: &'a [f32], features: usize },
    /// A batch norm over this output `x` (or relu(inner(x))), whose own output's gradient is dz.
    Norm {
        dz: &'a [f32],
        x: &'a [f32],
        inner: Option<&'a NormState>,
        norm: &'a NormState,
        grad: &'a NormGrad,
    },
}

impl Upstream<'_> {
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
            Upstream::Pool { grad, features } => {
                let grad = &grad[image * features..(image + 1) * features];
                let scale = 1.0 / area as f32;
                for to in to.chunks_exact_mut(width) {
                    if !add {
                        to.fill(0.0);
                    }
                    for (to, g) in to.iter_mut().zip(&grad[from.min(*features)..]) {
                        *to += g * scale;
                    }
                }
            }
            Upstream::Norm { dz, x, inner, norm, grad } => {
                let at = (image * area + pixel) * c..(image * area + pixel + n) * c;
                let (dz, x) = (&dz[at.clone()], &x[at]);
                assert!(to.len() >= n * width && from + width <= c);
                // SAFETY: n pixels of c channels are read, of `width` written, and the norms have c channels.
                unsafe {
                    norm_gradient(
                        level,
                        dz.as_ptr(),
                        x.as_ptr(),
                        n,
                        c,
                        from,
                        width,
                        *inner,
                        norm,
                        grad,
                        add,
                        to.as_mut_ptr(),
                    );
                }
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
        cols: [usize; 2],
        to: &mut [f32],
    ) {
        let (size, width) = (of.out_size(), cols[1]);
        for (i, image) in to.chunks_exact_mut(padded_len(size, width)).take(images).enumerate() {
            fill_padded(image, size, width, |y, row| {
                self.write(level, of, first + i, y * size, size, cols, false, row);
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
pub(super) enum Shortcut<'a> {
    None,
    /// The block's output gradient itself, the output having the first convolution's shape.
    Identity(Upstream<'a>),
    /// The block's output gradient through a 1×1 convolution.
    Conv(&'a Conv, Upstream<'a>),
}
