//! An image as CLIP wants it: short side resized as Pillow does, centre crop, scaled, normalised (method §1).
//!
//! One decoded image at a time. What it does is `transformers`' `CLIPImageProcessorPil`, or open_clip's transform where
//! open_clip's file asks for it. [`preprocess_config`](super::preprocess_config) reads what is asked for.

use image::{GenericImage, RgbImage};
use pipeline::error::{Error, Result};

use crate::vision::resize::{Filter, resize_rgb_window};

/// CLIP's channel means and deviations (R, G, B), for pixels in [0, 1]: OpenAI's, which most CLIPs share.
pub(super) const MEAN: [f64; 3] = [0.48145466, 0.4578275, 0.40821073];
pub(super) const DEVIATION: [f64; 3] = [0.26862954, 0.26130258, 0.27577711];

/// The size an image is resized to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// The shorter side to this, the longer one in proportion.
    ShortSide(u32),
    /// Width and height, whatever the proportions.
    Exact(u32, u32),
}

/// Where the middle is, if what is cut off has an odd number of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Middle {
    /// One pixel more is cut off at the end, as `transformers` does.
    Early,
    /// The half is rounded to the even number, as torchvision does, and so open_clip.
    Even,
}

/// How an image becomes the tower's input.
#[derive(Clone, Debug)]
pub struct Preprocess {
    pub(super) side: u32,
    pub(super) resize: Option<(Size, Filter)>,
    pub(super) crop: Option<Middle>,
    pub(super) scale: f64,
    /// Mean and deviation of each channel; `None` where pixels are not normalised.
    pub(super) normalise: Option<[[f64; 3]; 2]>,
    /// Whether mean or deviation are [`MEAN`] and [`DEVIATION`] because nothing says which.
    pub(super) assumed: bool,
    /// The normalised value of each byte, for each channel.
    pub(super) levels: [[f32; 256]; 3],
}

impl Preprocess {
    /// CLIP's own preprocessing for a square input of `side` pixels.
    pub fn standard(side: usize) -> Self {
        let side = side as u32;
        let standard = Self {
            side,
            resize: Some((Size::ShortSide(side), Filter::Bicubic)),
            crop: Some(Middle::Early),
            scale: 1.0 / 255.0,
            normalise: Some([MEAN, DEVIATION]),
            assumed: true,
            levels: [[0.0; 256]; 3],
        };
        standard.with_levels()
    }

    /// The same with this mean and this deviation of the channels in place of its own, where they are given.
    #[must_use]
    pub fn normalised_by(mut self, mean: Option<[f64; 3]>, deviation: Option<[f64; 3]>) -> Self {
        if mean.is_some() || deviation.is_some() {
            let [own_mean, own_deviation] = self.normalise.unwrap_or([[0.0; 3], [1.0; 3]]);
            self.normalise = Some([mean.unwrap_or(own_mean), deviation.unwrap_or(own_deviation)]);
        }
        self.with_levels()
    }

    /// Mean and deviation of each channel, for pixels in [0, 1]; `None` where pixels are not normalised.
    pub fn normalisation(&self) -> Option<[[f64; 3]; 2]> {
        self.normalise
    }

    pub(super) fn with_levels(mut self) -> Self {
        let [mean, deviation] = self.normalise.unwrap_or([[0.0; 3], [1.0; 3]]);
        self.levels = std::array::from_fn(|c| {
            std::array::from_fn(|byte| ((byte as f64 * self.scale - mean[c]) / deviation[c]) as f32)
        });
        self
    }

