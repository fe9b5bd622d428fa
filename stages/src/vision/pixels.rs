//! A whole set of images as one block of 8-bit pixels, all of one size, decoded once.
//!
//! It knows nothing of files or labels: rows are numbers, and the caller names them in an error.

use image::DynamicImage;
use pipeline::error::{Error, OrFail, Result};
use pipeline::event::Progress;
use rayon::prelude::*;

use super::decode::{decode, decode_grey};
use super::resize::{Filter, resize_grey, resize_rgb};

/// `count` square images, one after another, in rows of interleaved channels: (count, size, size, channels).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    count: usize,
    size: usize,
    channels: usize,
    data: Vec<u8>,
}

/// Rows that are decoded between two looks at whether the user wants to stop: many for each thread.
const BLOCK: usize = 512;

impl Pixels {
    /// Takes pixels that are there already, (count, size, size, channels), with 1 or 3 channels.
    ///
    /// # Errors
    /// A shape that does not fit the data.
    pub fn new(size: usize, channels: usize, data: Vec<u8>) -> Result<Self> {
        let image = image_bytes(size, channels)?;
        if !data.len().is_multiple_of(image) {
            let what =
                format!("{} bytes are not a whole number of {size} × {size} × {channels} images", data.len());
            return Err(Error::new(what));
        }
        Ok(Self { count: data.len() / image, size, channels, data })
    }

    /// Decodes `count` images, where `encoded` gives the bytes of a row, in parallel. An image of another
    /// shape is resized to `size` × `size` with Pillow's bilinear filter, whatever its aspect. One channel
    /// is the luma. `name` says what to call a row in an error; `safe_point` is asked now and then whether
    /// to go on.
    ///
    /// # Errors
    /// The first row that cannot be decoded, whatever the number of threads; what `safe_point` returns; a
    /// size of no pixels, or one too large for the memory.
    pub fn decode<'a>(
        count: usize,
        encoded: impl Fn(usize) -> &'a [u8] + Sync,
        name: impl Fn(usize) -> String,
        (size, channels): (usize, usize),
        progress: &Progress,
        safe_point: impl Fn() -> Result<()>,
    ) -> Result<Self> {
        let image = image_bytes(size, channels)?;
        let too_large =
            || Error::new(format!("cannot hold {count} images of {size} × {size} × {channels} in memory"));
        let total = image.checked_mul(count).ok_or_else(too_large)?;
        let mut data = Vec::new();
        data.try_reserve_exact(total).or_fail(too_large)?;
        data.resize(total, 0);
        progress.begin(count as u64, "images");
        for (block, out) in data.chunks_mut(BLOCK * image).enumerate() {
            safe_point()?;
            let first = block * BLOCK;
            let rows = out.par_chunks_exact_mut(image).enumerate();
            // Every row of the block is tried, so that the error does not depend on which thread was first.
            let outcomes: Vec<Result<()>> =
                rows.map(|(row, out)| pixels_of(encoded(first + row), size, channels, out)).collect();
            for (row, outcome) in outcomes.into_iter().enumerate() {
                outcome.or_fail(|| Error::new(format!("cannot read the pixels of {}", name(first + row))))?;
            }
            progress.advance((out.len() / image) as u64);
        }
        Ok(Self { count, size, channels, data })
    }

    /// How many images.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Width and height of each, in pixels.
    pub fn size(&self) -> usize {
        self.size
    }

    /// 1 (luma) or 3 (red, green, blue).
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// All bytes, (count, size, size, channels).
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The bytes of one image, (size, size, channels), if there is one of that number.
    pub fn image(&self, index: usize) -> Option<&[u8]> {
        let bytes = self.size * self.size * self.channels;
        self.data.get(index.checked_mul(bytes)?..)?.get(..bytes)
    }
}

fn image_bytes(size: usize, channels: usize) -> Result<usize> {
    // Positions are computed in 32 bits with 16 behind the point.
    if size == 0 || size > 4096 || !matches!(channels, 1 | 3) {
        let what = format!("cannot use images of {size} × {size} pixels with {channels} channels");
        return Err(Error::new(what).help("choose a size from 1 to 4096, and 1 or 3 channels"));
    }
    Ok(size * size * channels)
}

fn pixels_of(bytes: &[u8], size: usize, channels: usize, out: &mut [u8]) -> Result<()> {
    let side = size as u32;
    let image = if channels == 3 {
        let image = decode(bytes)?;
        let fits = image.dimensions() == (side, side);
        DynamicImage::from(if fits { image } else { resize_rgb(&image, side, side, Filter::Bilinear) })
    } else {
        let image = decode_grey(bytes)?;
        let fits = image.dimensions() == (side, side);
        DynamicImage::from(if fits { image } else { resize_grey(&image, side, side, Filter::Bilinear) })
    };
    out.copy_from_slice(image.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests;
