//! Whole steps of the methods of one network against PyTorch: `golden/make_partial_label.py` computes them from the same
//! weights and images.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use candle_core::{Device, Result, Tensor};
use serde::Deserialize;
use serde_json::Value;

use crate::learn::method::{Method, Step};
use crate::learn::optimizer::Optimizer;
use crate::learn::step_losses::StepLosses;
use crate::learn::train::{Train, Training};
use crate::learn::training_set::{Input, TrainingSet};
use crate::network::Architecture;
use crate::network::tests::{assert_digest, digest, fill, flat, formula};
use crate::vision::Pixels;

#[derive(Deserialize)]
struct Expected {
    loss: f64,
    network: HashMap<String, [f64; 2]>,
    confidence: Vec<f32>,
}

/// Images of a step: (6, 16, 16, 3), as make_partial_label.py has them.
fn images(number: usize) -> Tensor {
    Tensor::from_vec(formula(6 * 16 * 16 * 3, 3000 + number), (6, 16, 16, 3), &Device::Cpu).unwrap()
}

/// Ten samples that nobody looks at, with their candidates.
fn training_set(candidates: Vec<u8>, classes: usize) -> TrainingSet {
    let count = candidates.len() / classes;
    let none = || Pixels::new(16, 3, Vec::new()).unwrap();
    TrainingSet {
        ids: (0..count).map(|i| i.to_string()).collect(),
        train: none(),
        test: none(),
        weights: candidates.iter().map(|&y| f32::from(y)).collect(),
        candidates,
        annotated: vec![true; count],
        soft_labels: None,
        classes,
        truth: vec![None; count],
        test_weights: Vec::new(),
        test_annotated: Vec::new(),
        test_truth: Vec::new(),
    }
}

/// Two steps of `learn` give the losses, networks and confidences that PyTorch has under `name`.
pub(super) fn whole_steps_are_pytorchs<M: Method>(
    name: &str,
    method: &M,
    learn: impl Fn(&mut Training<'_, M>, Step, &[usize], &Tensor) -> Result<StepLosses>,
    confidence: impl Fn(&Training<'_, M>) -> Vec<f32>,
) {
    let golden: Value = serde_json::from_str(include_str!("golden/partial_label.json")).unwrap();
    let architecture: Architecture = serde_json::from_value(golden["architecture"].clone()).unwrap();
    let batches: Vec<Vec<usize>> = serde_json::from_value(golden["batches"].clone()).unwrap();
    let candidates: Vec<u8> = serde_json::from_value(golden["candidates"].clone()).unwrap();
    let steps: Vec<Expected> = serde_json::from_value(golden[name].clone()).unwrap();
    assert_eq!(steps.len(), batches.len());
    let input =
        Input { size: 16, channels: 3, mean: vec![0.5; 3], std: vec![0.5; 3], flip: false, strong: false };
    let set = training_set(candidates, architecture.classes);
    let (method, optimizer) = (method.clone(), Optimizer::default());
    let stage = Train { method, seed: 0, optimizer, input, architecture };
    let mut training = stage.start(&set, None, &Device::Cpu).unwrap();
    fill(&training.learners[0].network, 0);
    for (number, (samples, expected)) in batches.iter().zip(&steps).enumerate() {
        let step = Step { network: 0, number, progress: 0.0, rate: 0.05 };
        let losses = learn(&mut training, step, samples, &images(number)).unwrap();
        let found = f64::from(losses.total().unwrap().to_scalar::<f32>().unwrap());
        assert!((found - expected.loss).abs() < 1e-5, "step {number}: {found}, not {}", expected.loss);
        for (tensor_name, tensor) in training.learners[0].network.state().unwrap() {
            let wanted = expected.network[&tensor_name];
            assert_digest(&format!("step {number}, {tensor_name}"), digest(&flat(&tensor)), wanted, 2e-3);
        }
        let found = confidence(&training);
        assert_eq!(found.len(), expected.confidence.len());
        for (at, (found, expected)) in found.iter().zip(&expected.confidence).enumerate() {
            assert!((found - expected).abs() < 1e-4, "step {number}, {at}: {found}, not {expected}");
        }
    }
}
