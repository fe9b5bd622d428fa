//! What the stage `embed` says of the images and of how they are shown to CLIP. It knows nothing of tensors.

use pipeline::error::Result;
use rayon::prelude::*;

use crate::artifacts::images::Encoded;
use crate::clip::Preprocess;

/// Proportions beyond which a note says that CLIP does not see the whole image.
const WIDEST: u32 = 4;
/// Most images that a note names.
const NAMED: usize = 5;

/// How many images CLIP sees little of, because the crop keeps their middle alone, and the first of them. `preprocess`
/// is asked for only if an image may be one.
pub fn narrow(
    ids: &[String],
    encoded: &Encoded,
    preprocess: impl FnOnce() -> Result<Preprocess>,
) -> Result<Option<String>> {
    // What cannot be read is for the decoder to say.
    let is_long = |(w, h): &(u32, u32)| u64::from(*w.max(h)) > u64::from(WIDEST) * u64::from(*w.min(h));
    let sides = |row: usize| dimensions(encoded.get(row)).filter(is_long);
    let mut narrow: Vec<(usize, (u32, u32))> =
        (0..ids.len()).into_par_iter().filter_map(|row| Some((row, sides(row)?))).collect();
    if narrow.is_empty() {
        return Ok(None);
    }
    let preprocess = preprocess()?;
    narrow.retain(|(_, sides)| preprocess.seen(*sides) < 1.0 / f64::from(WIDEST));
    if narrow.is_empty() {
        return Ok(None);
    }
    let first: Vec<String> =
        narrow.iter().take(NAMED).map(|(row, (w, h))| format!("`{}` ({w}×{h})", ids[*row])).collect();
    let more = if narrow.len() > NAMED { ", …" } else { "" };
    Ok(Some(format!(
        "{} of {} images are so narrow that CLIP sees less than a quarter of each, the middle: {}{more}",
        narrow.len(),
        ids.len(),
        first.join(", ")
    )))
}

/// Width and height of an encoded image, from its first bytes.
fn dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    let reader = image::ImageReader::new(std::io::Cursor::new(bytes)).with_guessed_format().ok()?;
    reader.into_dimensions().ok()
}

/// What the settings put in place of the mean and the deviation that the CLIP's files say, if they name any.
pub fn normalisation([mean, deviation]: [Option<[f64; 3]>; 2], own: Option<[[f64; 3]; 2]>) -> Option<String> {
    let set = [("mean", mean), ("std", deviation)];
    let set: Vec<String> =
        set.iter().filter_map(|(name, value)| Some(format!("clip.{name}={:?}", (*value)?))).collect();
    if set.is_empty() {
        return None;
    }
    let own = match own {
        Some([mean, deviation]) => format!("mean {mean:?} and deviation {deviation:?}"),
        None => "no normalisation".to_owned(),
    };
    Some(format!("pixels are normalised by {}, where the CLIP's own is {own}", set.join(" and ")))
}
