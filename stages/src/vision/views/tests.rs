//! Batches: values, randomness, errors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn set(count: usize, size: usize, channels: usize) -> Pixels {
    let mut random = stream(1, "pixels");
    let mut data = vec![0; count * size * size * channels];
    random.fill_bytes(&mut data);
    Pixels::new(size, channels, data).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn colour() -> Views {
    Views::new(3, &[0.4914, 0.4822, 0.4465], &[0.2023, 0.1994, 0.2010], true, StrongViews::Operations)
        .unwrap()
}

#[test]
fn a_plain_view_is_the_normalised_image() {
    // An odd size, so that the last values fill no whole block.
    let pixels = set(3, 7, 3);
    let batch = colour().batch(&pixels, &[2, 0], View::Plain, &Draw::new(0, "", 0, 0)).unwrap();
    assert_eq!(batch.dims(), [2, 7, 7, 3]);
    let bytes = [pixels.image(2).unwrap(), pixels.image(0).unwrap()].concat();
    for (i, (value, byte)) in values(&batch).into_iter().zip(bytes).enumerate() {
        let (mean, std) = ([0.4914, 0.4822, 0.4465][i % 3], [0.2023, 0.1994, 0.2010][i % 3]);
        let expected = (f64::from(byte) / 255.0 - mean) / std;
        assert!((f64::from(value) - expected).abs() < 1e-6, "{value} {expected}");
    }
}

#[test]
fn one_mean_serves_all_channels() {
    let pixels = set(2, 5, 3);
    let draw = Draw::new(0, "", 0, 0);
    let short = Views::new(3, &[0.5], &[0.25], true, StrongViews::None).unwrap();
    let long = Views::new(3, &[0.5; 3], &[0.25; 3], true, StrongViews::None).unwrap();
    let [short, long] =
        [short, long].map(|v| values(&v.batch(&pixels, &[0, 1], View::Plain, &draw).unwrap()));
    assert_eq!(short, long);
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let pixels = set(300, 32, 3);
    let indices: Vec<usize> = (0..300).rev().collect();
    for view in [View::Plain, View::Weak, View::Strong] {
        let [one, two, four] = [1, 2, 4].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let draw = Draw::new(5, "warm-up", 1, 2);
            pool.install(|| values(&colour().batch(&pixels, &indices, view, &draw).unwrap()))
        });
        assert!(one == two && one == four, "{view:?}");
    }
}

#[test]
fn every_part_of_a_draw_counts() {
    let pixels = set(8, 16, 3);
    let batch = |draw: &Draw, view| values(&colour().batch(&pixels, &[3; 8], view, draw).unwrap());
    for view in [View::Weak, View::Strong] {
        let first = batch(&Draw::new(1, "a", 2, 3), view);
        assert_eq!(first, batch(&Draw::new(1, "a", 2, 3), view));
        for other in [
            Draw::new(2, "a", 2, 3),
            Draw::new(1, "b", 2, 3),
            Draw::new(1, "a", 3, 3),
            Draw::new(1, "a", 2, 4),
        ] {
            assert_ne!(first, batch(&other, view));
        }
        // The same image at another position is drawn anew.
        let length = first.len() / 8;
        assert!(first.chunks(length).skip(1).any(|sample| sample != &first[..length]));
    }
}

#[test]
fn a_sample_does_not_depend_on_the_rest_of_its_batch() {
    let pixels = set(9, 16, 3);
    let draw = Draw::new(1, "a", 2, 3);
    let long = values(&colour().batch(&pixels, &[4, 5, 6, 7], View::Strong, &draw).unwrap());
    let short = values(&colour().batch(&pixels, &[8, 5], View::Strong, &draw).unwrap());
    let length = short.len() / 2;
    assert_eq!(long[length..2 * length], short[length..]);
}

