//! The formulas of Co-Reg's division and pseudo-labels against PyTorch: `learn/golden/make_formulas.py` and
//! `golden/make_alignment.py` wrote the numbers.

#![allow(clippy::unwrap_used)]

use candle_core::{Device, Result, Tensor};
use serde_json::Value;

use super::divide::{
    Alignment, Division, DivisionSettings, Memory, Samples, align, align_running, divide, division_loss,
};
use crate::learn::golden_tests::{Golden, close, flat};
use crate::learn::method::State;
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
fn alignment_by_a_running_mean_is_pytorchs() {
    let golden: Value = serde_json::from_str(include_str!("golden/alignment.json")).unwrap();
    let size = |name: &str| golden[name].as_u64().unwrap() as usize;
    let mut last = Vec::new();
    for pass in golden["passes"].as_array().unwrap() {
        let list = |name: &str| serde_json::from_value::<Vec<f32>>(pass[name].clone()).unwrap();
        let predicted = list("probs");
        let mut probs = predicted.clone();
        align_running(&mut probs, &mut last, size("classes"), size("batch"));
        close(&probs, &list("aligned"), 1e-6);
        assert_eq!(last, predicted);
    }
}

/// Samples of two classes.
fn samples<'a>(candidates: &'a [u8], annotated: &'a [bool], human: &'a [bool]) -> Samples<'a> {
    Samples { candidates, annotated, human, classes: 2 }
}

fn no_alignment() -> DivisionSettings {
    DivisionSettings { align: Alignment::None, ..DivisionSettings::default() }
}

#[test]
fn a_division_averages_the_last_epochs_only() {
    let settings = DivisionSettings { loss_history: 2, ..no_alignment() };
    let candidates = [1u8, 0].repeat(10);
    let samples = samples(&candidates, &[true; 10], &[false; 10]);
    let mut memory = Memory::new(10);
    for confident in [0, 1, 1] {
        let row = |i: usize| if i % 2 == confident { [0.9, 0.1] } else { [0.2, 0.8] };
        divide((0..10).flat_map(row).collect(), samples, &mut memory, &settings);
    }
    let probs = (0..10).flat_map(|i| if i % 2 == 1 { [0.9, 0.1] } else { [0.2, 0.8] }).collect();
    let division = divide(probs, samples, &mut memory, &settings);
    assert_eq!(division.partial, [1, 3, 5, 7, 9]);
    assert_eq!(division.unlabeled, [0, 2, 4, 6, 8]);
}

/// Ten predictions: four samples are confident of class 0, the others lean to class 1.
fn ten() -> Vec<f32> {
    let row = |i: usize| {
        if i.is_multiple_of(3) { [0.9, 0.1] } else { [0.2 + i as f32 / 100.0, 0.8 - i as f32 / 100.0] }
    };
    (0..10).flat_map(row).collect()
}

/// The ten with two more, at 0 and at 5.
fn mixed_in<T: Copy>(ten: &[T], other: [T; 2]) -> Vec<T> {
    [&other, &ten[..8], &other, &ten[8..]].concat()
}

/// Whether it is one of the two more.
fn is_more(i: usize) -> bool {
    i == 0 || i == 5
}

/// w of the ten, without the two more.
fn w_of_ten(division: &Division) -> Vec<f32> {
    (0..12).filter(|&i| !is_more(i)).map(|i| division.w[i]).collect()
}

#[test]
fn what_nobody_annotated_is_unlabeled_and_changes_nothing_for_the_rest() {
    let candidates = [1u8, 0].repeat(10);
    let only = samples(&candidates, &[true; 10], &[false; 10]);
    let alone = divide(ten(), only, &mut Memory::new(10), &no_alignment());

    // Of the two more every class is a candidate: their losses would be the smallest.
    let candidates = mixed_in(&candidates, [1, 1]);
    let annotated: Vec<bool> = (0..12).map(|i| !is_more(i)).collect();
    let all = samples(&candidates, &annotated, &[false; 12]);
    let among = divide(mixed_in(&ten(), [0.99, 0.01]), all, &mut Memory::new(12), &no_alignment());
    assert_eq!(w_of_ten(&among), alone.w);
    assert_eq!((among.w[0], among.w[5]), (0.0, 0.0));
    assert!(among.unlabeled.contains(&0) && among.unlabeled.contains(&5));
    assert_eq!(among.partial.len(), alone.partial.len());
}

