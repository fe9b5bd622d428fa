//! The formulas of Co-Reg's division and pseudo-labels against PyTorch: `learn/golden/make_formulas.py` wrote the
//! numbers.

#![allow(clippy::unwrap_used)]

use candle_core::{Device, Result, Tensor};

use super::divide::{DivisionSettings, LossHistory, align, divide, division_loss};
use crate::learn::golden_tests::{Golden, close, flat};
use crate::learn::pseudo_labels::{fuse, mean_of_views, rescale, sharpen};

#[test]
fn division_loss_and_alignment_are_pytorchs() {
    let golden = Golden::read();
    let classes = golden.size("C");
    let mut probs = golden.list("probs");
    let candidates: Vec<u8> = golden.integers("candidates").into_iter().map(|y| y as u8).collect();
    let division: Vec<f32> =
        probs.chunks(classes).zip(candidates.chunks(classes)).map(|(p, y)| division_loss(p, y)).collect();
    close(&division, &golden.list("division"), 1e-6);
    align(&mut probs, classes);
    close(&probs, &golden.list("aligned"), 1e-6);
}

#[test]
fn a_division_averages_the_last_epochs_only() {
    let settings = DivisionSettings { loss_history: 2, align: false, ..DivisionSettings::default() };
    let mut history = LossHistory::default();
    for confident in [0, 1, 1] {
        let row = |i: usize| if i % 2 == confident { [0.9, 0.1] } else { [0.2, 0.8] };
        let probs = (0..10).flat_map(row).collect();
        divide(probs, (&[1, 0].repeat(10), &[true; 10]), 2, &mut history, &settings);
    }
    assert_eq!(history.0.len(), 2);
    let probs = (0..10).flat_map(|i| if i % 2 == 1 { [0.9, 0.1] } else { [0.2, 0.8] }).collect();
    let division = divide(probs, (&[1, 0].repeat(10), &[true; 10]), 2, &mut history, &settings);
    assert_eq!(division.partial, [1, 3, 5, 7, 9]);
    assert_eq!(division.unlabeled, [0, 2, 4, 6, 8]);
}

#[test]
fn what_nobody_annotated_is_unlabeled_and_changes_nothing_for_the_rest() {
    let settings = DivisionSettings { align: false, ..DivisionSettings::default() };
    let row = |i: usize| {
        if i.is_multiple_of(3) { [0.9, 0.1] } else { [0.2 + i as f32 / 100.0, 0.8 - i as f32 / 100.0] }
    };
    let probs: Vec<f32> = (0..10).flat_map(row).collect();
    let candidates = [1, 0].repeat(10);
    let mut history = LossHistory::default();
    let alone = divide(probs.clone(), (&candidates, &[true; 10]), 2, &mut history, &settings);

    // Two more, of whom every class is a candidate: their losses would be the smallest.
    let mixed_in = |own: &[f32], other: [f32; 2]| [&other, &own[..8], &other, &own[8..]].concat();
    let candidates: Vec<u8> =
        mixed_in(&candidates.iter().map(|&y| f32::from(y)).collect::<Vec<_>>(), [1.0; 2])
            .iter()
            .map(|&y| y as u8)
            .collect();
    let annotated: Vec<bool> = (0..12).map(|i| i != 0 && i != 5).collect();
    let mut history = LossHistory::default();
    let among = divide(mixed_in(&probs, [0.99, 0.01]), (&candidates, &annotated), 2, &mut history, &settings);
    let rest: Vec<f32> = (0..12).filter(|&i| annotated[i]).map(|i| among.w[i]).collect();
    assert_eq!(rest, alone.w);
    assert_eq!((among.w[0], among.w[5]), (0.0, 0.0));
    assert!(among.unlabeled.contains(&0) && among.unlabeled.contains(&5));
    assert_eq!(among.partial.len(), alone.partial.len());
}

#[test]
fn pseudo_labels_are_pytorchs() -> Result<()> {
    let golden = Golden::read();
    let rescaled = rescale(&golden.matrix("other", "C"), &golden.matrix("candidates", "C"))?;
    close(&flat(&rescaled), &golden.list("rescaled"), 1e-6);
    let own = mean_of_views(&golden.matrix("views", "C"), golden.size("K"))?;
    close(&flat(&own), &golden.list("mean_views"), 1e-6);
    let w = Tensor::from_vec(golden.list("w"), golden.size("B"), &Device::Cpu)?;
    let fused = fuse(&w, &rescaled, &own)?;
    close(&flat(&fused), &golden.list("fused"), 1e-6);
    close(&flat(&sharpen(&fused, 0.5)?), &golden.list("sharpened"), 1e-6);
    Ok(())
}

#[test]
fn a_prediction_without_mass_on_the_candidates_is_shared_evenly() -> Result<()> {
    let probs = Tensor::new(&[[1f32, 0., 0.]], &Device::Cpu)?;
    let candidates = Tensor::new(&[[0f32, 1., 1.]], &Device::Cpu)?;
    close(&flat(&rescale(&probs, &candidates)?), &[0.0, 0.5, 0.5], 1e-6);
    Ok(())
}
