//! Images of one's own as the pipeline keeps them: every one proved to decode, upright, and not needlessly large.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageDecoder, ImageReader, metadata::Orientation};
use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::Context;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{UserImages, first_few};
use crate::dataset::download::Found;
use crate::vision::decode::decode;
use crate::vision::resize::{Filter, resize_rgb};

/// How the user's images are imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportImages {
    /// Leave out what cannot be read, where it would otherwise be an error.
    pub skip_unreadable: bool,
    /// Images whose shorter side has more pixels than this are made smaller; 0 for none.
    pub shrink: usize,
}

/// Images that are read between two looks at whether to stop.
const AT_ONCE: usize = 64;

/// Quality of images that had to be encoded again, of 100: no loss that a network of 224 pixels could see.
const QUALITY: u8 = 95;

impl ImportImages {
    /// Reads and checks the rows that are kept, and gives those that are good.
    ///
    /// # Errors
    /// Images that cannot be read, unless they are to be left out: the first few, and how many there are.
    pub(in crate::dataset) fn run(
        self,
        source: &UserImages,
        found: &mut Found,
        kept: Vec<usize>,
        context: &Context,
    ) -> Result<Vec<usize>> {
        context.progress().begin(kept.len() as u64, "images checked");
        let (mut good, mut bad) = (Vec::with_capacity(kept.len()), Vec::new());
        for rows in kept.chunks(AT_ONCE) {
            context.safe_point()?;
            let read: Vec<Result<Vec<u8>>> = rows
                .par_iter()
                .map(|&row| self.image(source, &found.ids[row], &found.rows[row].bytes))
                .collect();
            for (&row, read) in rows.iter().zip(read) {
                match read {
                    Ok(bytes) => {
                        found.rows[row].bytes = bytes;
                        good.push(row);
                    }
                    Err(error) => bad.push((row, error)),
                }
            }
            context.progress().advance(rows.len() as u64);
        }
        let names = first_few(bad.iter().map(|(row, _)| &found.ids[*row]));
        let Some((_, why)) = bad.first_mut() else { return Ok(good) };
        if self.skip_unreadable {
            context.progress().note(format!("{} unreadable images are left out: {names}", bad.len()));
            return Ok(good);
        }
        let why = std::mem::replace(why, Error::new(""));
        Err(Error::new(format!("{} of {} images cannot be read: {names}", bad.len(), kept.len()))
            .because(why)
            .help("mend or remove them, or leave them out: SET=download.skip_unreadable=true"))
    }

    /// The image as it is kept.
    fn image(self, source: &UserImages, id: &str, bytes: &[u8]) -> Result<Vec<u8>> {
        let bytes = match source {
            UserImages::Folder(folder) => {
                let path = folder.path(id);
                std::fs::read(&path).or_fail(|| Error::new("cannot read the file").at(&path))?
            }
            _ => bytes.to_vec(),
        };
        let image = decode(&bytes).map_err(|error| error.at(id))?;
        let orientation = orientation(&bytes);
        let (width, height) = image.dimensions();
        let (short, most) = (width.min(height), u32::try_from(self.shrink).unwrap_or(u32::MAX));
        let large = most > 0 && short > most;
        if orientation == Orientation::NoTransforms && !large {
            return Ok(bytes);
        }
        let side = |side: u32| (u64::from(side) * u64::from(most)).div_ceil(u64::from(short)) as u32;
        let image =
            if large { resize_rgb(&image, side(width), side(height), Filter::Bicubic) } else { image };
        let mut image = DynamicImage::from(image);
        image.apply_orientation(orientation);
        let mut jpeg = Cursor::new(Vec::new());
        let encoder = JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
        image.write_with_encoder(encoder).or_fail(|| Error::new("cannot encode the image again").at(id))?;
        Ok(jpeg.into_inner())
    }
}

/// How the camera was held, where the file says so. What cannot be understood counts as upright.
fn orientation(bytes: &[u8]) -> Orientation {
    let decoder = ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok();
    let decoder = decoder.and_then(|reader| reader.into_decoder().ok());
    decoder.and_then(|mut decoder| decoder.orientation().ok()).unwrap_or(Orientation::NoTransforms)
}
