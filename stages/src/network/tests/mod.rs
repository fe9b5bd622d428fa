//! What the tests of the network share: values by the formulas of golden/make_goldens.py, networks and batches made of
//! them, and comparisons.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod curves;
mod parameters;
pub mod pytorch;

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use candle_nn::loss::cross_entropy;

use super::*;

/// The formula of golden/make_goldens.py.
pub fn formula(count: usize, seed: usize) -> Vec<f32> {
    let one = |i: usize| (i as f64 * 1.7 + seed as f64 * 0.913 + ((i * i) % 97) as f64 * 0.31).sin() as f32;
    (0..count).map(one).collect()
}

/// A network on the CPU with weights of the formula.
pub fn network(architecture: &Architecture) -> Network {
    network_on(architecture, &Device::Cpu)
}

/// A network with weights of the formula.
pub fn network_on(architecture: &Architecture, device: &Device) -> Network {
    let network = Network::new(architecture, &mut pipeline::random::stream(1, "test"), device).unwrap();
    fill(&network, 0);
    network
}

/// Gives a network weights of the formula; the first parameter by name has the seed `first`.
pub fn fill(network: &Network, first: usize) {
    let mut state: HashMap<String, Tensor> = network.state().unwrap().into_iter().collect();
    let mut names: Vec<String> = state.keys().filter(|n| !n.contains("running")).cloned().collect();
    names.sort();
    for (seed, name) in (first..).zip(names) {
        let shape = state[&name].dims().to_vec();
        let fan_in = shape[1..].iter().product::<usize>() as f64;
        let values = formula(shape.iter().product(), seed).into_iter().map(|v| match shape.len() {
            1 if name.contains("norm") && name.ends_with("weight") => 1.0 + 0.3 * v,
            1 => 0.2 * v,
            _ => v * (1.5 / fan_in.sqrt()) as f32,
        });
        let tensor = Tensor::from_vec(values.collect(), shape.as_slice(), &Device::Cpu).unwrap();
        state.insert(name, tensor);
    }
    network.load_state(&state).unwrap();
}

/// Images of the formula (count, size, size, channels) and labels in turn.
pub fn batch(a: &Architecture, count: usize, seed: usize) -> (Tensor, Tensor) {
    let (s, c) = (a.input_size, a.input_channels);
    let x = Tensor::from_vec(formula(count * s * s * c, seed), (count, s, s, c), &Device::Cpu).unwrap();
    let y = (0..count).map(|i| (i % a.classes) as u32).collect();
    (x, Tensor::from_vec(y, count, &Device::Cpu).unwrap())
}

/// Cross-entropy, and a term that reaches the projector.
pub fn loss_of(logits: &Tensor, z: &Tensor, y: &Tensor) -> Tensor {
    let weights = Tensor::from_vec(formula(z.elem_count(), 500), z.shape(), z.device()).unwrap();
    let y = &y.to_device(z.device()).unwrap();
    (cross_entropy(logits, y).unwrap() + (z * weights).unwrap().mean_all().unwrap()).unwrap()
}

/// Length, and product with a formula vector.
pub fn digest(values: &[f32]) -> [f64; 2] {
    let norm = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let dot = values.iter().zip(formula(values.len(), 77)).map(|(v, f)| f64::from(*v) * f64::from(f)).sum();
    [norm, dot]
}

pub fn flat(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

pub fn assert_digest(what: &str, found: [f64; 2], wanted: [f64; 2], tolerance: f64) {
    for (f, w) in found.iter().zip(wanted) {
        assert!((f - w).abs() <= tolerance * wanted[0] + 1e-6, "{what}: {found:?}, PyTorch has {wanted:?}");
    }
}

pub fn assert_close(what: &str, found: &[f32], wanted: &[f32], tolerance: f32) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    let scale = wanted.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
    for (i, (f, w)) in found.iter().zip(wanted).enumerate() {
        assert!((f - w).abs() <= tolerance * scale, "{what}[{i}]: {f}, wanted {w} (scale {scale})");
    }
}

/// a · b in f64.
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// √(a · a) in f64.
pub fn length(a: &[f32]) -> f64 {
    dot(a, a).sqrt()
}

/// That `gradient` of `x` is the slope of the function `of` along it.
pub fn assert_slope(what: &str, x: &[f32], gradient: &[f32], within: f64, of: impl Fn(&[f32]) -> f64) {
    let norm = length(gradient);
    assert!(norm > 1e-3, "{what} has a gradient of {norm}");
    let by = 2e-2 * length(x) / norm;
    let at = |by: f64| of(&x.iter().zip(gradient).map(|(x, g)| x + by as f32 * g).collect::<Vec<_>>());
    let slope = (at(by) - at(-by)) / (2.0 * by * norm);
    assert!((slope - norm).abs() < within * norm, "{what}: slope {slope}, gradient {norm}");
}

/// Rows of `channels` values, `memory` apart, zeros between them.
pub fn spread(x: &[f32], channels: usize, memory: usize) -> Vec<f32> {
    let row = |row: &[f32]| [row, &vec![0.0; memory - channels]].concat();
    x.chunks_exact(channels).flat_map(row).collect()
}

/// The rows that [`spread`] was given.
pub fn gathered(x: &[f32], channels: usize, memory: usize) -> Vec<f32> {
    x.chunks_exact(memory).flat_map(|row| row[..channels].to_vec()).collect()
}
