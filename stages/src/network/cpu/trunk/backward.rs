//! The trunk's backward pass, from the pooled features to the flat parameters.

use rayon::prelude::*;

use super::{Saved, Trunk, group};
use crate::network::cpu::buffers::{Buffer, scratch};
use crate::network::cpu::convolution::{
    Algorithm, COLUMNS_PER_TASK, ConvInput, Direction, OutputGradient, PreparedConvolution, Shortcut,
    WeightGradient, scratch_len, split_by_columns, unpad,
};
use crate::network::cpu::norm::{self, GradientCoefficients, Sums, norm_gradient};
use crate::network::parameters::{Conv, padded};

impl Trunk {
    /// Gradients of features (B, F) → gradient of the flat parameters.
    pub fn backward(
        &self,
        theta: &[f32],
        images: &[f32],
        batch: usize,
        saved: &Saved,
        features_grad: &[f32],
    ) -> Vec<f32> {
        let layout = &self.layout;
        let mut flat = vec![0.0; layout.len];
        // The newest dz, and the coefficients that turn it into the gradient of its block's input.
        let mut newest: Option<(Buffer, GradientCoefficients)> = None;
        for (b, block) in layout.blocks.iter().enumerate().rev() {
            let now = &saved.blocks[b];
            let upstream = match (&newest, saved.blocks.get(b + 1)) {
                (Some((dz, grad)), Some(next)) => {
                    OutputGradient::Norm { dz, x: &now.out, norm: &next.norm1, grad }
                }
                _ => OutputGradient::Pool { grad: features_grad, features: layout.features },
            };
            let hidden = ConvInput::Norm { x: &now.mid, inner: None, norm: &now.norm2 };
            let mut dz2 = self.output_of(&block.conv1, batch);
            let pass = ConvolutionBackward {
                theta,
                batch,
                conv: &block.conv2,
                input: hidden,
                upstream,
                shortcut: Shortcut::None,
            };
            let sums = self.back(&pass, &mut dz2, &mut flat);
            let pixels = dz2.len() / padded(block.norm2.channels);
            let grad2 = norm::gradient(&block.norm2, theta, &now.norm2, &sums, pixels, &mut flat);

            let (x, inner) = match b.checked_sub(1) {
                Some(before) => (&saved.blocks[before].out, None),
                None => (&saved.stem, Some(&saved.stem_norm)),
            };
            let shortcut = match &block.shortcut {
                Some(conv) => Shortcut::Conv(conv, upstream),
                None => Shortcut::Identity(upstream),
            };
            let pass = ConvolutionBackward {
                theta,
                batch,
                conv: &block.conv1,
                input: ConvInput::Norm { x, inner, norm: &now.norm1 },
                upstream: OutputGradient::Norm { dz: &dz2, x: &now.mid, norm: &now.norm2, grad: &grad2 },
                shortcut,
            };
            let mut dz1 = self.buffers.take(x.len());
            let sums = self.back(&pass, &mut dz1, &mut flat);
            let pixels = dz1.len() / padded(block.norm1.channels);
            let grad1 = norm::gradient(&block.norm1, theta, &now.norm1, &sums, pixels, &mut flat);
            newest = Some((dz1, grad1));
        }
        if let (Some((mut dz, grad)), Some(first)) = (newest, saved.blocks.first()) {
            // Through the first block's norm and the stem's ReLU, in place.
            let c = layout.stem.cout_memory();
            let chunk = group(&layout.stem, batch) * dz.len() / batch;
            let sums: Vec<Sums> = dz
                .par_chunks_mut(chunk)
                .zip(saved.stem.par_chunks(chunk))
                .map(|(dz, x)| {
                    let (n, inner) = (dz.len() / c, Some(&saved.stem_norm));
                    let (to, at) = (dz.as_mut_ptr(), x.as_ptr());
                    let from = to.cast_const();
                    // SAFETY: both hold n pixels of c channels, as do the norms.
                    unsafe {
                        norm_gradient(
                            self.level,
                            from,
                            at,
                            n,
                            c,
                            0,
                            c,
                            inner,
                            &first.norm1,
                            &grad,
                            false,
                            to,
                        );
                    }
                    let mut sums = Sums::new(c);
                    sums.through_relu(self.level, dz, x, None, &saved.stem_norm);
                    sums
                })
                .collect();
            let (norm, pixels) = (&saved.stem_norm, dz.len() / c);
            let grad = norm::gradient(&layout.stem_norm, theta, norm, &sums, pixels, &mut flat);
            let pass = ConvolutionBackward {
                theta,
                batch,
                conv: &layout.stem,
                input: ConvInput::Images(images),
                upstream: OutputGradient::Norm { dz: &dz, x: &saved.stem, norm, grad: &grad },
                shortcut: Shortcut::None,
            };
            self.back(&pass, &mut [], &mut flat);
        }
        flat
    }

