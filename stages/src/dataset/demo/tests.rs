//! What the rest of the project relies on: pictures that never change, of every class, in the same numbers.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::dataset::listing::{ImageSource, Read};

fn bytes(rendering: Rendering, part: &str, seed: u64, number: usize) -> Vec<u8> {
    tile(rendering, part, seed, number).into_raw()
}

#[test]
fn the_same_seed_gives_the_same_picture_and_another_seed_part_or_number_another_one() {
    let of = |part, seed, number| bytes(Rendering::Demo, part, seed, number);
    assert_eq!(of("train", 0, 3), of("train", 0, 3));
    assert_ne!(of("train", 0, 3), of("train", 1, 3));
    assert_ne!(of("train", 0, 3), of("test", 0, 3));
    assert_ne!(of("train", 0, 3), of("train", 0, 13));
    assert_ne!(of("train", 0, 3), bytes(Rendering::Pretraining, "train", 0, 3));
}

/// Written down from the first version: figures of the demo, and the CLIP that learned from the other rendering,
/// belong to these pictures. Exact arithmetic alone draws them, so every machine makes the same ones.
#[test]
fn the_pictures_never_change() {
    for (rendering, expected) in [(Rendering::Demo, DEMO), (Rendering::Pretraining, PRETRAINING)] {
        let mut hasher = blake3::Hasher::new();
        for number in 0..50 {
            hasher.update(&bytes(rendering, "train", 0, number));
        }
        assert_eq!(hasher.finalize().to_hex()[..16], *expected, "{rendering:?}");
    }
}
const DEMO: &str = "f398946db1c38475";
const PRETRAINING: &str = "6cdce86f2e7f609b";

#[test]
fn any_count_is_balanced_and_every_class_is_drawn() {
    let counts = |count: usize| {
        let mut counts = [0; 10];
        (0..count).for_each(|number| counts[class_of(number)] += 1);
        counts
    };
    assert_eq!(counts(2000), [200; 10]);
    assert!(counts(25).iter().all(|count| [2, 3].contains(count)));
    assert_eq!(classes().collect::<std::collections::BTreeSet<_>>().len(), 10);
}

#[test]
fn a_picture_is_neither_of_another_size_nor_empty() {
    for number in 0..200 {
        let image = tile(Rendering::Demo, "train", 0, number);
        assert_eq!(image.dimensions(), (SIDE, SIDE));
        let (least, most) = (image.as_raw().iter().min().unwrap(), image.as_raw().iter().max().unwrap());
        assert!(most - least > 25, "picture {number}: {least} to {most}");
    }
}

/// If a colour told the class, no structure would have to be learned.
#[test]
fn the_mean_colour_does_not_tell_the_class() {
    let colour = |number: usize| {
        let image = tile(Rendering::Demo, "train", 0, number);
        [0, 1, 2].map(|i| image.pixels().map(|p| f64::from(p.0[i])).sum::<f64>() / f64::from(SIDE * SIDE))
    };
    let known: Vec<[f64; 3]> = (0..600).map(colour).collect();
    let distance = |a: &[f64; 3], b: &[f64; 3]| (0..3).map(|i| (a[i] - b[i]).powi(2)).sum::<f64>();
    let right = (300..600).filter(|&number| {
        let nearest = (0..300).min_by(|&a, &b| {
            distance(&known[a], &known[number]).total_cmp(&distance(&known[b], &known[number]))
        });
        class_of(nearest.unwrap()) == class_of(number)
    });
    let share = right.count() as f64 / 300.0;
    assert!(share < 0.35, "{share}");
}

#[test]
fn more_pictures_leave_the_first_as_they_are_and_each_is_a_png_with_its_class() {
    let folder = tempfile::tempdir().unwrap();
    let context = pipeline::stage::Context::for_test(folder.path());
    let rows = |train: usize| {
        let mut images = Vec::new();
        let drawn = DrawnImages { seed: 0, train, test: 10 };
        let mut take = |batch: Vec<Read>| {
            images.extend(batch.into_iter().map(|(row, image)| (row, image.unwrap())));
            Ok(())
        };
        drawn.read(&(0..train).collect::<Vec<_>>(), &context, &mut take).unwrap();
        images
    };
    let (few, many) = (rows(20), rows(270));
    let labels = DrawnImages { seed: 0, train: 270, test: 10 }.list(&context).unwrap().labels;
    assert_eq!((few.len(), many.len()), (20, 270));
    assert_eq!(few, many[..20]);
    for (number, row) in few.iter().enumerate() {
        let image = crate::vision::decode::decode(&row.1.bytes).unwrap();
        assert_eq!(image, tile(Rendering::Demo, "train", 0, number));
        assert_eq!(labels[number], Some(class_of(number) as i32));
    }
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let fault = |train, test, classes| DrawnImages { seed: 0, train, test }.validate(classes).unwrap_err();
    assert!(fault(2000, 1000, 9).contains("classes.names has 9"));
    assert!(fault(2000, 9, 10).contains("at least one image a class"));
}
