//! The trunk's backward pass, from the pooled features to the flat parameters.

use rayon::prelude::*;

use super::conv::{
    Algorithm, COLUMNS_PER_TASK, Prepared, WeightGradient, scratch_len, split_by_columns, unpad,
};
use super::flow::{Shortcut, Source, Upstream};
use super::isa::Level;
use super::norm::{self, Sums};
use super::pixels::{NormGrad, NormState, norm_gradient, relu_gradient};
use super::plan::{Conv, padded};
use super::pool::{Buffer, scratch};
use super::program::{Saved, Trunk, group};

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
        let plan = &self.plan;
        let level = self.level;
        let mut flat = vec![0.0; plan.len];
        // The newest dz, and the coefficients that turn it into the gradient of its block's input.
        let mut newest: Option<(Buffer, NormGrad)> = None;
        for (b, block) in plan.blocks.iter().enumerate().rev() {
            let (norm1, mid, norm2, out) = &saved.blocks[b];
            let upstream = match (&newest, saved.blocks.get(b + 1)) {
                (Some((dz, grad)), Some((norm, ..))) => {
                    Upstream::Norm { dz, x: out, inner: None, norm, grad }
                }
                _ => Upstream::Pool { grad: features_grad, features: plan.features },
            };
            let hidden = Source::Norm { x: mid, inner: None, norm: norm2 };
            let mut dz2 = self.output_of(&block.conv1, batch);
            let sums = self.back(
                theta,
                batch,
                (&block.conv2, hidden),
                upstream,
                Shortcut::None,
                &mut dz2,
                &mut flat,
            );
            let pixels = dz2.len() / padded(block.norm2.channels);
            let grad2 = norm::gradient(&block.norm2, theta, norm2, &sums, pixels, &mut flat);

            let (x, inner) = match b.checked_sub(1) {
                Some(before) => (&saved.blocks[before].3, None),
                None => (&saved.stem, Some(&saved.stem_norm)),
            };
            let source = Source::Norm { x, inner, norm: norm1 };
            let shortcut = match &block.shortcut {
                Some(conv) => Shortcut::Conv(conv, upstream),
                None => Shortcut::Identity(upstream),
            };
            let through = Upstream::Norm { dz: &dz2, x: mid, inner: None, norm: norm2, grad: &grad2 };
            let mut dz1 = self.pool.take(x.len());
            let sums =
                self.back(theta, batch, (&block.conv1, source), through, shortcut, &mut dz1, &mut flat);
            let pixels = dz1.len() / padded(block.norm1.channels);
            let grad1 = norm::gradient(&block.norm1, theta, norm1, &sums, pixels, &mut flat);
            newest = Some((dz1, grad1));
        }
        if let (Some((mut dz, grad)), Some((norm, ..))) = (newest, saved.blocks.first()) {
            // Through the first block's norm and the stem's ReLU, in place.
            let c = plan.stem.cout_memory();
            let chunk = group(&plan.stem, batch) * dz.len() / batch;
            let sums: Vec<Sums> = dz
                .par_chunks_mut(chunk)
                .zip(saved.stem.par_chunks(chunk))
                .map(|(dz, x)| {
                    let n = dz.len() / c;
                    let inner = Some(&saved.stem_norm);
                    // SAFETY: both hold n pixels of c channels, as do the norms.
                    unsafe {
                        norm_gradient(
                            level,
                            dz.as_ptr(),
                            x.as_ptr(),
                            n,
                            c,
                            0,
                            c,
                            inner,
                            norm,
                            &grad,
                            false,
                            dz.as_mut_ptr(),
                        );
                    }
                    let mut sums = Sums::new(c);
                    through_relu(level, dz, x, c, None, &saved.stem_norm, &mut sums);
                    sums
                })
                .collect();
            let stem_grad =
                norm::gradient(&plan.stem_norm, theta, &saved.stem_norm, &sums, dz.len() / c, &mut flat);
            let upstream = Upstream::Norm {
                dz: &dz,
                x: &saved.stem,
                inner: None,
                norm: &saved.stem_norm,
                grad: &stem_grad,
            };
            self.back(
                theta,
                batch,
                (&plan.stem, Source::Images(images)),
                upstream,
                Shortcut::None,
                &mut [],
                &mut flat,
            );
        }
        flat
    }

    /// Back through one convolution and the ReLU before it. The weight's gradient goes to `flat`; `dz` (empty
    /// for the stem) gets the gradient of the norm's output, and its sums are returned.
    #[allow(clippy::too_many_arguments)]
    fn back(
        &self,
        theta: &[f32],
        batch: usize,
        (conv, source): (&Conv, Source<'_>),
        upstream: Upstream<'_>,
        shortcut: Shortcut<'_>,
        dz: &mut [f32],
        flat: &mut [f32],
    ) -> Vec<Sums> {
        let split = split_by_columns(conv);
        if split {
            self.weight_by_columns(batch, conv, source, upstream, flat);
            if let Shortcut::Conv(conv, upstream) = shortcut {
                self.weight_by_columns(batch, conv, source, upstream, flat);
            }
        }
        self.back_by_images(theta, batch, (conv, source), upstream, shortcut, dz, flat, !split)
    }

    /// Input gradients group by group; weight gradients too unless they are large.
    #[allow(clippy::too_many_arguments)]
    fn back_by_images(
        &self,
        theta: &[f32],
        batch: usize,
        (conv, source): (&Conv, Source<'_>),
        upstream: Upstream<'_>,
        shortcut: Shortcut<'_>,
        dz: &mut [f32],
        flat: &mut [f32],
        weights: bool,
    ) -> Vec<Sums> {
        let level = self.level;
        let (ca, co, so) = (conv.cin_memory, conv.cout_memory(), conv.out_size());
        let images = group(conv, batch);
        let algorithm = self.algorithm(conv, batch);
        let data = (!dz.is_empty())
            .then(|| Prepared::backward(conv, theta, images, false, algorithm, level, &self.pool));
        let weight = weights.then(|| WeightGradient::new(conv, co, images, algorithm, level));
        let (short_data, short_weight) = match shortcut {
            Shortcut::Conv(conv, _) => (
                Some(Prepared::backward(conv, theta, images, true, Algorithm::Direct, level, &self.pool)),
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
        let mut partials = self.pool.take(chunks * partial.max(1));
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
                    if let (Source::Norm { x, inner, norm }, true) = (source, image > 0) {
                        let x = &x[at * image..(at + n) * image];
                        for (dz, x) in dz_group.chunks_exact_mut(image).zip(x.chunks_exact(image)) {
                            through_relu(level, dz, x, ca, inner, norm, &mut sums);
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
                weight.finish(first, &self.pool, |taps| unpad(conv, taps, 0, co, flat));
            }
            if let (Shortcut::Conv(conv, _), Some(weight)) = (shortcut, &short_weight) {
                weight.finish(second, &self.pool, |taps| unpad(conv, taps, 0, co, flat));
            }
        }
        sums
    }

    /// A large weight gradient: every task takes some output channels over the whole batch.
    fn weight_by_columns(
        &self,
        batch: usize,
        conv: &Conv,
        source: Source<'_>,
        upstream: Upstream<'_>,
        flat: &mut [f32],
    ) {
        let level = self.level;
        let images = group(conv, batch);
        let co = conv.cout_memory();
        let columns = if co.is_multiple_of(COLUMNS_PER_TASK) { COLUMNS_PER_TASK } else { co };
        let weight = WeightGradient::new(conv, columns, images, self.algorithm(conv, batch), level);
        let mut results = self.pool.take(weight.len() * (co / columns));
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
                weight.finish(result, &self.pool, |taps| unpad(conv, taps, task * columns, columns, flat));
            }
        }
    }
}

/// Back through a ReLU, in place, adding to the norm's sums.
fn through_relu(
    level: Level,
    da: &mut [f32],
    x: &[f32],
    channels: usize,
    inner: Option<&NormState>,
    norm: &NormState,
    sums: &mut Sums,
) {
    assert_eq!(da.len(), x.len(), "as many gradients as values");
    let (mut sum, mut dot) = (vec![0.0; channels], vec![0.0; channels]);
    // SAFETY: both hold the same whole pixels of these channels, as do the sums and the norms.
    unsafe {
        relu_gradient(
            level,
            da.as_mut_ptr(),
            x.as_ptr(),
            da.len() / channels,
            channels,
            inner,
            norm,
            sum.as_mut_ptr(),
            dot.as_mut_ptr(),
        );
    }
    sums.add(&sum, &dot);
}
