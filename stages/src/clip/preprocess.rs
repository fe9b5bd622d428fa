//! An image as CLIP wants it: short side resized as Pillow does, centre crop, scaled, normalised (method §1).
//!
//! One decoded image at a time. What it does is `transformers`' `CLIPImageProcessorPil`.

use image::RgbImage;
use pipeline::error::{Error, OrFail, Result};
use serde_json::{Map, Value};

use super::content::Content;
use crate::vision::resize::{Filter, resize_rgb};

/// CLIP's channel means and deviations (R, G, B), for pixels in [0, 1].
const MEAN: [f64; 3] = [0.48145466, 0.4578275, 0.40821073];
const DEVIATION: [f64; 3] = [0.26862954, 0.26130258, 0.27577711];

/// The size an image is resized to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    /// The shorter side to this, the longer one in proportion.
    ShortSide(u32),
    /// Width and height, whatever the proportions.
    Exact(u32, u32),
}

/// How an image becomes the tower's input.
#[derive(Clone, Debug)]
pub struct Preprocess {
    side: u32,
    resize: Option<(Size, Filter)>,
    crop: bool,
    /// The normalised value of each byte, for each channel.
    levels: [[f32; 256]; 3],
}

impl Preprocess {
    /// CLIP's own preprocessing for a square input of `side` pixels.
    pub fn standard(side: usize) -> Self {
        let side = side as u32;
        let resize = Some((Size::ShortSide(side), Filter::Bicubic));
        Self { side, resize, crop: true, levels: levels(1.0 / 255.0, MEAN, DEVIATION) }
    }

    /// What `preprocessor_config.json` asks for; absent fields are as in [`Preprocess::standard`]. An error if the
    /// result could not be the tower's input of `side` pixels.
    pub fn read(file: &Content, side: usize) -> Result<Self> {
        let text = file.text().or_fail(|| Error::new("cannot read CLIP's preprocessing").at(file))?;
        Self::parse(&text, side).map_err(|e| e.at(file))
    }

    fn parse(text: &str, side: usize) -> Result<Self> {
        let root: Map<String, Value> =
            serde_json::from_str(text).or_fail(|| Error::new("CLIP's preprocessing is not a JSON object"))?;
        let standard = Self::standard(side);
        let resize = match flag(&root, "do_resize")? {
            true => Some((size(&root, standard.side)?, filter(&root)?)),
            false => None,
        };
        let crop = flag(&root, "do_center_crop")?;
        let made = if crop { cropped(&root, standard.side)? } else { resize.map(|(size, _)| size) };
        if let Some(Size::Exact(width, height)) = made
            && (width, height) != (standard.side, standard.side)
        {
            return Err(Error::new(format!(
                "the preprocessing makes {width}×{height} pixels, the model takes {side}×{side}"
            ))
            .help("preprocessor_config.json and config.json are not of the same model"));
        }
        let scale = match (flag(&root, "do_rescale")?, root.get("rescale_factor")) {
            (false, _) => 1.0,
            (true, None | Some(Value::Null)) => 1.0 / 255.0,
            (true, Some(factor)) => positive("rescale_factor", factor)?,
        };
        let (mean, deviation) = match flag(&root, "do_normalize")? {
            true => (channels(&root, "image_mean", MEAN)?, channels(&root, "image_std", DEVIATION)?),
            false => ([0.0; 3], [1.0; 3]),
        };
        if let Some(zero) = deviation.iter().find(|d| **d <= 0.0) {
            return Err(wrong("image_std", &format!("holds {zero}, not a positive number")));
        }
        Ok(Self { resize, crop, levels: levels(scale, mean, deviation), ..standard })
    }

    /// Side of the square result, in pixels.
    pub fn side(&self) -> usize {
        self.side as usize
    }

    /// Number of floats of one image: 3 · side².
    pub fn floats(&self) -> usize {
        3 * self.side() * self.side()
    }

