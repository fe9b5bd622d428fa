//! Weak and strong augmentation of one image (method §3): crop, flip, one operation, cutout or black square.
//!
//! What was drawn is a value, so that it can be tested and compared. It knows nothing of batches.

use rand::Rng;

use super::operations::Operation;

/// What was drawn for a weak view.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weak {
    /// Left edge of the crop within the padded image, 0 to 2 · [`padding`].
    pub left: usize,
    /// Upper edge of the crop within the padded image.
    pub top: usize,
    /// Whether left and right are exchanged afterwards.
    pub flip: bool,
}

/// What was drawn for a strong view on top of the weak one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strong {
    /// The operation.
    pub operation: Operation,
    /// The square that is painted over last.
    pub cutout: Cutout,
}

/// A square painted in [`FILL`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cutout {
    /// Side, as a share of the image's width, 0 to 0.5.
    pub side: f64,
    /// Centre, as a share of the width, 0 to 1.
    pub x: f64,
    /// Centre, as a share of the height, 0 to 1.
    pub y: f64,
}

/// The colour of the cutout (method §3).
pub const FILL: [u8; 3] = [125, 123, 114];

/// What was drawn for the strong view of a grey set on top of the weak one: where the black square is centred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlackSquare {
    /// Column of the centre.
    pub x: usize,
    /// Row of the centre.
    pub y: usize,
}

/// Side of the black square in pixels, whatever the image's size (method §3).
pub const BLACK_SIDE: usize = 16;

/// Zero pixels on each side before the random crop: an eighth of the size, rounded up (28 → 4; method §3).
pub fn padding(size: usize) -> usize {
    size.div_ceil(8)
}

/// Draws a weak view: left, top, flip. A set without flips uses as many numbers as one with them.
pub fn draw_weak(size: usize, flip: bool, random: &mut impl Rng) -> Weak {
    let places = 2 * padding(size) + 1;
    let (left, top, coin) = (below(places, random), below(places, random), below(2, random));
    Weak { left, top, flip: flip && coin == 1 }
}

/// Draws what a strong view adds: operation, magnitude, side and centre of the cutout.
pub fn draw_strong(random: &mut impl Rng) -> Strong {
    let operation = below(Operation::COUNT, random);
    let operation = Operation::drawn(operation, unit(random));
    Strong { operation, cutout: Cutout { side: 0.5 * unit(random), x: unit(random), y: unit(random) } }
}

/// Draws the centre of a black square: one of the image's pixels.
pub fn draw_black_square(size: usize, random: &mut impl Rng) -> BlackSquare {
    BlackSquare { x: below(size, random), y: below(size, random) }
}

// One 32-bit word a draw, mapped here and not by a library, whose next version may map it otherwise.

/// Uniform in [0, 1).
fn unit(random: &mut impl Rng) -> f64 {
    f64::from(random.next_u32()) / 4_294_967_296.0
}

/// Uniform below `count`, to within `count` / 2³².
fn below(count: usize, random: &mut impl Rng) -> usize {
    ((u64::from(random.next_u32()) * count as u64) >> 32) as usize
}

impl Weak {
    /// Writes the crop of `image`, `size` × `size` × `channels`, to `out`, of the same shape.
    pub fn apply(self, size: usize, channels: usize, image: &[u8], out: &mut [u8]) {
        let (pad, stride) = (padding(size), size * channels);
        for (y, out) in out.chunks_exact_mut(stride).enumerate() {
            // The row of the image at y + top − pad, where it has one.
            let row = (y + self.top).checked_sub(pad).and_then(|y| image.chunks_exact(stride).nth(y));
            let Some(row) = row else {
                out.fill(0);
                continue;
            };
            let before = pad.saturating_sub(self.left) * channels;
            let after = self.left.saturating_sub(pad) * channels;
            let kept = &row[after.min(stride)..stride - before.min(stride)];
            if self.flip {
                // Mirrored, the gaps change sides.
                out[..after].fill(0);
                out[stride - before..].fill(0);
                mirror(channels, kept, &mut out[after..stride - before]);
            } else {
                out[..before].fill(0);
                out[stride - after..].fill(0);
                out[before..stride - after].copy_from_slice(kept);
            }
        }
    }
}

/// Writes the pixels of `row` in the opposite order to `out`, of the same length.
fn mirror(channels: usize, row: &[u8], out: &mut [u8]) {
    if channels == 3 {
        mirror_rgb(row, out);
    } else {
        out.iter_mut().zip(row.iter().rev()).for_each(|(out, value)| *out = *value);
    }
}

widest! {
    fn mirror_rgb(row: &[u8], out: &mut [u8]) {
        // Five pixels are 15 bytes of a vector of 16, which one instruction reorders. The 16th byte is
        // overwritten by what comes next, as long as anything does.
        let mut at = 0;
        while at + 15 < row.len() {
            let from = row.len() - at - 16;
            let (from, to) = (row[from..].first_chunk::<16>(), out[at..].first_chunk_mut::<16>());
            let (Some(five), Some(out)) = (from, to) else {
                break;
            };
            *out = [
                five[13], five[14], five[15], five[10], five[11], five[12], five[7], five[8], five[9],
                five[4], five[5], five[6], five[1], five[2], five[3], five[0],
            ];
            at += 15;
        }
        while at < row.len() {
            let from = row.len() - at - 3;
            out[at..at + 3].copy_from_slice(&row[from..from + 3]);
            at += 3;
        }
    }
}

impl Cutout {
    /// Paints the square on `image`, `size` × `size` RGB, as Pillow's `ImageDraw.rectangle` does: coordinates
    /// are cut to whole pixels and the right and lower edges are painted too. A square that begins left of
    /// the image or above it is moved to its edge, and one that ends outside is cut off there.
    pub fn paint(self, size: usize, image: &mut [u8]) {
        let width = size as f64;
        let side = self.side * width;
        let span = |centre: f64| {
            let start = (centre * width - side / 2.0).max(0.0);
            start as usize..((start + side).min(width) as usize + 1).min(size)
        };
        let (columns, rows) = (span(self.x), span(self.y));
        for row in image.chunks_exact_mut(size * 3).take(rows.end).skip(rows.start) {
            row.as_chunks_mut::<3>().0[columns.clone()].fill(FILL);
        }
    }
}

impl BlackSquare {
    /// Paints the square on `image`, `size` × `size` × `channels`. What of it lies outside is cut off.
    pub fn paint(self, size: usize, channels: usize, image: &mut [u8]) {
        const HALF: usize = BLACK_SIDE / 2;
        let span = |centre: usize| centre.saturating_sub(HALF)..(centre + HALF).min(size);
        let (columns, rows) = (span(self.x), span(self.y));
        for row in image.chunks_exact_mut(size * channels).take(rows.end).skip(rows.start) {
            row[columns.start * channels..columns.end * channels].fill(0);
        }
    }
}

#[cfg(test)]
mod tests;
