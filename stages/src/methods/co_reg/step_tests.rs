//! Two whole steps against PyTorch: `golden/make_step.py` computes them from the same weights, views and draws.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::ops::softmax;
use serde::Deserialize;
use serde_json::Value;

use super::divide::{Division, Memory, Samples, divide};
use super::lesson::CoRegLesson;
use super::step::{Batch, pseudo_label};
use super::{CoReg, KeyRestart, UnlabeledError, learn};
use crate::learn::method::{Lesson, State, Step};
use crate::learn::mixup::Mixing;
use crate::learn::optimizer::Optimizer;
use crate::learn::prototypes::Prototypes;
use crate::learn::train::{Train, Training};
use crate::learn::training_set::{Input, TrainingSet};
use crate::network::tests::{assert_digest, digest, fill, flat, formula};
use crate::network::{Architecture, Network};
use crate::runtime::checkpoint::Tensors;
use crate::vision::{Pixels, StrongViews};

#[derive(Deserialize)]
struct Golden {
    architecture: Architecture,
    #[serde(flatten)]
    steps: HashMap<String, Value>,
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
    let (mean, std) = (vec![0.5; 3], vec![0.5; 3]);
    let input = Input { size: 16, channels: 3, mean, std, flip: false, strong: StrongViews::None };
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
        single: Vec::new(),
        human: Vec::new(),
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
        training.state.networks[n].key.network.copy_from(network).unwrap();
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
        let Mixing { lambda, order } = Mixing::draw(0, &stream, MIXUP, 2 * (SIZES[0] + SIZES[1])).unwrap();
        assert_eq!((lambda, order), (expected.lambda, expected.order), "step {step}");
    }
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/step.json")).unwrap()
}

