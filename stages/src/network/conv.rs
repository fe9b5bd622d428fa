//! Convolutions on zero-padded images: packing of weights, and the three products forward, to the input's
//! gradient and to the weight's gradient, for a group of images that fits the cache.
//!
//! A padded image has one row above and below and one pixel left and right of zeros. `program.rs` fills the
//! padded images and calls in here.

use rayon::prelude::*;

use super::gemm::{Outer, Quad, Rows, Span, outer, panel, rows};
use super::isa::{LANES, Level};
use super::plan::{Conv, padded};
use super::pool::{Buffer, Pool, more_scratch};
use super::winograd::{self, POINTS, Tiles};

/// Values of one zero-padded square image.
pub(super) fn padded_len(size: usize, channels: usize) -> usize {
    (size + 2) * (size + 2) * channels
}

/// Room for `images` padded images, and for the pixels that a quad computes beyond the last row.
pub(super) fn scratch_len(images: usize, size: usize, channels: usize) -> usize {
    images * padded_len(size, channels) + 16 * channels
}

/// Calls `fill(y, row)` for every row of a padded image of `size`² pixels, and zeroes the frame.
pub(super) fn fill_padded(
    image: &mut [f32],
    size: usize,
    channels: usize,
    mut fill: impl FnMut(usize, &mut [f32]),
) {
    let line = (size + 2) * channels;
    image[..line].fill(0.0);
    image[(size + 1) * line..(size + 2) * line].fill(0.0);
    for (y, row) in image[line..(size + 1) * line].chunks_exact_mut(line).enumerate() {
        row[..channels].fill(0.0);
        row[line - channels..].fill(0.0);
        fill(y, &mut row[channels..line - channels]);
    }
}

/// One product of a convolution: which pixels, which runs of the padded image, which taps of the filter.
struct Pass {
    quads: Vec<Quad>,
    quads_per_image: usize,
    input_stride: usize,
    output_stride: usize,
    runs: Vec<usize>,
    run: usize,
    columns: usize,
    accumulate: bool,
    /// Filter taps (ky, kx) in the order in which the runs meet them.
    taps: Vec<(usize, usize)>,
    /// Offset of the packed weights.
    weights: usize,
}

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// The sums that define it.
    Direct,
    /// Winograd F(4×4, 3×3): a quarter of the products, where it applies.
    Winograd,
}

