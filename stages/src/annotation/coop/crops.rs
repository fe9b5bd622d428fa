//! What CoOp sees of an image in training: a random crop at the input's size, perhaps mirrored, through CLIP's image
//! tower.

use candle_core::Device;
use image::RgbImage;
use image::imageops::{crop_imm, flip_horizontal};
use pipeline::error::{Error, OrFail, Result};
use pipeline::random;
use pipeline::stage::Context;
use rand::Rng;
use rayon::prelude::*;

use crate::annotation::embed::{AHEAD, BATCH};
use crate::artifacts::images::Encoded;
use crate::clip::ImageEncoder;
use crate::runtime::prefetch::prefetch;
use crate::vision::decode::decode;
use crate::vision::resize::{Filter, resize_rgb};

/// The share of an image's area that a crop has, from the least to the most.
const AREA: [f64; 2] = [0.08, 1.0];
/// A crop's width divided by its height, from the least to the most.
const ASPECT: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];
/// Draws of a crop until the middle of the image is taken.
const TRIES: usize = 10;

/// A part of an image, in pixels, and whether it is mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Crop {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
    mirrored: bool,
}

impl Crop {
    /// Draws a crop as torchvision's `RandomResizedCrop` does: its area evenly, its aspect evenly on a logarithmic
    /// scale.
    fn draw((width, height): (u32, u32), flip: bool, random: &mut impl Rng) -> Self {
        let area = f64::from(width) * f64::from(height);
        let mut drawn = None;
        for _ in 0..TRIES {
            let area = area * between(AREA, random);
            let aspect = between(ASPECT.map(f64::ln), random).exp();
            let [wide, high] = [area * aspect, area / aspect].map(|square| square.sqrt().round() as u32);
            if (1..=width).contains(&wide) && (1..=height).contains(&high) {
                let (top, left) = (below(height - high + 1, random), below(width - wide + 1, random));
                drawn = Some((left, top, wide, high));
                break;
            }
        }
        let (left, top, width, height) = drawn.unwrap_or_else(|| middle(width, height));
        // An image that is not to be mirrored uses as many numbers as one that is.
        let coin = below(2, random) == 1;
        Self { left, top, width, height, mirrored: flip && coin }
    }

    /// This part of the image, resized to a square of `side` pixels.
    fn of(self, image: &RgbImage, side: u32) -> RgbImage {
        let part = crop_imm(image, self.left, self.top, self.width, self.height).to_image();
        let view = resize_rgb(&part, side, side, Filter::Bicubic);
        if self.mirrored { flip_horizontal(&view) } else { view }
    }
}

/// Left, top, width and height of the largest part in the middle whose aspect is allowed.
fn middle(width: u32, height: u32) -> (u32, u32, u32, u32) {
    let (w, h) = (f64::from(width), f64::from(height));
    let [narrowest, widest] = ASPECT;
    let wide = width.min((h * widest).round() as u32).max(1);
    let high = height.min((w / narrowest).round() as u32).max(1);
    ((width - wide) / 2, (height - high) / 2, wide, high)
}

// One 32-bit word a draw, mapped here and not by a library, whose next version may map it otherwise.

/// Uniform from the first to the second.
fn between([low, high]: [f64; 2], random: &mut impl Rng) -> f64 {
    low + (high - low) * f64::from(random.next_u32()) / 4_294_967_296.0
}

/// Uniform below `count`, to within `count` / 2³².
pub(super) fn below(count: u32, random: &mut impl Rng) -> u32 {
    ((u64::from(random.next_u32()) * u64::from(count)) >> 32) as u32
}

/// CLIP's image tower over crops of images.
pub(super) struct CropEncoder<'a> {
    /// The tower.
    pub encoder: ImageEncoder,
    /// All images.
    pub encoded: Encoded,
    /// Their ids, which choose the random numbers of their crops.
    pub ids: &'a [String],
    /// Seed of the crops.
    pub seed: u64,
    /// Whether a mirrored image keeps its meaning.
    pub flip: bool,
    /// Where the tower is.
    pub device: Device,
    /// Whether to stop.
    pub context: &'a Context,
}

