//! The trunk on a CPU: forward and backward over the whole network, phase by phase.
//!
//! A phase is one convolution over the batch. Each group of images that fits the cache goes through it at
//! once: norm and ReLU are applied while the padded image is built, the shortcut is added and the next norm's
//! statistics are taken while the output is still in cache. Only a convolution's raw outputs are kept for the
//! backward pass; activations are made again from them. Groups and chunks depend on shapes alone, and parts
//! are combined in order, so results do not depend on the number of threads.
//!
//! It knows nothing of candle: slices in, slices out.

use rayon::prelude::*;

use super::conv::{
    Algorithm, COLUMNS_PER_TASK, Prepared, WeightGradient, fill_padded, padded_len, scratch_len,
    split_by_columns, unpad,
};
use super::isa::Level;
use super::norm::{self, Moments, Sums};
use super::pixels::{NormGrad, NormState, activate, moments, norm_gradient, relu_gradient};
use super::plan::{Conv, Norm, Plan, padded};
use super::pool::{Buffer, Pool, scratch};

/// Which statistics the norms use.
#[derive(Clone, Copy)]
pub(super) enum Statistics<'a> {
    /// Those of the batch.
    Batch,
    /// The running ones: flat means and variances.
    Running(&'a [f32], &'a [f32]),
}

/// Flat means and unbiased variances of a batch.
pub(super) type BatchStatistics = (Vec<f32>, Vec<f32>);

/// What the backward pass needs.
pub(super) struct Saved {
    stem: Buffer,
    stem_norm: NormState,
    /// First convolution's output and the block's output.
    blocks: Vec<(NormState, Buffer, NormState, Buffer)>,
}

/// Result of a forward pass.
pub(super) struct Forward {
    /// (B, features)
    pub features: Vec<f32>,
    /// Statistics of the batch, where they were used.
    pub batch: Option<BatchStatistics>,
    /// Kept for the backward pass, if asked for.
    pub saved: Option<Saved>,
}

/// Where a convolution's input comes from.
#[derive(Clone, Copy)]
enum Source<'a> {
    /// Images as they are.
    Images(&'a [f32]),
    /// relu(norm(x')), x' = relu(inner(x)) where there is an inner norm.
    Norm { x: &'a [f32], inner: Option<&'a NormState>, norm: &'a NormState },
}

impl Source<'_> {
    /// Builds the padded images `first..` of a convolution's input.
    fn fill(&self, level: Level, conv: &Conv, first: usize, images: usize, to: &mut [f32]) {
        let (size, c) = (conv.size, conv.cin_memory);
        let line = size * c;
        for (i, image) in to.chunks_exact_mut(padded_len(size, c)).take(images).enumerate() {
            let base = (first + i) * size * line;
            fill_padded(image, size, c, |y, row| {
                let at = base + y * line..base + (y + 1) * line;
                match self {
                    Source::Images(x) => row.copy_from_slice(&x[at]),
                    Source::Norm { x, inner, norm } => {
                        let x = &x[at];
                        // SAFETY: both rows hold `size · c` values, and the norms have c channels.
                        unsafe { activate(level, x.as_ptr(), size, c, *inner, norm, false, row.as_mut_ptr()) }
                    }
                }
            });
        }
    }

    /// Adds the activations of images `first..` to `to`.
    fn add_to(&self, level: Level, channels: usize, image: usize, first: usize, to: &mut [f32]) {
        if let Source::Norm { x, inner, norm } = self {
            let x = &x[first * image..first * image + to.len()];
            // SAFETY: both hold the same whole pixels, and the norms have these channels.
            unsafe {
                activate(
                    level,
                    x.as_ptr(),
                    to.len() / channels,
                    channels,
                    *inner,
                    norm,
                    true,
                    to.as_mut_ptr(),
                );
            }
        }
    }
}

/// Where the gradient of a convolution's output comes from.
#[derive(Clone, Copy)]
enum Upstream<'a> {
    /// The average pool: (B, features) gradients, shared by all pixels of an image.
    Pool { grad: &'a [f32], features: usize },
    /// A batch norm over this output `x` (or relu(inner(x))), whose own output's gradient is dz.
    Norm {
        dz: &'a [f32],
        x: &'a [f32],
        inner: Option<&'a NormState>,
        norm: &'a NormState,
        grad: &'a NormGrad,
    },
}

