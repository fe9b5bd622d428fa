//! Whole steps against PyTorch (`golden/make_step.py` computes them from the same weights, views and draws), whole
//! epochs, and where DivideMix and Co-Reg are the same.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use candle_core::{D, Device, Result, Tensor, Var};
use candle_nn::ops::softmax;
use pipeline::stage::Context;
use serde::Deserialize;
use serde_json::Value;

use super::divide::Division;
use super::lesson::{DivideMixLesson, single_labels};
use super::step::Batch;
use super::{DivideMix, division_losses, learn, warm_up};
use crate::dataset::catalog::Schedule;
use crate::learn::golden_tests::{close, scalar};
use crate::learn::learner::predict;
use crate::learn::losses::{cross_entropy, partial_cross_entropy, prior_divergence};
use crate::learn::method::{Lesson, Method, Step};
use crate::learn::mixup::Mixing;
use crate::learn::optimizer::Optimizer;
use crate::learn::pseudo_labels::rescale;
use crate::learn::step_losses::StepLosses;
use crate::learn::train::{Train, Training};
use crate::learn::training_set::{Input, TrainingSet};
use crate::methods::Wired;
use crate::methods::co_reg::divide::division_loss;
use crate::methods::golden_tests::Steps;
use crate::network::Architecture;
use crate::network::tests::{assert_digest, digest, fill, flat, formula};
use crate::vision::{Pixels, StrongViews, View};

const GOLDEN: &str = include_str!("golden/step.json");
/// P and U of make_step.py, and the classes.
const P: usize = 6;
const U: usize = 4;
const C: usize = 5;

#[derive(Deserialize)]
struct Expected {
    given: Vec<u16>,
    progress: f64,
    mixing: Drawn,
    labels: Vec<u32>,
    terms: HashMap<String, f64>,
    network: HashMap<String, [f64; 2]>,
    other: HashMap<String, [f64; 2]>,
}

#[derive(Deserialize)]
struct Drawn {
    lambda: f64,
    order: Vec<u32>,
}

fn architecture() -> Architecture {
    Architecture {
        input_channels: 3,
        input_size: 16,
        width: 8,
        blocks: [1; 4],
        first_stride: 2,
        classes: C,
        embedding: 8,
    }
}

fn stage(method: DivideMix) -> Train<DivideMix> {
    let (mean, std) = (vec![0.5; 3], vec![0.5; 3]);
    let input = Input { size: 16, channels: 3, mean, std, flip: true, strong: StrongViews::None };
    let optimizer = method.optimizer(&Optimizer::default());
    Train { method, seed: 0, optimizer, input, architecture: architecture() }
}

/// Images of the formula with these labels, which are right; and six test images.
fn set(single: Vec<Option<u16>>) -> TrainingSet {
    const TEST: usize = 6;
    let pixels = |count: usize, seed: usize| {
        let bytes = formula(count * 16 * 16 * 3, seed).into_iter().map(|v| (127.0 + 120.0 * v) as u8);
        Pixels::new(16, 3, bytes.collect()).unwrap()
    };
    let count = single.len();
    let is_candidate = |label: &Option<u16>, j: usize| label.is_none_or(|label| usize::from(label) == j);
    let candidates: Vec<u8> =
        single.iter().flat_map(|label| (0..C).map(move |j| u8::from(is_candidate(label, j)))).collect();
    TrainingSet {
        ids: (0..count).map(|i| i.to_string()).collect(),
        train: pixels(count, 1),
        test: pixels(TEST, 2),
        weights: candidates.iter().map(|&y| f32::from(y)).collect(),
        candidates,
        annotated: single.iter().map(Option::is_some).collect(),
        truth: single.iter().map(|label| label.map(u32::from)).collect(),
        single,
        human: vec![false; count],
        soft_labels: None,
        classes: C,
        test_weights: vec![0.2; TEST * C],
        test_annotated: vec![true; TEST],
        test_truth: vec![Some(0); TEST],
    }
}