    /// Writes the normalised pixels, (3, side, side), to `out`, which has [`Preprocess::floats`] elements.
    pub fn apply(&self, image: &RgbImage, out: &mut [f32]) -> Result<()> {
        let pixels = self.pixels(image)?;
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

    /// The resized and cropped image, before it is normalised.
    fn pixels(&self, image: &RgbImage) -> Result<RgbImage> {
        let (width, height) = image.dimensions();
        let refuse = |what: &str| Error::new(format!("an image of {width}×{height} pixels {what}"));
        if width == 0 || height == 0 {
            return Err(refuse("has nothing to see"));
        }
        let resized = match self.resize {
            None => None,
            Some((size, filter)) => {
                let (w, h) = resized(size, width, height);
                if w > MAX_SIDE || h > MAX_SIDE {
                    return Err(refuse("is too narrow to resize").help(
                        "its short side would be enlarged and its long side would not fit into memory",
                    ));
                }
                ((w, h) != (width, height)).then(|| resize_rgb(image, w, h, filter))
            }
        };
        let image = resized.as_ref().unwrap_or(image);
        match self.crop {
            true => Ok(center_crop(image, self.side)),
            false if image.dimensions() == (self.side, self.side) => Ok(image.clone()),
            false => Err(refuse("is not square, and preprocessor_config.json asks for no crop")),
        }
    }
}

/// Beyond this a resized side would take gigabytes: an input of 4,096 pixels at proportions of 1 to 16.
const MAX_SIDE: u32 = 1 << 16;

/// Width and height after the resize, rounded as `transformers` does.
fn resized(size: Size, width: u32, height: u32) -> (u32, u32) {
    match size {
        Size::Exact(width, height) => (width, height),
        Size::ShortSide(to) => {
            let (short, long) = (width.min(height), width.max(height));
            let long = u64::from(to) * u64::from(long) / u64::from(short);
            let long = u32::try_from(long).unwrap_or(u32::MAX);
            if width <= height { (to, long) } else { (long, to) }
        }
    }
}

/// The middle square of `side` pixels, black where the image is smaller.
fn center_crop(image: &RgbImage, side: u32) -> RgbImage {
    let (width, height) = image.dimensions();
    // Towards −∞, so that a smaller image gets the larger half of the border on its left and top.
    let left = (i64::from(width) - i64::from(side)).div_euclid(2);
    let top = (i64::from(height) - i64::from(side)).div_euclid(2);
    if (left, top, width, height) == (0, 0, side, side) {
        return image.clone();
    }
    RgbImage::from_fn(side, side, |x, y| {
        let from = |offset: i64, at: u32| u32::try_from(offset + i64::from(at)).ok();
        let pixel = from(left, x).zip(from(top, y)).and_then(|(x, y)| image.get_pixel_checked(x, y));
        pixel.copied().unwrap_or(image::Rgb([0; 3]))
    })
}

fn levels(scale: f64, mean: [f64; 3], deviation: [f64; 3]) -> [[f32; 256]; 3] {
    std::array::from_fn(|c| {
        std::array::from_fn(|byte| ((byte as f64 * scale - mean[c]) / deviation[c]) as f32)
    })
}

fn wrong(field: &str, how: &str) -> Error {
    Error::new(format!("the field {field} {how}"))
}

fn flag(root: &Map<String, Value>, field: &str) -> Result<bool> {
    match root.get(field) {
        None | Some(Value::Null) => Ok(true),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(value) => Err(wrong(field, &format!("is {value}, not true or false"))),
    }
}

fn positive(field: &str, value: &Value) -> Result<f64> {
    let number = value.as_f64().filter(|x| *x > 0.0 && x.is_finite());
    number.ok_or_else(|| wrong(field, &format!("is {value}, not a positive number")))
}

fn pixels(field: &str, value: &Value) -> Result<u32> {
    let side = value.as_u64().filter(|n| (1..=4096).contains(n));
    side.map(|n| n as u32)
        .ok_or_else(|| wrong(field, &format!("is {value}, not a number of pixels from 1 to 4096")))
}

fn channels(root: &Map<String, Value>, field: &str, absent: [f64; 3]) -> Result<[f64; 3]> {
    let Some(value) = root.get(field).filter(|v| !v.is_null()) else { return Ok(absent) };
    let numbers: Option<Vec<f64>> = value.as_array().and_then(|v| v.iter().map(Value::as_f64).collect());
    numbers
        .and_then(|v| <[f64; 3]>::try_from(v).ok())
        .ok_or_else(|| wrong(field, &format!("is {value}, not three numbers")))
}

/// `size`: a number, `{"shortest_edge"}`, or `{"height", "width"}`.
fn size(root: &Map<String, Value>, side: u32) -> Result<Size> {
    match root.get("size") {
        None | Some(Value::Null) => Ok(Size::ShortSide(side)),
        Some(Value::Object(size)) => match (size.get("shortest_edge"), size.get("height"), size.get("width"))
        {
            (Some(short), None, None) if !size.contains_key("longest_edge") => {
                Ok(Size::ShortSide(pixels("size.shortest_edge", short)?))
            }
            (None, Some(h), Some(w)) => Ok(Size::Exact(pixels("size.width", w)?, pixels("size.height", h)?)),
            _ => Err(wrong("size", "has neither shortest_edge alone nor height and width")),
        },
        Some(number) => Ok(Size::ShortSide(pixels("size", number)?)),
    }
}

/// `crop_size`: a number or `{"height", "width"}`.
fn cropped(root: &Map<String, Value>, side: u32) -> Result<Option<Size>> {
    let (width, height) = match root.get("crop_size") {
        None | Some(Value::Null) => (side, side),
        Some(Value::Object(size)) => {
            let get = |of: &str| pixels(&format!("crop_size.{of}"), size.get(of).unwrap_or(&Value::Null));
            (get("width")?, get("height")?)
        }
        Some(number) => {
            let side = pixels("crop_size", number)?;
            (side, side)
        }
    };
    Ok(Some(Size::Exact(width, height)))
}

/// `resample`: Pillow's number of the filter.
fn filter(root: &Map<String, Value>) -> Result<Filter> {
    match root.get("resample").filter(|v| !v.is_null()).map(Value::as_u64) {
        None | Some(Some(3)) => Ok(Filter::Bicubic),
        Some(Some(2)) => Ok(Filter::Bilinear),
        Some(_) => Err(wrong("resample", "is neither 3 (bicubic) nor 2 (bilinear)")),
    }
}
