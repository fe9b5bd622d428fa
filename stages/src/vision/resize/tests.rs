//! Every byte is Pillow's, and a part of a result is that part of the whole.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;

macro_rules! golden {
    ($name:expr) => {
        image::load_from_memory(include_bytes!(concat!("../golden/resize_", $name, ".png"))).unwrap()
    };
}

macro_rules! same_as_pillow {
    ($($source:literal: $($size:literal),*;)*) => {$($({
        let source = golden!($source);
        for (filter, expected) in [
            (Filter::Bilinear, golden!(concat!($source, "_", $size, "_bilinear"))),
            (Filter::Bicubic, golden!(concat!($source, "_", $size, "_bicubic"))),
        ] {
            let (width, height) = (expected.width(), expected.height());
            let (ours, pillow) = match &source {
                image::DynamicImage::ImageLuma8(grey) =>
                    (resize_grey(grey, width, height, filter).into_raw(), expected.to_luma8().into_raw()),
                _ => (
                    resize_rgb(&source.to_rgb8(), width, height, filter).into_raw(),
                    expected.to_rgb8().into_raw(),
                ),
            };
            assert!(ours == pillow, "{} to {} {filter:?}", $source, $size);
        }
    })*)*};
}

#[test]
fn every_byte_is_pillows() {
    same_as_pillow! {
        "rgb_33x21": "64x64", "11x7", "100x21", "33x40", "1x1";
        "rgb_96x81": "32x32", "28x28", "64x54", "97x80";
        "grey_48x48": "64x64", "28x28", "47x100";
    }
}

#[test]
fn a_flat_image_stays_flat() {
    let flat = RgbImage::from_pixel(19, 23, image::Rgb([7, 130, 255]));
    for filter in [Filter::Bilinear, Filter::Bicubic] {
        let resized = resize_rgb(&flat, 50, 3, filter);
        assert_eq!(resized.dimensions(), (50, 3));
        assert!(resized.pixels().all(|pixel| pixel.0 == [7, 130, 255]));
    }
}

fn noise(width: u32, height: u32) -> RgbImage {
    let at = |x: u32, y: u32, c: u32| x.wrapping_mul(2_654_435_761) ^ (y + 7 * c).wrapping_mul(40_503);
    RgbImage::from_fn(width, height, |x, y| image::Rgb([0, 1, 2].map(|c| (at(x, y, c) >> 5) as u8)))
}

/// Sizes that shrink and enlarge, by little and by much, in both orders of the passes.
#[test]
fn a_window_has_the_bytes_of_the_whole_image_cut_out() {
    let (mut tried, mut orders) = (0, [0, 0]);
    for (width, height) in [(1, 1), (1, 90), (90, 1), (7, 33), (33, 7), (40, 40), (64, 13), (13, 64)] {
        let image = noise(width, height);
        for to in [(1, 1), (9, 9), (40, 40), (9, 70), (70, 9), (width, 20), (20, height), (100, 300)] {
            for filter in [Filter::Bilinear, Filter::Bicubic] {
                let whole = resize_rgb(&image, to.0, to.1, filter);
                orders[usize::from(columns_first(sides((width, height)), sides(to)))] += 1;
                for (x, y, w, h) in
                    [(0, 0, to.0, to.1), (to.0 / 2, to.1 / 3, 1, 1), (to.0 / 4, to.1 / 4, 9, 5)]
                {
                    let (w, h) = (w.min(to.0 - x), h.min(to.1 - y));
                    let range = |from: u32, length: u32| u64::from(from)..u64::from(from + length);
                    let (columns, rows) = (range(x, w), range(y, h));
                    let whole_sides = (u64::from(to.0), u64::from(to.1));
                    let part = resize_rgb_window(&image, whole_sides, columns, rows, filter);
                    let wanted = image::imageops::crop_imm(&whole, x, y, w, h).to_image();
                    assert!(part == wanted, "{width}×{height} to {to:?}, {w}×{h} at {x}, {y}, {filter:?}");
                    tried += 1;
                }
            }
        }
    }
    assert_eq!(tried, 8 * 8 * 2 * 3);
    assert!(orders.iter().all(|count| *count > 10), "{orders:?}");
}

#[test]
fn a_window_of_an_image_that_would_not_fit_into_memory_is_small() {
    let middle = 1_000_000_000_000;
    let thin = noise(1, 60_000);
    let rows = middle..middle + 16;
    let part = resize_rgb_window(&thin, (16, 2 * middle), 0..16, rows, Filter::Bicubic);
    assert_eq!(part.dimensions(), (16, 16));
    let beyond = resize_rgb_window(&thin, (16, 16), 8..24, 0..16, Filter::Bicubic);
    assert_eq!(beyond.dimensions(), (0, 0));
}

#[test]
fn an_empty_target_gives_an_empty_image() {
    assert_eq!(resize_rgb(&RgbImage::new(4, 4), 0, 3, Filter::Bicubic).len(), 0);
}
