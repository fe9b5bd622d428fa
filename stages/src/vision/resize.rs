//! Pillow's `Image.resize` for 8-bit images, bit for bit: an antialiased convolution in two passes,
//! first along the rows, then along the columns, in fixed point.
//!
//! Source of the arithmetic: Pillow's `libImaging/Resample.c`.

use std::ops::Range;

use image::{GrayImage, RgbImage};

/// The kernel of a resampling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Pillow's `BILINEAR`: a triangle over two source pixels, widened when shrinking.
    Bilinear,
    /// Pillow's `BICUBIC`: the cubic convolution with a = −0.5 over four source pixels, widened when
    /// shrinking.
    Bicubic,
}

impl Filter {
    /// Half the kernel's width, in source pixels at scale 1.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        // The parameter of the bicubic that Pillow takes (Keys 1981; others take -0.75).
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Self::Bilinear if x < 1.0 => 1.0 - x,
            Self::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            _ => 0.0,
        }
    }
}

/// `image` resized to `width` × `height`, whatever its aspect. A side of zero gives an image without pixels.
pub fn resize_rgb(image: &RgbImage, width: u32, height: u32, filter: Filter) -> RgbImage {
    let (from, to) = (sides(image.dimensions()), sides((width, height)));
    let data = resize_bytes::<3>(image.as_raw(), from, to, whole(to), filter);
    RgbImage::from_raw(width, height, data).unwrap_or_default()
}

/// As [`resize_rgb`], for one channel.
pub fn resize_grey(image: &GrayImage, width: u32, height: u32, filter: Filter) -> GrayImage {
    let (from, to) = (sides(image.dimensions()), sides((width, height)));
    let data = resize_bytes::<1>(image.as_raw(), from, to, whole(to), filter);
    GrayImage::from_raw(width, height, data).unwrap_or_default()
}

/// The part of the resized image that `columns` and `rows` name, of `image` resized to `to` = (width, height): the same
/// bytes as resized whole and then cut out. Nothing else is computed, so that no proportions take much memory. A window
/// that is empty or reaches beyond the resized image gives an image without pixels.
pub fn resize_rgb_window(
    image: &RgbImage,
    to: (u64, u64),
    columns: Range<u64>,
    rows: Range<u64>,
    filter: Filter,
) -> RgbImage {
    let sides_of = |range: &Range<u64>| u32::try_from(range.end.saturating_sub(range.start)).unwrap_or(0);
    let (width, height) = (sides_of(&columns), sides_of(&rows));
    if columns.end > to.0 || rows.end > to.1 {
        return RgbImage::default();
    }
    let window = [columns, rows].map(|range| range.start as usize..range.end as usize);
    let to = (to.0 as usize, to.1 as usize);
    let data = resize_bytes::<3>(image.as_raw(), sides(image.dimensions()), to, window, filter);
    RgbImage::from_raw(width, height, data).unwrap_or_default()
}

fn sides((width, height): (u32, u32)) -> (usize, usize) {
    (width as usize, height as usize)
}

/// Columns and rows of a result, without those that are not wanted.
type Window = [Range<usize>; 2];

fn whole(to: (usize, usize)) -> Window {
    [0..to.0, 0..to.1]
}

/// Rows of `C` interleaved channels, `from` = (width, height), to the same at size `to`, of which only the window is
/// given. The first pass makes what the second one draws from, and no more.
fn resize_bytes<const C: usize>(
    source: &[u8],
    from: (usize, usize),
    to: (usize, usize),
    [columns, rows]: Window,
    filter: Filter,
) -> Vec<u8> {
    if from.0 == 0 || from.1 == 0 || columns.is_empty() || rows.is_empty() {
        return vec![0; columns.len() * rows.len() * C];
    }
    let along = Pass::new(from.0, to.0, columns, filter);
    let down = Pass::new(from.1, to.1, rows, filter);
    let image = Plane::cut_out::<C>(source, from.0, &along.source, &down.source);
    // The order depends on the whole sizes, whatever the window.
    if columns_first(from, to) {
        image.resize_columns::<C>(&down).resize_rows::<C>(&along).data
    } else {
        image.resize_rows::<C>(&along).resize_columns::<C>(&down).data
    }
}

