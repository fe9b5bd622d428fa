//! Images as the pipeline keeps them: every one proved to decode, upright, and not needlessly large.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageDecoder, ImageReader, metadata::Orientation};
use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::Context;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::first_few;
use super::listing::{EncodedImage, Read};
use crate::vision::decode::decode;
use crate::vision::resize::{Filter, resize_rgb};

/// How images are imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportImages {
    /// Leave out what cannot be read, where it would otherwise be an error.
    pub skip_unreadable: bool,
    /// Images whose shorter side has more pixels than this are made smaller; 0 for none.
    pub shrink: usize,
}

/// Quality of images that had to be encoded again, of 100: no loss that a network of 224 pixels could see.
const QUALITY: u8 = 95;

/// Images being imported, and what was found on the way.
pub(super) struct Import {
    settings: Option<ImportImages>,
    /// How many images there are in all.
    of: usize,
    seen: usize,
    /// Ids of those that cannot be read, and what is wrong with the first.
    bad: Vec<String>,
    why: Option<Error>,
    smaller: usize,
    upright: usize,
}

/// What was done to an image.
#[derive(Clone, Copy, Default)]
struct Change {
    smaller: bool,
    upright: bool,
}

impl Import {
    /// Of so many images; without settings they are taken as they are.
    pub(super) fn new(settings: Option<ImportImages>, of: usize) -> Self {
        Self { settings, of, seen: 0, bad: Vec::new(), why: None, smaller: 0, upright: 0 }
    }

    /// Those of a batch that can be read, as they are kept; what is wrong with the others is remembered.
    pub(super) fn good(&mut self, images: Vec<Read>, ids: &[String]) -> Vec<(usize, EncodedImage)> {
        self.seen += images.len();
        let settings = self.settings;
        let read = |(row, image): Read| {
            let kept = image.and_then(|image| match settings {
                None => Ok((image, Change::default())),
                Some(settings) => settings.image(image),
            });
            (row, kept)
        };
        let read: Vec<_> = images.into_par_iter().map(read).collect();
        let mut good = Vec::with_capacity(read.len());
        for (row, read) in read {
            match read {
                Ok((image, change)) => {
                    self.smaller += usize::from(change.smaller);
                    self.upright += usize::from(change.upright);
                    good.push((row, image));
                }
                Err(error) => {
                    self.bad.push(ids[row].clone());
                    self.why.get_or_insert(error);
                }
            }
        }
        good
    }

    /// Says what was done, after all images.
    ///
    /// # Errors
    /// Images that cannot be read, unless they are to be left out: the first few, and how many there are.
    pub(super) fn finish(self, context: &Context) -> Result<()> {
        let Self { settings, of, seen, bad, why, smaller, upright } = self;
        let ImportImages { skip_unreadable, shrink } =
            settings.unwrap_or(ImportImages { skip_unreadable: false, shrink: 0 });
        if let Some(why) = why {
            let (count, names) = (bad.len(), first_few(&bad));
            if !skip_unreadable {
                return Err(Error::new(format!("{count} of {of} images cannot be read: {names}"))
                    .because(why)
                    .help("mend or remove them, or leave them out: SET=download.skip_unreadable=true"));
            }
            let are = if count == 1 { "image is" } else { "images are" };
            context.progress().note(format!("{count} unreadable {are} left out: {names}; the first: {why}"));
        }
        if seen != of {
            return Err(Error::new(format!("{seen} of {of} images were found"))
                .help("the images changed during the run: run again"));
        }
        if smaller > 0 {
            context.progress().note(format!(
                "{smaller} images are kept smaller, with {shrink} pixels on the shorter side; download.shrink=0 keeps \
                 them whole"
            ));
        }
        if upright > 0 {
            context.progress().note(format!("{upright} images are turned upright, as their cameras noted"));
        }
        Ok(())
    }
}

impl ImportImages {
    /// The image as it is kept, and what was done to it.
    fn image(self, image: EncodedImage) -> Result<(EncodedImage, Change)> {
        let EncodedImage { bytes, path } = image;
        let pixels = decode(&bytes)?;
        let orientation = orientation(&bytes);
        let (width, height) = pixels.dimensions();
        let (short, most) = (width.min(height), u32::try_from(self.shrink).unwrap_or(u32::MAX));
        let change =
            Change { smaller: most > 0 && short > most, upright: orientation != Orientation::NoTransforms };
        if !change.smaller && !change.upright {
            return Ok((EncodedImage { bytes, path }, change));
        }
        let side = |side: u32| (u64::from(side) * u64::from(most)).div_ceil(u64::from(short)) as u32;
        let pixels = match change.smaller {
            true => resize_rgb(&pixels, side(width), side(height), Filter::Bicubic),
            false => pixels,
        };
        let mut pixels = DynamicImage::from(pixels);
        pixels.apply_orientation(orientation);
        let mut jpeg = Cursor::new(Vec::new());
        let encoder = JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
        pixels.write_with_encoder(encoder).or_fail(|| Error::new("cannot encode the image again"))?;
        Ok((EncodedImage { bytes: jpeg.into_inner(), path }, change))
    }
}

/// How the camera was held, where the file says so. What cannot be understood counts as upright.
fn orientation(bytes: &[u8]) -> Orientation {
    let decoder = ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok();
    let decoder = decoder.and_then(|reader| reader.into_decoder().ok());
    decoder.and_then(|mut decoder| decoder.orientation().ok()).unwrap_or(Orientation::NoTransforms)
}