#[test]
fn what_a_human_labelled_is_believed_and_changes_nothing_for_the_rest() {
    let candidates = [1u8, 0].repeat(10);
    let only = samples(&candidates, &[true; 10], &[false; 10]);
    let alone = divide(ten(), only, &mut Memory::new(10), &no_alignment());

    // The network is sure of the other class: their losses would be the largest by far.
    let candidates = mixed_in(&candidates, [1, 0]);
    let human: Vec<bool> = (0..12).map(is_more).collect();
    let all = samples(&candidates, &[true; 12], &human);
    let probs = mixed_in(&ten(), [0.0, 1.0]);
    let among = divide(probs.clone(), all, &mut Memory::new(12), &no_alignment());
    assert_eq!(w_of_ten(&among), alone.w);
    assert_eq!(among.partial.len(), alone.partial.len() + 2);
    for i in [0, 5] {
        assert_eq!(among.w[i], 1.0);
        assert!(among.partial.contains(&i) && !among.unlabeled.contains(&i));
        assert_eq!(among.probs[2 * i..2 * i + 2], [1.0, 0.0]);
        assert_eq!(among.aligned[2 * i..2 * i + 2], [1.0, 0.0]);
    }
    assert_eq!(among.probs[2..4], probs[2..4]);
    // No threshold keeps them out, and where all others are out they are all there is.
    let none = DivisionSettings { threshold: 1.0, ..no_alignment() };
    assert_eq!(divide(probs, all, &mut Memory::new(12), &none).partial, [0, 5]);
}

#[test]
fn every_sample_may_have_its_label_from_a_human() {
    let candidates = [1u8, 0].repeat(10);
    let all = samples(&candidates, &[true; 10], &[true; 10]);
    let division = divide(ten(), all, &mut Memory::new(10), &DivisionSettings::default());
    assert_eq!(division.partial, (0..10).collect::<Vec<_>>());
    assert_eq!((division.w, division.unlabeled), (vec![1.0; 10], vec![]));
}

#[test]
fn a_running_mean_remembers_what_the_network_said_of_human_labels_and_survives_a_checkpoint() {
    let candidates = [1u8, 0].repeat(10);
    let human: Vec<bool> = (0..10).map(|i| i == 1).collect();
    let all = samples(&candidates, &[true; 10], &human);
    let settings = DivisionSettings::default();
    assert_eq!(settings.align, Alignment::Running);
    let mut memory = Memory::new(10);
    divide(ten(), all, &mut memory, &settings);
    let tensors = memory.tensors().unwrap();
    assert_eq!(flat(&tensors["predictions"]), ten());
    let mut back = Memory::new(10);
    back.restore(&tensors).unwrap();
    assert_eq!(back, memory);
    let turned: Vec<f32> = ten().into_iter().rev().collect();
    let [on, again] = [memory, back].map(|mut memory| divide(turned.clone(), all, &mut memory, &settings));
    assert_eq!((on.aligned, on.w), (again.aligned, again.w));
    // Without it there is nothing to remember.
    let mut memory = Memory::new(10);
    divide(ten(), all, &mut memory, &no_alignment());
    assert!(!memory.tensors().unwrap().contains_key("predictions"));
}

#[test]
fn a_human_label_is_the_pseudo_label_as_it_stands() -> Result<()> {
    // Believed wholly, and certain: neither what the network itself says nor the temperature changes anything.
    let other = Tensor::new(&[[0f32, 1., 0.]], &Device::Cpu)?;
    let own = Tensor::new(&[[0.7f32, 0.1, 0.2]], &Device::Cpu)?;
    for temperature in [0.1, 0.5, 1.0] {
        let fused = fuse(&Tensor::new(&[1f32], &Device::Cpu)?, &rescale(&other, &other)?, &own)?;
        assert_eq!(flat(&sharpen(&fused, temperature)?), [0.0, 1.0, 0.0]);
    }
    Ok(())
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
