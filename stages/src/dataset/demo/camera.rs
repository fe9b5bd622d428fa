//! From a scene to pixels: position, light, haze and the sensor's noise.

use image::{Rgb, RgbImage};

use super::dice::{Dice, Point};
use super::palette::{Colour, blend};
use super::scene::Scene;
use super::texture::Noise;

/// Side of a tile, in pixels.
pub const SIDE: u32 = 32;

/// From the least to the most.
pub(super) type Range = [f32; 2];

/// What a rendering's pictures are taken with: ranges from which every picture draws.
pub(super) struct Conditions {
    /// Pixels of the tile for a pixel of the scene.
    pub zoom: Range,
    /// Overall light.
    pub light: Range,
    /// Contrast around the middle grey.
    pub contrast: Range,
    /// How much farther one side of the tile is lit than the other.
    pub slant: Range,
    /// Gain of each colour by itself.
    pub tint: Range,
    /// Share of the haze, thicker in some places.
    pub haze: Range,
    /// How soft the lens is: share of the eight neighbours.
    pub blur: Range,
    /// Standard deviation of the noise, the same for all colours.
    pub grain: Range,
    /// Standard deviation of the noise of each colour.
    pub speckle: Range,
}

/// Takes one picture.
pub(super) fn photograph(scene: &Scene, conditions: &Conditions, dice: &mut Dice) -> RgbImage {
    let mut draw = |[low, high]: Range| dice.between(low, high);
    let (zoom, light, contrast) = (draw(conditions.zoom), draw(conditions.light), draw(conditions.contrast));
    let tint = [0; 3].map(|_| draw(conditions.tint));
    let (slant, haze) = (draw(conditions.slant), draw(conditions.haze));
    let (blur, grain, speckle) = (draw(conditions.blur), draw(conditions.grain), draw(conditions.speckle));
    let (turn, sun, shift) = (dice.direction(), dice.direction(), dice.direction());
    let veil = Noise::new(dice);

    let middle = SIDE as f32 / 2.0;
    let seen = |column: f32, row: f32| {
        let [x, y] = [(column - middle) / zoom, (row - middle) / zoom];
        // Turned around the middle, so that no direction is special.
        scene([x * turn[0] - y * turn[1] + shift[0] * 2.0, x * turn[1] + y * turn[0] + shift[1] * 2.0])
    };
    let pixel = |column: u32, row: u32| -> Colour {
        let (column, row) = (column as f32, row as f32);
        let mut sum = [0.0; 3];
        for [right, down] in [[0.17, 0.31], [0.67, 0.17], [0.31, 0.83], [0.83, 0.67]] {
            let colour = seen(column + right, row + down);
            sum = [0, 1, 2].map(|i| sum[i] + colour[i] / 4.0);
        }
        let at: Point = [column / middle - 1.0, row / middle - 1.0];
        let lit = light * (1.0 + slant * (at[0] * sun[0] + at[1] * sun[1]));
        let colour = [0, 1, 2].map(|i| ((sum[i] - 0.45) * contrast + 0.45) * tint[i] * lit);
        let thick = haze * (0.6 + 0.8 * veil.at([column / 14.0, row / 14.0]));
        blend(colour, [0.78, 0.8, 0.83], thick)
    };
    let sharp: Vec<Colour> = (0..SIDE * SIDE).map(|at| pixel(at % SIDE, at / SIDE)).collect();

    let mut image = RgbImage::new(SIDE, SIDE);
    for (column, row, out) in image.enumerate_pixels_mut() {
        let near = |at: u32| at.saturating_sub(1)..=(at + 1).min(SIDE - 1);
        let around: Vec<u32> = near(row).flat_map(|y| near(column).map(move |x| y * SIDE + x)).collect();
        let mean =
            |i: usize| around.iter().map(|at| sharp[*at as usize][i]).sum::<f32>() / around.len() as f32;
        let soft = blend(sharp[(row * SIDE + column) as usize], [mean(0), mean(1), mean(2)], blur);
        let common = grain * dice.bell();
        *out = Rgb(soft.map(|value| ((value + common + speckle * dice.bell()) * 255.0 + 0.5) as u8));
    }
    image
}