    /// Back through one convolution and the ReLU before it. The weight's gradient goes to `flat`; `dz` (empty
    /// for the stem) gets the gradient of the norm's output, and its sums are returned.
    fn back(&self, pass: &ConvolutionBackward<'_>, dz: &mut [f32], flat: &mut [f32]) -> Vec<Sums> {
        let split = split_by_columns(pass.conv);
        if split {
            self.weight_by_columns(pass, pass.conv, pass.upstream, flat);
            if let Shortcut::Conv(conv, upstream) = pass.shortcut {
                self.weight_by_columns(pass, conv, upstream, flat);
            }
        }
        self.back_by_images(pass, dz, flat, !split)
    }

    /// Input gradients group by group; weight gradients too unless they are large.
    fn back_by_images(
        &self,
        pass: &ConvolutionBackward<'_>,
        dz: &mut [f32],
        flat: &mut [f32],
        weights: bool,
    ) -> Vec<Sums> {
        let ConvolutionBackward { theta, batch, conv, input: source, upstream, shortcut } = *pass;
        let (level, buffers) = (self.level, &self.buffers);
        let (ca, co, so) = (conv.cin_memory, conv.cout_memory(), conv.out_size());
        let images = group(conv, batch);
        let algorithm = self.algorithm(conv, batch);
        let prepared = |conv, accumulate, algorithm| {
            let by = (level, buffers);
            PreparedConvolution::new(Direction::InputGradient, conv, theta, images, accumulate, algorithm, by)
        };
        let data = (!dz.is_empty()).then(|| prepared(conv, false, algorithm));
        let weight = weights.then(|| WeightGradient::new(conv, co, images, algorithm, level));
        let (short_data, short_weight) = match shortcut {
            Shortcut::Conv(conv, _) => (
                Some(prepared(conv, true, Algorithm::Direct)),
                weights.then(|| WeightGradient::new(conv, co, images, Algorithm::Direct, level)),
            ),
            _ => (None, None),
        };
        let lens = [
            weight.as_ref().map_or(0, WeightGradient::len),
            short_weight.as_ref().map_or(0, WeightGradient::len),
        ];
        let partial = lens[0] + lens[1];
        // As many chunks as 4 MB of partial weight gradients allow, in whole groups.
        let chunks = if weights { (1_000_000 / partial.max(1)).clamp(8, 64) } else { 64 };
        let chunk = batch.div_ceil(chunks).next_multiple_of(images);
        let chunks = batch.div_ceil(chunk);
        let mut partials = buffers.take(chunks * partial.max(1));
        let image = dz.len() / batch;
        let dz_chunks: Vec<&mut [f32]> = if dz.is_empty() {
            (0..chunks).map(|_| &mut [][..]).collect()
        } else {
            dz.chunks_mut(chunk * image).collect()
        };
        let sums = partials
            .par_chunks_mut(partial.max(1))
            .zip(dz_chunks)
            .enumerate()
            .map(|(k, (partial, dz))| {
                partial.fill(0.0);
                let (first_weight, second_weight) = partial.split_at_mut(lens[0]);
                let mut sums = Sums::new(ca);
                let end = ((k + 1) * chunk).min(batch);
                let mut dz = dz;
                let mut at = k * chunk;
                while at < end {
                    let n = images.min(end - at);
                    let (dz_group, rest) = std::mem::take(&mut dz).split_at_mut(n * image);
                    dz = rest;
                    let lens = [scratch_len(images, so, co), scratch_len(images, conv.size, ca)];
                    scratch(lens, |[grad, input]| {
                        upstream.fill(level, conv, at, n, [0, co], grad);
                        if let Some(weight) = &weight {
                            source.fill(level, conv, at, n, input);
                            weight.add(n, input, grad, first_weight);
                        }
                        if let Some(data) = &data {
                            data.run(grad, dz_group);
                        }
                        match shortcut {
                            Shortcut::None => {}
                            Shortcut::Identity(upstream) => upstream.add_to(level, conv, at, dz_group),
                            Shortcut::Conv(conv, upstream) => {
                                upstream.fill(level, conv, at, n, [0, co], grad);
                                if let Some(weight) = &short_weight {
                                    weight.add(n, input, grad, second_weight);
                                }
                                if let Some(data) = &short_data {
                                    data.run(grad, dz_group);
                                }
                            }
                        }
                    });
                    if let (ConvInput::Norm { x, inner, norm }, true) = (source, image > 0) {
                        let x = &x[at * image..(at + n) * image];
                        for (dz, x) in dz_group.chunks_exact_mut(image).zip(x.chunks_exact(image)) {
                            sums.through_relu(level, dz, x, inner, norm);
                        }
                    }
                    at += n;
                }
                sums
            })
            .collect();
        if weights {
            let (total, others) = partials.split_at_mut(partial);
            total.par_chunks_mut(4096).enumerate().for_each(|(k, total)| {
                for other in others.chunks_exact(partial) {
                    for (t, o) in total.iter_mut().zip(&other[k * 4096..]) {
                        *t += o;
                    }
                }
            });
            let (first, second) = total.split_at(lens[0]);
            if let Some(weight) = &weight {
                weight.finish(first, buffers, |taps| unpad(conv, taps, 0, co, flat));
            }
            if let (Shortcut::Conv(conv, _), Some(weight)) = (shortcut, &short_weight) {
                weight.finish(second, buffers, |taps| unpad(conv, taps, 0, co, flat));
            }
        }
        sums
    }

