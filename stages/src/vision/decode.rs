//! Encoded bytes to 8-bit pixels, as Pillow's `convert("RGB")` and `convert("L")` give them.
//!
//! The caller adds the image's name to an error.
//!
//! - Formats: PNG, JPEG, GIF, BMP, TIFF, WebP, PNM (PBM, PGM, PPM, PAM), told apart by their first bytes, whatever the
//!   file's name.
//! - Alpha is dropped, not blended. Palettes are resolved. Grey becomes three equal channels.
//! - 16-bit channels keep their upper byte. (Pillow does so for 16-bit RGB, but cuts 16-bit grey at 255,
//!   which turns nearly all of such an image white.) PNM files say how large their values may be: these are
//!   brought to 8 or 16 bits first.
//! - CMYK becomes RGB. Floating-point channels have no agreed range and are refused.
//! - Of an animation the first frame is taken. The orientation in EXIF is not applied.

mod first_bytes;

use std::borrow::Cow;
use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageBuffer, ImageDecoder, ImageFormat, ImageReader, Pixel, RgbImage};
use pipeline::error::{Error, OrFail, Result};

pub use first_bytes::{ENOUGH, is_image};

/// No more pixels than this, 8192 × 8192: a few bytes can claim to be a picture of many gigabytes.
pub const MAX_PIXELS: u64 = 64 << 20;
/// No decoder may allocate more than this many bytes: what [`MAX_PIXELS`] of four channels of 16 bits take.
pub const MAX_ALLOCATION: u64 = 512 << 20;

/// Red, green and blue of an encoded image.
///
/// # Errors
/// Bytes that are empty, cut off, damaged, of no supported format, or an image beyond [`MAX_PIXELS`].
pub fn decode(bytes: &[u8]) -> Result<RgbImage> {
    use DynamicImage as D;
    Ok(match read(bytes)? {
        D::ImageRgb8(image) => image,
        D::ImageLuma8(image) => pixelwise(&image, |p| [p[0]; 3]),
        D::ImageLumaA8(image) => pixelwise(&image, |p| [p[0]; 3]),
        D::ImageRgba8(image) => pixelwise(&image, |p| [p[0], p[1], p[2]]),
        D::ImageLuma16(image) => pixelwise(&image, |p| [upper(p[0]); 3]),
        D::ImageLumaA16(image) => pixelwise(&image, |p| [upper(p[0]); 3]),
        D::ImageRgb16(image) => pixelwise(&image, |p| [upper(p[0]), upper(p[1]), upper(p[2])]),
        D::ImageRgba16(image) => pixelwise(&image, |p| [upper(p[0]), upper(p[1]), upper(p[2])]),
        other => return Err(floating_point(&other)),
    })
}

/// The luma of an encoded image: of a grey image its values, of a colour image [`luma`].
///
/// # Errors
/// As [`decode`].
pub fn decode_grey(bytes: &[u8]) -> Result<GrayImage> {
    use DynamicImage as D;
    Ok(match read(bytes)? {
        D::ImageLuma8(image) => image,
        D::ImageLumaA8(image) => pixelwise(&image, |p| [p[0]]),
        D::ImageRgb8(image) => pixelwise(&image, |p| [luma(p[0], p[1], p[2])]),
        D::ImageRgba8(image) => pixelwise(&image, |p| [luma(p[0], p[1], p[2])]),
        D::ImageLuma16(image) => pixelwise(&image, |p| [upper(p[0])]),
        D::ImageLumaA16(image) => pixelwise(&image, |p| [upper(p[0])]),
        D::ImageRgb16(image) => pixelwise(&image, |p| [luma(upper(p[0]), upper(p[1]), upper(p[2]))]),
        D::ImageRgba16(image) => pixelwise(&image, |p| [luma(upper(p[0]), upper(p[1]), upper(p[2]))]),
        other => return Err(floating_point(&other)),
    })
}

/// Pillow's luma: ITU-R 601-2 weights in 16-bit fixed point, rounded.
#[inline]
pub fn luma(red: u8, green: u8, blue: u8) -> u8 {
    ((19_595 * u32::from(red) + 38_470 * u32::from(green) + 7_471 * u32::from(blue) + 0x8000) >> 16) as u8
}

fn upper(value: u16) -> u8 {
    (value >> 8) as u8
}