impl CropEncoder<'_> {
    /// Features (N, P), row after row, of so many crops: of the image in this row, the crop of this number.
    ///
    /// # Errors
    /// The user asked to stop, an image does not decode, the device runs out of memory.
    pub fn encode(&self, crops: &[(usize, u64)]) -> Result<Vec<f32>> {
        let width = self.encoder.width();
        let mut all = Vec::with_capacity(crops.len() * width);
        let batch = |number: usize| &crops[number * BATCH..((number + 1) * BATCH).min(crops.len())];
        let prepare = |number: usize| {
            self.context.safe_point()?;
            // Every crop of the batch is tried, so that the error does not depend on which thread was first.
            let views: Vec<_> = batch(number).par_iter().map(|&(row, crop)| self.view(row, crop)).collect();
            let mut views = views.into_iter().collect::<Result<Vec<_>>>()?;
            // On an accelerator the size of a batch may choose between products that round differently.
            if let (false, Some(last)) = (self.device.is_cpu(), views.last().cloned()) {
                views.resize(BATCH, last);
            }
            self.encoder.batch_as_is(&views) // (B, 3, S, S)
        };
        prefetch(crops.len().div_ceil(BATCH), AHEAD, prepare, |number, views| {
            self.context.safe_point()?;
            let features = self.encoder.encode(&views)?; // (B, P)
            let features = features.flatten_all().and_then(|features| features.to_vec1::<f32>());
            let features = features.or_fail(|| Error::new("cannot encode the crops"))?;
            all.extend(&features[..batch(number).len() * width]);
            Ok(())
        })?;
        Ok(all)
    }

    /// One crop of an image, at the input's size.
    fn view(&self, row: usize, number: u64) -> Result<RgbImage> {
        let id = &self.ids[row];
        let image = decode(self.encoded.get(row))
            .map_err(|error| Error::new(format!("image `{id}` does not decode")).because(error))?;
        let mut random = random::stream(self.seed, &format!("coop/crop {number} of {id}"));
        let crop = Crop::draw(image.dimensions(), self.flip, &mut random);
        Ok(crop.of(&image, self.encoder.preprocess().side() as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(sides: (u32, u32), flip: bool) -> Vec<Crop> {
        let mut random = random::stream(0, "crops");
        (0..2000).map(|_| Crop::draw(sides, flip, &mut random)).collect()
    }

    #[test]
    fn a_crop_lies_in_the_image_and_has_an_area_and_an_aspect_that_are_allowed() {
        let (width, height) = (200, 150);
        let all = draws((width, height), true);
        let (mut areas, mut aspects) = (Vec::new(), Vec::new());
        for crop in &all {
            assert!(crop.left + crop.width <= width && crop.top + crop.height <= height, "{crop:?}");
            areas.push(f64::from(crop.width * crop.height) / f64::from(width * height));
            aspects.push(f64::from(crop.width) / f64::from(crop.height));
        }
        let ends = |values: &[f64]| values.iter().fold((f64::MAX, 0f64), |(a, b), v| (a.min(*v), b.max(*v)));
        let ((least, most), (narrowest, widest)) = (ends(&areas), ends(&aspects));
        // To within a pixel's rounding, and both ends are reached.
        assert!((0.075..0.1).contains(&least) && (0.9..=1.0).contains(&most), "{least} to {most}");
        assert!(
            (0.72..0.77).contains(&narrowest) && (1.3..1.38).contains(&widest),
            "{narrowest} to {widest}"
        );
        let mirrored = all.iter().filter(|crop| crop.mirrored).count();
        assert!((900..1100).contains(&mirrored), "{mirrored}");
        assert!(all.iter().any(|crop| crop.left == 0) && all.iter().any(|crop| crop.left > width / 2));
    }

    #[test]
    fn images_that_lose_their_meaning_are_not_mirrored_and_cropped_alike() {
        let (mirrored, not) = (draws((32, 32), true), draws((32, 32), false));
        assert!(not.iter().all(|crop| !crop.mirrored));
        assert!(mirrored.iter().zip(&not).all(|(a, b)| Crop { mirrored: false, ..*a } == *b));
    }

    #[test]
    fn of_an_image_too_narrow_for_any_crop_the_middle_is_taken() {
        assert_eq!(middle(10, 1000), (0, 493, 10, 13));
        assert_eq!(middle(1000, 12), (492, 0, 16, 12));
        assert_eq!(middle(1, 1), (0, 0, 1, 1));
        for sides in [(1, 1), (1, 3000), (3000, 2), (3, 2)] {
            for crop in draws(sides, true) {
                assert!(crop.width > 0 && crop.height > 0, "{crop:?}");
                assert!(crop.left + crop.width <= sides.0 && crop.top + crop.height <= sides.1, "{crop:?}");
            }
        }
    }

    #[test]
    fn a_crop_is_the_part_resized_and_mirrored_last() {
        let image = RgbImage::from_fn(20, 10, |x, y| image::Rgb([x as u8 * 10, y as u8 * 20, 7]));
        let part = Crop { left: 4, top: 2, width: 8, height: 8, mirrored: false };
        let view = part.of(&image, 8);
        // A part of the result's size keeps its pixels.
        assert!(view.enumerate_pixels().all(|(x, y, pixel)| pixel == image.get_pixel(x + 4, y + 2)));
        let mirrored = Crop { mirrored: true, ..part }.of(&image, 8);
        assert!(mirrored.enumerate_pixels().all(|(x, y, pixel)| pixel == view.get_pixel(7 - x, y)));
        assert_eq!(part.of(&image, 5).dimensions(), (5, 5));
    }
}