    /// A large weight gradient, of this convolution of the pass's input: every task takes some output channels over
    /// the whole batch.
    fn weight_by_columns(
        &self,
        &ConvolutionBackward { batch, input: source, .. }: &ConvolutionBackward<'_>,
        conv: &Conv,
        upstream: OutputGradient<'_>,
        flat: &mut [f32],
    ) {
        let level = self.level;
        let images = group(conv, batch);
        let co = conv.cout_memory();
        let columns = if co.is_multiple_of(COLUMNS_PER_TASK) { COLUMNS_PER_TASK } else { co };
        let weight = WeightGradient::new(conv, columns, images, self.algorithm(conv, batch), level);
        let mut results = self.buffers.take(weight.len() * (co / columns));
        results.par_chunks_mut(weight.len()).enumerate().for_each(|(task, result)| {
            result.fill(0.0);
            let lens = [
                scratch_len(images, conv.out_size(), columns),
                scratch_len(images, conv.size, conv.cin_memory),
            ];
            scratch(lens, |[grad, input]| {
                for at in (0..batch).step_by(images) {
                    let n = images.min(batch - at);
                    source.fill(level, conv, at, n, input);
                    upstream.fill(level, conv, at, n, [task * columns, columns], grad);
                    weight.add(n, input, grad, result);
                }
            });
        });
        for (task, result) in results.chunks_exact(weight.len()).enumerate() {
            if task * columns < conv.cout {
                weight.finish(result, &self.buffers, |taps| unpad(conv, taps, task * columns, columns, flat));
            }
        }
    }
}

/// A convolution on the way back.
#[derive(Clone, Copy)]
struct ConvolutionBackward<'a> {
    theta: &'a [f32],
    batch: usize,
    conv: &'a Conv,
    /// What it was given.
    input: ConvInput<'a>,
    /// The gradient of its output.
    upstream: OutputGradient<'a>,
    /// What else reaches its input.
    shortcut: Shortcut<'a>,
}
