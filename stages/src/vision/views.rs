//! Batches: chosen images of a set, augmented, normalised, as one f32 tensor (B, size, size, channels).
//!
//! The same draw gives the same bytes, on any number of threads: each sample has random numbers of its own.

use candle_core::{Device, Tensor};
use pipeline::error::{Error, OrFail, Result};
use pipeline::random::{ChaCha8Rng, stream};
use rand::{Rng, SeedableRng};
use rayon::prelude::*;

use super::augment::{draw_black_square, draw_strong, draw_weak};
use super::pixels::Pixels;
use super::strong_views::StrongViews;

/// Which view of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// As it is.
    Plain,
    /// Cropped and perhaps mirrored.
    Weak,
    /// Weak, then what the set's [`StrongViews`] add.
    Strong,
}

/// The random numbers of one batch: sample `i` has a stream of its own, which depends on nothing else
/// than what is given here and on `i`.
#[derive(Clone, Debug)]
pub struct Draw {
    key: [u8; 32],
}

impl Draw {
    /// Numbers for the batch `step` of `epoch`; `name` tells apart what is drawn at the same time
    /// ("weak view 0 of partial", …).
    pub fn new(seed: u64, name: &str, epoch: u64, step: u64) -> Self {
        let mut key = [0; 32];
        stream(seed, &format!("{name}, epoch {epoch}, step {step}")).fill_bytes(&mut key);
        Self { key }
    }

    fn of_sample(&self, position: usize) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::from_seed(self.key);
        random.set_stream(position as u64);
        random
    }
}

/// How the images of a set become a network's input (method §3, "Normalisation" and "Augmentation").
#[derive(Clone, Debug)]
pub struct Views {
    channels: usize,
    scale: Lanes,
    offset: Lanes,
    flip: bool,
    strong: StrongViews,
}

/// One value for each of 24 bytes in a row: a whole number of vectors and of pixels of 1 or 3 channels.
type Lanes = [f32; 24];

impl Views {
    /// Inputs are (value / 255 − `mean`) / `std`, where both have one number for all `channels` or one for
    /// each.
    /// `flip`: whether a mirrored image keeps its meaning. `strong`: what strong views have beside weak ones.
    ///
    /// # Errors
    /// A number of channels other than 1 and 3, another number of means or deviations, or one that is not
    /// finite, a deviation that is not above zero, or operations on one channel.
    pub fn new(channels: usize, mean: &[f32], std: &[f32], flip: bool, strong: StrongViews) -> Result<Self> {
        let counts = [mean.len(), std.len()];
        if !matches!(channels, 1 | 3) || counts.iter().any(|count| *count != 1 && *count != channels) {
            let what = format!(
                "cannot normalise {channels} channels with {} means and {} deviations",
                mean.len(),
                std.len()
            );
            return Err(Error::new(what).help("give 1 or 3 channels, and one number for all or one for each"));
        }
        if !mean.iter().all(|mean| mean.is_finite()) || !std.iter().all(|std| std.is_finite() && *std > 0.0) {
            let what = format!("cannot normalise with mean {mean:?} and standard deviation {std:?}");
            return Err(Error::new(what).help("give finite numbers, and deviations above zero"));
        }
        if strong == StrongViews::Operations && channels != 3 {
            let what = "strong views by operations need three channels, and these images have one";
            return Err(Error::new(what).help("set input.strong to cutout or to none"));
        }
        let lane = |values: &[f32], lane: usize| f64::from(values[lane % channels % values.len()]);
        let scale = std::array::from_fn(|i| (1.0 / (255.0 * lane(std, i))) as f32);
        let offset = std::array::from_fn(|i| (-lane(mean, i) / lane(std, i)) as f32);
        Ok(Self { channels, scale, offset, flip, strong })
    }

    /// The images at `indices`, as f32 (B, size, size, channels) on the CPU.
    ///
    /// # Errors
    /// As [`fill`](Self::fill).
    pub fn batch(&self, pixels: &Pixels, indices: &[usize], view: View, draw: &Draw) -> Result<Tensor> {
        let (size, channels) = (pixels.size(), pixels.channels());
        let mut data = vec![0.0; indices.len() * size * size * channels];
        self.fill(pixels, indices, view, draw, &mut data)?;
        Tensor::from_vec(data, (indices.len(), size, size, channels), &Device::Cpu)
            .or_fail(|| Error::new("cannot make the batch a tensor"))
    }

    /// As [`batch`](Self::batch), into `out`, of `indices.len() · size · size · channels` values, in parallel on
    /// the rayon pool this is called from.
    ///
    /// # Errors
    /// An index beyond the set, another number of channels than the views are for, or an `out` of another
    /// length.
    pub fn fill(
        &self,
        pixels: &Pixels,
        indices: &[usize],
        view: View,
        draw: &Draw,
        out: &mut [f32],
    ) -> Result<()> {
        let length = pixels.size() * pixels.size() * pixels.channels();
        if self.channels != pixels.channels() || out.len() != indices.len() * length {
            let what = format!(
                "cannot write {} images of {length} values with {} channels as {} values with {}",
                indices.len(),
                pixels.channels(),
                out.len(),
                self.channels
            );
            return Err(Error::new(what));
        }
        let images = indices.iter().map(|index| pixels.image(*index)).collect::<Option<Vec<_>>>();
        let Some(images) = images else {
            let what = format!("cannot take an image beyond the {} of the set", pixels.count());
            return Err(Error::new(what));
        };
        let samples = images.into_par_iter().zip(out.par_chunks_exact_mut(length)).enumerate();
        samples.for_each_init(
            || [vec![0; length], vec![0; length]],
            |room, (position, (image, out))| {
                self.write(pixels.size(), image, view, draw, position, room, out)
            },
        );
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "one sample's share of the arguments of `fill`")]
    fn write(
        &self,
        size: usize,
        image: &[u8],
        view: View,
        draw: &Draw,
        position: usize,
        [room, spare]: &mut [Vec<u8>; 2],
        out: &mut [f32],
    ) {
        if view == View::Plain {
            return normalise(&self.scale, &self.offset, image, out);
        }
        let mut random = draw.of_sample(position);
        draw_weak(size, self.flip, &mut random).apply(size, self.channels, image, room);
        match (view, self.strong) {
            (View::Strong, StrongViews::Operations) => {
                let strong = draw_strong(&mut random);
                strong.operation.apply(size, room, spare);
                strong.cutout.paint(size, room);
            }
            (View::Strong, StrongViews::Cutout) => {
                draw_black_square(size, &mut random).paint(size, self.channels, room);
            }
            _ => {}
        }
        normalise(&self.scale, &self.offset, room, out);
    }
}

widest! {
    fn normalise(scale: &Lanes, offset: &Lanes, image: &[u8], out: &mut [f32]) {
        let (blocks, rest) = image.as_chunks::<24>();
        let (outs, rest_out) = out.as_chunks_mut::<24>();
        for (block, out) in blocks.iter().zip(outs) {
            for lane in 0..24 {
                out[lane] = f32::from(block[lane]) * scale[lane] + offset[lane];
            }
        }
        for (lane, (value, out)) in rest.iter().zip(rest_out).enumerate() {
            *out = f32::from(*value) * scale[lane] + offset[lane];
        }
    }
}

#[cfg(test)]
mod tests;
