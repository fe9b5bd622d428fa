//! The trunk's forward pass, convolution by convolution.

use rayon::prelude::*;

use super::conv::{Algorithm, Prepared, scratch_len};
use super::flow::Source;
use super::isa::Level;
use super::norm::{self, Moments};
use super::pixels::{NormState, moments};
use super::plan::{Conv, Norm};
use super::pool::{Buffer, scratch};
use super::program::{Forward, Saved, Statistics, Trunk, group};

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
        let plan = &self.plan;
        let mut batch_statistics = match statistics {
            Statistics::Batch => Some((vec![0.0; plan.buffers_len], vec![0.0; plan.buffers_len])),
            Statistics::Running(..) => None,
        };
        let wanted = batch_statistics.is_some();
        let mut settle = |norm: &Norm, parts: Vec<Moments>| match statistics {
            Statistics::Running(mean, variance) => {
                let of = |v: &[f32]| -> Vec<f64> {
                    v[norm.running..norm.running + norm.channels].iter().map(|v| f64::from(*v)).collect()
                };
                norm::state(norm, theta, &of(mean), &of(variance))
            }
            Statistics::Batch => {
                let (n, mean, m2) = norm::combine(&parts);
                let biased: Vec<f64> = m2.iter().map(|m| m / n).collect();
                if let Some((means, variances)) = &mut batch_statistics {
                    for i in 0..norm.channels {
                        means[norm.running + i] = mean[i] as f32;
                        variances[norm.running + i] = (m2[i] / (n - 1.0).max(1.0)) as f32;
                    }
                }
                norm::state(norm, theta, &mean, &biased)
            }
        };

        let mut stem = self.output_of(&plan.stem, batch);
        let parts = self.convolve(
            theta,
            batch,
            (&plan.stem, Source::Images(images)),
            (&mut stem, false),
            None,
            None,
            wanted,
        );
        let stem_norm = settle(&plan.stem_norm, parts);
        let mut blocks: Vec<(NormState, Buffer, NormState, Buffer)> = vec![];
        // Statistics of the newest block output, for the norm that comes next.
        let mut parts =
            if wanted { self.activation_moments(&plan.stem, batch, &stem, &stem_norm) } else { vec![] };
        for block in &plan.blocks {
            let (x, inner) = match blocks.last() {
                Some((_, _, _, out)) => (out, None),
                None => (&stem, Some(&stem_norm)),
            };
            let norm1 = settle(&block.norm1, parts);
            let source = Source::Norm { x, inner, norm: &norm1 };
            let mut mid = self.output_of(&block.conv1, batch);
            let mut out = self.output_of(&block.conv2, batch);
            let more = block.shortcut.as_ref().map(|conv| (conv, &mut *out));
            let found =
                self.convolve(theta, batch, (&block.conv1, source), (&mut mid, false), more, None, wanted);
            let norm2 = settle(&block.norm2, found);
            let hidden = Source::Norm { x: &mid, inner: None, norm: &norm2 };
            let identity = if block.shortcut.is_none() { Some(source) } else { None };
            let onto = (&mut *out, block.shortcut.is_some());
            parts = self.convolve(theta, batch, (&block.conv2, hidden), onto, None, identity, wanted);
            if !save {
                // Only the newest output is read again.
                blocks.clear();
            }
            blocks.push((norm1, mid, norm2, out));
        }
        let features = match (blocks.last(), plan.blocks.last()) {
            (Some((_, _, _, out)), Some(block)) => pool_features(&block.conv2, out, plan.features),
            _ => vec![],
        };
        let saved = save.then_some(Saved { stem, stem_norm, blocks });
        Forward { features, batch: batch_statistics, saved }
    }

    /// One convolution over the batch, optionally with a second one of the same input, and with a shortcut
    /// added to its output; gives the moments of the output.
    #[allow(clippy::too_many_arguments)]
    fn convolve(
        &self,
        theta: &[f32],
        batch: usize,
        (conv, source): (&Conv, Source<'_>),
        (out, accumulate): (&mut [f32], bool),
        more: Option<(&Conv, &mut [f32])>,
        identity: Option<Source<'_>>,
        wanted: bool,
    ) -> Vec<Moments> {
        let level = self.level;
        let images = group(conv, batch);
        let algorithm = self.algorithm(conv, batch);
        let first = Prepared::forward(conv, theta, images, accumulate, algorithm, level, &self.pool);
        let (more_conv, more_out) = more.unzip();
        let second = more_conv
            .map(|c| Prepared::forward(c, theta, images, false, Algorithm::Direct, level, &self.pool));
        let image = out.len() / batch;
        let more_out: Vec<Option<&mut [f32]>> = match more_out {
            Some(out) => out.chunks_mut(images * image).map(Some).collect(),
            None => (0..batch.div_ceil(images)).map(|_| None).collect(),
        };
        let c = conv.cout_memory();
        out.par_chunks_mut(images * image)
            .zip(more_out)
            .enumerate()
            .filter_map(|(g, (out, more_out))| {
                let n = out.len() / image;
                scratch([scratch_len(images, conv.size, conv.cin_memory)], |[padded]| {
                    source.fill(level, conv, g * images, n, padded);
                    first.run(padded, out);
                    if let (Some(second), Some(to)) = (&second, more_out) {
                        second.run(padded, to);
                    }
                });
                if let Some(source) = identity {
                    source.add_to(level, c, image, g * images, out);
                }
                wanted.then(|| take_moments(level, out, c, None))
            })
            .collect()
    }

    /// Moments of relu(norm(x)).
    fn activation_moments(&self, conv: &Conv, batch: usize, x: &[f32], norm: &NormState) -> Vec<Moments> {
        let images = group(conv, batch);
        let c = conv.cout_memory();
        x.par_chunks(images * x.len() / batch).map(|x| take_moments(self.level, x, c, Some(norm))).collect()
    }
}

/// Moments of whole pixels.
fn take_moments(level: Level, x: &[f32], channels: usize, inner: Option<&NormState>) -> Moments {
    let count = x.len() / channels;
    let (mut mean, mut m2) = (vec![0.0; channels], vec![0.0; channels]);
    // SAFETY: x holds `count` pixels of these channels, as do the results and the norm.
    unsafe { moments(level, x.as_ptr(), count, channels, inner, mean.as_mut_ptr(), m2.as_mut_ptr()) };
    Moments { count, mean, m2 }
}

/// Average over all pixels of each image: (B, F).
fn pool_features(conv: &Conv, out: &[f32], features: usize) -> Vec<f32> {
    let (area, c) = (conv.out_size() * conv.out_size(), conv.cout_memory());
    let mut pooled = Vec::with_capacity(out.len() / (area * c) * features);
    for image in out.chunks_exact(area * c) {
        let mut sums = vec![0.0f32; c];
        for pixel in image.chunks_exact(c) {
            for (s, v) in sums.iter_mut().zip(pixel) {
                *s += v;
            }
        }
        pooled.extend(sums[..features].iter().map(|s| s / area as f32));
    }
    pooled
}
