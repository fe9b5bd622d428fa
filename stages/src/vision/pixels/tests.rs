//! Sets of images become one block.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Cursor;
use std::sync::atomic::{AtomicUsize, Ordering};

use image::{ImageFormat, Rgb, RgbImage};

use super::*;

fn png(width: u32, height: u32, red: u8) -> Vec<u8> {
    let image = RgbImage::from_fn(width, height, |x, y| Rgb([red, (x * 5) as u8, (y * 7) as u8]));
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn decode_all(files: &[Vec<u8>], shape: (usize, usize)) -> Result<Pixels> {
    let name = |row| format!("file {row}");
    Pixels::decode(files.len(), |row| &files[row], name, shape, &Progress::silent(), || Ok(()))
}

#[test]
fn images_lie_one_after_another_resized_where_they_must_be() {
    let files = [png(8, 8, 1), png(16, 11, 2), png(8, 8, 3)];
    let pixels = decode_all(&files, (8, 3)).unwrap();
    assert_eq!((pixels.count(), pixels.size(), pixels.channels()), (3, 8, 3));
    assert_eq!(pixels.image(0).unwrap(), decode(&files[0]).unwrap().as_raw());
    let resized = resize_rgb(&decode(&files[1]).unwrap(), 8, 8, Filter::Bilinear);
    assert_eq!(pixels.image(1).unwrap(), resized.as_raw());
    assert_eq!(pixels.image(2).unwrap()[0], 3);
    assert_eq!(pixels.image(3), None);
    assert_eq!(pixels.image(usize::MAX), None);
}

#[test]
fn one_channel_is_the_luma() {
    let files = [png(8, 8, 90), png(10, 8, 90)];
    let pixels = decode_all(&files, (8, 1)).unwrap();
    assert_eq!(pixels.image(0).unwrap(), decode_grey(&files[0]).unwrap().as_raw());
    assert_eq!(pixels.data().len(), 2 * 64);
}

#[test]
fn the_first_unreadable_row_is_named_whatever_the_thread_count() {
    let mut files: Vec<_> = (0..1200).map(|row| png(4, 4, row as u8)).collect();
    for row in [700, 701, 1199] {
        files[row].truncate(20);
    }
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let error = pool.install(|| decode_all(&files, (4, 3))).unwrap_err().to_string();
        assert!(error.starts_with("cannot read the pixels of file 700\n"), "{error}");
        assert!(error.contains("PNG"), "{error}");
    }
}

#[test]
fn decoding_stops_at_a_safe_point() {
    let files: Vec<_> = (0..1200).map(|_| png(2, 2, 0)).collect();
    let asked = AtomicUsize::new(0);
    let stop = || if asked.fetch_add(1, Ordering::Relaxed) == 1 { Err(Error::cancelled()) } else { Ok(()) };
    let result = Pixels::decode(
        files.len(),
        |row| &files[row],
        |row| row.to_string(),
        (2, 3),
        &Progress::silent(),
        stop,
    );
    assert!(result.unwrap_err().is_cancelled());
    assert_eq!(asked.into_inner(), 2);
}

#[test]
fn shapes_that_cannot_be_are_refused() {
    for (size, channels) in [(0, 3), (8, 2), (8, 4), (5000, 3)] {
        assert!(decode_all(&[], (size, channels)).is_err(), "{size} {channels}");
        assert!(Pixels::new(size, channels, Vec::new()).is_err());
    }
    assert!(Pixels::new(2, 3, vec![0; 13]).is_err());
    assert_eq!(Pixels::new(2, 3, vec![0; 24]).unwrap().count(), 2);
    let huge = Pixels::decode(
        usize::MAX / 2,
        |_| &[],
        |row| row.to_string(),
        (64, 3),
        &Progress::silent(),
        || Ok(()),
    );
    assert!(huge.unwrap_err().to_string().contains("in memory"));
}
