//! The data set `demo` as rows: pictures encoded as PNG, with their true classes.
//!
//! It is a source of images like any other; how pictures are drawn is for `scene` and its neighbours to say.

use std::io::Cursor;

use image::{ImageFormat, RgbImage};
use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::Context;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Rendering, class_of, classes, tile};
use crate::dataset::listing::{EncodedImage, ImageSource, Listing, Taker};
use crate::dataset::split::{Split, id};

/// Which pictures are drawn. The same seed gives the same ones, and more of them leave the first as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrawnImages {
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// Number of training images.
    pub train: usize,
    /// Number of test images.
    pub test: usize,
}

/// Pictures that are drawn between two looks at whether to stop.
const AT_ONCE: usize = 250;

impl DrawnImages {
    /// Whether a data set of so many classes can be drawn; if not, why.
    pub(crate) fn validate(&self, class_count: usize) -> Result<(), String> {
        let drawn = classes().len();
        match () {
            () if class_count != drawn => {
                Err(format!("draws {drawn} classes, and classes.names has {class_count}"))
            }
            () if self.train.min(self.test) < drawn => {
                Err(format!("must draw at least one image a class: {drawn} to train and {drawn} to test"))
            }
            () => Ok(()),
        }
    }

    /// The split of a row and its number in it: first those to train, then those to test.
    fn place(&self, row: usize) -> (Split, usize) {
        if row < self.train { (Split::Train, row) } else { (Split::Test, row - self.train) }
    }
}

impl ImageSource for DrawnImages {
    fn list(&self, _: &Context) -> Result<Listing> {
        let mut listing = Listing::default();
        for row in 0..self.train + self.test {
            let (part, number) = self.place(row);
            listing.push(id(part.name(), number), Some(class_of(number) as i32), Some(part));
        }
        Ok(listing)
    }

    fn read(&self, rows: &[usize], context: &Context, take: &mut Taker) -> Result<()> {
        for rows in rows.chunks(AT_ONCE) {
            context.safe_point()?;
            let draw = |&row: &usize| {
                let (part, number) = self.place(row);
                let image = png(&tile(Rendering::Demo, part.name(), self.seed, number))?;
                Ok((row, Ok(EncodedImage { bytes: image, path: None })))
            };
            take(rows.par_iter().map(draw).collect::<Result<_>>()?)?;
        }
        Ok(())
    }
}

fn png(image: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    image
        .write_to(&mut bytes, ImageFormat::Png)
        .or_fail(|| Error::new("cannot encode a picture of the demo"))?;
    Ok(bytes.into_inner())
}
