//! The operations that leave every pixel where it is, but for sharpness, which looks at its neighbours.
//!
//! Images are rows of interleaved RGB. Sources: Pillow's `ImageEnhance`, `ImageOps`, `libImaging/Blend.c`
//! and `Filter.c`.

use crate::vision::decode::luma;

/// Pillow's `Image.blend` for a factor within 0–1: between `from` and `to`, cut towards zero.
#[inline(always)]
fn blend(from: u8, to: u8, factor: f32) -> u8 {
    (f32::from(from) + factor * f32::from(i16::from(to) - i16::from(from))) as i32 as u8
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
        for pixel in image.as_chunks_mut::<3>().0 {
            let [red, green, blue] = *pixel;
            let grey = luma(red, green, blue);
            *pixel = [blend(grey, red, factor), blend(grey, green, factor), blend(grey, blue, factor)];
        }
    }
}

/// The mean of the luma, rounded to a whole level.
pub(super) fn mean_luma(image: &[u8]) -> u8 {
    let (pixels, _) = image.as_chunks::<3>();
    let sum: u64 = pixels.iter().map(|[red, green, blue]| u64::from(luma(*red, *green, *blue))).sum();
    let count = pixels.len().max(1) as u64;
    ((2 * sum + count) / (2 * count)) as u8
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
        let width = out.len();
        let left = above[..width].iter().zip(&row[..width]).zip(&below[..width]);
        let middle = above[3..][..width].iter().zip(&row[3..][..width]).zip(&below[3..][..width]);
        let right = above[6..][..width].iter().zip(&row[6..][..width]).zip(&below[6..][..width]);
        for (((out, left), middle), right) in out.iter_mut().zip(left).zip(middle).zip(right) {
            let column = |((a, b), c): ((&u8, &u8), &u8)| u16::from(*a) + u16::from(*b) + u16::from(*c);
            let centre = *middle.0.1;
            let sum = column(left) + column(middle) + column(right) + 4 * u16::from(centre);
            // (sum + 6) / 13 is sum / 13 rounded; the product is exact for every sum up to 13 · 255.
            let smooth = ((u32::from(sum + 6) * 5042) >> 16) as u8;
            *out = blend(smooth, centre, factor);
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

type Table = [u8; 256];

fn unchanged() -> Table {
    std::array::from_fn(|value| value as u8)
}

fn look_up(tables: &[Table; 3], image: &mut [u8]) {
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