/// Sixteen samples, of which nobody voted on number 3, and a human said what number 5 is.
fn mixed_set() -> TrainingSet {
    let mut set = set((0..16).map(|i| (i != 3).then_some(i % C as u16)).collect());
    set.human[5] = true;
    set
}

fn images(count: usize, seed: usize) -> Tensor {
    Tensor::from_vec(formula(count * 16 * 16 * 3, seed), (count, 16, 16, 3), &Device::Cpu).unwrap()
}

/// The batch of step number `number` of make_step.py, of which `unlabeled` are of 𝒰.
fn batch(number: usize, given: &[u16], unlabeled: usize) -> Batch {
    let base = 2000 + 100 * number;
    let w = formula(P, base + 1).into_iter().map(|v| 0.5 + 0.5 * v).collect();
    let labels = set(given.iter().copied().map(Some).collect());
    Batch {
        partial: P,
        unlabeled,
        w: Tensor::from_vec(w, P, &Device::Cpu).unwrap(),
        labels: single_labels(&labels, &[0, 1, 2, 3, 4, 5], &Device::Cpu).unwrap(),
        images: images(2 * (P + unlabeled), base),
    }
}

fn first_view(
    training: &mut Training<'_, DivideMix>,
    step: Step,
    samples: &[usize],
    views: &[Tensor],
) -> Result<StepLosses> {
    warm_up(training, step, samples, &views[0])
}

#[test]
fn whole_steps_of_warm_up_are_pytorchs() {
    let method = DivideMix::default();
    let weight_decay = method.weight_decay;
    let steps = Steps { golden: GOLDEN, name: "warm_up", method, weight_decay, views: 1 };
    steps.are_pytorchs(|_| {}, first_view, |_| Vec::new());
}

#[test]
fn whole_steps_after_warm_up_are_pytorchs() -> Result<()> {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let steps: Vec<Expected> = serde_json::from_value(golden["divided"].clone()).unwrap();
    assert_eq!(steps.len(), 2);
    let stage = stage(DivideMix { warm_up: 2, ramp: 4, ..DivideMix::default() });
    let set = set(vec![Some(0); 2]);
    let mut training = stage.start(&set, None, &Device::Cpu).unwrap();
    fill(&training.learners[0].network, 0);
    fill(&training.learners[1].network, 300);
    for (number, expected) in steps.iter().enumerate() {
        let step = Step { network: 0, number, progress: expected.progress, rate: 0.05 };
        let mixing = Mixing { lambda: expected.mixing.lambda, order: expected.mixing.order.clone() };
        let terms = learn(&mut training, step, &batch(number, &expected.given, U), &mixing)?.into_terms();
        let labels = training.state.networks[0].pseudo_labels.last().unwrap();
        assert_eq!(labels.to_vec1::<u32>()?, expected.labels, "step {number}");
        assert_eq!(terms.len(), expected.terms.len());
        for (name, term) in terms {
            let (found, wanted) = (scalar(&term), expected.terms[name]);
            assert!((found - wanted).abs() <= 1e-4 * wanted.abs().max(0.1), "{name}: {found}, not {wanted}");
        }
        for (learner, wanted) in training.learners.iter().zip([&expected.network, &expected.other]) {
            for (name, tensor) in learner.network.state()? {
                assert_digest(&format!("step {number}, {name}"), digest(&flat(&tensor)), wanted[&name], 2e-3);
            }
        }
    }
    Ok(())
}

