//! The plane's textures, as functions of a point: smooth noise, waves, and lattices of cells.
//!
//! A texture is drawn at random once and then answers for any point.

use super::dice::{Dice, Point};

/// Smooth noise: random values on the points of a unit grid, and between them in between.
#[derive(Clone, Copy)]
pub(super) struct Noise {
    salt: u32,
}

impl Noise {
    /// Another noise each time.
    pub fn new(dice: &mut Dice) -> Self {
        Self { salt: dice.bits() }
    }

    /// From 0 to 1; changes within about one unit.
    pub fn at(self, [x, y]: Point) -> f32 {
        let (column, row) = (x.floor(), y.floor());
        let (u, v) = (smooth(x - column), smooth(y - row));
        let corner = |right: i32, down: i32| hash(self.salt, [column as i32 + right, row as i32 + down]);
        let [top, bottom] = [0, 1].map(|down| corner(0, down) + (corner(1, down) - corner(0, down)) * u);
        top + (bottom - top) * v
    }

    /// From 0 to 1: noise and noise of half the size and half the strength, three times over.
    pub fn fractal(self, [x, y]: Point) -> f32 {
        let octave = |scale: f32| self.at([x * scale + scale * 7.3, y * scale - scale * 3.1]) / scale;
        (octave(1.0) + octave(2.0) + octave(4.0)) / 1.75
    }
}

/// A lattice whose points are moved a little; every point of the plane belongs to the nearest of them.
#[derive(Clone, Copy)]
pub(super) struct Cells {
    size: Point,
    jitter: f32,
    salt: u32,
}

/// Where a point stands in its cell.
#[derive(Clone, Copy)]
pub(super) struct Cell {
    /// From the cell's centre to the point.
    pub from_centre: Point,
    /// How much farther the second nearest centre is than the nearest: 0 on a border.
    pub to_border: f32,
    /// The cell's own random number, from 0 to 1.
    pub own: f32,
    /// Another one.
    pub other: f32,
}

impl Cells {
    /// Cells of this width and height; centres move by up to `jitter` times half of it.
    pub fn new(dice: &mut Dice, size: Point, jitter: f32) -> Self {
        Self { size, jitter, salt: dice.bits() }
    }

    /// The cell of a point.
    pub fn at(self, [x, y]: Point) -> Cell {
        let [width, height] = self.size;
        let (column, row) = ((x / width).floor() as i32, (y / height).floor() as i32);
        let (mut nearest, mut second, mut of) = (f32::MAX, f32::MAX, ([0, 0], [0.0, 0.0]));
        for place in (-1..=1).flat_map(|down| (-1..=1).map(move |right| [column + right, row + down])) {
            let shift = |salt| self.jitter * 0.5 * (2.0 * hash(self.salt ^ salt, place) - 1.0);
            let centre = [
                (place[0] as f32 + 0.5 + shift(0x5bd1)) * width,
                (place[1] as f32 + 0.5 + shift(0xe995)) * height,
            ];
            let [dx, dy] = [x - centre[0], y - centre[1]];
            let distance = (dx * dx + dy * dy).sqrt();
            if distance < nearest {
                (second, nearest, of) = (nearest, distance, (place, [dx, dy]));
            } else if distance < second {
                second = distance;
            }
        }
        let (place, from_centre) = of;
        Cell {
            from_centre,
            to_border: second - nearest,
            own: hash(self.salt ^ 0x27d4, place),
            other: hash(self.salt ^ 0x9e37, place),
        }
    }
}

/// From 0 at `x` = 0 to 1 at 1, level at both ends.
pub(super) fn smooth(x: f32) -> f32 {
    let x = x.clamp(0.0, 1.0);
    x * x * (3.0 - 2.0 * x)
}

/// A wave of period 1 between −1 and 1, made of smooth flanks.
pub(super) fn wave(x: f32) -> f32 {
    let phase = x - x.floor();
    let up = if phase < 0.5 { phase * 2.0 } else { 2.0 - phase * 2.0 };
    2.0 * smooth(up) - 1.0
}

/// From 0 to 1, at random but always the same for a salt and a place.
fn hash(salt: u32, [column, row]: [i32; 2]) -> f32 {
    let mut bits = salt ^ (column as u32).wrapping_mul(0x85eb_ca6b) ^ (row as u32).wrapping_mul(0xc2b2_ae35);
    for factor in [0x7feb_352d, 0x846c_a68b] {
        bits = (bits ^ (bits >> 16)).wrapping_mul(factor);
    }
    ((bits ^ (bits >> 16)) >> 8) as f32 / (1 << 24) as f32
}
