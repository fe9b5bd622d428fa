//! What each image of a data set is taken for, written for other programs: a table, a folder of images, COCO, Label
//! Studio.
//!
//! `stages` finds the results in the view, `said` gathers them, `choice` says which images and in which order. Each
//! format is a file of its own: `tables`, `image_folder`, `coco`, `label_studio`. They share `sheet` (rows and columns),
//! `pictures` (images as files, called as `file_names` says) and `destination`, which leaves nothing half-written and
//! replaces nothing but an earlier export. That has a `manifest` in it; `place` is where it is to be, `scratch` where it
//! is written first.

mod choice;
mod coco;
mod destination;
mod file_names;
mod image_folder;
mod label_studio;
mod manifest;
mod pictures;
mod place;
mod said;
mod scratch;
mod sheet;
mod stages;
mod standard_output;
mod tables;

pub use choice::{Choice, Limit};
pub use coco::write_coco;
pub use destination::Destination;
pub use image_folder::{CLASSES, write_image_folder};
pub use label_studio::{local_files, write_label_studio};
pub use said::{LabelSet, LabelledImage, Said, Source};
pub use stages::Stages;
pub use tables::{write_csv, write_json_lines};

/// Images of a set that are written, in the order in which they are.
pub struct Chosen<'a> {
    /// The set.
    pub set: &'a LabelSet,
    /// Places of the images in it.
    pub rows: Vec<usize>,
}

impl Chosen<'_> {
    /// The images.
    pub fn images(&self) -> impl Iterator<Item = &LabelledImage> {
        self.rows.iter().map(|&row| &self.set.images[row])
    }

    /// How many of the images have their label from `source`; without one, how many have no label.
    pub fn count(&self, source: Option<Source>) -> usize {
        self.images().filter(|image| image.said.map(|said| said.source) == source).count()
    }
}

#[cfg(test)]
mod tests;