#[test]
fn a_strong_view_begins_as_the_weak_one_and_is_weak_where_the_set_says_so() {
    let pixels = set(64, 16, 3);
    let indices: Vec<usize> = (0..64).collect();
    let draw = Draw::new(1, "a", 2, 3);
    let batch = |views: &Views, view| values(&views.batch(&pixels, &indices, view, &draw).unwrap());
    let (weak, strong) = (batch(&colour(), View::Weak), batch(&colour(), View::Strong));
    assert_ne!(weak, strong);
    // One operation in 14 is the identity: outside its cutout such a sample is the weak view.
    let length = weak.len() / 64;
    let shares = weak
        .chunks(length)
        .zip(strong.chunks(length))
        .map(|(weak, strong)| weak.iter().zip(strong).filter(|(a, b)| a == b).count() as f64 / length as f64);
    assert!(shares.clone().any(|share| share > 0.7) && shares.clone().any(|share| share < 0.3));
    let (mean, std) = ([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]);
    let tame = Views::new(3, &mean, &std, true, StrongViews::None).unwrap();
    assert_eq!(batch(&tame, View::Strong), weak);
}

#[test]
fn a_strong_view_by_cutout_is_the_weak_one_with_a_black_square() {
    let indices: Vec<usize> = (0..20).collect();
    for channels in [1, 3] {
        let pixels = set(20, 28, channels);
        let views = Views::new(channels, &[0.1307], &[0.3081], true, StrongViews::Cutout).unwrap();
        let batch = |view, step| {
            let batch = views.batch(&pixels, &indices, view, &Draw::new(1, "a", 2, step)).unwrap();
            assert_eq!(batch.dims(), [20, 28, 28, channels]);
            values(&batch)
        };
        let (weak, strong) = (batch(View::Weak, 3), batch(View::Strong, 3));
        let length = 28 * 28 * channels;
        for (weak, strong) in weak.chunks(length).zip(strong.chunks(length)) {
            let changed: Vec<usize> = (0..length).filter(|&i| weak[i] != strong[i]).collect();
            // A square in a corner has a quarter of its pixels, and up to four lines of these were black before.
            assert!(changed.len() >= 8 * channels, "{}", changed.len());
            assert!(changed.iter().all(|&i| (strong[i] + 0.1307 / 0.3081).abs() < 1e-6), "not black");
            let span = |of: fn(usize) -> usize| {
                let places: Vec<usize> = changed.iter().map(|&i| of(i / channels)).collect();
                places.iter().max().unwrap() - places.iter().min().unwrap()
            };
            let [columns, rows] = [span(|pixel| pixel % 28), span(|pixel| pixel / 28)];
            assert!(columns < 16 && rows < 16, "{columns} {rows}");
        }
        assert_eq!(strong, batch(View::Strong, 3));
        assert_ne!(strong, batch(View::Strong, 4));
    }
}

#[test]
fn operations_on_one_channel_are_refused() {
    let error = Views::new(1, &[0.5], &[0.5], true, StrongViews::Operations).unwrap_err().to_string();
    assert!(error.contains("three channels") && error.contains("cutout"), "{error}");
    assert!(Views::new(1, &[0.5], &[0.5], true, StrongViews::None).is_ok());
}

#[test]
fn what_cannot_be_normalised_is_refused() {
    for (channels, mean, std) in [
        (3, &[0.5, 0.5][..], &[0.5][..]),
        (1, &[0.5, 0.5, 0.5], &[0.5]),
        (2, &[0.5], &[0.5]),
        (3, &[], &[0.5]),
        (3, &[0.5], &[0.0]),
        (3, &[f32::NAN], &[0.5]),
    ] {
        let views = Views::new(channels, mean, std, true, StrongViews::None);
        assert!(views.is_err(), "{channels} {mean:?} {std:?}");
    }
}

#[test]
fn images_that_are_not_there_and_rooms_that_do_not_fit_are_errors() {
    let pixels = set(2, 4, 3);
    let draw = Draw::new(0, "", 0, 0);
    let error = colour().batch(&pixels, &[2], View::Weak, &draw).unwrap_err().to_string();
    assert!(error.contains("beyond the 2"), "{error}");
    let mut room = vec![0.0; 47];
    assert!(colour().fill(&pixels, &[0], View::Weak, &draw, &mut room).is_err());
    let grey = set(2, 4, 1);
    assert!(colour().batch(&grey, &[0], View::Weak, &draw).is_err());
    assert_eq!(colour().batch(&pixels, &[], View::Strong, &draw).unwrap().dims(), [0, 4, 4, 3]);
}
