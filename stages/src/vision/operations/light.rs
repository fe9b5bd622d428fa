//! The operations that leave every pixel where it is, but for sharpness, which looks at its neighbours.
//!
//! Images are rows of interleaved RGB. Sources: Pillow's `ImageEnhance`, `ImageOps`, `libImaging/Blend.c`
//! and `Filter.c`.

use crate::vision::decode::luma;

/// Pillow's `Image.blend` for a factor within 0–1: between `from` and `to`, cut towards zero.
#[inline(always)]
fn blend(from: u8, to: u8, factor: f32) -> u8 {
    let exact = f32::from(from) + factor * f32::from(i16::from(to) - i16::from(from));
    // Adding 2²³ leaves no room behind the point: the lowest bits are the rounded value, which is one too
    // many where it was rounded up. Unlike a cast, this takes no test for values out of range.
    const SHIFT: f32 = 8_388_608.0;
    let rounded = exact + SHIFT;
    (rounded.to_bits() as u8).wrapping_sub(u8::from(rounded - SHIFT > exact))
}

/// Pixels of a block whose luma is computed at once, and their bytes: the lumas fill one register of AVX2.
const BLOCK: usize = 32;
const BLOCK_BYTES: usize = 3 * BLOCK;

// Loops and no closures: a closure may stay a function of its own, compiled without AVX2.

#[inline(always)]
fn lumas(block: &[u8; BLOCK_BYTES]) -> [u8; BLOCK] {
    let mut greys = [0; BLOCK];
    for i in 0..BLOCK {
        greys[i] = luma(block[3 * i], block[3 * i + 1], block[3 * i + 2]);
    }
    greys
}

widest! {
    /// Brightness (`from` = 0) and contrast (`from` = mean luma).
    pub(super) fn blend_from_value(from: u8, factor: f32, image: &mut [u8]) {
        for value in image {
            *value = blend(from, *value, factor);
        }
    }
}

widest! {
    pub(super) fn colour(factor: f32, image: &mut [u8]) {
        let (blocks, rest) = image.as_chunks_mut::<BLOCK_BYTES>();
        for block in blocks {
            let greys = lumas(block);
            let mut wide = [0; BLOCK_BYTES];
            for i in 0..BLOCK {
                wide[3 * i] = greys[i];
                wide[3 * i + 1] = greys[i];
                wide[3 * i + 2] = greys[i];
            }
            for (value, grey) in block.iter_mut().zip(wide) {
                *value = blend(grey, *value, factor);
            }
        }
        for pixel in rest.as_chunks_mut::<3>().0 {
            let grey = luma(pixel[0], pixel[1], pixel[2]);
            for value in pixel {
                *value = blend(grey, *value, factor);
            }
        }
    }
}

/// The mean of the luma, rounded to a whole level.
pub(super) fn mean_luma(image: &[u8]) -> u8 {
    let mut sum = 0;
    sum_lumas(image, &mut sum);
    let count = (image.len() / 3).max(1) as u64;
    ((2 * sum + count) / (2 * count)) as u8
}

widest! {
    fn sum_lumas(image: &[u8], sum: &mut u64) {
        let (blocks, rest) = image.as_chunks::<BLOCK_BYTES>();
        for block in blocks {
            let mut of_block = 0_u32;
            for grey in lumas(block) {
                of_block += u32::from(grey);
            }
            *sum += u64::from(of_block);
        }
        for [red, green, blue] in rest.as_chunks::<3>().0 {
            *sum += u64::from(luma(*red, *green, *blue));
        }
    }
}

pub(super) fn sharpness(size: usize, factor: f32, image: &[u8], out: &mut [u8]) {
    out.copy_from_slice(image);
    let stride = size * 3;
    for y in 1..size.saturating_sub(1) {
        let rows = &image[(y - 1) * stride..(y + 2) * stride];
        sharpen_row(stride, factor, rows, &mut out[y * stride + 3..(y + 1) * stride - 3]);
    }
}

