//! Small pictures of images, packed into sheets that a page carries within itself.
//!
//! It knows rows of the table of images. What is said of a picture it is told.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, Rgb, RgbImage, imageops};
use maud::{Markup, html};
use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::Context;
use rayon::prelude::*;

use crate::artifacts::images::{Encoded, Images};
use crate::vision::decode::decode;
use crate::vision::resize::{Filter, resize_rgb};

/// Side of a picture in pixels.
const SIDE: u32 = 64;
/// Pictures in a row of a sheet, and rows of a full sheet.
const ACROSS: usize = 16;
const SHEET: usize = ACROSS * ACROSS;
/// JPEG quality: a picture takes 1 to 2 KB. Its blocks of 8 × 8 pixels never reach into the picture beside it.
const QUALITY: u8 = 80;
/// What is around an image that is no square, and stands for one that cannot be read.
const GROUND: Rgb<u8> = Rgb([128; 3]);

/// Pictures of some images, in sheets.
#[derive(Debug)]
pub(crate) struct Sprites {
    /// The sheets, as addresses that hold them whole.
    sheets: Vec<String>,
    places: HashMap<usize, Place>,
}

/// Where the picture of an image is.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Its number, counted through all sheets.
    number: usize,
    readable: bool,
}

impl Sprites {
    /// No pictures.
    pub(crate) fn empty() -> Self {
        Self { sheets: Vec::new(), places: HashMap::new() }
    }

    /// Pictures of the images in these rows, which may come in any order and more than once. An image that cannot be
    /// read is a grey square.
    ///
    /// # Errors
    /// The table of images cannot be read; the user asked to stop.
    pub(crate) fn new(images: &Images, rows: &[usize], context: &Context) -> Result<Self> {
        let mut rows = rows.to_vec();
        rows.sort_unstable();
        rows.dedup();
        let mut sprites = Self::empty();
        if rows.is_empty() {
            return Ok(sprites);
        }
        let encoded = images.encoded()?;
        context.progress().begin(rows.len() as u64, "images");
        for rows in rows.chunks(SHEET) {
            context.safe_point()?;
            let pictures: Vec<Option<RgbImage>> =
                rows.par_iter().map(|&row| picture(&encoded, row)).collect();
            for (&row, picture) in rows.iter().zip(&pictures) {
                let place = Place { number: sprites.places.len(), readable: picture.is_some() };
                sprites.places.insert(row, place);
            }
            sprites.sheets.push(sheet(&pictures)?);
            context.progress().advance(rows.len() as u64);
        }
        Ok(sprites)
    }

    /// The sheets: a class of backgrounds for each.
    pub(crate) fn css(&self) -> String {
        let sheets = self.sheets.iter().enumerate();
        sheets.map(|(n, sheet)| format!(".s{n}{{background-image:url({sheet})}}\n")).collect()
    }

    /// The picture of an image with a caption; `alt` is what is read out for it. An image that was not asked for has
    /// its caption alone.
    pub(crate) fn picture(&self, row: usize, alt: &str, caption: Markup) -> Markup {
        let place = self.places.get(&row);
        html! {
            figure class="picture" {
                @if let Some(place) = place {
                    span class={ "image s" (place.number / SHEET) } style=(position(place.number))
                        role="img" aria-label=(alt) {}
                }
                figcaption {
                    (caption)
                    @if place.is_some_and(|place| !place.readable) {
                        div class="caption" { "unreadable" }
                    }
                }
            }
        }
    }
}

/// Which part of its sheet a picture is.
fn position(number: usize) -> String {
    let [x, y] = corner(number % SHEET);
    let shift = |pixels: u32| if pixels == 0 { "0".to_owned() } else { format!("-{pixels}px") };
    format!("background-position:{} {}", shift(x), shift(y))
}

/// The upper left corner of a place in a sheet, in pixels from the left and the top.
fn corner(place: usize) -> [u32; 2] {
    [place % ACROSS, place / ACROSS].map(|steps| steps as u32 * SIDE)
}

/// The image in a row, fitted; none where it cannot be read.
fn picture(encoded: &Encoded, row: usize) -> Option<RgbImage> {
    let bytes = (row < encoded.len()).then(|| encoded.get(row))?;
    decode(bytes).ok().map(|image| fitted(&image))
}

/// The image with its longer side as long as a picture's. Small ones are enlarged smoothly, whatever the factor: at
/// twice its size or so, an image is easier to recognise blurred than as blocks.
fn fitted(image: &RgbImage) -> RgbImage {
    let (width, height) = image.dimensions();
    let longer = u64::from(width.max(height)).max(1);
    let side = |side: u32| ((u64::from(side) * u64::from(SIDE) + longer / 2) / longer).max(1) as u32;
    resize_rgb(image, side(width), side(height), Filter::Bicubic)
}