impl Algorithm {
    /// Whether Winograd is possible.
    pub fn applies(conv: &Conv) -> bool {
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

/// A convolution prepared for one direction: passes over pixels, and weights packed for them.
pub(super) struct Prepared {
    passes: Vec<Pass>,
    packed: Buffer,
    input_len: usize,
    output_len: usize,
    level: Level,
    winograd: Option<(Tiles, Vec<Quad>, Buffer)>,
}

fn quads(
    images: usize,
    [rows, columns]: [usize; 2],
    input: impl Fn(usize, usize, usize) -> usize,
    output: impl Fn(usize, usize, usize) -> usize,
) -> (Vec<Quad>, usize) {
    let mut quads = Vec::with_capacity(images * rows * columns.div_ceil(4));
    for i in 0..images {
        for y in 0..rows {
            for x in (0..columns).step_by(4) {
                quads.push(Quad {
                    input: input(i, y, x),
                    output: output(i, y, x),
                    count: (columns - x).min(4),
                });
            }
        }
    }
    (quads, rows * columns.div_ceil(4))
}

impl Prepared {
    /// Forward: padded input images → output images, for groups of up to `images`.
    /// `accumulate`: add to the output.
    pub fn forward(
        conv: &Conv,
        theta: &[f32],
        images: usize,
        accumulate: bool,
        algorithm: Algorithm,
        level: Level,
        pool: &Pool,
    ) -> Self {
        let (ca, co, s) = (conv.cin_memory, conv.cout_memory(), conv.stride);
        let (wp, wo) = (conv.size + 2, conv.out_size());
        let start = if conv.kernel == 3 { 0 } else { (wp + 1) * ca };
        let image = padded_len(conv.size, ca);
        let (quads, quads_per_image) = quads(
            images,
            [wo, wo],
            |i, y, x| i * image + (y * s * wp + x * s) * ca + start,
            |i, y, x| ((i * wo + y) * wo + x) * co,
        );
        let k = conv.kernel;
        let pass = Pass {
            quads,
            quads_per_image,
            input_stride: s * ca,
            output_stride: co,
            runs: (0..k).map(|ky| ky * wp * ca).collect(),
            run: k * ca,
            columns: co,
            accumulate,
            taps: (0..k * k).map(|t| (t / k, t % k)).collect(),
            weights: 0,
        };
        let mut this = Self {
            packed: pool.take(k * k * ca * co),
            passes: vec![pass],
            input_len: image,
            output_len: wo * wo * co,
            level,
            winograd: None,
        };
        this.pack(conv, theta, false);
        if algorithm == Algorithm::Winograd && Algorithm::applies(conv) {
            this.transform_weights(conv.size, ca, co, pool);
        }
        this
    }

    /// Backward to the input: padded output gradients → input gradients (padded channels), for groups of up
    /// to `images`. A 1×1 convolution with stride 2 touches every second pixel only.
    pub fn backward(
        conv: &Conv,
        theta: &[f32],
        images: usize,
        accumulate: bool,
        algorithm: Algorithm,
        level: Level,
        pool: &Pool,
    ) -> Self {
        let (ci, co, s, k, w) = (conv.cin_memory, conv.cout_memory(), conv.stride, conv.kernel, conv.size);
        let wo = conv.out_size();
        let wq = wo + 2;
        let image = padded_len(wo, co);
        let mut passes = vec![];
        let mut weights = 0;
        let mut pass =
            |quads: (Vec<Quad>, usize), step: usize, runs: Vec<usize>, taps: Vec<(usize, usize)>| {
                let run = taps.len() / runs.len() * co;
                let depth = taps.len() * co;
                passes.push(Pass {
                    quads: quads.0,
                    quads_per_image: quads.1,
                    input_stride: co,
                    output_stride: step * ci,
                    runs,
                    run,
                    columns: ci,
                    accumulate,
                    taps,
                    weights,
                });
                weights += depth * ci;
            };
        if s == 1 {
            let start = if k == 3 { 0 } else { (wq + 1) * co };
            let quads = quads(
                images,
                [w, w],
                |i, y, x| i * image + (y * wq + x) * co + start,
                |i, y, x| ((i * w + y) * w + x) * ci,
            );
            let runs = (0..k).map(|ky| ky * wq * co).collect();
            // The gradient at y comes from outputs y − 1, y, y + 1, through taps 2, 1, 0.
            let taps = (0..k * k).map(|t| (k - 1 - t / k, k - 1 - t % k)).collect();
            pass(quads, 1, runs, taps);
        } else {
            // Every parity of (y, x) meets its own taps: even ones tap 1, odd ones taps 2 and 0.
            for (py, px) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let (rows, columns) = ((w + 1 - py) / 2, (w + 1 - px) / 2);
                if (k == 1 && (py, px) != (0, 0)) || rows == 0 || columns == 0 {
                    continue;
                }
                let quads = quads(
                    images,
                    [rows, columns],
                    |i, y, x| i * image + ((y + 1) * wq + x + 1) * co,
                    |i, y, x| ((i * w + 2 * y + py) * w + 2 * x + px) * ci,
                );
                let along = |odd: usize| match (k, odd) {
                    (1, _) => vec![0],
                    (_, 0) => vec![1],
                    _ => vec![2, 0],
                };
                let runs = (0..=py).map(|r| r * wq * co).collect();
                let taps = along(py).into_iter().flat_map(|ky| along(px).into_iter().map(move |kx| (ky, kx)));
                pass(quads, 2, runs, taps.collect());
            }
        }
        let mut this = Self {
            packed: pool.take(weights),
            passes,
            input_len: image,
            output_len: w * w * ci,
            level,
            winograd: None,
        };
        this.pack(conv, theta, true);
        if algorithm == Algorithm::Winograd && Algorithm::applies(conv) {
            this.transform_weights(conv.size, co, ci, pool);
        }
        this
    }

    /// Lays the weights out in the order in which the kernel reads them. `transposed`: the sum runs over
    /// output channels.
    fn pack(&mut self, conv: &Conv, theta: &[f32], transposed: bool) {
        let w = &theta[conv.offset..conv.offset + conv.len()];
        let k = conv.kernel;
        if conv.cin != conv.cin_memory || conv.cout != conv.cout_memory() {
            self.packed.fill(0.0);
        }
        for pass in &self.passes {
            let width = panel(pass.columns);
            let depth = pass.runs.len() * pass.run;
            let inner = depth / pass.taps.len();
            let packed = &mut self.packed[pass.weights..pass.weights + depth * pass.columns];
            packed.par_chunks_exact_mut(depth * width).enumerate().for_each(|(p, out)| {
                let first = p * width;
                for (t, &(ky, kx)) in pass.taps.iter().enumerate() {
                    let w = &w[(ky * k + kx) * conv.cin * conv.cout..][..conv.cin * conv.cout];
                    let out = &mut out[t * inner * width..(t + 1) * inner * width];
                    if transposed {
                        let own = width.min(conv.cin.saturating_sub(first));
                        for (n, from) in
                            w[first.min(conv.cin) * conv.cout..].chunks_exact(conv.cout).take(own).enumerate()
                        {
                            for (d, v) in from.iter().enumerate() {
                                out[d * width + n] = *v;
                            }
                        }
                    } else {
                        let own = width.min(conv.cout.saturating_sub(first));
                        for (d, from) in w.chunks_exact(conv.cout).enumerate() {
                            out[d * width..d * width + own]
                                .copy_from_slice(&from[first.min(conv.cout)..][..own]);
                        }
                    }
                }
            });
        }
    }

    /// Transforms the packed weights of a single pass.
    fn transform_weights(&mut self, size: usize, channels: usize, columns: usize, pool: &Pool) {
        let t = Tiles { size, channels, columns, block: winograd::block(channels) };
        let mut points = pool.take(POINTS * channels * columns);
        let depth = channels * panel(columns);
        let (packed, level) = (&*self.packed, self.level);
        let to = Shared(points.as_mut_ptr());
        (0..columns / panel(columns)).into_par_iter().for_each(|p| {
            // SAFETY: panel p reads its own 9 · depth packed values and writes its own place in each point.
            unsafe {
                winograd::filters(
                    level,
                    packed[p * 9 * depth..(p + 1) * 9 * depth].as_ptr(),
                    depth,
                    to.get().add(p * depth),
                    channels * columns,
                );
            }
        });
        self.winograd = Some((t, winograd::quads(&t), points));
    }

    /// Runs the product on a group of padded images.
    pub fn run(&self, input: &[f32], output: &mut [f32]) {
        let images = output.len() / self.output_len;
        assert_eq!(output.len(), images * self.output_len, "an output of whole images");
        assert!(input.len() >= images * self.input_len, "an input image for every output image");
        if let Some((t, quads, points)) = &self.winograd {
            more_scratch(t.scratch(), |scratch| {
                let accumulate = self.passes[0].accumulate;
                // SAFETY: the lengths were checked above, and points and quads were made for these tiles.
                unsafe {
                    winograd::convolve(
                        self.level,
                        t,
                        images,
                        quads,
                        input.as_ptr(),
                        points.as_ptr(),
                        accumulate,
                        output.as_mut_ptr(),
                        scratch.as_mut_ptr(),
                    );
                }
            });
            return;
        }
        for pass in &self.passes {
            let p = Rows {
                quads: &pass.quads[..images * pass.quads_per_image],
                input_stride: pass.input_stride,
                output_stride: pass.output_stride,
                runs: &pass.runs,
                run: pass.run,
                columns: pass.columns,
                accumulate: pass.accumulate,
            };
            // SAFETY: the quads of these images lie inside both (the last row's quads read into the room that
            // `scratch_len` leaves), and the weights were packed for this pass.
            unsafe {
                rows(
                    self.level,
                    &p,
                    input.as_ptr(),
                    self.packed[pass.weights..].as_ptr(),
                    output.as_mut_ptr(),
                );
            }
        }
    }
}

/// A pointer that tasks share, each writing its own places.
#[derive(Clone, Copy)]
struct Shared(*mut f32);

// SAFETY: whoever shares it promises that no two tasks write the same place.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    fn get(self) -> *mut f32 {
        self.0
    }
}