widest! {
    /// Blends a row with its smoothed copy: weights 1, 5 in the middle, sum 13. Border pixels stay.
    fn sharpen_row(stride: usize, factor: f32, rows: &[u8], out: &mut [u8]) {
        let (above, rows) = rows.split_at(stride);
        let (row, below) = rows.split_at(stride);
        // One slice a neighbour, all of the same length, spares the loop its bounds checks.
        let width = out.len();
        let (above0, above1, above2) = (&above[..width], &above[3..][..width], &above[6..][..width]);
        let (row0, row1, row2) = (&row[..width], &row[3..][..width], &row[6..][..width]);
        let (below0, below1, below2) = (&below[..width], &below[3..][..width], &below[6..][..width]);
        for i in 0..width {
            let left = u16::from(above0[i]) + u16::from(row0[i]) + u16::from(below0[i]);
            let middle = u16::from(above1[i]) + 5 * u16::from(row1[i]) + u16::from(below1[i]);
            let right = u16::from(above2[i]) + u16::from(row2[i]) + u16::from(below2[i]);
            let sum = left + middle + right;
            // (sum + 6) / 13 is sum / 13 rounded; the product is exact for every sum up to 13 · 255.
            let smooth = ((u32::from(sum + 6) * 5042) >> 16) as u8;
            out[i] = blend(smooth, row1[i], factor);
        }
    }
}

widest! {
    pub(super) fn posterize(bits: u8, image: &mut [u8]) {
        let mask = !(0xFF_u16 >> bits) as u8;
        for value in image {
            *value &= mask;
        }
    }
}

widest! {
    pub(super) fn solarize(threshold: u8, image: &mut [u8]) {
        for value in image {
            *value = if *value < threshold { *value } else { 255 - *value };
        }
    }
}

type LookupTable = [u8; 256];

fn unchanged() -> LookupTable {
    std::array::from_fn(|value| value as u8)
}

fn look_up(tables: &[LookupTable; 3], image: &mut [u8]) {
    for [red, green, blue] in image.as_chunks_mut::<3>().0 {
        *red = tables[0][usize::from(*red)];
        *green = tables[1][usize::from(*green)];
        *blue = tables[2][usize::from(*blue)];
    }
}

pub(super) fn autocontrast(image: &mut [u8]) {
    let mut range = ([u8::MAX; 3], [u8::MIN; 3]);
    find_range(image, &mut range);
    let tables = std::array::from_fn(|channel| {
        let (low, high) = (range.0[channel], range.1[channel]);
        if high <= low {
            return unchanged();
        }
        let scale = 255.0 / f64::from(high - low);
        let offset = -f64::from(low) * scale;
        std::array::from_fn(|value| (value as f64 * scale + offset) as u8) // casts cut to 0–255
    });
    look_up(&tables, image);
}

widest! {
    /// The least and the greatest value of each channel.
    fn find_range(image: &[u8], range: &mut ([u8; 3], [u8; 3])) {
        // 48 bytes are three vectors and 16 pixels: each lane keeps to one channel.
        const LANES: usize = 48;
        let (mut low, mut high) = ([u8::MAX; LANES], [u8::MIN; LANES]);
        let (blocks, rest) = image.as_chunks::<LANES>();
        for block in blocks {
            for lane in 0..LANES {
                low[lane] = low[lane].min(block[lane]);
                high[lane] = high[lane].max(block[lane]);
            }
        }
        for (lane, value) in rest.iter().enumerate() {
            low[lane] = low[lane].min(*value);
            high[lane] = high[lane].max(*value);
        }
        for lane in 0..LANES {
            range.0[lane % 3] = range.0[lane % 3].min(low[lane]);
            range.1[lane % 3] = range.1[lane % 3].max(high[lane]);
        }
    }
}

pub(super) fn equalize(image: &mut [u8]) {
    // Two histograms a channel: neighbours are often equal, and a count waits for the one before it.
    let mut counts = [[[0_u32; 256]; 3]; 2];
    let (pairs, rest) = image.as_chunks::<6>();
    for pair in pairs {
        for (lane, value) in pair.iter().enumerate() {
            counts[lane / 3][lane % 3][usize::from(*value)] += 1;
        }
    }
    for (lane, value) in rest.iter().enumerate() {
        counts[0][lane][usize::from(*value)] += 1;
    }
    let tables = std::array::from_fn(|channel| {
        let count = |value: usize| counts[0][channel][value] + counts[1][channel][value];
        let total: u32 = (0..256).map(count).sum();
        let last = (0..256).rev().map(count).find(|count| *count > 0).unwrap_or(0);
        // Zero too where the channel has a single value.
        let step = (total - last) / 255;
        if step == 0 {
            return unchanged();
        }
        let mut sum = step / 2;
        std::array::from_fn(|value| {
            let level = sum / step;
            sum += count(value);
            level.min(255) as u8
        })
    });
    look_up(&tables, image);
}
