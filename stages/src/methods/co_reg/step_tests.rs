//! Two whole steps against PyTorch: `golden/make_step.py` computes them from the same weights, views and draws.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use candle_core::{D, Device, Result, Tensor};
use candle_nn::ops::softmax;
use serde::Deserialize;

use super::step::{Batch, mixing};
use super::{CoReg, learn};
use crate::learn::method::Step;
use crate::learn::optimizer::Optimizer;
use crate::learn::prototypes::Prototypes;
use crate::learn::train::{Train, Training};
use crate::learn::training_set::{Input, TrainingSet};
use crate::network::Architecture;
use crate::network::tests::{assert_digest, digest, fill, flat, formula};
use crate::vision::Pixels;

#[derive(Deserialize)]
struct Golden {
    architecture: Architecture,
    steps: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    labels: Vec<u32>,
    terms: HashMap<String, f64>,
    network: HashMap<String, [f64; 2]>,
    key: HashMap<String, [f64; 2]>,
    prototypes: Vec<f32>,
}

#[derive(Deserialize)]
struct Drawn {
    lambda: f64,
    order: Vec<u32>,
}

/// P, U and K of make_step.py.
const SIZES: [usize; 3] = [6, 4, 2];
const MIXUP: f64 = 4.0;

fn stage(architecture: &Architecture) -> Train<CoReg> {
    let method = CoReg {
        mixup: MIXUP,
        ramp: 4,
        regularise_after: 0,
        prototype_momentum: 0.9,
        key_momentum: 0.8,
        queue: 24,
        ..CoReg::default()
    };
    let input =
        Input { size: 16, channels: 3, mean: vec![0.5; 3], std: vec![0.5; 3], flip: false, strong: false };
    Train { method, seed: 0, optimizer: Optimizer::default(), input, architecture: architecture.clone() }
}

/// A set that nobody looks at: the views come from a formula.
fn no_set() -> TrainingSet {
    let none = || Pixels::new(16, 3, Vec::new()).unwrap();
    let nothing = Vec::new;
    TrainingSet {
        ids: Vec::new(),
        train: none(),
        test: none(),
        candidates: Vec::new(),
        weights: Vec::new(),
        annotated: Vec::new(),
        soft_labels: None,
        classes: 5,
        truth: nothing(),
        test_weights: Vec::new(),
        test_annotated: Vec::new(),
        test_truth: nothing(),
    }
}

fn training<'a>(stage: &'a Train<CoReg>, set: &'a TrainingSet) -> Training<'a, CoReg> {
    let mut training = stage.start(set, None, &Device::Cpu).unwrap();
    for n in [0, 1] {
        let network = &training.learners[n].network;
        fill(network, 300 * n);
        training.state.networks[n].key.copy_from(network).unwrap();
    }
    let (width, classes) = (stage.architecture.embedding, stage.architecture.classes);
    let rows = Tensor::from_vec(formula(classes * width, 900), (classes, width), &Device::Cpu).unwrap();
    let lengths = rows.sqr().unwrap().sum_keepdim(D::Minus1).unwrap().sqrt().unwrap();
    training.state.prototypes = Prototypes(rows.broadcast_div(&lengths).unwrap());
    training
}

fn batch(number: usize, architecture: &Architecture) -> Result<Batch> {
    let ([p, u, k], base) = (SIZES, 2000 + 100 * number);
    let (size, classes) = (architecture.input_size, architecture.classes);
    let images = |count: usize, seed: usize| {
        Tensor::from_vec(formula(count * size * size * 3, seed), (count, size, size, 3), &Device::Cpu)
    };
    let logits = Tensor::from_vec(formula(p * classes, base + 2), (p, classes), &Device::Cpu)?;
    let w = formula(p, base + 3).into_iter().map(|v| 0.5 + 0.5 * v).collect();
    Ok(Batch {
        partial: p,
        unlabeled: u,
        w: Tensor::from_vec(w, p, &Device::Cpu)?,
        other: softmax(&(logits * 3.0)?, D::Minus1)?,
        weak: images(k * (p + u), base)?,
        strong: images(2 * (p + u), base + 1)?,
    })
}

#[test]
fn the_draws_are_those_that_pytorch_was_given() {
    let drawn: Vec<Drawn> = serde_json::from_str(include_str!("golden/draws.json")).unwrap();
    assert_eq!(drawn.len(), 2);
    for (step, expected) in drawn.into_iter().enumerate() {
        let stream = super::stream_name(0, 0, &format!("mixup/{step}"));
        let (lambda, order) = mixing(0, &stream, MIXUP, 2 * (SIZES[0] + SIZES[1])).unwrap();
        assert_eq!((lambda, order), (expected.lambda, expected.order), "step {step}");
    }
}

#[test]
fn whole_steps_are_pytorchs() -> Result<()> {
    let golden: Golden = serde_json::from_str(include_str!("golden/step.json")).unwrap();
    let (stage, set) = (stage(&golden.architecture), no_set());
    let mut training = training(&stage, &set);
    for (number, expected) in golden.steps.iter().enumerate() {
        let step = Step { network: 0, number, progress: [1.0, 1.5][number], rate: 0.05 };
        let terms = learn(&mut training, step, &batch(number, &golden.architecture)?)?.into_terms();
        let labels = training.state.networks[0].pseudo_labels.last().unwrap();
        assert_eq!(labels.to_vec1::<u32>()?, expected.labels, "step {number}");
        assert_eq!(terms.len(), expected.terms.len());
        for (name, term) in terms {
            let (found, wanted) = (f64::from(term.to_scalar::<f32>()?), expected.terms[name]);
            assert!((found - wanted).abs() <= 1e-4 * wanted.abs().max(0.1), "{name}: {found}, not {wanted}");
        }
        let key = &training.state.networks[0].key;
        let networks = [(&training.learners[0].network, &expected.network), (key, &expected.key)];
        for (network, wanted) in networks {
            for (name, tensor) in network.state()? {
                assert_digest(&format!("step {number}, {name}"), digest(&flat(&tensor)), wanted[&name], 2e-3);
            }
        }
        for (found, wanted) in flat(&training.state.prototypes.0).iter().zip(&expected.prototypes) {
            assert!((found - wanted).abs() < 1e-4, "step {number}: prototype {found}, not {wanted}");
        }
    }
    Ok(())
}
