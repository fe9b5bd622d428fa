//! Winograd's minimal filtering F(4×4, 3×3) (Lavin & Gray 2016): 36 products instead of 144 for each 4×4 tile of
//! a 3×3 convolution with stride 1, forward, to the input's gradient and to the weight's gradient.
//!
//! With d a 6×6 input tile, g the filter and y the 4×4 output, y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A; the weight's
//! gradient is the adjoint, Gᵀ[(Bᵀ d B) ⊙ (A dy Aᵀ)]G. The image comes padded.

use super::gemm::{Outer, Quad, Rows, Span, outer_on, rows_on};
use super::isa::{Isa, LANES, per_level};

/// Products of one tile.
pub(super) const POINTS: usize = 36;

/// Tiles transformed at once, so that they fit the cache beside the weights; a multiple of four.
pub(super) fn block(channels: usize) -> usize {
    match channels {
        ..=16 => 16,
        17..=128 => 24,
        _ => 48,
    }
}

/// Sizes of a Winograd convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles {
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

/// Bᵀ v.
#[inline(always)]
unsafe fn input_side<I: Isa>(v: [I::V; 6]) -> [I::V; 6] {
    // SAFETY: the caller's promises.
    unsafe {
        let (two, four, five) = (I::splat(2.0), I::splat(4.0), I::splat(-5.0));
        let a = I::fma(I::splat(-4.0), v[2], v[4]);
        let b = I::fma(I::splat(-4.0), v[1], v[3]);
        let c = I::sub(v[4], v[2]);
        let d = I::mul(two, I::sub(v[3], v[1]));
        [
            I::fma(four, v[0], I::fma(five, v[2], v[4])),
            I::add(a, b),
            I::sub(a, b),
            I::add(c, d),
            I::sub(c, d),
            I::fma(four, v[1], I::fma(five, v[3], v[5])),
        ]
    }
}

/// Aᵀ v.
#[inline(always)]
unsafe fn output_side<I: Isa>(v: [I::V; 6]) -> [I::V; 4] {
    // SAFETY: the caller's promises.
    unsafe {
        let (p, m) = (I::add(v[1], v[2]), I::sub(v[1], v[2]));
        let (q, n) = (I::add(v[3], v[4]), I::sub(v[3], v[4]));
        [
            I::add(v[0], I::add(p, q)),
            I::fma(I::splat(2.0), n, m),
            I::fma(I::splat(4.0), q, p),
            I::add(I::fma(I::splat(8.0), n, m), v[5]),
        ]
    }
}

/// A v.
#[inline(always)]
unsafe fn gradient_side<I: Isa>(v: [I::V; 4]) -> [I::V; 6] {
    // SAFETY: the caller's promises.
    unsafe {
        let (a, b) = (I::add(v[0], v[2]), I::add(v[1], v[3]));
        let c = I::fma(I::splat(4.0), v[2], v[0]);
        let d = I::fma(I::splat(8.0), v[3], I::mul(I::splat(2.0), v[1]));
        [v[0], I::add(a, b), I::sub(a, b), I::add(c, d), I::sub(c, d), v[3]]
    }
}

/// G v.
#[inline(always)]
unsafe fn filter_side<I: Isa>(v: [I::V; 3]) -> [I::V; 6] {
    // SAFETY: the caller's promises.
    unsafe {
        let sixth = I::splat(-1.0 / 6.0);
        let a = I::mul(sixth, I::add(v[0], v[2]));
        let b = I::mul(sixth, v[1]);
        let c = I::fma(I::splat(1.0 / 24.0), v[0], I::mul(I::splat(1.0 / 6.0), v[2]));
        let d = I::mul(I::splat(1.0 / 12.0), v[1]);
        [I::mul(I::splat(0.25), v[0]), I::add(a, b), I::sub(a, b), I::add(c, d), I::sub(c, d), v[2]]
    }
}

/// Gᵀ v.
#[inline(always)]
unsafe fn filter_adjoint<I: Isa>(v: [I::V; 6]) -> [I::V; 3] {
    // SAFETY: the caller's promises.
    unsafe {
        let (p, m) = (I::add(v[1], v[2]), I::sub(v[2], v[1]));
        let (q, n) = (I::add(v[3], v[4]), I::sub(v[3], v[4]));
        let sixth = I::splat(1.0 / 6.0);
        [
            I::fma(I::splat(0.25), v[0], I::sub(I::mul(I::splat(1.0 / 24.0), q), I::mul(sixth, p))),
            I::fma(sixth, m, I::mul(I::splat(1.0 / 12.0), n)),
            I::add(I::mul(sixth, I::sub(q, p)), v[5]),
        ]
    }
}