/// Which pass comes first matters by one level, as the first one rounds. Pillow 13 begins with the columns
/// where that leaves clearly fewer pixels to the second pass (the rule was found by comparing with it);
/// before, and for any square image resized to a square, the rows come first.
fn columns_first(from: (usize, usize), to: (usize, usize)) -> bool {
    to.1 < from.1 && 2 * from.0 < from.1 - to.1 + 2 * to.0
}

/// What one direction needs: the source positions that the window draws from, and how. A side that keeps its length is
/// not resampled.
struct Pass {
    source: Range<usize>,
    taps: Option<Taps>,
}

impl Pass {
    fn new(from: usize, to: usize, window: Range<usize>, filter: Filter) -> Self {
        if from == to {
            return Self { source: window, taps: None };
        }
        let mut taps = Taps::new(from, to, window, filter);
        let source = taps.source();
        taps.spans.iter_mut().for_each(|(first, ..)| *first -= source.start);
        Self { source, taps: Some(taps) }
    }
}

/// An image between two passes.
struct Plane {
    data: Vec<u8>,
    width: usize,
    height: usize,
}

impl Plane {
    /// The part of a source `stride` pixels wide that lies in these columns and rows.
    fn cut_out<const C: usize>(
        source: &[u8],
        stride: usize,
        columns: &Range<usize>,
        rows: &Range<usize>,
    ) -> Self {
        let (width, height) = (columns.len(), rows.len());
        let lines = &source[rows.start * stride * C..rows.end * stride * C];
        let data = if width == stride {
            lines.to_vec()
        } else {
            let lines = lines.chunks_exact(stride * C);
            lines.flat_map(|line| &line[columns.start * C..columns.end * C]).copied().collect()
        };
        Self { data, width, height }
    }

    fn resize_rows<const C: usize>(self, pass: &Pass) -> Self {
        let Some(taps) = &pass.taps else { return self };
        let width = taps.spans.len();
        let mut result = vec![0; width * self.height * C];
        let rows = self.data.chunks_exact(self.width * C).zip(result.chunks_exact_mut(width * C));
        if C == 3 {
            let mut wide = vec![[0; 4]; self.width];
            rows.for_each(|(row, out)| rgb_row(row, taps, &mut wide, out));
        } else {
            rows.for_each(|(row, out)| grey_row(row, taps, out));
        }
        Self { data: result, width, height: self.height }
    }

    fn resize_columns<const C: usize>(self, pass: &Pass) -> Self {
        let Some(taps) = &pass.taps else { return self };
        let height = taps.spans.len();
        let mut result = vec![0; self.width * height * C];
        columns(&self.data, self.width * C, taps, &mut result);
        Self { data: result, width: self.width, height }
    }
}

/// Bits behind the point of a weight, Pillow's `PRECISION_BITS`: a sum of 8-bit values times weights stays within
/// 32 bits.
const PRECISION: u32 = 32 - 8 - 2;
/// One half, so that dropping the bits behind the point rounds.
const HALF: i32 = 1 << (PRECISION - 1);

/// For every target position, the first source position it draws from and the weights from there on.
struct Taps {
    /// (first source position, first weight, one past the last weight)
    spans: Vec<(usize, usize, usize)>,
    weights: Vec<i32>,
}