/// The weight gradient of a convolution, for groups of up to `images`.
pub(super) struct WeightGradient {
    spans: Vec<Span>,
    spans_per_image: usize,
    input_stride: usize,
    grad_stride: usize,
    runs: Vec<usize>,
    run: usize,
    columns: usize,
    level: Level,
    winograd: Option<Tiles>,
}

impl WeightGradient {
    /// Prepares for output gradients of which only `columns` channels are given.
    pub fn new(conv: &Conv, columns: usize, images: usize, algorithm: Algorithm, level: Level) -> Self {
        let (ca, s, k) = (conv.cin_memory, conv.stride, conv.kernel);
        let (wp, wo) = (conv.size + 2, conv.out_size());
        let start = if k == 3 { 0 } else { (wp + 1) * ca };
        let (image, grad) = (padded_len(conv.size, ca), padded_len(wo, columns));
        let spans = (0..images * wo)
            .map(|at| (at / wo, at % wo))
            .map(|(i, y)| Span {
                input: i * image + y * s * wp * ca + start,
                grad: i * grad + ((y + 1) * (wo + 2) + 1) * columns,
                count: wo,
            })
            .collect();
        Self {
            spans,
            spans_per_image: wo,
            input_stride: s * ca,
            grad_stride: columns,
            runs: (0..k).map(|ky| ky * wp * ca).collect(),
            run: k * ca,
            columns,
            level,
            winograd: (algorithm == Algorithm::Winograd && Algorithm::applies(conv)).then(|| Tiles {
                size: conv.size,
                channels: ca,
                columns,
                block: 2 * winograd::block(ca.max(columns)),
            }),
        }
    }

