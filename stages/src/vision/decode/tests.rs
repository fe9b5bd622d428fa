//! The decoder against Pillow's goldens, and against damaged bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use image::{Rgb, Rgba};
use rand::RngExt;

use super::*;

fn scene(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * 9) as u8, (y * 11) as u8, ((x ^ y) * 13) as u8]))
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

const FORMATS: [ImageFormat; 7] = [
    ImageFormat::Png,
    ImageFormat::Jpeg,
    ImageFormat::Gif,
    ImageFormat::Bmp,
    ImageFormat::Tiff,
    ImageFormat::WebP,
    ImageFormat::Pnm,
];

/// Largest and mean difference to the golden, whose upper half is Pillow's RGB and lower half its L.
fn differences(file: &[u8], golden: &[u8]) -> [(u8, f64); 2] {
    let golden = image::load_from_memory(golden).unwrap().to_rgb8().into_raw();
    let (rgb, grey) = golden.split_at(golden.len() / 2);
    let grey: Vec<u8> = grey.chunks(3).map(|pixel| pixel[0]).collect();
    let compare = |ours: Vec<u8>, theirs: &[u8]| {
        assert_eq!(ours.len(), theirs.len());
        let apart = ours.iter().zip(theirs).map(|(a, b)| a.abs_diff(*b));
        (apart.clone().max().unwrap(), apart.map(f64::from).sum::<f64>() / theirs.len() as f64)
    };
    [compare(decode(file).unwrap().into_raw(), rgb), compare(decode_grey(file).unwrap().into_raw(), &grey)]
}

macro_rules! golden {
    ($($file:literal)*) => {
        [$(($file, differences(
            include_bytes!(concat!("../golden/decode_", $file)),
            include_bytes!(concat!("../golden/decode_", $file, ".expected.png")),
        ))),*]
    };
}

#[test]
fn lossless_files_are_read_as_pillow_reads_them() {
    for (file, [rgb, grey]) in golden![
        "rgb.png" "rgba.png" "grey.png" "grey_alpha.png" "palette.png" "bits.png" "rgb.bmp" "rgb.tiff"
        "animated.gif" "transparent.gif" "rgb.webp" "cmyk.tiff"
    ] {
        println!("{file}: {rgb:?} {grey:?}");
        assert_eq!((rgb.0, grey.0), (0, 0), "{file}");
    }
}

#[test]
fn lossy_files_are_read_nearly_as_pillow_reads_them() {
    for (file, [rgb, grey]) in golden![
        "444.jpg" "420.jpg" "progressive.jpg" "grey.jpg" "cmyk.jpg" "cmyk_420.jpg" "cmyk_unmarked.jpg" "ycck.jpg"
        "lossy.webp"
    ] {
        println!("{file}: {rgb:?} {grey:?}");
        // Where inks are stored at half the resolution the luma shows it too, as colours alone do elsewhere.
        let (most, mean) = if file == "cmyk_420.jpg" { (6, 0.5) } else { (2, 0.1) };
        assert!(rgb.0 <= 6 && grey.0 <= most && rgb.1 < 0.5 && grey.1 < mean, "{file}: {rgb:?} {grey:?}");
    }
}

#[test]
fn sixteen_bits_keep_their_upper_byte() {
    let wide = ImageBuffer::<Rgb<u16>, _>::from_pixel(3, 2, Rgb([0x12FF, 0x8000, 0xFFFF]));
    let bytes = encoded(wide, ImageFormat::Png);
    assert_eq!(decode(&bytes).unwrap().get_pixel(1, 1).0, [0x12, 0x80, 0xFF]);
    assert_eq!(decode_grey(&bytes).unwrap().get_pixel(1, 1).0, [luma(0x12, 0x80, 0xFF)]);
    let grey = ImageBuffer::<image::Luma<u16>, _>::from_pixel(3, 2, image::Luma([0x7FFF]));
    let bytes = encoded(grey, ImageFormat::Png);
    assert_eq!(decode(&bytes).unwrap().get_pixel(0, 0).0, [0x7F; 3]);
    assert_eq!(decode_grey(&bytes).unwrap().get_pixel(0, 0).0, [0x7F]);
}

#[test]
fn alpha_is_dropped_and_not_blended() {
    let clear = ImageBuffer::from_pixel(2, 2, Rgba([200_u8, 100, 50, 0]));
    assert_eq!(decode(&encoded(clear, ImageFormat::Png)).unwrap().get_pixel(0, 0).0, [200, 100, 50]);
}