impl Taps {
    /// The taps of the targets in `window`, of a side of `from` positions resized to `to`.
    fn new(from: usize, to: usize, window: Range<usize>, filter: Filter) -> Self {
        let scale = from as f64 / to as f64;
        let widen = scale.max(1.0);
        let support = filter.support() * widen;
        let mut taps = Self { spans: Vec::with_capacity(window.len()), weights: Vec::new() };
        let mut exact = Vec::new();
        for target in window {
            let centre = (target as f64 + 0.5) * scale;
            // Casts cut towards zero, and below zero to zero.
            let first = (centre - support + 0.5) as usize;
            let end = ((centre + support + 0.5) as usize).min(from);
            exact.clear();
            let at = |source| (source as f64 - centre + 0.5) * (1.0 / widen);
            exact.extend((first..end).map(|source| filter.weight(at(source))));
            let sum: f64 = exact.iter().sum();
            let start = taps.weights.len();
            taps.weights.extend(exact.iter().map(|weight| {
                let scaled = if sum == 0.0 { *weight } else { weight / sum } * f64::from(1 << PRECISION);
                (scaled + if scaled < 0.0 { -0.5 } else { 0.5 }) as i32
            }));
            taps.spans.push((first, start, taps.weights.len()));
        }
        taps
    }

    /// All source positions that a target draws from.
    fn source(&self) -> Range<usize> {
        let first = self.spans.iter().map(|span| span.0).min().unwrap_or(0);
        let end = self.spans.iter().map(|(first, start, end)| first + end - start).max().unwrap_or(0);
        first..end
    }

    fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        self.spans.iter().map(|&(first, start, end)| (first, &self.weights[start..end]))
    }
}

fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

widest! {
    /// One row of RGB. `wide` is room for the row with four lanes a pixel, which one vector holds.
    fn rgb_row(row: &[u8], taps: &Taps, wide: &mut [[i32; 4]], out: &mut [u8]) {
        for (wide, pixel) in wide.iter_mut().zip(row.as_chunks::<3>().0) {
            *wide = [pixel[0].into(), pixel[1].into(), pixel[2].into(), 0];
        }
        for (out, (first, weights)) in out.as_chunks_mut::<3>().0.iter_mut().zip(taps.iter()) {
            let mut sum = [HALF; 4];
            for (pixel, weight) in wide[first..].iter().zip(weights) {
                for lane in 0..4 {
                    sum[lane] += pixel[lane] * weight;
                }
            }
            *out = [to_byte(sum[0]), to_byte(sum[1]), to_byte(sum[2])];
        }
    }
}

fn grey_row(row: &[u8], taps: &Taps, out: &mut [u8]) {
    for (out, (first, weights)) in out.iter_mut().zip(taps.iter()) {
        let products = row[first..].iter().zip(weights).map(|(value, weight)| i32::from(*value) * weight);
        *out = to_byte(HALF + products.sum::<i32>());
    }
}

/// Bytes of a row whose sums are held in registers at once: 32 sums of 32 bits fill four registers of AVX2.
const TILE: usize = 32;

widest! {
    /// The pass along the columns: rows of `stride` bytes, as many as there are taps in the result.
    fn columns(rows: &[u8], stride: usize, taps: &Taps, result: &mut [u8]) {
        for (out, (first, weights)) in result.chunks_exact_mut(stride).zip(taps.iter()) {
            let rows = &rows[first * stride..];
            let (tiles, rest) = out.as_chunks_mut::<TILE>();
            let done = tiles.len() * TILE;
            for (index, out) in tiles.iter_mut().enumerate() {
                let mut sums = [HALF; TILE];
                for (row, weight) in rows.chunks_exact(stride).zip(weights) {
                    let tile = &row[index * TILE..(index + 1) * TILE];
                    for (sum, value) in sums.iter_mut().zip(tile) {
                        *sum += i32::from(*value) * weight;
                    }
                }
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out = to_byte(sum);
                }
            }
            for (column, out) in rest.iter_mut().enumerate() {
                let values = rows.chunks_exact(stride).map(|row| i32::from(row[done + column]));
                *out = to_byte(HALF + values.zip(weights).map(|(value, weight)| value * weight).sum::<i32>());
            }
        }
    }
}

#[cfg(test)]
mod tests;
