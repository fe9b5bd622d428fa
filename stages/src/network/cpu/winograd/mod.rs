//! Winograd's minimal filtering F(4×4, 3×3) (Lavin & Gray 2016): 36 products instead of 144 for each 4×4 tile of
//! a 3×3 convolution with stride 1, forward, to the input's gradient and to the weight's gradient.
//!
//! With d a 6×6 input tile, g the filter and y the 4×4 output, y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A; the weight's
//! gradient is the adjoint, Gᵀ[(Bᵀ d B) ⊙ (A dy Aᵀ)]G. A tile's 36 transformed values are its *points*.

use super::gemm::{Outer, Quad, Rows, Span, outer_on, rows_on};
use super::simd::{LANES, Simd, per_level};
use transforms::{Filter, FilterGradient, Input, Output, OutputGradient, Square, transform};

mod transforms;

/// Products of one tile.
pub const POINTS: usize = 36;

/// Tiles transformed at once, so that they fit the cache beside the weights; a multiple of four.
pub fn block(channels: usize) -> usize {
    match channels {
        ..=16 => 16,
        17..=128 => 24,
        _ => 48,
    }
}

/// Sizes of a Winograd convolution.
#[derive(Clone, Copy, Debug)]
pub struct Tiles {
    /// Side of the square images, a multiple of four.
    pub size: usize,
    /// Input channels (as in memory).
    pub channels: usize,
    /// Output channels (as in memory).
    pub columns: usize,
    /// Tiles in a block.
    pub block: usize,
}

impl Tiles {
    /// Scratch values that a block needs.
    pub fn scratch(&self) -> usize {
        POINTS * self.block * (self.channels + self.columns)
    }

    /// Quads for one block of tiles.
    pub fn quads(&self) -> Vec<Quad> {
        (0..self.block / 4)
            .map(|q| Quad { input: 4 * q * self.channels, output: 4 * q * self.columns, count: 4 })
            .collect()
    }

    fn per_image(&self) -> usize {
        (self.size / 4) * (self.size / 4)
    }

    /// Image, row and column of a tile.
    fn place(&self, tile: usize) -> (usize, usize, usize) {
        let side = self.size / 4;
        (tile / self.per_image(), tile / side % side, tile % side)
    }

    /// Offset of a tile's 6×6 input in the padded images of `channels`.
    fn padded_at(&self, tile: usize, channels: usize) -> usize {
        let (i, y, x) = self.place(tile);
        let line = self.size + 2;
        ((i * line + 4 * y) * line + 4 * x) * channels
    }
}

/// The points of a tile, `stride` values apart.
fn points<P>(at: P, stride: usize) -> Square<P> {
    Square { at, down: 6 * stride, right: stride }
}

/// Transforms the 6×6 inputs of `count` tiles from `first`; point f of tile k goes to `to[f][k]`.
#[inline(always)]
unsafe fn transform_inputs<I: Simd>(t: &Tiles, first: usize, count: usize, input: *const f32, to: *mut f32) {
    let ci = t.channels;
    for k in 0..count {
        let mut c = 0;
        while c < ci {
            // SAFETY: the caller's promises.
            unsafe {
                let at = input.add(t.padded_at(first + k, ci) + c);
                let from = Square { at, down: (t.size + 2) * ci, right: ci };
                transform::<I, Input, 6, 6>(from, points(to.add(k * ci + c), t.block * ci), false);
            }
            c += LANES;
        }
    }
}

