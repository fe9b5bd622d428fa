//! A convolution forward, and back to its input's gradient: both are pixels of a padded image times packed weights.

use rayon::prelude::*;

use super::{Algorithm, SharedPointer, padded_len};
use crate::network::cpu::buffers::{Buffer, BufferPool, more_scratch};
use crate::network::cpu::gemm::{Quad, Rows, panel, rows};
use crate::network::cpu::simd::Level;
use crate::network::cpu::winograd::{self, POINTS, Tiles};
use crate::network::parameters::Conv;

/// One product of a convolution: which pixels, which runs of the padded image, which taps of the filter.
struct Product {
    quads: Vec<Quad>,
    quads_per_image: usize,
    input_stride: usize,
    output_stride: usize,
    runs: Vec<usize>,
    run: usize,
    columns: usize,
    /// Filter taps (ky, kx) in the order in which the runs meet them.
    taps: Vec<(usize, usize)>,
    /// Offset of the packed weights.
    weights: usize,
}

impl Product {
    /// Values that a pixel is the sum over.
    fn depth(&self) -> usize {
        self.runs.len() * self.run
    }
}

/// A convolution prepared for one direction: products over pixels, and weights packed for them.
pub struct PreparedConvolution {
    products: Vec<Product>,
    accumulate: bool,
    packed: Buffer,
    input_len: usize,
    output_len: usize,
    level: Level,
    winograd: Option<(Tiles, Vec<Quad>, Buffer)>,
}

/// Rows × columns pixels of every image in fours, and how many fours an image has.
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

/// The product of a forward convolution over up to `images` padded images.
fn forward_product(conv: &Conv, images: usize) -> Product {
    let (ca, co, s, k) = (conv.cin_memory, conv.cout_memory(), conv.stride, conv.kernel);
    let (wp, wo) = (conv.size + 2, conv.out_size());
    let start = if k == 3 { 0 } else { (wp + 1) * ca };
    let image = padded_len(conv.size, ca);
    let (quads, quads_per_image) = quads(
        images,
        [wo, wo],
        |i, y, x| i * image + (y * s * wp + x * s) * ca + start,
        |i, y, x| ((i * wo + y) * wo + x) * co,
    );
    Product {
        quads,
        quads_per_image,
        input_stride: s * ca,
        output_stride: co,
        runs: (0..k).map(|ky| ky * wp * ca).collect(),
        run: k * ca,
        columns: co,
        taps: (0..k * k).map(|t| (t / k, t % k)).collect(),
        weights: 0,
    }
}

/// The products from up to `images` padded output gradients to the input's gradients. A 1×1 convolution with stride 2
/// touches every second pixel only.
fn input_gradient_products(conv: &Conv, images: usize) -> Vec<Product> {
    let (ci, co, k, w) = (conv.cin_memory, conv.cout_memory(), conv.kernel, conv.size);
    let wq = conv.out_size() + 2;
    let image = padded_len(conv.out_size(), co);
    let mut products = vec![];
    let mut weights = 0;
    let mut product = |(quads, quads_per_image), step: usize, runs: Vec<usize>, taps: Vec<_>| {
        let run = taps.len() / runs.len() * co;
        let depth = taps.len() * co;
        products.push(Product {
            quads,
            quads_per_image,
            input_stride: co,
            output_stride: step * ci,
            runs,
            run,
            columns: ci,
            taps,
            weights,
        });
        weights += depth * ci;
    };
    if conv.stride == 1 {
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
        product(quads, 1, runs, taps);
        return products;
    }
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
        product(quads, 2, runs, taps.collect());
    }
    products
}

/// Which way a convolution is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Padded input images → output images.
    Forward,
    /// Padded output gradients → input gradients (channels as in memory).
    InputGradient,
}