/// Two steps of Co-Reg with these constants are those that the script calls `name`.
fn are_pytorchs(name: &str, unlabeled_error: UnlabeledError, prototypes_first: bool) -> Result<()> {
    let golden = golden();
    let expected: Vec<Expected> = serde_json::from_value(golden.steps[name].clone()).unwrap();
    let (mut stage, set) = (stage(&golden.architecture), no_set());
    (stage.method.unlabeled_error, stage.method.prototypes_first) = (unlabeled_error, prototypes_first);
    let mut training = training(&stage, &set);
    for (number, expected) in expected.iter().enumerate() {
        let step = Step { network: 0, number, progress: [1.0, 1.5][number], rate: 0.05 };
        let terms = learn(&mut training, step, &batch(number, &golden.architecture)?)?.into_terms();
        let labels = training.state.networks[0].pseudo_labels.last().unwrap();
        assert_eq!(labels.to_vec1::<u32>()?, expected.labels, "step {number}");
        assert_eq!(terms.len(), expected.terms.len());
        for (name, term) in terms {
            let (found, wanted) = (f64::from(term.to_scalar::<f32>()?), expected.terms[name]);
            assert!((found - wanted).abs() <= 1e-4 * wanted.abs().max(0.1), "{name}: {found}, not {wanted}");
        }
        let key = &training.state.networks[0].key.network;
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

#[test]
fn whole_steps_are_pytorchs() -> Result<()> {
    let default = CoReg::default();
    are_pytorchs("paper", default.unlabeled_error, default.prototypes_first)
}

#[test]
fn whole_steps_of_the_release_are_pytorchs() -> Result<()> {
    are_pytorchs("release", UnlabeledError::Mean, true)
}

#[test]
fn whole_steps_of_short_trainings_are_pytorchs() -> Result<()> {
    are_pytorchs("quick", UnlabeledError::Mean, false)
}

/// Parameters of a network, or its running statistics.
fn part_of(network: &Network, running: bool) -> Vec<Vec<f32>> {
    let state = network.state().unwrap().into_iter();
    state.filter(|(name, _)| name.contains(".running_") == running).map(|(_, tensor)| flat(&tensor)).collect()
}

#[test]
fn a_key_network_takes_on_anew_what_the_setting_says() -> Result<()> {
    let (stage, set) = (stage(&golden().architecture), no_set());
    for (how, parameters, running) in [
        (KeyRestart::All, true, true),
        (KeyRestart::Parameters, true, false),
        (KeyRestart::None, false, false),
    ] {
        let mut training = training(&stage, &set);
        let step = Step { network: 0, number: 0, progress: 1.0, rate: 0.05 };
        learn(&mut training, step, &batch(0, &stage.architecture)?)?;
        let (network, own) = (&training.learners[0].network, &training.state.networks[0]);
        for of_running in [false, true] {
            assert_ne!(
                part_of(network, of_running),
                part_of(&own.key.network, of_running),
                "a step parts them"
            );
        }
        own.restart_key(network, how)?;
        assert_eq!(part_of(network, false) == part_of(&own.key.network, false), parameters, "{how:?}");
        assert_eq!(part_of(network, true) == part_of(&own.key.network, true), running, "{how:?}");
    }
    Ok(())
}

#[test]
fn a_checkpoint_holds_all_that_the_next_epoch_needs() -> Result<()> {
    let (stage, set) = (stage(&golden().architecture), no_set());
    let mut training = training(&stage, &set);
    let step = Step { network: 0, number: 0, progress: 1.0, rate: 0.05 };
    learn(&mut training, step, &batch(0, &stage.architecture)?)?;
    let tensors = training.state.tensors().unwrap();
    let mut back = stage.start(&set, None, &Device::Cpu).unwrap();
    back.state.restore(&tensors).unwrap();
    let values = |tensors: Tensors| -> Vec<(String, Vec<f32>)> {
        let value = |tensor: Tensor| flat(&tensor.to_dtype(DType::F32).unwrap());
        tensors.into_iter().map(|(name, tensor)| (name, value(tensor))).collect()
    };
    assert_eq!(values(back.state.tensors().unwrap()), values(tensors));
    for n in [0, 1] {
        let [one, two] = [&training, &back].map(|training| &training.state.networks[n].key.network);
        for running in [false, true] {
            assert_eq!(part_of(one, running), part_of(two, running), "network {n}");
        }
    }
    Ok(())
}

#[test]
fn a_human_label_is_learned_whatever_the_networks_predict() -> Result<()> {
    let (stage, mut set) = (stage(&golden().architecture), no_set());
    let (count, classes) = (8, set.classes);
    // Of every sample class i mod 5 is a candidate, and of those that no human labelled the next class, too.
    set.human = (0..count).map(|i| i % 3 == 0).collect();
    set.ids = (0..count).map(|i| i.to_string()).collect();
    set.train = Pixels::new(16, 3, (0..count * 16 * 16 * 3).map(|i| (i * 7 % 256) as u8).collect()).unwrap();
    set.candidates = (0..count * classes)
        .map(|at| (at / classes, at % classes))
        .map(|(i, class)| u8::from(class == i % classes || class == (i + 1) % classes && !set.human[i]))
        .collect();
    set.weights = set.candidates.iter().map(|&y| f32::from(y)).collect();
    set.annotated = vec![true; count];
    set.truth = vec![None; count];
    let training = training(&stage, &set);
    // Both networks are sure of a class that is no candidate.
    let sure = |at: usize| f32::from(at % classes == (at / classes + 2) % classes);
    let division = || -> Division {
        let probs = (0..count * classes).map(sure).collect();
        divide(probs, Samples::of(&set), &mut Memory::new(count), &stage.method.divide)
    };
    let lesson = CoRegLesson::new(&training, 0, &division(), &division()).unwrap();
    assert_eq!(lesson.steps(), 1);
    let batch = lesson.batch(0, lesson.views(0).unwrap())?;
    let step = Step { network: 0, number: 0, progress: 0.0, rate: 0.05 };
    let targets = flat(&pseudo_label(&training, step, &batch)?.partial);
    let w: Vec<f32> = batch.w.to_vec1()?;
    let certain = targets.chunks(classes).zip(w).filter(|(target, w)| *w == 1.0 && target.contains(&1.0));
    let mut labels: Vec<usize> =
        certain.map(|(target, _)| target.iter().position(|&p| p == 1.0).unwrap()).collect();
    labels.sort_unstable();
    // Samples 0, 3 and 6.
    assert_eq!(labels, [0, 1, 3]);
    Ok(())
}