fn pixelwise<P: Pixel, Q: Pixel<Subpixel = u8>, const C: usize>(
    image: &ImageBuffer<P, Vec<P::Subpixel>>,
    convert: impl Fn(&[P::Subpixel]) -> [u8; C],
) -> ImageBuffer<Q, Vec<u8>> {
    let data = image.pixels().flat_map(|pixel| convert(pixel.channels())).collect();
    ImageBuffer::from_raw(image.width(), image.height(), data).unwrap_or_default()
}

fn floating_point(image: &DynamicImage) -> Error {
    Error::new(format!("cannot use an image with channels of type {:?}", image.color()))
        .help("store it with 8 or 16 bits a channel")
}

fn read(bytes: &[u8]) -> Result<DynamicImage> {
    const FORMATS: &str = "supported are PNG, JPEG, GIF, BMP, TIFF, WebP and PNM (PBM, PGM, PPM, PAM)";
    if bytes.is_empty() {
        return Err(Error::new("cannot decode an image of no bytes").help("fetch or write the file again"));
    }
    if !is_image(bytes)
        && let Some(error) = first_bytes::something_else(bytes)
    {
        return Err(error);
    }
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MAX_ALLOCATION);
    let bytes = &*with_tuple_type(bytes);
    let mut reader = ImageReader::new(Cursor::new(bytes));
    reader.limits(limits.clone());
    let reader = reader.with_guessed_format().or_fail(|| Error::new("cannot read the image"))?;
    let Some(format) = reader.format() else {
        return Err(Error::new("cannot tell the image's format from its first bytes").help(FORMATS));
    };
    let failed = || {
        Error::new(format!("cannot decode the {} image", name(format))).help(
            "the file is damaged or cut off, or uses a rare variant of its format: write it again as PNG",
        )
    };
    let mut decoder = reader.into_decoder().or_fail(failed)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(Error::new(format!("cannot decode an image of {width} × {height} pixels"))
            .help(format!("images of up to {MAX_PIXELS} pixels are accepted: make it smaller")));
    }
    if format == ImageFormat::Jpeg && !jpeg_is_whole(bytes) {
        return Err(failed().because("the JPEG data stop before their end marker"));
    }
    limits.reserve(decoder.total_bytes()).or_fail(failed)?;
    decoder.set_limits(limits).or_fail(failed)?;
    let image = DynamicImage::from_decoder(decoder).or_fail(failed)?;
    if image.width() == 0 || image.height() == 0 {
        return Err(failed().because("it has no pixels"));
    }
    Ok(image)
}

fn name(format: ImageFormat) -> String {
    format!("{format:?}").to_uppercase()
}

/// A PAM file with the line TUPLTYPE, which may be left out. The decoder takes 8 bits for granted where it is.
fn with_tuple_type(bytes: &[u8]) -> Cow<'_, [u8]> {
    const END: &[u8] = b"ENDHDR";
    let header = bytes.strip_prefix(b"P7\n").and_then(|rest| {
        let end = rest[..rest.len().min(first_bytes::PNM_HEADER)]
            .windows(END.len())
            .position(|word| word == END)?;
        std::str::from_utf8(&rest[..end]).ok()
    });
    let line = |word: &str| header?.lines().find_map(|line| line.strip_prefix(word));
    let (Some(header), None, Some(depth)) = (header, line("TUPLTYPE"), line("DEPTH")) else {
        return Cow::Borrowed(bytes);
    };
    let kind = match depth.trim() {
        "1" => "GRAYSCALE",
        "2" => "GRAYSCALE_ALPHA",
        "3" => "RGB",
        "4" => "RGB_ALPHA",
        _ => return Cow::Borrowed(bytes),
    };
    let end = b"P7\n".len() + header.len();
    Cow::Owned([&bytes[..end], format!("TUPLTYPE {kind}\n").as_bytes(), &bytes[end..]].concat())
}

/// Whether an end marker follows the first scan. The decoder paints what is missing grey and says nothing.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xDA;
    const END_OF_IMAGE: u8 = 0xD9;
    let mut at = 2;
    // Segments up to the first scan: a marker, then a length that counts itself. They are stepped over,
    // for a thumbnail within one has an end marker of its own.
    while let Some(&[0xFF, marker, high, low]) = bytes.get(at..at + 4) {
        match marker {
            START_OF_SCAN => {
                return bytes[at..].windows(2).rev().any(|pair| pair == [0xFF, END_OF_IMAGE]);
            }
            0xFF => at += 1, // padding
            0x01 | 0xD0..=0xD8 => at += 2,
            _ => at += 2 + usize::from(u16::from_be_bytes([high, low])),
        }
    }
    // Nothing that looks like a scan: the decoder's own verdict counts.
    true
}

#[cfg(test)]
mod tests;
