//! Test images that are training images, or look almost like one.

use std::collections::HashMap;
use std::ops::Range;

use candle_core::{Device, Tensor};
use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::Context;

use crate::artifacts::images::{Images, Split};
use crate::learn::training_set::decode;
use crate::vision::Pixels;

/// Pairs of a test image and a training image, by their rows; a test image occurs once.
#[derive(Debug, Default)]
pub(super) struct Twins {
    /// Equal after decoding, at a few pixels a side.
    pub(super) equal: Vec<(usize, usize)>,
    /// Not equal, and hardly to be told apart.
    pub(super) similar: Vec<(usize, usize)>,
    /// How many test images were looked at: the first so many.
    pub(super) looked_at: usize,
}

/// Side of the images that are compared.
const SIDE: usize = 16;
/// Cosine of two images without their mean from which on they look the same.
const SIMILAR: f32 = 0.998;
/// Contrast below which an image shows nothing that it could be known by: a standard deviation, of 255.
const FLAT: f32 = 4.0;
/// Comparisons in all: what takes seconds.
const MOST: usize = 400_000_000;
const BLOCK: usize = 512;

/// Looks for them.
///
/// # Errors
/// An image that does not decode; the user asked to stop.
pub(super) fn find(images: &Images, context: &Context) -> Result<Twins> {
    let (train, mut test) = (images.index.of(Split::Train), images.index.of(Split::Test));
    test.truncate((MOST / train.len().max(1)).max(1));
    let [trained, tested] =
        [decode(images, &train, (SIDE, 3), context)?, decode(images, &test, (SIDE, 3), context)?];
    let mut twins = Twins { looked_at: test.len(), ..Twins::default() };
    let known: HashMap<&[u8], usize> =
        (0..train.len()).rev().filter_map(|i| Some((trained.image(i)?, i))).collect();
    let targets = forms(&trained, 0..train.len())?.t().or_fail(cannot)?;
    for start in (0..test.len()).step_by(BLOCK) {
        context.safe_point()?;
        let block = start..(start + BLOCK).min(test.len());
        let cosines = forms(&tested, block.clone())?.matmul(&targets).or_fail(cannot)?;
        let cosines: Vec<f32> = cosines.flatten_all().and_then(|c| c.to_vec1()).or_fail(cannot)?;
        for (i, cosines) in block.zip(cosines.chunks(train.len().max(1))) {
            let equal = tested.image(i).and_then(|image| known.get(image));
            if let Some(&place) = equal {
                twins.equal.push((test[i], train[place]));
            } else if let Some(place) = cosines.iter().position(|&cosine| cosine > SIMILAR) {
                twins.similar.push((test[i], train[place]));
            }
        }
    }
    Ok(twins)
}

/// Images without their mean, of unit length, row after row; zeros where an image shows nothing.
fn forms(pixels: &Pixels, rows: Range<usize>) -> Result<Tensor> {
    let length = SIDE * SIDE * 3;
    let values: Vec<f32> = rows
        .clone()
        .flat_map(|i| pixels.image(i).and_then(unit).unwrap_or_else(|| vec![0.0; length]))
        .collect();
    Tensor::from_vec(values, (rows.len(), length), &Device::Cpu).or_fail(cannot)
}

fn cannot() -> Error {
    Error::new("cannot compare test images with training images")
}

/// An image without the means of its channels, of unit length; none where it shows nothing.
fn unit(pixels: &[u8]) -> Option<Vec<f32>> {
    let count = pixels.len() as f32;
    // Of each channel by itself: what has a colour and nothing else shows nothing.
    let mean = |channel: usize| {
        pixels.iter().skip(channel).step_by(3).map(|&p| f32::from(p)).sum::<f32>() * 3.0 / count
    };
    let means = [mean(0), mean(1), mean(2)];
    let centred: Vec<f32> = pixels.iter().enumerate().map(|(i, &p)| f32::from(p) - means[i % 3]).collect();
    let length = centred.iter().map(|p| p * p).sum::<f32>().sqrt();
    (length / count.sqrt() >= FLAT).then(|| centred.into_iter().map(|p| p / length).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn brightness_and_contrast_make_no_other_image_and_a_flat_one_is_none() {
        let image: Vec<u8> = (0..768).map(|i| (i * 37 % 101) as u8).collect();
        let brighter: Vec<u8> = image.iter().map(|p| p + 50).collect();
        let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let (one, two) = (unit(&image).unwrap(), unit(&brighter).unwrap());
        assert!(cosine(&one, &two) > 0.9999);
        let mirrored: Vec<u8> = image.iter().rev().copied().collect();
        assert!(cosine(&one, &unit(&mirrored).unwrap()) < SIMILAR);
        assert!(unit(&[128; 768]).is_none());
        assert!(unit(&[20, 60, 200].repeat(256)).is_none(), "a colour");
    }
}
