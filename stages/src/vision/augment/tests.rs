//! The drawn views against plain definitions and Pillow's goldens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

/// Pad with zeros, crop, mirror: one pixel at a time.
fn by_definition(weak: Weak, size: usize, channels: usize, image: &[u8]) -> Vec<u8> {
    let pad = padding(size);
    let mut out = Vec::new();
    for y in 0..size {
        for x in 0..size {
            let x = if weak.flip { size - 1 - x } else { x };
            let (x, y) = ((x + weak.left).wrapping_sub(pad), (y + weak.top).wrapping_sub(pad));
            for channel in 0..channels {
                let inside = x < size && y < size;
                out.push(if inside { image[(y * size + x) * channels + channel] } else { 0 });
            }
        }
    }
    out
}

#[test]
fn a_weak_view_is_a_crop_of_the_padded_image_perhaps_mirrored() {
    for (size, channels) in [(28, 1), (32, 3), (5, 3), (1, 3), (1, 1)] {
        let image: Vec<u8> = (0..size * size * channels).map(|i| (i * 7 % 255) as u8 + 1).collect();
        for left in 0..=2 * padding(size) {
            for top in 0..=2 * padding(size) {
                for flip in [false, true] {
                    let weak = Weak { left, top, flip };
                    let mut out = vec![99; image.len()];
                    weak.apply(size, channels, &image, &mut out);
                    assert!(out == by_definition(weak, size, channels, &image), "{weak:?} at {size}");
                }
            }
        }
    }
}

#[test]
fn the_padding_is_an_eighth() {
    assert_eq!([28, 32, 48, 64].map(padding), [4, 4, 6, 8]);
}

#[test]
fn cutouts_are_pillows_rectangles() {
    let sheet = image::load_from_memory(include_bytes!("../golden/cutout.png")).unwrap().to_rgb8();
    let mut cases = 0;
    for (line, pillow) in include_str!("../golden/cutout.txt").lines().zip(sheet.chunks_exact(32 * 32 * 3)) {
        let numbers: Vec<f64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
        let mut image = vec![0; 32 * 32 * 3];
        Cutout { side: numbers[0], x: numbers[1], y: numbers[2] }.paint(32, &mut image);
        assert!(image == pillow, "{line}");
        cases += 1;
    }
    assert_eq!(cases, 26);
}

#[test]
fn draws_are_spread_as_the_method_says() {
    const DRAWS: usize = 28_000;
    let mut random = pipeline::random::stream(3, "draws");
    let (mut flips, mut lefts, mut operations) = (0, [0; 17], [0; Operation::COUNT]);
    let (mut side, mut centre) = (0.0, 0.0);
    for _ in 0..DRAWS {
        let weak = draw_weak(64, true, &mut random);
        flips += usize::from(weak.flip);
        lefts[weak.left] += 1;
        let strong = draw_strong(&mut random);
        let drawn = std::mem::discriminant(&strong.operation);
        let same = |index: &usize| std::mem::discriminant(&Operation::drawn(*index, 0.5)) == drawn;
        operations[(0..Operation::COUNT).find(same).unwrap()] += 1;
        assert!((0.0..0.5).contains(&strong.cutout.side));
        side += strong.cutout.side;
        centre += strong.cutout.x + strong.cutout.y;
    }
    // Five standard deviations.
    let near = |count: usize, share: f64| {
        (count as f64 / DRAWS as f64 - share).abs() < 5.0 * (share * (1.0 - share) / DRAWS as f64).sqrt()
    };
    assert!(near(flips, 0.5), "{flips}");
    assert!(lefts.iter().all(|count| near(*count, 1.0 / 17.0)), "{lefts:?}");
    assert!(operations.iter().all(|count| near(*count, 1.0 / 14.0)), "{operations:?}");
    assert!((side / DRAWS as f64 - 0.25).abs() < 0.005 && (centre / DRAWS as f64 - 1.0).abs() < 0.015);
}

#[test]
fn a_set_without_flips_is_never_mirrored_and_crops_alike() {
    let (mut with, mut without) = (pipeline::random::stream(3, "a"), pipeline::random::stream(3, "a"));
    for _ in 0..100 {
        let (a, b) = (draw_weak(32, true, &mut with), draw_weak(32, false, &mut without));
        assert_eq!((a.left, a.top), (b.left, b.top));
        assert!(!b.flip);
    }
}

#[test]
fn a_black_square_has_a_side_of_sixteen_pixels_and_is_cut_off_at_the_border() {
    for channels in [1, 3] {
        for (x, y, columns, rows) in
            [(14, 14, 6..22, 6..22), (8, 20, 0..16, 12..28), (0, 27, 0..8, 19..28), (25, 3, 17..28, 0..11)]
        {
            let mut image = vec![200; 28 * 28 * channels];
            BlackSquare { x, y }.paint(28, channels, &mut image);
            for (at, value) in image.iter().enumerate() {
                let (column, row) = (at / channels % 28, at / channels / 28);
                let inside = columns.contains(&column) && rows.contains(&row);
                assert_eq!(*value, if inside { 0 } else { 200 }, "{x} {y}: column {column}, row {row}");
            }
        }
    }
    let mut small = [200; 16];
    BlackSquare { x: 3, y: 0 }.paint(4, 1, &mut small);
    assert_eq!(small, [0; 16]);
}

#[test]
fn the_centres_of_black_squares_are_spread_over_the_whole_image() {
    const DRAWS: usize = 28_000;
    let mut random = pipeline::random::stream(3, "squares");
    let mut counts = [[0usize; 28]; 2];
    for _ in 0..DRAWS {
        let BlackSquare { x, y } = draw_black_square(28, &mut random);
        counts[0][x] += 1;
        counts[1][y] += 1;
    }
    // A thousand each, within five standard deviations.
    assert!(counts.iter().flatten().all(|count| (840..1160).contains(count)), "{counts:?}");
    let [mut one, mut two] = [1, 1].map(|seed| pipeline::random::stream(seed, "squares"));
    assert_eq!(draw_black_square(64, &mut one), draw_black_square(64, &mut two));
}
