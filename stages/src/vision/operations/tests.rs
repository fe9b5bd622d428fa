//! Every operation against Pillow's goldens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn parse(line: &str) -> Operation {
    let (name, magnitude) = line.split_once(' ').unwrap();
    let number: f64 = magnitude.parse().unwrap();
    match name {
        "autocontrast" => Operation::Autocontrast,
        "brightness" => Operation::Brightness(number as f32),
        "colour" => Operation::Colour(number as f32),
        "contrast" => Operation::Contrast(number as f32),
        "sharpness" => Operation::Sharpness(number as f32),
        "equalize" => Operation::Equalize,
        "identity" => Operation::Identity,
        "posterize" => Operation::Posterize(number as u8),
        "rotate" => Operation::Rotate(number),
        "shear_x" => Operation::ShearX(number),
        "shear_y" => Operation::ShearY(number),
        "solarize" => Operation::Solarize(number as u8),
        "translate_x" => Operation::TranslateX(number),
        "translate_y" => Operation::TranslateY(number),
        _ => panic!("{line}"),
    }
}

#[test]
fn every_byte_is_pillows() {
    macro_rules! golden {
        ($($name:literal)*) => {[$((
            include_bytes!(concat!("../golden/operations_", $name, ".png")).as_slice(),
            include_str!(concat!("../golden/operations_", $name, ".txt")),
        )),*]};
    }
    for (sheet, cases) in golden!["28" "32" "64" "faint"] {
        let sheet = image::load_from_memory(sheet).unwrap().to_rgb8();
        let size = sheet.width() as usize;
        let mut tiles = sheet.as_raw().chunks_exact(size * size * 3);
        let source = tiles.next().unwrap();
        for (case, pillow) in cases.lines().zip(tiles) {
            let (mut image, mut spare) = (source.to_vec(), vec![9; source.len()]);
            parse(case).apply(size, &mut image, &mut spare);
            let off = image.iter().zip(pillow).filter(|(ours, pillow)| ours != pillow).count();
            assert_eq!(off, 0, "{case} at size {size}: bytes that differ");
        }
        assert_eq!(sheet.height() as usize, (cases.lines().count() + 1) * size);
    }
}

#[test]
fn every_operation_has_a_golden() {
    let cases = include_str!("../golden/operations_64.txt");
    for index in 0..Operation::COUNT {
        let drawn = std::mem::discriminant(&Operation::drawn(index, 0.5));
        assert!(cases.lines().any(|case| std::mem::discriminant(&parse(case)) == drawn), "{index}");
    }
}

#[test]
fn magnitudes_span_their_ranges() {
    let almost = 1.0 - 2.0_f64.powi(-32);
    assert_eq!(Operation::drawn(1, 0.0), Operation::Brightness(0.05));
    assert_eq!(Operation::drawn(7, 0.0), Operation::Posterize(4));
    assert_eq!(Operation::drawn(7, almost), Operation::Posterize(7));
    assert_eq!(Operation::drawn(8, 0.0), Operation::Rotate(-30.0));
    assert_eq!(Operation::drawn(11, 0.0), Operation::Solarize(0));
    assert_eq!(Operation::drawn(11, almost), Operation::Solarize(255));
    assert_eq!(Operation::drawn(12, 0.0), Operation::TranslateX(-0.3));
}

#[test]
fn an_image_of_one_pixel_survives_every_operation() {
    for index in 0..Operation::COUNT {
        for unit in [0.0, 0.5, 0.99] {
            let (mut image, mut spare) = (vec![10, 100, 200], vec![0; 3]);
            Operation::drawn(index, unit).apply(1, &mut image, &mut spare);
            assert_eq!(image.len(), 3);
        }
    }
}