impl Upstream<'_> {
    /// Writes (or adds) the gradient of `n` pixels from `pixel` of image `image`, channels `from..` as many as
    /// `width`.
    #[allow(clippy::too_many_arguments)]
    fn write(
        &self,
        level: Level,
        of: &Conv,
        image: usize,
        pixel: usize,
        n: usize,
        [from, width]: [usize; 2],
        add: bool,
        to: &mut [f32],
    ) {
        let (area, c) = (of.out_size() * of.out_size(), of.cout_memory());
        match self {
            Upstream::Pool { grad, features } => {
                let grad = &grad[image * features..(image + 1) * features];
                let scale = 1.0 / area as f32;
                for to in to.chunks_exact_mut(width) {
                    if !add {
                        to.fill(0.0);
                    }
                    for (to, g) in to.iter_mut().zip(&grad[from.min(*features)..]) {
                        *to += g * scale;
                    }
                }
            }
            Upstream::Norm { dz, x, inner, norm, grad } => {
                let at = (image * area + pixel) * c..(image * area + pixel + n) * c;
                let (dz, x) = (&dz[at.clone()], &x[at]);
                assert!(to.len() >= n * width && from + width <= c);
                // SAFETY: n pixels of c channels are read, of `width` written, and the norms have c channels.
                unsafe {
                    norm_gradient(
                        level,
                        dz.as_ptr(),
                        x.as_ptr(),
                        n,
                        c,
                        from,
                        width,
                        *inner,
                        norm,
                        grad,
                        add,
                        to.as_mut_ptr(),
                    );
                }
            }
        }
    }

    /// Builds the padded gradients of images `first..`.
    fn fill(&self, level: Level, of: &Conv, first: usize, images: usize, cols: [usize; 2], to: &mut [f32]) {
        let (size, width) = (of.out_size(), cols[1]);
        for (i, image) in to.chunks_exact_mut(padded_len(size, width)).take(images).enumerate() {
            fill_padded(image, size, width, |y, row| {
                self.write(level, of, first + i, y * size, size, cols, false, row);
            });
        }
    }

    /// Adds the gradients of images `first..` to `to`.
    fn add_to(&self, level: Level, of: &Conv, first: usize, to: &mut [f32]) {
        let (area, c) = (of.out_size() * of.out_size(), of.cout_memory());
        for (i, image) in to.chunks_exact_mut(area * c).enumerate() {
            self.write(level, of, first + i, 0, area, [0, c], true, image);
        }
    }
}

/// What else reaches the input of a block's first convolution.
#[derive(Clone, Copy)]
enum Shortcut<'a> {
    None,
    /// The block's output gradient itself, the output having the first convolution's shape.
    Identity(Upstream<'a>),
    /// The block's output gradient through a 1×1 convolution.
    Conv(&'a Conv, Upstream<'a>),
}

/// Images that go through a convolution at once: their data should fit half of a second-level cache, and
/// large weights want many pixels.
fn group(conv: &Conv, batch: usize) -> usize {
    let area = conv.out_size() * conv.out_size();
    let bytes = 4 * (padded_len(conv.size, conv.cin_memory) + area * conv.cout_memory());
    let fitting = (400_000 / bytes).max(1);
    let large = 4 * conv.len() > 500_000;
    if large { fitting.max(512 / area).min(batch.div_ceil(4)) } else { fitting.min(batch.div_ceil(8)) }.max(1)
}

/// The trunk of a network.
#[derive(Clone)]
pub(super) struct Trunk {
    pub plan: Plan,
    pub level: Level,
    /// Use no Winograd transforms.
    pub exact: bool,
    pool: Pool,
}

impl Trunk {
    /// A trunk on the given instruction set.
    pub fn new(plan: Plan, level: Level) -> Self {
        Self { plan, level, exact: false, pool: Pool::shared() }
    }

    fn algorithm(&self, conv: &Conv, batch: usize) -> Algorithm {
        if self.exact { Algorithm::Direct } else { Algorithm::best(conv, batch) }
    }

    fn output_of(&self, conv: &Conv, batch: usize) -> Buffer {
        self.pool.take(batch * conv.out_size() * conv.out_size() * conv.cout_memory())
    }

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

/// Moments of whole pixels.
fn take_moments(level: Level, x: &[f32], channels: usize, inner: Option<&NormState>) -> Moments {
    let count = x.len() / channels;
    let (mut mean, mut m2) = (vec![0.0; channels], vec![0.0; channels]);
    // SAFETY: x holds `count` pixels of these channels, as do the results and the norm.
    unsafe { moments(level, x.as_ptr(), count, channels, inner, mean.as_mut_ptr(), m2.as_mut_ptr()) };
    Moments { count, mean, m2 }
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
