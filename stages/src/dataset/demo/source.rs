//! The data set `demo` as rows: pictures encoded as PNG, with their true classes.
//!
//! It knows the row that the stage `download` reads from any source, and nothing of how pictures are drawn.

use std::io::Cursor;

use image::{ImageFormat, RgbImage};
use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::Context;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Rendering, class_of, classes, tile};
use crate::dataset::split::Split;
use crate::dataset::tables::ImageRow;

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

    /// The pictures of one split.
    pub(crate) fn rows(&self, part: Split, context: &Context) -> Result<Vec<ImageRow>> {
        let count = match part {
            Split::Train => self.train,
            Split::Test => self.test,
        };
        context.progress().begin(count as u64, "images drawn");
        let mut rows = Vec::with_capacity(count);
        for start in (0..count).step_by(AT_ONCE) {
            context.safe_point()?;
            let end = (start + AT_ONCE).min(count);
            let more = (start..end).into_par_iter().map(|number| {
                let image = tile(Rendering::Demo, part.name(), self.seed, number);
                Ok(ImageRow { bytes: png(&image)?, path: None, label: Some(class_of(number) as i32) })
            });
            rows.extend(more.collect::<Result<Vec<_>>>()?);
            context.progress().advance((end - start) as u64);
        }
        Ok(rows)
    }
}

fn png(image: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    image
        .write_to(&mut bytes, ImageFormat::Png)
        .or_fail(|| Error::new("cannot encode a picture of the demo"))?;
    Ok(bytes.into_inner())
}