    /// Whether both make the same of every image.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        (self.side, self.resize, self.crop, self.levels)
            == (other.side, other.resize, other.crop, other.levels)
    }

    /// Side of the square result, in pixels.
    pub fn side(&self) -> usize {
        self.side as usize
    }

    /// Number of floats of one image: 3 · side².
    pub fn floats(&self) -> usize {
        3 * self.side() * self.side()
    }

    /// Whether an image of this width and height can be used.
    ///
    /// # Errors
    /// An image without pixels; one of another size than the input, where it would be neither resized nor cropped.
    pub fn check(&self, (width, height): (u32, u32)) -> Result<()> {
        let refuse = |what: &str| Error::new(format!("an image of {width}×{height} pixels {what}"));
        if width == 0 || height == 0 {
            return Err(refuse("has nothing to see"));
        }
        if self.crop.is_none() && self.resized(width, height) != (self.side.into(), self.side.into()) {
            let side = self.side;
            return Err(refuse(&format!(
                "does not become {side}×{side} pixels: the CLIP's preprocessing asks for no crop"
            ))
            .help("make the images square, or set do_center_crop to true in the file that says how they are prepared"));
        }
        Ok(())
    }

    /// How much of an image of this width and height is looked at, from 0 to 1: the rest is cropped.
    pub fn seen(&self, (width, height): (u32, u32)) -> f64 {
        if self.crop.is_none() || width == 0 || height == 0 {
            return 1.0;
        }
        let (width, height) = self.resized(width, height);
        let kept = |length: u64| (f64::from(self.side) / length.max(1) as f64).min(1.0);
        kept(width) * kept(height)
    }

    /// Writes the normalised pixels, (3, side, side), to `out`, which has [`Preprocess::floats`] elements.
    pub fn apply(&self, image: &RgbImage, out: &mut [f32]) -> Result<()> {
        self.apply_as_is(&self.pixels(image)?, out)
    }

    /// The same of an image that has the input's size already: it is neither resized nor cropped.
    ///
    /// # Errors
    /// An image of another size.
    pub fn apply_as_is(&self, pixels: &RgbImage, out: &mut [f32]) -> Result<()> {
        if pixels.dimensions() != (self.side, self.side) {
            let ((width, height), side) = (pixels.dimensions(), self.side);
            return Err(Error::new(format!("an image of {width}×{height} pixels is not of {side}×{side}")));
        }
        if out.len() != self.floats() {
            return Err(Error::new(format!("an image takes {} floats, not {}", self.floats(), out.len())));
        }
        let area = self.side() * self.side();
        let (bytes, _) = pixels.as_raw().as_chunks::<3>();
        for (plane, (out, levels)) in out.chunks_exact_mut(area).zip(&self.levels).enumerate() {
            for (x, rgb) in out.iter_mut().zip(bytes) {
                *x = levels[usize::from(rgb[plane])];
            }
        }
        Ok(())
    }

    /// The resized and cropped image, before it is normalised. Only what the crop keeps is computed: of an image one
    /// pixel wide and thousands high, the whole would be a million pixels high.
    fn pixels(&self, image: &RgbImage) -> Result<RgbImage> {
        self.check(image.dimensions())?;
        let (width, height) = self.resized(image.width(), image.height());
        let filter = self.resize.map_or(Filter::Bicubic, |(_, filter)| filter);
        let (left, top) = (self.first(width), self.first(height));
        let side = i64::from(self.side);
        let kept = |first: i64, length: u64| first.max(0) as u64..length.min((first + side).max(0) as u64);
        let part = resize_rgb_window(image, (width, height), kept(left, width), kept(top, height), filter);
        if part.dimensions() == (self.side, self.side) {
            return Ok(part);
        }
        // Black where the image is smaller.
        let mut whole = RgbImage::new(self.side, self.side);
        let border = |first: i64| u32::try_from(-first).unwrap_or(0);
        match whole.copy_from(&part, border(left), border(top)) {
            Ok(()) => Ok(whole),
            Err(error) => Err(Error::new("cannot crop an image").because(error)),
        }
    }

    /// Where the crop begins along a side of this length; below 0 where the side is shorter than the crop.
    fn first(&self, length: u64) -> i64 {
        let rest = length as i64 - i64::from(self.side);
        // Towards −∞, so that a smaller image gets the larger half of the border on its left and top.
        let half = rest.div_euclid(2);
        let odd = rest.rem_euclid(2);
        match self.crop {
            None => 0,
            Some(Middle::Even) if odd == 1 && half.rem_euclid(2) == 1 => half + 1,
            Some(_) => half,
        }
    }

    /// Width and height after the resize, rounded as `transformers` does.
    fn resized(&self, width: u32, height: u32) -> (u64, u64) {
        match self.resize {
            None => (width.into(), height.into()),
            Some((Size::Exact(width, height), _)) => (width.into(), height.into()),
            Some((Size::ShortSide(to), _)) => {
                let (short, long) = (width.min(height), width.max(height));
                let long = u64::from(to) * u64::from(long) / u64::from(short.max(1));
                if width <= height { (to.into(), long) } else { (long, to.into()) }
            }
        }
    }
}