impl PreparedConvolution {
    /// A convolution for groups of up to `images`. `accumulate`: add to the result.
    pub fn new(
        direction: Direction,
        conv: &Conv,
        theta: &[f32],
        images: usize,
        accumulate: bool,
        algorithm: Algorithm,
        (level, buffers): (Level, &BufferPool),
    ) -> Self {
        let [input, output] = [(conv.size, conv.cin_memory), (conv.out_size(), conv.cout_memory())];
        let (products, from, to) = match direction {
            Direction::Forward => (vec![forward_product(conv, images)], input, output),
            Direction::InputGradient => (input_gradient_products(conv, images), output, input),
        };
        let packed = buffers.take(products.iter().map(|p| p.depth() * p.columns).sum());
        let (input_len, output_len) = (padded_len(from.0, from.1), to.0 * to.0 * to.1);
        let mut new = Self { products, accumulate, packed, input_len, output_len, level, winograd: None };
        new.pack(conv, theta, direction);
        if algorithm == Algorithm::Winograd && Algorithm::applies(conv) {
            let (channels, columns) = (from.1, to.1);
            let tiles = Tiles { size: conv.size, channels, columns, block: winograd::block(channels) };
            new.transform_weights(tiles, buffers);
        }
        new
    }

    /// Lays the weights out in the order in which the kernel reads them.
    fn pack(&mut self, conv: &Conv, theta: &[f32], direction: Direction) {
        let w = &theta[conv.offset..conv.offset + conv.len()];
        let k = conv.kernel;
        if conv.cin != conv.cin_memory || conv.cout != conv.cout_memory() {
            self.packed.fill(0.0);
        }
        for product in &self.products {
            let width = panel(product.columns);
            let depth = product.depth();
            let inner = depth / product.taps.len();
            let packed = &mut self.packed[product.weights..product.weights + depth * product.columns];
            packed.par_chunks_exact_mut(depth * width).enumerate().for_each(|(p, out)| {
                let first = p * width;
                for (t, &(ky, kx)) in product.taps.iter().enumerate() {
                    let w = &w[(ky * k + kx) * conv.cin * conv.cout..][..conv.cin * conv.cout];
                    let out = &mut out[t * inner * width..(t + 1) * inner * width];
                    if direction == Direction::InputGradient {
                        // The sum runs over output channels.
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

    /// Transforms the packed weights of a single product.
    fn transform_weights(&mut self, tiles: Tiles, buffers: &BufferPool) {
        let Tiles { channels, columns, .. } = tiles;
        let mut points = buffers.take(POINTS * channels * columns);
        let depth = channels * panel(columns);
        let (packed, level) = (&*self.packed, self.level);
        let to = SharedPointer(points.as_mut_ptr());
        (0..columns / panel(columns)).into_par_iter().for_each(|p| {
            let from = packed[p * 9 * depth..(p + 1) * 9 * depth].as_ptr();
            // SAFETY: panel p reads its own 9 · depth packed values and writes its own place in each point.
            unsafe { winograd::filters(level, from, depth, to.get().add(p * depth), channels * columns) }
        });
        self.winograd = Some((tiles, tiles.quads(), points));
    }

    /// Runs the products on a group of padded images.
    pub fn run(&self, input: &[f32], output: &mut [f32]) {
        let images = output.len() / self.output_len;
        assert_eq!(output.len(), images * self.output_len, "an output of whole images");
        assert!(input.len() >= images * self.input_len, "an input image for every output image");
        let (level, accumulate) = (self.level, self.accumulate);
        let (input, output) = (input.as_ptr(), output.as_mut_ptr());
        if let Some((tiles, quads, points)) = &self.winograd {
            more_scratch(tiles.scratch(), |scratch| {
                let (points, scratch) = (points.as_ptr(), scratch.as_mut_ptr());
                // SAFETY: the lengths were checked above, and points and quads were made for these tiles.
                unsafe {
                    winograd::convolve(
                        level, tiles, images, quads, input, points, accumulate, output, scratch,
                    );
                }
            });
            return;
        }
        for product in &self.products {
            let p = Rows {
                quads: &product.quads[..images * product.quads_per_image],
                input_stride: product.input_stride,
                output_stride: product.output_stride,
                runs: &product.runs,
                run: product.run,
                columns: product.columns,
                accumulate,
            };
            // SAFETY: the quads of these images lie inside both (the last row's quads read into the room that
            // `scratch_len` leaves), and the weights were packed for this product.
            unsafe { rows(level, &p, input, self.packed[product.weights..].as_ptr(), output) }
        }
    }
}