per_level! {
    /// Convolves the padded images with transformed weights.
    ///
    /// # Safety
    /// `input` holds `images` padded images, `output` as many unpadded ones of `columns` channels, `weights`
    /// [`POINTS`] packed matrices, `scratch` [`Tiles::scratch`] values, `quads` one for every four tiles of a
    /// block.
    pub fn convolve(
        t: &Tiles, images: usize, quads: &[Quad], input: *const f32, weights: *const f32, accumulate: bool,
        output: *mut f32, scratch: *mut f32
    ) = convolve_on
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn convolve_on<I: Simd>(
    t: &Tiles,
    images: usize,
    quads: &[Quad],
    input: *const f32,
    weights: *const f32,
    accumulate: bool,
    output: *mut f32,
    scratch: *mut f32,
) {
    // SAFETY: the caller's promises.
    unsafe {
        let (ci, co) = (t.channels, t.columns);
        let (v, m) = (scratch, scratch.add(POINTS * t.block * ci));
        let all = images * t.per_image();
        let mut first = 0;
        while first < all {
            let n = t.block.min(all - first);
            transform_inputs::<I>(t, first, n, input, v);
            let p = Rows {
                quads: &quads[..n.div_ceil(4)],
                input_stride: ci,
                output_stride: co,
                runs: &[0],
                run: ci,
                columns: co,
                accumulate: false,
            };
            for f in 0..POINTS {
                rows_on::<I>(&p, v.add(f * t.block * ci), weights.add(f * ci * co), m.add(f * t.block * co));
            }
            for k in 0..n {
                let (i, y, x) = t.place(first + k);
                let tile = output.add(((i * t.size + 4 * y) * t.size + 4 * x) * co);
                let mut c = 0;
                while c < co {
                    let to = Square { at: tile.add(c), down: t.size * co, right: co };
                    let from = points(m.add(k * co + c).cast_const(), t.block * co);
                    transform::<I, Output, 6, 4>(from, to, accumulate);
                    c += LANES;
                }
            }
            first += n;
        }
    }
}

per_level! {
    /// Adds the weight gradient of the padded images and padded output gradients, point by point:
    /// `result[f][channel][column]`.
    ///
    /// # Safety
    /// `input` and `grad` hold `images` padded images of `channels` and `columns`, `result` [`POINTS`]
    /// matrices, `scratch` [`Tiles::scratch`] values.
    pub fn weight_gradient(
        t: &Tiles, images: usize, input: *const f32, grad: *const f32, result: *mut f32, scratch: *mut f32
    ) = weight_gradient_on
}

#[inline(always)]
unsafe fn weight_gradient_on<I: Simd>(
    t: &Tiles,
    images: usize,
    input: *const f32,
    grad: *const f32,
    result: *mut f32,
    scratch: *mut f32,
) {
    // SAFETY: the caller's promises.
    unsafe {
        let (ci, co) = (t.channels, t.columns);
        let (v, m) = (scratch, scratch.add(POINTS * t.block * ci));
        let all = images * t.per_image();
        let line = (t.size + 2) * co;
        let mut first = 0;
        while first < all {
            let n = t.block.min(all - first);
            transform_inputs::<I>(t, first, n, input, v);
            for k in 0..n {
                // The tile's own 4×4 gradients stand one row and one pixel into the padded image.
                let tile = grad.add(t.padded_at(first + k, co) + line + co);
                let mut c = 0;
                while c < co {
                    let from = Square { at: tile.add(c), down: line, right: co };
                    let to = points(m.add(k * co + c), t.block * co);
                    transform::<I, OutputGradient, 4, 6>(from, to, false);
                    c += LANES;
                }
            }
            let spans = [Span { input: 0, grad: 0, count: n }];
            let p = Outer {
                spans: &spans,
                input_stride: ci,
                grad_stride: co,
                runs: &[0],
                run: ci,
                columns: co,
                result_stride: co,
            };
            for f in 0..POINTS {
                outer_on::<I>(&p, v.add(f * t.block * ci), m.add(f * t.block * co), result.add(f * ci * co));
            }
            first += n;
        }
    }
}

per_level! {
    /// Transforms one packed panel of filters, (tap, channel, width), to points: point f's panel begins at
    /// `to + f · stride`.
    ///
    /// # Safety
    /// `from` holds 9 · `depth` values and `to` as many at each point; `depth` is a multiple of [`LANES`].
    pub fn filters(from: *const f32, depth: usize, to: *mut f32, stride: usize) = filters_on
}

#[inline(always)]
unsafe fn filters_on<I: Simd>(from: *const f32, depth: usize, to: *mut f32, stride: usize) {
    let mut at = 0;
    while at < depth {
        // SAFETY: the caller's promises.
        unsafe {
            let taps = Square { at: from.add(at), down: 3 * depth, right: depth };
            transform::<I, Filter, 3, 6>(taps, points(to.add(at), stride), false);
        }
        at += LANES;
    }
}

per_level! {
    /// The adjoint of [`filters`]: points (f, `depth`) to taps (tap, `depth`), for the first n values of each.
    ///
    /// # Safety
    /// `from` holds [`POINTS`] · `depth` values, `to` room for n at each tap, `tap_stride` apart; n is a
    /// multiple of [`LANES`].
    pub fn filters_gradient(
        from: *const f32, depth: usize, n: usize, to: *mut f32, tap_stride: usize
    ) = filters_gradient_on
}

#[inline(always)]
unsafe fn filters_gradient_on<I: Simd>(
    from: *const f32,
    depth: usize,
    n: usize,
    to: *mut f32,
    tap_stride: usize,
) {
    let mut at = 0;
    while at < n {
        // SAFETY: the caller's promises.
        unsafe {
            let taps = Square { at: to.add(at), down: 3 * tap_stride, right: tap_stride };
            transform::<I, FilterGradient, 6, 3>(points(from.add(at), depth), taps, false);
        }
        at += LANES;
    }
}
