//! The trunk's forward pass, convolution by convolution.

use rayon::prelude::*;

use super::{BatchStatistics, Forward, Saved, SavedBlock, Statistics, Trunk, group};
use crate::network::cpu::average_pool::average_pool;
use crate::network::cpu::buffers::scratch;
use crate::network::cpu::convolution::{Algorithm, ConvInput, Direction, PreparedConvolution, scratch_len};
use crate::network::cpu::norm::{self, Coefficients, Moments};
use crate::network::parameters::{Conv, Norm};

impl Trunk {
    /// images (B, H, W, C) → features (B, F).
    pub fn forward(
        &self,
        theta: &[f32],
        images: &[f32],
        batch: usize,
        statistics: Statistics<'_>,
        save: bool,
    ) -> Forward {
        let layout = &self.layout;
        let mut norms = Norms::new(theta, statistics, layout.buffers_len);
        let moments = norms.of_batch.is_some();

        let mut stem = self.output_of(&layout.stem, batch);
        let pass =
            Convolution { theta, batch, conv: &layout.stem, input: ConvInput::Images(images), moments };
        let parts = self.convolve(pass, (&mut stem, false), None, None);
        let stem_norm = norms.coefficients(&layout.stem_norm, parts);
        let mut blocks: Vec<SavedBlock> = vec![];
        // Moments of the newest block output, for the norm that comes next.
        let mut parts =
            if moments { self.activation_moments(&layout.stem, batch, &stem, &stem_norm) } else { vec![] };
        for block in &layout.blocks {
            let (x, inner) = match blocks.last() {
                Some(before) => (&before.out, None),
                None => (&stem, Some(&stem_norm)),
            };
            let norm1 = norms.coefficients(&block.norm1, parts);
            let input = ConvInput::Norm { x, inner, norm: &norm1 };
            let mut mid = self.output_of(&block.conv1, batch);
            let mut out = self.output_of(&block.conv2, batch);
            let shortcut = block.shortcut.as_ref().map(|conv| (conv, &mut *out));
            let pass = Convolution { theta, batch, conv: &block.conv1, input, moments };
            let mid_parts = self.convolve(pass, (&mut mid, false), shortcut, None);
            let norm2 = norms.coefficients(&block.norm2, mid_parts);
            let hidden = ConvInput::Norm { x: &mid, inner: None, norm: &norm2 };
            let identity = if block.shortcut.is_none() { Some(input) } else { None };
            let pass = Convolution { theta, batch, conv: &block.conv2, input: hidden, moments };
            parts = self.convolve(pass, (&mut out, block.shortcut.is_some()), None, identity);
            if !save {
                // Only the newest output is read again.
                blocks.clear();
            }
            blocks.push(SavedBlock { norm1, mid, norm2, out });
        }
        let features = match (blocks.last(), layout.blocks.last()) {
            (Some(last), Some(block)) => {
                let area = block.conv2.out_size() * block.conv2.out_size();
                average_pool(&last.out, area, block.conv2.cout_memory(), layout.features)
            }
            _ => vec![],
        };
        let saved = save.then_some(Saved { stem, stem_norm, blocks });
        Forward { features, batch: norms.of_batch, saved }
    }

    /// One convolution over the batch to `out` (added where `accumulate`), optionally with a second one of the same
    /// input, a block's shortcut, and with an identity shortcut added to its output; gives the moments of the output
    /// where they are asked for.
    fn convolve(
        &self,
        Convolution { theta, batch, conv, input, moments }: Convolution<'_>,
        (out, accumulate): (&mut [f32], bool),
        shortcut: Option<(&Conv, &mut [f32])>,
        identity: Option<ConvInput<'_>>,
    ) -> Vec<Moments> {
        let level = self.level;
        let images = group(conv, batch);
        let prepared = |conv, accumulate, algorithm| {
            let by = (level, &self.buffers);
            PreparedConvolution::new(Direction::Forward, conv, theta, images, accumulate, algorithm, by)
        };
        let first = prepared(conv, accumulate, self.algorithm(conv, batch));
        let (shortcut, shortcut_out) = shortcut.unzip();
        let second = shortcut.map(|conv| prepared(conv, false, Algorithm::Direct));
        let image = out.len() / batch;
        let shortcut_out: Vec<Option<&mut [f32]>> = match shortcut_out {
            Some(out) => out.chunks_mut(images * image).map(Some).collect(),
            None => (0..batch.div_ceil(images)).map(|_| None).collect(),
        };
        let c = conv.cout_memory();
        out.par_chunks_mut(images * image)
            .zip(shortcut_out)
            .enumerate()
            .filter_map(|(g, (out, shortcut_out))| {
                let n = out.len() / image;
                scratch([scratch_len(images, conv.size, conv.cin_memory)], |[padded]| {
                    input.fill(level, conv, g * images, n, padded);
                    first.run(padded, out);
                    if let (Some(second), Some(to)) = (&second, shortcut_out) {
                        second.run(padded, to);
                    }
                });
                if let Some(input) = identity {
                    input.add_to(level, c, image, g * images, out);
                }
                moments.then(|| Moments::of(level, out, c, None))
            })
            .collect()
    }

    /// Moments of relu(norm(x)).
    fn activation_moments(&self, conv: &Conv, batch: usize, x: &[f32], norm: &Coefficients) -> Vec<Moments> {
        let images = group(conv, batch);
        let c = conv.cout_memory();
        x.par_chunks(images * x.len() / batch).map(|x| Moments::of(self.level, x, c, Some(norm))).collect()
    }
}

/// A convolution over a batch.
struct Convolution<'a> {
    theta: &'a [f32],
    batch: usize,
    conv: &'a Conv,
    input: ConvInput<'a>,
    /// Take the moments of the output.
    moments: bool,
}

/// The norms of a pass.
struct Norms<'a> {
    theta: &'a [f32],
    statistics: Statistics<'a>,
    /// The batch's statistics as far as they are known, where they are used.
    of_batch: Option<BatchStatistics>,
}

impl<'a> Norms<'a> {
    fn new(theta: &'a [f32], statistics: Statistics<'a>, channels: usize) -> Self {
        let of_batch = match statistics {
            Statistics::Batch => Some((vec![0.0; channels], vec![0.0; channels])),
            Statistics::Running(..) => None,
        };
        Self { theta, statistics, of_batch }
    }

    /// The coefficients of a norm over an output with these moments.
    fn coefficients(&mut self, norm: &Norm, parts: Vec<Moments>) -> Coefficients {
        match self.statistics {
            Statistics::Running(mean, variance) => {
                let of = |v: &[f32]| -> Vec<f64> {
                    v[norm.running..norm.running + norm.channels].iter().map(|v| f64::from(*v)).collect()
                };
                norm::coefficients(norm, self.theta, &of(mean), &of(variance))
            }
            Statistics::Batch => {
                let (n, mean, m2) = norm::combine(&parts);
                let biased: Vec<f64> = m2.iter().map(|m| m / n).collect();
                if let Some((means, variances)) = &mut self.of_batch {
                    for i in 0..norm.channels {
                        means[norm.running + i] = mean[i] as f32;
                        variances[norm.running + i] = (m2[i] / (n - 1.0).max(1.0)) as f32;
                    }
                }
                norm::coefficients(norm, self.theta, &mean, &biased)
            }
        }
    }
}