    /// Length of the sum that [`WeightGradient::add`] adds to.
    pub fn len(&self) -> usize {
        match &self.winograd {
            Some(t) => POINTS * t.channels * t.columns,
            None => self.runs.len() * self.run * self.columns,
        }
    }

    /// Calls `take` with the result that the complete sum stands for.
    pub fn finish(&self, sum: &[f32], pool: &Pool, take: impl FnOnce(&[f32])) {
        if let Some(t) = &self.winograd {
            let depth = t.channels * t.columns;
            let mut taps = pool.take(9 * depth);
            let (from, to) = (sum, Shared(taps.as_mut_ptr()));
            (0..t.channels).into_par_iter().for_each(|c| {
                let at = c * t.columns;
                assert!(at + t.columns <= depth && from.len() == POINTS * depth);
                // SAFETY: channel c reads and writes its own columns of every point and tap.
                unsafe {
                    winograd::filters_gradient(
                        self.level,
                        from.as_ptr().add(at),
                        depth,
                        t.columns,
                        to.get().add(at),
                        depth,
                    );
                }
            });
            take(&taps);
        } else {
            take(sum);
        }
    }

    /// Adds the gradient of a group of padded images and padded output gradients.
    pub fn add(&self, images: usize, input: &[f32], grad: &[f32], result: &mut [f32]) {
        assert_eq!(result.len(), self.len(), "a result of this convolution");
        if let Some(t) = &self.winograd {
            assert!(input.len() >= images * padded_len(t.size, t.channels));
            assert!(grad.len() >= images * padded_len(t.size, t.columns));
            more_scratch(t.scratch(), |scratch| {
                // SAFETY: all lengths were checked.
                unsafe {
                    winograd::weight_gradient(
                        self.level,
                        t,
                        images,
                        input.as_ptr(),
                        grad.as_ptr(),
                        result.as_mut_ptr(),
                        scratch.as_mut_ptr(),
                    );
                }
            });
            return;
        }
        let p = Outer {
            spans: &self.spans[..images * self.spans_per_image],
            input_stride: self.input_stride,
            grad_stride: self.grad_stride,
            runs: &self.runs,
            run: self.run,
            columns: self.columns,
            result_stride: self.columns,
        };
        // SAFETY: the spans of these images lie inside both groups, and the result has a row for every run.
        unsafe { outer(self.level, &p, input.as_ptr(), grad.as_ptr(), result.as_mut_ptr()) }
    }
}

/// Copies a padded weight gradient (kh, kw, input channels in memory, columns) of `columns` output channels starting at `first` to its place in the flat
/// gradient.
pub(super) fn unpad(conv: &Conv, result: &[f32], first: usize, columns: usize, flat: &mut [f32]) {
    let own = &mut flat[conv.offset..conv.offset + conv.len()];
    let width = columns.min(conv.cout - first);
    let taps = result.par_chunks_exact(conv.cin_memory * columns);
    own.par_chunks_exact_mut(conv.cin * conv.cout).zip(taps).for_each(|(own, tap)| {
        for (own, row) in own.chunks_exact_mut(conv.cout).zip(tap.chunks_exact(columns)) {
            own[first..first + width].copy_from_slice(&row[..width]);
        }
    });
}

/// Vectors of output channels that one task of a large weight gradient computes.
pub(super) const COLUMNS_PER_TASK: usize = 2 * LANES;

/// Whether a weight gradient is so large that it is split by output channels instead of by images.
pub(super) fn split_by_columns(conv: &Conv) -> bool {
    conv.kernel * conv.kernel * padded(conv.cin) * padded(conv.cout) > 400_000
}
