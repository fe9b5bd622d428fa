//! The form in which the networks take the user's images: from the sizes and colours of some of them.
//!
//! It reads headers, no pixels, and passes over what is no image: the stage `download` reports that.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Seek};
use std::path::PathBuf;

use image::{ColorType, ImageDecoder, ImageReader};

use crate::dataset::catalog::{Augmentation, ImageForm};
use crate::vision::StrongViews;

/// Images that are inspected.
const INSPECTED: usize = 64;

/// Images that are this small are best seen by the smaller network input.
const SMALL: u32 = 40;

/// What the images are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// Median of the shorter sides, in pixels.
    side: u32,
    /// Whether none has colour.
    grey: bool,
}

impl Form {
    /// Of images of this size.
    pub(super) fn new(side: u32, grey: bool) -> Self {
        Self { side, grey }
    }

    /// Of these files, given by their ids and paths. Which are inspected depends on their ids alone, so that one
    /// more file hardly changes it.
    pub(super) fn of_files(mut files: Vec<(String, PathBuf)>) -> Self {
        files.sort_by_cached_key(|(id, _)| *blake3::hash(id.as_bytes()).as_bytes());
        let open = |(_, path): &(String, PathBuf)| inspect(BufReader::new(File::open(path).ok()?));
        Self::of(files.iter().take(INSPECTED).filter_map(open).collect())
    }

    /// Of these encoded images.
    pub(super) fn of_encoded<'a>(images: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self::of(images.into_iter().take(INSPECTED).filter_map(|bytes| inspect(Cursor::new(bytes))).collect())
    }

    fn of(mut inspected: Vec<(u32, bool)>) -> Self {
        inspected.sort_unstable();
        let side = inspected.get(inspected.len() / 2).map_or(u32::MAX, |(side, _)| *side);
        Self { side, grey: !inspected.is_empty() && inspected.iter().all(|(_, grey)| *grey) }
    }

    pub(super) fn image(self) -> ImageForm {
        let channels = if self.grey { 1 } else { 3 };
        let (size, first_stride) = if self.side <= SMALL { (32, 1) } else { (64, 2) };
        ImageForm { channels, size, first_stride, mean: vec![0.5; channels], std: vec![0.5; channels] }
    }

    /// As for the paper's sets: where there is no colour, strong views have a black square (method §3).
    pub(super) fn augmentation(self) -> Augmentation {
        let strong = if self.grey { StrongViews::Cutout } else { StrongViews::Operations };
        Augmentation { flip: true, strong }
    }
}

/// The shorter side, and whether the image has no colour.
fn inspect(source: impl BufRead + Seek) -> Option<(u32, bool)> {
    let decoder = ImageReader::new(source).with_guessed_format().ok()?.into_decoder().ok()?;
    let (width, height) = decoder.dimensions();
    let grey =
        matches!(decoder.color_type(), ColorType::L8 | ColorType::La8 | ColorType::L16 | ColorType::La16);
    Some((width.min(height), grey))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_images_get_the_small_input_and_grey_ones_one_channel() {
        let form = |inspected: &[(u32, bool)]| {
            let form = Form::of(inspected.to_vec());
            (form.image().size, form.image().channels, form.augmentation().strong)
        };
        assert_eq!(form(&[(28, true), (28, true)]), (32, 1, StrongViews::Cutout));
        assert_eq!(form(&[(20, true), (32, false), (4000, true)]), (32, 3, StrongViews::Operations));
        assert_eq!(form(&[(40, false), (41, false)]), (64, 3, StrongViews::Operations));
        assert_eq!(form(&[]), (64, 3, StrongViews::Operations));
    }
}
