//! The data set that the project draws itself: land cover from above, in ten classes, 32×32 pixels.
//!
//! One world, two renderings: [`Rendering::Demo`] is the data set `demo`; from [`Rendering::Pretraining`],
//! with other colours, seasons and cameras, the demo's miniature CLIP learned. The classes share their
//! colours and differ in structure. `source.rs` makes rows of a table of the pictures.

mod camera;
mod clip;
mod dice;
mod palette;
mod rendering;
mod scene;
mod source;
#[cfg(test)]
mod tests;
mod texture;

use image::RgbImage;

pub use camera::SIDE;
pub use clip::{CLIP, clip_files};
pub use rendering::Rendering;
pub use source::DrawnImages;

use dice::Dice;
use palette::Palette;

/// Names of the classes, in the order of their labels.
pub fn classes() -> impl ExactSizeIterator<Item = &'static str> {
    scene::CLASSES.iter().map(|(name, _)| *name)
}

/// The class of the tile with this number: all in turn, so that any count is balanced.
pub fn class_of(number: usize) -> usize {
    number % scene::CLASSES.len()
}

/// The tile with this number, of side [`SIDE`]. It depends on nothing else: a set of any size has the same one.
/// `part` names the set, such as `train`.
pub fn tile(rendering: Rendering, part: &str, seed: u64, number: usize) -> RgbImage {
    let (name, style) = rendering.style();
    let mut dice = Dice::new(seed, &format!("{name} {part} tile {number}"));
    let palette = Palette::new(&mut dice, &style.colours);
    let (_, draw) = scene::CLASSES[class_of(number)];
    let scene = draw(&mut dice, palette);
    camera::photograph(&scene, &style.conditions, &mut dice)
}