#[test]
fn values_of_a_pnm_file_are_brought_from_its_own_largest_to_ours() {
    let binary = |head: &str, values: &[u8]| [head.as_bytes(), values].concat();
    let grey = |bytes: Vec<u8>| decode_grey(&bytes).unwrap().into_raw();
    assert_eq!(grey(b"P1\n# drawn\n3 1\n1 0\n1".to_vec()), [0, 255, 0]);
    assert_eq!(
        grey(binary("P4 9 1\n", &[0b1010_0000, 0b1000_0000])),
        [0, 255, 0, 255, 255, 255, 255, 255, 0]
    );
    assert_eq!(grey(b"P2 4 1 15\n0 1 7 15\n".to_vec()), [0, 17, 119, 255]);
    assert_eq!(grey(binary("P5 4 1 15\n", &[0, 1, 7, 15])), [0, 17, 119, 255]);
    assert_eq!(grey(binary("P5 3 1 255\n", &[0, 128, 255])), [0, 128, 255]);
    assert_eq!(grey(binary("P5 3 1 65535\n", &[0, 255, 0x80, 0, 255, 255])), [0, 0x80, 255]);
    // 10 bits, as scientific cameras have them: 256, 512 and 1023 of 1023.
    assert_eq!(grey(binary("P5 3 1 1023\n", &[1, 0, 2, 0, 3, 255])), [64, 128, 255]);
    assert_eq!(grey(b"P2 3 1 1023 256 512 1023".to_vec()), [64, 128, 255]);
    let colour = |bytes: Vec<u8>| decode(&bytes).unwrap().into_raw();
    assert_eq!(colour(b"P3 1 1 100\n100 50 0\n".to_vec()), [255, 128, 0]);
    assert_eq!(colour(binary("P6\n1 1\n255\n", &[1, 2, 3])), [1, 2, 3]);
    assert_eq!(colour(binary("P6 1 1 1023\n", &[3, 255, 2, 0, 0, 0])), [255, 128, 0]);
    // Alpha is dropped.
    let pam = |lines: &str, values: &[u8]| binary(&format!("P7\nWIDTH 1\nHEIGHT 1\n{lines}ENDHDR\n"), values);
    for kind in ["TUPLTYPE RGB_ALPHA\n", ""] {
        assert_eq!(colour(pam(&format!("DEPTH 4\nMAXVAL 255\n{kind}"), &[1, 2, 3, 0])), [1, 2, 3]);
    }
    assert_eq!(grey(pam("DEPTH 1\nMAXVAL 65535\n", &[0x80, 0])), [0x80]);
    assert_eq!(grey(pam("DEPTH 1\nMAXVAL 1\nTUPLTYPE BLACKANDWHITE\n", &[1])), [255]);
    for wrong in
        ["P5 1 1 0\n\0", "P5 1 1 65536\n\0\0", "P2 1 1 255\n300\n", "P3 1 1 255\n1 2\n", "P5 0 1 255\n"]
    {
        let error = decode(wrong.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("PNM") && error.contains("help:"), "{error}");
    }
}

#[test]
fn channels_of_floating_point_are_refused() {
    let image = ImageBuffer::<Rgb<f32>, _>::from_pixel(2, 2, Rgb([0.5; 3]));
    let error = decode(&encoded(image, ImageFormat::Tiff)).unwrap_err().to_string();
    assert!(error.contains("Rgb32F") && error.contains("8 or 16 bits"), "{error}");
}

#[test]
fn bytes_that_are_no_image_are_an_error() {
    for (bytes, expected) in [
        (&b""[..], "no bytes"),
        (b"<html>404</html>", "this is an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\x01\x02\x03\x04\x05", "cannot tell the image's format"),
        (b"P6\n2 2\n255\nabc", "PNM"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
    ] {
        let error = decode(bytes).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("help:"), "{error}");
        assert!(decode_grey(bytes).is_err());
    }
}

#[test]
fn a_file_cut_off_is_an_error() {
    for format in FORMATS {
        let whole = encoded(scene(40, 30), format);
        assert!(decode(&whole).is_ok(), "{format:?}");
        for eighths in 0..8 {
            assert!(decode(&whole[..whole.len() * eighths / 8]).is_err(), "{format:?} cut at {eighths}/8");
        }
    }
}

#[test]
fn a_file_that_claims_to_be_huge_is_an_error() {
    // 50,000 × 50,000 pixels in the header.
    let mut png = encoded(scene(4, 4), ImageFormat::Png);
    png[16..20].copy_from_slice(&50_000_u32.to_be_bytes());
    png[20..24].copy_from_slice(&50_000_u32.to_be_bytes());
    let sum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&sum.to_be_bytes());
    let mut bmp = encoded(scene(4, 4), ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&50_000_u32.to_le_bytes());
    bmp[22..26].copy_from_slice(&50_000_u32.to_le_bytes());
    let mut gif = encoded(scene(4, 4), ImageFormat::Gif);
    gif[6..10].copy_from_slice(&[0x50, 0xC3, 0x50, 0xC3]);
    for (name, bytes) in [("png", png), ("bmp", bmp), ("gif", gif)] {
        let error = decode(&bytes).unwrap_err().to_string();
        assert!(error.contains("50000 × 50000"), "{name}: {error}");
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[test]
fn damaged_bytes_never_panic() {
    let mut random = pipeline::random::stream(7, "mutations");
    let rounds = std::env::var("COREG_MUTATIONS").map_or(1_000, |rounds| rounds.parse().unwrap());
    let mut seeds: Vec<Vec<u8>> = FORMATS.iter().map(|format| encoded(scene(23, 17), *format)).collect();
    for file in [
        &include_bytes!("../golden/decode_progressive.jpg")[..],
        include_bytes!("../golden/decode_cmyk.jpg"),
        include_bytes!("../golden/decode_palette.png"),
        include_bytes!("../golden/decode_lossy.webp"),
        include_bytes!("../golden/decode_animated.gif"),
        include_bytes!("../golden/decode_cmyk.tiff"),
    ] {
        seeds.push(file.to_vec());
    }
    let (mut read, mut refused) = (0, 0);
    for seed in &seeds {
        for _ in 0..rounds {
            let mut bytes = seed.clone();
            for _ in 0..random.random_range(1..8) {
                let at = random.random_range(0..bytes.len());
                bytes[at] = random.random();
            }
            if random.random_ratio(1, 4) {
                bytes.truncate(random.random_range(0..bytes.len()));
            }
            if decode(&bytes).is_ok() { read += 1 } else { refused += 1 }
        }
    }
    // Both happen, or the mutations are too weak or too strong to test anything.
    assert!(read > seeds.len() && refused > seeds.len(), "{read} read, {refused} refused");
}
