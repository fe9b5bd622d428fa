//! Whole steps of the methods of one network against PyTorch: the scripts `golden/make_*.py` compute them from the same
//! weights and images, by what they share in `golden/steps.py`.

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
use crate::vision::{Pixels, StrongViews};

#[derive(Deserialize)]
struct Expected {
    loss: f64,
    network: HashMap<String, [f64; 2]>,
    kept: Vec<f32>,
}

/// View number `view` of the images of step number `number`: (6, 16, 16, 3), as steps.py has them.
fn images(number: usize, view: usize) -> Tensor {
    let values = formula(6 * 16 * 16 * 3, 3000 + 100 * view + number);
    Tensor::from_vec(values, (6, 16, 16, 3), &Device::Cpu).unwrap()
}

/// Ten samples that nobody looks at, with their candidates; the first of each is its single label.
fn training_set(candidates: Vec<u8>, classes: usize) -> TrainingSet {
    let count = candidates.len() / classes;
    let none = || Pixels::new(16, 3, Vec::new()).unwrap();
    let single = |row: &[u8]| row.iter().position(|&y| y == 1).map(|class| class as u16);
    TrainingSet {
        ids: (0..count).map(|i| i.to_string()).collect(),
        train: none(),
        test: none(),
        weights: candidates.iter().map(|&y| f32::from(y)).collect(),
        single: candidates.chunks(classes).map(single).collect(),
        candidates,
        annotated: vec![true; count],
        human: vec![false; count],
        soft_labels: None,
        classes,
        truth: vec![None; count],
        test_weights: Vec::new(),
        test_annotated: Vec::new(),
        test_truth: Vec::new(),
    }
}

/// Two steps of a method, and what PyTorch has for them.
pub(super) struct Steps<'a, M> {
    /// The text of the JSON file beside the script.
    pub golden: &'a str,
    /// What the script calls the method.
    pub name: &'a str,
    /// The method with the constants that the script has.
    pub method: M,
    /// Weight decay that the script has.
    pub weight_decay: f64,
    /// How many views a step has.
    pub views: usize,
}

impl<M: Method> Steps<'_, M> {
    /// Two steps of `learn` give the losses and networks that PyTorch has, and what is `kept` after each. `prepare` sets
    /// what the script begins with.
    pub(super) fn are_pytorchs(
        &self,
        prepare: impl Fn(&mut Training<'_, M>),
        learn: impl Fn(&mut Training<'_, M>, Step, &[usize], &[Tensor]) -> Result<StepLosses>,
        kept: impl Fn(&Training<'_, M>) -> Vec<f32>,
    ) {
        let golden: Value = serde_json::from_str(self.golden).unwrap();
        let architecture: Architecture = serde_json::from_value(golden["architecture"].clone()).unwrap();
        let batches: Vec<Vec<usize>> = serde_json::from_value(golden["batches"].clone()).unwrap();
        let candidates: Vec<u8> = serde_json::from_value(golden["candidates"].clone()).unwrap();
        let steps: Vec<Expected> = serde_json::from_value(golden[self.name].clone()).unwrap();
        assert_eq!(steps.len(), batches.len());
        let (mean, std) = (vec![0.5; 3], vec![0.5; 3]);
        let input = Input { size: 16, channels: 3, mean, std, flip: false, strong: StrongViews::None };
        let set = training_set(candidates, architecture.classes);
        let optimizer = Optimizer { weight_decay: self.weight_decay, ..Optimizer::default() };
        let stage = Train { method: self.method.clone(), seed: 0, optimizer, input, architecture };
        let mut training = stage.start(&set, None, &Device::Cpu).unwrap();
        fill(&training.learners[0].network, 0);
        prepare(&mut training);
        for (number, (samples, expected)) in batches.iter().zip(&steps).enumerate() {
            let step = Step { network: 0, number, progress: 0.0, rate: 0.05 };
            let views: Vec<Tensor> = (0..self.views).map(|view| images(number, view)).collect();
            let losses = learn(&mut training, step, samples, &views).unwrap();
            let found = f64::from(losses.total().unwrap().to_scalar::<f32>().unwrap());
            let within = 1e-5 * expected.loss.abs().max(1.0);
            assert!((found - expected.loss).abs() < within, "step {number}: {found}, not {}", expected.loss);
            for (tensor_name, tensor) in training.learners[0].network.state().unwrap() {
                let wanted = expected.network[&tensor_name];
                assert_digest(&format!("step {number}, {tensor_name}"), digest(&flat(&tensor)), wanted, 2e-3);
            }
            let found = kept(&training);
            assert_eq!(found.len(), expected.kept.len());
            for (at, (found, expected)) in found.iter().zip(&expected.kept).enumerate() {
                assert!((found - expected).abs() < 1e-4, "step {number}, {at}: {found}, not {expected}");
            }
        }
    }
}

/// The steps of the methods that learn from candidates alone, whose weight decay is the shared one.
pub(super) fn partial_label<M>(name: &str, method: M) -> Steps<'_, M> {
    let golden = include_str!("golden/partial_label.json");
    Steps { golden, name, method, weight_decay: Optimizer::default().weight_decay, views: 1 }
}
