//! The two register-blocked products that every convolution here is made of.
//!
//! * [`rows`]: output pixels × weights. The left matrix is an activation image read in place (an implicit
//!   GEMM): a pixel's row is a few contiguous *runs*, one for each row of the filter.
//! * [`outer`]: Σ over pixels of activation × gradient, which is a convolution's weight gradient.
//!
//! Offsets say where to read: padding and strides are the caller's.

use super::simd::{LANES, Simd, per_level};

/// Four consecutive output pixels: where their inputs begin, where their outputs begin, how many are real.
#[derive(Clone, Copy, Debug)]
pub struct Quad {
    /// Offset of the first pixel in the left matrix.
    pub input: usize,
    /// Offset of the first pixel in the output.
    pub output: usize,
    /// Pixels to store, 1–4; the others are computed and dropped.
    pub count: usize,
}

/// A product of pixels with packed weights.
pub struct Rows<'a> {
    /// Pixels, in fours.
    pub quads: &'a [Quad],
    /// Distance of neighbouring pixels of a quad in the left matrix.
    pub input_stride: usize,
    /// Distance of neighbouring pixels of a quad in the output.
    pub output_stride: usize,
    /// Offsets of the runs from a pixel's first value.
    pub runs: &'a [usize],
    /// Values in a run.
    pub run: usize,
    /// Output channels, a multiple of [`LANES`].
    pub columns: usize,
    /// Add to the output instead of writing it.
    pub accumulate: bool,
}

/// Columns of one packed panel of weights: 32 if they divide the channels, else 16.
pub fn panel(columns: usize) -> usize {
    if columns.is_multiple_of(2 * LANES) { 2 * LANES } else { LANES }
}

per_level! {
    /// `output[pixel, n] (+)= Σ_k input[pixel, k] · weights[n / panel][k][n % panel]`.
    ///
    /// # Safety
    /// Every quad's four rows (all runs) lie inside `input`, every counted pixel's `columns` values inside
    /// `output`, and `weights` holds `columns · runs · run` values.
    pub fn rows(p: &Rows<'_>, input: *const f32, weights: *const f32, output: *mut f32) = rows_on
}

#[inline(always)]
pub unsafe fn rows_on<I: Simd>(p: &Rows<'_>, input: *const f32, weights: *const f32, output: *mut f32) {
    // SAFETY: the caller's promises.
    unsafe {
        let width = panel(p.columns);
        let depth = p.runs.len() * p.run;
        let mut n = 0;
        while n < p.columns {
            let w = weights.add(n * depth);
            let out = output.add(n);
            if !I::WIDE {
                if width == 2 * LANES {
                    // Registers hold one vector of columns only: each half of the panel by itself.
                    sweep::<I, 1, 1>(p, input, w, 2 * LANES, out);
                    sweep::<I, 1, 1>(p, input, w.add(LANES), 2 * LANES, out.add(LANES));
                } else {
                    sweep::<I, 1, 1>(p, input, w, LANES, out);
                }
            } else if width == 2 * LANES {
                sweep::<I, 3, 2>(p, input, w, 2 * LANES, out);
            } else {
                sweep::<I, 4, 1>(p, input, w, LANES, out);
            }
            n += width;
        }
    }
}

/// All pixels against one panel.
#[inline(always)]
unsafe fn sweep<I: Simd, const Q: usize, const N: usize>(
    p: &Rows<'_>,
    input: *const f32,
    w: *const f32,
    w_stride: usize,
    output: *mut f32,
) {
    // SAFETY: the caller's promises.
    unsafe {
        let mut at = 0;
        while at + Q <= p.quads.len() {
            tile::<I, Q, N>(p, p.quads.as_ptr().add(at), input, w, w_stride, output);
            at += Q;
        }
        while at < p.quads.len() {
            tile::<I, 1, N>(p, p.quads.as_ptr().add(at), input, w, w_stride, output);
            at += 1;
        }
    }
}

/// Q quads against N vectors of columns, all in registers.
#[inline(always)]
unsafe fn tile<I: Simd, const Q: usize, const N: usize>(
    p: &Rows<'_>,
    quads: *const Quad,
    input: *const f32,
    mut w: *const f32,
    w_stride: usize,
    output: *mut f32,
) {
    // SAFETY: the caller's promises.
    unsafe {
        let s = p.input_stride;
        let s3 = 3 * s;
        let mut acc = [[[I::zero(); N]; 4]; Q];
        for &run in p.runs {
            let mut rows = [input; Q];
            let mut q = 0;
            while q < Q {
                rows[q] = input.add((*quads.add(q)).input + run);
                q += 1;
            }
            for _ in 0..p.run {
                let mut b = [I::zero(); N];
                let mut j = 0;
                while j < N {
                    b[j] = I::load(w.add(j * LANES));
                    j += 1;
                }
                let mut q = 0;
                while q < Q {
                    let row = rows[q];
                    let x = [*row, *row.add(s), *row.add(2 * s), *row.add(s3)];
                    let mut i = 0;
                    while i < 4 {
                        let a = I::splat(x[i]);
                        let mut j = 0;
                        while j < N {
                            acc[q][i][j] = I::fma(a, b[j], acc[q][i][j]);
                            j += 1;
                        }
                        i += 1;
                    }
                    rows[q] = row.add(1);
                    q += 1;
                }
                w = w.add(w_stride);
            }
        }
        let mut q = 0;
        while q < Q {
            let quad = *quads.add(q);
            let mut i = 0;
            while i < 4 {
                if i < quad.count {
                    let out = output.add(quad.output + i * p.output_stride);
                    let mut j = 0;
                    while j < N {
                        let mut v = acc[q][i][j];
                        if p.accumulate {
                            v = I::add(v, I::load(out.add(j * LANES)));
                        }
                        I::store(out.add(j * LANES), v);
                        j += 1;
                    }
                }
                i += 1;
            }
            q += 1;
        }
    }
}

/// A row of pixels for [`outer`]: where the activations begin, where the gradients begin, how many.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Offset of the first activation.
    pub input: usize,
    /// Offset of the first gradient.
    pub grad: usize,
    /// Pixels.
    pub count: usize,
}