/// Pictures side by side, each in the middle of its square, as an address that holds them. No higher than it must be.
fn sheet(pictures: &[Option<RgbImage>]) -> Result<String> {
    let cannot = || Error::new("cannot pack the page's pictures");
    let (across, down) = (pictures.len().min(ACROSS) as u32, pictures.len().div_ceil(ACROSS) as u32);
    let mut sheet = RgbImage::from_pixel(across * SIDE, down * SIDE, GROUND);
    for (place, picture) in pictures.iter().enumerate() {
        let Some(picture) = picture else { continue };
        let middle = [picture.width(), picture.height()].map(|side| SIDE.saturating_sub(side) / 2);
        let [x, y] = corner(place);
        imageops::replace(&mut sheet, picture, i64::from(x + middle[0]), i64::from(y + middle[1]));
    }
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
        .encode(&sheet, sheet.width(), sheet.height(), ExtendedColorType::Rgb8)
        .or_fail(cannot)?;
    Ok(format!("data:image/jpeg;base64,{}", STANDARD.encode(&jpeg)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::io::Cursor;

    use image::ImageFormat;

    use super::*;
    use crate::artifacts::images::{Index, Split};

    fn png(width: u32, height: u32, colour: [u8; 3]) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        RgbImage::from_pixel(width, height, Rgb(colour)).write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    fn images(encoded: Vec<Vec<u8>>) -> Images {
        let count = encoded.len();
        let index = Index {
            ids: (0..count).map(|n| n.to_string()).collect(),
            splits: vec![Split::Train; count],
            labels: vec![None; count],
            classes: vec!["x".into()],
        };
        Images::new(index, encoded, vec![None; count])
    }

    fn sprites(images: &Images, rows: &[usize]) -> Sprites {
        Sprites::new(images, rows, &Context::for_test("no checkpoint")).unwrap()
    }

    /// The colour in the middle of the picture of a row.
    fn colour(sprites: &Sprites, row: usize) -> [u8; 3] {
        let number = sprites.places[&row].number;
        let base64 = sprites.sheets[number / SHEET].strip_prefix("data:image/jpeg;base64,").unwrap();
        let sheet = decode(&STANDARD.decode(base64).unwrap()).unwrap();
        let [x, y] = corner(number % SHEET);
        sheet.get_pixel(x + SIDE / 2, y + SIDE / 2).0
    }

    fn assert_like(colour: [u8; 3], other: [u8; 3]) {
        let near = colour.iter().zip(other).all(|(&a, b)| a.abs_diff(b) < 12);
        assert!(near, "{colour:?} is not like {other:?}");
    }

    #[test]
    fn images_beyond_a_sheet_fill_another_one_and_stand_where_the_page_seeks_them() {
        let red = |row: usize| [(row % 200) as u8 + 20, 60, 60];
        let images = images((0..300).map(|row| png(4, 4, red(row))).collect());
        let rows: Vec<usize> = (0..300).collect();
        let sprites = sprites(&images, &rows);
        assert_eq!(sprites.sheets.len(), 2);
        assert_eq!(sprites.css().matches("background-image:url(data:image/jpeg;base64,").count(), 2);
        for row in [0, 1, 16, 255, 256, 299] {
            assert_like(colour(&sprites, row), red(row));
        }
        // 299 = 256 + 2 · 16 + 11
        let last = sprites.picture(299, "", html! {}).into_string();
        assert!(last.contains(r#"class="image s1" style="background-position:-704px -128px""#), "{last}");
    }

    #[test]
    fn the_same_images_in_any_order_and_more_than_once_give_the_same_sheets() {
        let images = images((0..20).map(|n| png(9, 5, [n * 10, 0, 200])).collect());
        let [one, other] = [[3, 1, 17, 1], [17, 17, 3, 1]].map(|rows| sprites(&images, &rows));
        assert_eq!(one.css(), other.css());
        assert_eq!((one.places.len(), one.places[&17].number), (3, other.places[&17].number));
    }

    #[test]
    fn an_image_that_cannot_be_read_is_grey_and_its_caption_says_so() {
        let sprites = sprites(&images(vec![png(64, 64, [250, 0, 0]), b"no image".to_vec()]), &[0, 1]);
        assert_like(colour(&sprites, 0), [250, 0, 0]);
        assert_like(colour(&sprites, 1), GROUND.0);
        let captions = [0, 1].map(|row| sprites.picture(row, "", html! { "a" }).into_string());
        assert_eq!(captions.map(|caption| caption.contains("unreadable")), [false, true]);
    }

    #[test]
    fn an_image_keeps_its_proportions() {
        let sides = [(100, 50), (3, 6), (64, 64), (1, 5000), (28, 28)];
        let fitted = sides.map(|(width, height)| fitted(&RgbImage::new(width, height)).dimensions());
        assert_eq!(fitted, [(64, 32), (32, 64), (64, 64), (1, 64), (64, 64)]);
    }

    #[test]
    fn an_image_that_was_not_asked_for_has_its_caption_alone() {
        let page = Sprites::empty().picture(5, "an image", html! { "words" }).into_string();
        assert_eq!(page, r#"<figure class="picture"><figcaption>words</figcaption></figure>"#);
        assert_eq!(Sprites::empty().css(), "");
    }

    #[test]
    fn a_text_cannot_leave_its_attribute() {
        let sprites = sprites(&images(vec![png(8, 8, [0, 200, 0])]), &[0]);
        let page = sprites.picture(0, r#""><script>alert(1)</script>"#, html! {}).into_string();
        assert!(page.contains(r#"aria-label="&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;""#), "{page}");
    }
}