#[test]
fn a_step_without_unlabeled_samples_learns_from_the_rest() -> Result<()> {
    let stage = stage(DivideMix { regularise: false, ..DivideMix::default() });
    let set = set(vec![Some(0); 2]);
    let mut training = stage.start(&set, None, &Device::Cpu).unwrap();
    let step = Step { network: 1, number: 0, progress: 20.0, rate: 0.05 };
    let mixing = Mixing { lambda: 0.8, order: (0..2 * P as u32).rev().collect() };
    let terms = learn(&mut training, step, &batch(0, &[0, 1, 2, 3, 4, 0], 0), &mixing)?.into_terms();
    assert_eq!(terms.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["loss_partial", "loss"]);
    assert!(scalar(&terms[0].1) > 0.0 && scalar(&terms[0].1) == scalar(&terms[1].1));
    assert_eq!(training.state.networks[1].pseudo_labels[0].dims(), [P]);
    Ok(())
}

#[test]
fn an_epoch_goes_once_through_the_believed_split_and_round_the_other() {
    let (mut stage, set) = (stage(DivideMix { batch: 4, ..DivideMix::default() }), mixed_set());
    stage.optimizer.human_share = 0.0;
    let training = stage.start(&set, None, &Device::Cpu).unwrap();
    let rows = |lesson: &DivideMixLesson<'_>| -> Vec<usize> {
        (0..lesson.steps()).map(|step| lesson.views(step).unwrap()[0].dims()[0]).collect()
    };
    let warm_up = DivideMixLesson::warm_up(&training, 0);
    assert_eq!(rows(&warm_up), [8, 7], "fifteen of sixteen have a label");
    let of = |unlabeled: Vec<usize>| {
        let division = Division { w: vec![0.5; 16], partial: (0..6).collect(), unlabeled };
        rows(&DivideMixLesson::divided(&training, 0, &division))
    };
    assert_eq!(of(vec![6, 7, 8]), [2 * (4 + 4), 2 * (2 + 4)]);
    assert_eq!(of(Vec::new()), [2 * 4, 2 * 2]);
}

#[test]
fn epochs_of_warm_up_are_followed_by_epochs_that_divide() {
    let method =
        DivideMix { epochs: 3, warm_up: 1, batch: 4, ramp: 1, loss_history: 2, ..DivideMix::default() };
    method.check().unwrap();
    let (stage, set, context) = (stage(method), mixed_set(), Context::for_test("nothing is kept"));
    let mut training = stage.start(&set, None, &Device::Cpu).unwrap();
    for _ in 0..3 {
        training.run_epoch(&context).unwrap();
    }
    let rows = &training.history.rows;
    assert_eq!(rows.iter().map(|row| row.epoch).collect::<Vec<_>>(), [1, 1, 2, 2, 3, 3]);
    for row in rows {
        let (divided, values) = (row.epoch > 1, &row.values);
        assert_eq!(values.contains_key("loss_negative_entropy"), !divided);
        for name in ["loss_prior", "mean_w", "purity", "pseudo_label_accuracy_partial"] {
            assert_eq!(values.contains_key(name), divided, "epoch {}: {name}", row.epoch);
        }
        if divided {
            assert_eq!(values["size_partial"] + values["size_unlabeled"], 16.0);
            assert_eq!(values["purity"], 1.0, "all labels are right");
        }
    }
    let labels = DivideMix::sample_labels(&training, &context).unwrap().unwrap();
    assert_eq!((labels.labels[5], labels.confidence[5]), (0, 1.0), "what the human said");
    let division = labels.division.unwrap();
    assert_eq!((division.w[5], division.partial[5]), (1.0, true));
    assert_eq!((division.w[3], division.partial[3]), (0.0, false), "nobody voted");
}

#[test]
fn without_a_vote_on_any_image_there_is_nothing_to_learn() {
    let (stage, set) = (stage(DivideMix::default()), set(vec![None; 4]));
    let error = stage.start(&set, None, &Device::Cpu).err().unwrap().to_string();
    assert!(error.contains("nobody voted"), "{error}");
}