/// A sum of outer products over pixels.
pub struct Outer<'a> {
    /// Pixels, row by row.
    pub spans: &'a [Span],
    /// Distance of neighbouring activations.
    pub input_stride: usize,
    /// Distance of neighbouring gradients.
    pub grad_stride: usize,
    /// Offsets of the runs from an activation's first value.
    pub runs: &'a [usize],
    /// Values in a run.
    pub run: usize,
    /// Output channels to compute, a multiple of [`LANES`].
    pub columns: usize,
    /// Distance of the rows of the result.
    pub result_stride: usize,
}

per_level! {
    /// `result[r · run + m, n] += Σ_pixel input[pixel, runs[r] + m] · grad[pixel, n]`.
    ///
    /// # Safety
    /// Every span's activations (all runs) lie inside `input`, its gradients inside `grad`, and `result` has
    /// `runs · run` rows.
    pub fn outer(p: &Outer<'_>, input: *const f32, grad: *const f32, result: *mut f32) = outer_on
}

#[inline(always)]
pub unsafe fn outer_on<I: Simd>(p: &Outer<'_>, input: *const f32, grad: *const f32, result: *mut f32) {
    // SAFETY: the caller's promises.
    unsafe {
        let mut n = 0;
        while n < p.columns {
            let two = I::WIDE && n + 2 * LANES <= p.columns;
            for (r, &run) in p.runs.iter().enumerate() {
                let mut m = 0;
                while m < p.run {
                    let x = input.add(run + m);
                    let g = grad.add(n);
                    let out = result.add((r * p.run + m) * p.result_stride + n);
                    let left = p.run - m;
                    m += if two {
                        if left >= 12 {
                            outer_tile::<I, 12, 2>(p, x, g, out)
                        } else if left >= 9 {
                            outer_tile::<I, 9, 2>(p, x, g, out)
                        } else if left >= 4 {
                            outer_tile::<I, 4, 2>(p, x, g, out)
                        } else {
                            outer_tile::<I, 1, 2>(p, x, g, out)
                        }
                    } else if I::WIDE && left >= 24 {
                        outer_tile::<I, 24, 1>(p, x, g, out)
                    } else if I::WIDE && left >= 16 {
                        outer_tile::<I, 16, 1>(p, x, g, out)
                    } else if I::WIDE && left >= 9 {
                        outer_tile::<I, 9, 1>(p, x, g, out)
                    } else if left >= 4 {
                        outer_tile::<I, 4, 1>(p, x, g, out)
                    } else {
                        outer_tile::<I, 1, 1>(p, x, g, out)
                    };
                }
            }
            n += if two { 2 * LANES } else { LANES };
        }
    }
}

/// M rows of the result × N vectors of columns, in registers over all pixels.
#[inline(always)]
unsafe fn outer_tile<I: Simd, const M: usize, const N: usize>(
    p: &Outer<'_>,
    input: *const f32,
    grad: *const f32,
    result: *mut f32,
) -> usize {
    // SAFETY: the caller's promises.
    unsafe {
        let mut acc = [[I::zero(); N]; M];
        for span in p.spans {
            let mut x = input.add(span.input);
            let mut g = grad.add(span.grad);
            for _ in 0..span.count {
                let mut b = [I::zero(); N];
                let mut j = 0;
                while j < N {
                    b[j] = I::load(g.add(j * LANES));
                    j += 1;
                }
                let mut i = 0;
                while i < M {
                    let a = I::splat(*x.add(i));
                    let mut j = 0;
                    while j < N {
                        acc[i][j] = I::fma(a, b[j], acc[i][j]);
                        j += 1;
                    }
                    i += 1;
                }
                x = x.add(p.input_stride);
                g = g.add(p.grad_stride);
            }
        }
        let mut i = 0;
        while i < M {
            let mut j = 0;
            while j < N {
                let out = result.add(i * p.result_stride + j * LANES);
                I::store(out, I::add(I::load(out), acc[i][j]));
                j += 1;
            }
            i += 1;
        }
        M
    }
}