/// Transforms one tile's 6×6 inputs; point f goes to `to + f · stride`.
#[inline(always)]
unsafe fn transform_input<I: Isa>(from: *const f32, line: usize, c: usize, to: *mut f32, stride: usize) {
    // SAFETY: the caller's promises.
    unsafe {
        let mut columns = [[I::zero(); 6]; 6];
        let mut x = 0;
        while x < 6 {
            let mut v = [I::zero(); 6];
            let mut y = 0;
            while y < 6 {
                v[y] = I::load(from.add(y * line + x * c));
                y += 1;
            }
            columns[x] = input_side::<I>(v);
            x += 1;
        }
        let mut y = 0;
        while y < 6 {
            let row =
                [columns[0][y], columns[1][y], columns[2][y], columns[3][y], columns[4][y], columns[5][y]];
            let row = input_side::<I>(row);
            let mut x = 0;
            while x < 6 {
                I::store(to.add((y * 6 + x) * stride), row[x]);
                x += 1;
            }
            y += 1;
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
    pub(super) fn convolve(
        t: &Tiles, images: usize, quads: &[Quad], input: *const f32, weights: *const f32, accumulate: bool,
        output: *mut f32, scratch: *mut f32
    ) = convolve_on
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn convolve_on<I: Isa>(
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
        let line = (t.size + 2) * ci;
        let mut first = 0;
        while first < all {
            let n = t.block.min(all - first);
            for k in 0..n {
                let from = input.add(t.padded_at(first + k, ci));
                let mut c = 0;
                while c < ci {
                    transform_input::<I>(from.add(c), line, ci, v.add(k * ci + c), t.block * ci);
                    c += LANES;
                }
            }
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
                let to = output.add(((i * t.size + 4 * y) * t.size + 4 * x) * co);
                let mut c = 0;
                while c < co {
                    transform_output::<I>(
                        m.add(k * co + c),
                        t.block * co,
                        to.add(c),
                        t.size * co,
                        co,
                        accumulate,
                    );
                    c += LANES;
                }
            }
            first += n;
        }
    }
}

/// Transforms one tile's points to 4×4 outputs.
#[inline(always)]
unsafe fn transform_output<I: Isa>(
    from: *const f32,
    stride: usize,
    to: *mut f32,
    line: usize,
    c: usize,
    accumulate: bool,
) {
    // SAFETY: the caller's promises.
    unsafe {
        let mut columns = [[I::zero(); 4]; 6];
        let mut x = 0;
        while x < 6 {
            let mut v = [I::zero(); 6];
            let mut y = 0;
            while y < 6 {
                v[y] = I::load(from.add((y * 6 + x) * stride));
                y += 1;
            }
            columns[x] = output_side::<I>(v);
            x += 1;
        }
        let mut y = 0;
        while y < 4 {
            let row =
                [columns[0][y], columns[1][y], columns[2][y], columns[3][y], columns[4][y], columns[5][y]];
            let row = output_side::<I>(row);
            let mut x = 0;
            while x < 4 {
                let at = to.add(y * line + x * c);
                I::store(at, if accumulate { I::add(row[x], I::load(at)) } else { row[x] });
                x += 1;
            }
            y += 1;
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
    pub(super) fn weight_gradient(
        t: &Tiles, images: usize, input: *const f32, grad: *const f32, result: *mut f32, scratch: *mut f32
    ) = weight_gradient_on
}

#[inline(always)]
unsafe fn weight_gradient_on<I: Isa>(
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
        let (line, grad_line) = ((t.size + 2) * ci, (t.size + 2) * co);
        let mut first = 0;
        while first < all {
            let n = t.block.min(all - first);
            for k in 0..n {
                let from = input.add(t.padded_at(first + k, ci));
                let mut c = 0;
                while c < ci {
                    transform_input::<I>(from.add(c), line, ci, v.add(k * ci + c), t.block * ci);
                    c += LANES;
                }
                // The tile's own 4×4 gradients stand one row and one pixel into the padded image.
                let from = grad.add(t.padded_at(first + k, co) + grad_line + co);
                let mut c = 0;
                while c < co {
                    transform_gradient::<I>(from.add(c), grad_line, co, m.add(k * co + c), t.block * co);
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

/// Transforms one tile's 4×4 output gradients.
#[inline(always)]
unsafe fn transform_gradient<I: Isa>(from: *const f32, line: usize, c: usize, to: *mut f32, stride: usize) {
    // SAFETY: the caller's promises.
    unsafe {
        let mut columns = [[I::zero(); 6]; 4];
        let mut x = 0;
        while x < 4 {
            let mut v = [I::zero(); 4];
            let mut y = 0;
            while y < 4 {
                v[y] = I::load(from.add(y * line + x * c));
                y += 1;
            }
            columns[x] = gradient_side::<I>(v);
            x += 1;
        }
        let mut y = 0;
        while y < 6 {
            let row = gradient_side::<I>([columns[0][y], columns[1][y], columns[2][y], columns[3][y]]);
            let mut x = 0;
            while x < 6 {
                I::store(to.add((y * 6 + x) * stride), row[x]);
                x += 1;
            }
            y += 1;
        }
    }
}

per_level! {
    /// Transforms one packed panel of filters, (tap, channel, width), to points: point f's panel begins at
    /// `to + f · stride`.
    ///
    /// # Safety
    /// `from` holds 9 · `depth` values and `to` as many at each point; `depth` is a multiple of [`LANES`].
    pub(super) fn filters(from: *const f32, depth: usize, to: *mut f32, stride: usize) = filters_on
}

#[inline(always)]
unsafe fn filters_on<I: Isa>(from: *const f32, depth: usize, to: *mut f32, stride: usize) {
    let mut at = 0;
    while at < depth {
        // SAFETY: the caller's promises.
        unsafe {
            let mut columns = [[I::zero(); 6]; 3];
            let mut x = 0;
            while x < 3 {
                let tap = |y: usize| I::load(from.add((y * 3 + x) * depth + at));
                columns[x] = filter_side::<I>([tap(0), tap(1), tap(2)]);
                x += 1;
            }
            let mut y = 0;
            while y < 6 {
                let row = filter_side::<I>([columns[0][y], columns[1][y], columns[2][y]]);
                let mut x = 0;
                while x < 6 {
                    I::store(to.add((y * 6 + x) * stride + at), row[x]);
                    x += 1;
                }
                y += 1;
            }
        }
        at += LANES;
    }
}

per_level! {
    /// The adjoint of [`filters`]: points (f, `depth`) to taps (tap, `depth`), for values `at..at + n` of each.
    ///
    /// # Safety
    /// `from` holds [`POINTS`] · `depth` values, `to` room for n at each tap, `tap_stride` apart; n is a
    /// multiple of [`LANES`].
    pub(super) fn filters_gradient(
        from: *const f32, depth: usize, n: usize, to: *mut f32, tap_stride: usize
    ) = filters_gradient_on
}

#[inline(always)]
unsafe fn filters_gradient_on<I: Isa>(
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
            let mut columns = [[I::zero(); 3]; 6];
            let mut x = 0;
            while x < 6 {
                let mut v = [I::zero(); 6];
                let mut y = 0;
                while y < 6 {
                    v[y] = I::load(from.add((y * 6 + x) * depth + at));
                    y += 1;
                }
                columns[x] = filter_adjoint::<I>(v);
                x += 1;
            }
            let mut y = 0;
            while y < 3 {
                let row = [
                    columns[0][y],
                    columns[1][y],
                    columns[2][y],
                    columns[3][y],
                    columns[4][y],
                    columns[5][y],
                ];
                let row = filter_adjoint::<I>(row);
                let mut x = 0;
                while x < 3 {
                    I::store(to.add((y * 3 + x) * tap_stride + at), row[x]);
                    x += 1;
                }
                y += 1;
            }
        }
        at += LANES;
    }
}

/// Quads for one block of tiles.
pub(super) fn quads(t: &Tiles) -> Vec<Quad> {
    (0..t.block / 4)
        .map(|q| Quad { input: 4 * q * t.channels, output: 4 * q * t.columns, count: 4 })
        .collect()
}