#[test]
fn the_rate_falls_at_half_and_the_ramp_follows_from_the_budget() {
    let optimizer = DivideMix::default().optimizer(&Optimizer::default());
    assert_eq!([0, 149].map(|epoch| optimizer.rate(epoch)), [0.02; 2]);
    assert!((optimizer.rate(150) - 0.002).abs() < 1e-12 && (optimizer.rate(299) - 0.002).abs() < 1e-12);
    assert_eq!(optimizer.weight_decay, 5e-4);
    let budget = |warm_up, total| {
        let table = DivideMix::in_budget(&Schedule { warm_up, total });
        let number = |name: &str| table[name].as_integer().unwrap();
        ([number("epochs"), number("warm_up"), number("ramp")], table.contains_key("mixup"))
    };
    assert_eq!(budget(10, 30), ([30, 10, 4], false));
    assert_eq!(budget(1, 3), ([3, 1, 1], false));
    assert_eq!(budget(10, 120), ([120, 10, 16], true));
    assert!(!DivideMix::scheduled(&Schedule { warm_up: 100, total: 800 }).contains_key("ramp"));
}

#[test]
fn with_one_label_a_sample_co_regs_losses_and_rescaled_prediction_are_divide_mixs() -> Result<()> {
    let set = set((0..6).map(|i| Some(2 * i % C as u16)).collect());
    let samples: Vec<usize> = (0..6).collect();
    let candidates = set.candidate_masks(&samples, &Device::Cpu)?;
    let labels = single_labels(&set, &samples, &Device::Cpu)?;
    let logits = (Tensor::from_vec(formula(6 * C, 40), (6, C), &Device::Cpu)? * 4.0)?;
    let of_candidates = scalar(&partial_cross_entropy(&logits, &candidates)?);
    assert!((of_candidates - scalar(&cross_entropy(&logits, &labels)?)).abs() < 1e-6);
    close(&flat(&rescale(&softmax(&logits, D::Minus1)?, &candidates)?), &flat(&labels), 1e-6);
    Ok(())
}

#[test]
fn with_one_label_a_sample_co_regs_division_loss_is_divide_mixs() {
    let (stage, context) = (stage(DivideMix::default()), Context::for_test("nothing is kept"));
    let set = set((0..6).map(|i| Some(2 * i % C as u16)).collect());
    let training = stage.start(&set, None, &Device::Cpu).unwrap();
    let (network, draws) = (&training.learners[1].network, training.draws(1, "none"));
    let probs = predict(network, &set.train, &training.views, View::Plain, draws, &context).unwrap();
    let rows = probs.chunks(C).zip(set.candidates.chunks(C));
    let of_candidates: Vec<f32> = rows.map(|(probs, candidates)| division_loss(probs, candidates)).collect();
    close(&division_losses(&training, 1, &context).unwrap(), &of_candidates, 1e-5);
}

#[test]
fn the_prior_divergence_is_zero_for_a_uniform_mean_and_finite_for_a_class_without_any() -> Result<()> {
    let of = |rows: &[[f32; 2]]| -> Result<f64> {
        let values = rows.concat();
        let logits = Tensor::from_vec(values, (rows.len(), 2), &Device::Cpu)?;
        Ok(scalar(&prior_divergence(&logits)?))
    };
    assert!(of(&[[20.0, -20.0], [-20.0, 20.0]])?.abs() < 1e-6);
    // Means of 1/4 and 3/4: (ln 2 + ln 2/3) / 2.
    assert!((of(&[[0.0, 3f32.ln()]])? - 0.5 * (4f64 / 3.0).ln()).abs() < 1e-6);
    let logits = Var::from_tensor(&Tensor::new(&[[1000f32, -1000.0], [1000.0, -1000.0]], &Device::Cpu)?)?;
    let divergence = prior_divergence(&logits)?;
    assert!((scalar(&divergence) - (1000.0 - 2f64.ln())).abs() < 1e-3);
    let gradient = divergence.backward()?;
    close(&flat(gradient.get(&logits).unwrap()), &[0.25, -0.25, 0.25, -0.25], 1e-5);
    Ok(())
}
