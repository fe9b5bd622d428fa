//! The weight's gradient of a convolution: Σ over pixels of activation × output gradient.

use rayon::prelude::*;

use super::{Algorithm, SharedPointer, padded_len};
use crate::network::cpu::buffers::{BufferPool, more_scratch};
use crate::network::cpu::gemm::{Outer, Span, outer};
use crate::network::cpu::simd::{LANES, Level};
use crate::network::cpu::winograd::{self, POINTS, Tiles};
use crate::network::parameters::{Conv, padded};

/// The weight gradient of a convolution, for groups of up to `images`.
pub struct WeightGradient {
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
    pub fn finish(&self, sum: &[f32], buffers: &BufferPool, take: impl FnOnce(&[f32])) {
        if let Some(t) = &self.winograd {
            let depth = t.channels * t.columns;
            let mut taps = buffers.take(9 * depth);
            let (from, to) = (sum, SharedPointer(taps.as_mut_ptr()));
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

/// Copies a padded weight gradient (kh, kw, input channels in memory, columns) of `columns` output channels from
/// `first` to its place in the flat gradient.
pub fn unpad(conv: &Conv, result: &[f32], first: usize, columns: usize, flat: &mut [f32]) {
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
pub const COLUMNS_PER_TASK: usize = 2 * LANES;

/// Whether a weight gradient is so large that it is split by output channels instead of by images.
pub fn split_by_columns(conv: &Conv) -> bool {
    conv.kernel * conv.kernel * padded(conv.cin) * padded(conv.cout) > 400_000
}
