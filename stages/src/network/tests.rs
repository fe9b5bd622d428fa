//! The network against PyTorch (golden/make_goldens.py), against candle's own operators, and against itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use candle_nn::loss::cross_entropy;
use serde::Deserialize;

use super::conv::{Algorithm, Prepared, WeightGradient, fill_padded, padded_len, scratch_len};
use super::isa::Level;
use super::plan::{Conv, padded};
use super::pool::Pool;
use super::program::{Statistics, Trunk};
use super::*;

#[derive(Deserialize)]
pub(super) struct Goldens {
    pub cases: Vec<Case>,
    pub curve: Curve,
}

#[derive(Clone, Deserialize)]
pub(super) struct Case {
    pub architecture: Architecture,
    batch: usize,
    loss: f64,
    logits: Vec<f32>,
    features: [f64; 2],
    projections: [f64; 2],
    gradients: HashMap<String, [f64; 2]>,
    running: HashMap<String, [f64; 2]>,
    eval_logits: Vec<f32>,
}

#[derive(Deserialize)]
pub(super) struct Curve {
    pub architecture: Architecture,
    batch: usize,
    lr: f64,
    losses: Vec<f64>,
}

pub(super) fn goldens() -> Goldens {
    serde_json::from_str(include_str!("golden/networks.json")).unwrap()
}

/// The formula of make_goldens.py.
pub(crate) fn formula(count: usize, seed: usize) -> Vec<f32> {
    let one = |i: usize| (i as f64 * 1.7 + seed as f64 * 0.913 + ((i * i) % 97) as f64 * 0.31).sin() as f32;
    (0..count).map(one).collect()
}

fn network(architecture: &Architecture) -> Network {
    network_on(architecture, &Device::Cpu)
}

/// A network with weights of the formula.
pub(super) fn network_on(architecture: &Architecture, device: &Device) -> Network {
    let network = Network::new(architecture, &mut pipeline::random::stream(1, "test"), device).unwrap();
    fill(&network, 0);
    network
}

/// Gives a network weights of the formula; the first parameter by name has the seed `first`.
pub(crate) fn fill(network: &Network, first: usize) {
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

pub(super) fn batch(a: &Architecture, count: usize, seed: usize) -> (Tensor, Tensor) {
    let (s, c) = (a.input_size, a.input_channels);
    let x = Tensor::from_vec(formula(count * s * s * c, seed), (count, s, s, c), &Device::Cpu).unwrap();
    let y = (0..count).map(|i| (i % a.classes) as u32).collect();
    (x, Tensor::from_vec(y, count, &Device::Cpu).unwrap())
}

fn loss_of(logits: &Tensor, z: &Tensor, y: &Tensor) -> Tensor {
    let weights = Tensor::from_vec(formula(z.elem_count(), 500), z.shape(), z.device()).unwrap();
    let y = &y.to_device(z.device()).unwrap();
    (cross_entropy(logits, y).unwrap() + (z * weights).unwrap().mean_all().unwrap()).unwrap()
}

pub(crate) fn digest(values: &[f32]) -> [f64; 2] {
    let norm = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let dot = values.iter().zip(formula(values.len(), 77)).map(|(v, f)| f64::from(*v) * f64::from(f)).sum();
    [norm, dot]
}

pub(crate) fn flat(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

pub(crate) fn assert_digest(what: &str, found: [f64; 2], wanted: [f64; 2], tolerance: f64) {
    for (f, w) in found.iter().zip(wanted) {
        assert!((f - w).abs() <= tolerance * wanted[0] + 1e-6, "{what}: {found:?}, PyTorch has {wanted:?}");
    }
}

pub(super) fn assert_close(what: &str, found: &[f32], wanted: &[f32], tolerance: f32) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    let scale = wanted.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
    for (i, (f, w)) in found.iter().zip(wanted).enumerate() {
        assert!((f - w).abs() <= tolerance * scale, "{what}[{i}]: {f}, wanted {w} (scale {scale})");
    }
}

/// Gradients by PyTorch's names.
fn gradients(network: &Network, loss: &Tensor) -> Vec<(String, Vec<f32>)> {
    let grads = loss.backward().unwrap();
    let mut all = vec![];
    for (name, var) in network.parameters() {
        let grad = flat(grads.get(var).unwrap());
        if name == TRUNK {
            all.extend(network.trunk.plan.parameters.iter().map(|p| (p.name.clone(), p.to_torch(&grad))));
        } else {
            all.push((name.clone(), grad));
        }
    }
    all
}

/// A training step and an evaluation against PyTorch's; tolerances of outputs and of gradients.
pub(super) fn check_case(network: &Network, case: &Case, [outputs, tolerance]: [f32; 2]) {
    let (x, y) = batch(&case.architecture, case.batch, 1000);
    let x = x.to_device(network.device()).unwrap();
    let out = network.forward(&x, Pass::Train).unwrap();
    let z = network.project(&out.features, Pass::Train).unwrap();
    let loss = loss_of(&out.logits, &z, &y);
    let found = f64::from(loss.to_scalar::<f32>().unwrap());
    let of = format!("{:?}", case.architecture);
    let most = 0.2 * f64::from(outputs) * case.loss.abs();
    assert!((found - case.loss).abs() < most, "{of}: {found}, PyTorch {}", case.loss);
    assert_close(&of, &flat(&out.logits), &case.logits, outputs);
    let tolerance = f64::from(tolerance);
    assert_digest("features", digest(&flat(&out.features)), case.features, tolerance);
    assert_digest("projections", digest(&flat(&z)), case.projections, tolerance);
    let all = gradients(network, &loss);
    assert_eq!(all.len(), case.gradients.len());
    for (name, grad) in all {
        assert_digest(&format!("{of} {name}"), digest(&grad), case.gradients[&name], tolerance);
    }
    let state = network.state().unwrap();
    let running: Vec<_> = state.iter().filter(|(n, _)| n.contains("running")).collect();
    assert_eq!(running.len(), case.running.len());
    for (name, values) in running {
        assert_digest(&format!("{of} {name}"), digest(&flat(values)), case.running[name], tolerance);
    }
    let eval = network.forward(&x, Pass::Eval).unwrap();
    assert_close(&of, &flat(&eval.logits), &case.eval_logits, outputs);
}

/// Thirty steps against PyTorch's; tolerances of the first loss and of the others.
pub(super) fn check_curve(network: &Network, curve: &Curve, [first, others]: [f64; 2]) {
    let sgd = Sgd::new(network.parameters(), 0.9, 5e-4).unwrap();
    for (step, wanted) in curve.losses.iter().enumerate() {
        let (x, y) = batch(&curve.architecture, curve.batch, 2000 + step % 4);
        let out = network.forward(&x.to_device(network.device()).unwrap(), Pass::Train).unwrap();
        let z = network.project(&out.features, Pass::Train).unwrap();
        let loss = loss_of(&out.logits, &z, &y);
        sgd.step(&loss.backward().unwrap(), curve.lr).unwrap();
        let found = f64::from(loss.to_scalar::<f32>().unwrap());
        let tolerance = if step == 0 { first } else { others };
        assert!(
            (found - wanted).abs() < tolerance * (1.0 + wanted),
            "step {step}: {found}, PyTorch {wanted}"
        );
    }
}

#[test]
fn forward_gradients_and_running_statistics_are_pytorchs() {
    // Winograd's rounding is larger, so that now and then an activation falls on the other side of a ReLU.
    for (case, exact) in goldens().cases.into_iter().flat_map(|c| [(c.clone(), true), (c, false)]) {
        let mut network = network(&case.architecture);
        network.trunk.exact = exact;
        check_case(&network, &case, [1e-3, if exact { 1e-3 } else { 2e-2 }]);
    }
}

#[test]
fn thirty_steps_follow_pytorchs_loss_curve() {
    let curve = goldens().curve;
    // Where a rounding puts an activation on the other side of a ReLU, the curves part: PyTorch's float32 and
    // float64 curves do so too, from other starts.
    check_curve(&network(&curve.architecture), &curve, [1e-5, 1e-2]);
}

#[test]
fn candles_own_operators_give_the_same_gradients() {
    let a = Architecture { width: 20, blocks: [1, 2, 1, 1], ..Architecture::resnet18(3, 18, 4) };
    let network = network(&a);
    let (x, y) = batch(&a, 3, 5);
    let ours = network.forward(&x, Pass::Train).unwrap();
    let theta = network.parameter(TRUNK).unwrap().as_tensor();
    let (plain, _) = plain::forward(&network.trunk.plan, &x, theta, None).unwrap();
    assert_close("features", &flat(&ours.features), &flat(&plain), 1e-4);
    let logits = network.linear("classifier", &plain, Pass::Train).unwrap();
    let all = |features: &Tensor, logits: &Tensor| {
        let z = network.project(features, Pass::Train).unwrap();
        gradients(&network, &loss_of(logits, &z, &y))
    };
    let (found, wanted) = (all(&ours.features, &ours.logits), all(&plain, &logits));
    for ((name, found), (_, wanted)) in found.iter().zip(&wanted) {
        assert_close(name, found, wanted, 2e-3);
    }
}

#[test]
fn the_gradient_is_the_slope_of_the_loss() {
    let a = Architecture { width: 6, blocks: [1; 4], ..Architecture::resnet18(2, 10, 3) };
    let network = network(&a);
    let (x, y) = batch(&a, 4, 5);
    let theta = network.parameter(TRUNK).unwrap();
    let loss = || {
        let out = network.forward(&x, Pass::Train).unwrap();
        loss_of(&out.logits, &network.project(&out.features, Pass::Train).unwrap(), &y)
    };
    let grad = flat(loss().backward().unwrap().get(theta).unwrap());
    let start = flat(theta);
    let norm = grad.iter().map(|g| g * g).sum::<f32>().sqrt();
    let step = 2e-3;
    let at = |sign: f32| {
        let moved = start.iter().zip(&grad).map(|(w, g)| w + sign * step * g / norm).collect();
        theta.set(&Tensor::from_vec(moved, start.len(), &Device::Cpu).unwrap()).unwrap();
        loss().to_scalar::<f32>().unwrap()
    };
    let slope = (at(1.0) - at(-1.0)) / (2.0 * step);
    assert!((slope - norm).abs() < 0.03 * norm, "slope {slope}, gradient {norm}");
}

/// A training pass on its own pool of threads and level: features, gradient, batch statistics.
fn pass(a: &Architecture, count: usize, threads: usize, level: Level) -> Vec<Vec<f32>> {
    let network = network(a);
    let trunk = Trunk::new(network.trunk.plan.clone(), level);
    let theta = flat(network.parameter(TRUNK).unwrap());
    let x = flat(&batch(a, count, 9).0);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let forward = trunk.forward(&theta, &x, count, Statistics::Batch, true);
        let upstream = formula(forward.features.len(), 3);
        let grad = trunk.backward(&theta, &x, count, forward.saved.as_ref().unwrap(), &upstream);
        let (mean, variance) = forward.batch.unwrap();
        let eval = trunk.forward(&theta, &x, count, Statistics::Running(&mean, &variance), false);
        vec![forward.features, grad, mean, variance, eval.features]
    })
}

#[test]
fn the_number_of_threads_does_not_change_a_byte() {
    for (width, size, count) in [(16, 16, 21), (64, 8, 6)] {
        let a = Architecture { width, blocks: [1; 4], ..Architecture::resnet18(3, size, 4) };
        let bits = |threads| -> Vec<Vec<u32>> {
            let all = pass(&a, count, threads, Level::best());
            all.into_iter().map(|v| v.into_iter().map(f32::to_bits).collect()).collect()
        };
        let one = bits(1);
        assert!(one == bits(2), "two threads");
        assert!(one == bits(5), "five threads");
    }
}

#[test]
fn every_instruction_set_gives_the_same_result() {
    for (width, size, count) in [(16, 16, 5), (24, 14, 3), (64, 8, 3)] {
        let a = Architecture { width, blocks: [1; 4], ..Architecture::resnet18(3, size, 4) };
        let wanted = pass(&a, count, 2, Level::Portable);
        for level in Level::all() {
            for (found, wanted) in pass(&a, count, 2, level).iter().zip(&wanted) {
                assert_close(&format!("{level:?}"), found, wanted, 2e-3);
            }
        }
    }
}

/// Padded images (channels as in memory) of unpadded ones.
fn padded_images(x: &[f32], count: usize, size: usize, channels: usize, memory: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; scratch_len(count, size, memory)];
    out[count * padded_len(size, memory)..].fill(0.0);
    for (i, image) in out.chunks_exact_mut(padded_len(size, memory)).take(count).enumerate() {
        fill_padded(image, size, memory, |y, row| {
            row.fill(0.0);
            for (x_at, to) in row.chunks_exact_mut(memory).enumerate() {
                let from = ((i * size + y) * size + x_at) * channels;
                to[..channels].copy_from_slice(&x[from..from + channels]);
            }
        });
    }
    out
}

fn unpadded(x: &[f32], channels: usize, memory: usize) -> Vec<f32> {
    x.chunks_exact(memory).flat_map(|p| p[..channels].to_vec()).collect()
}

#[test]
fn convolutions_and_their_gradients_are_the_sums_that_define_them() {
    let shapes = [
        (3, 16, 3, 1, 5),
        (16, 16, 3, 1, 8),
        (20, 40, 3, 2, 7),
        (33, 17, 3, 2, 8),
        (16, 32, 1, 2, 9),
        (5, 64, 1, 1, 4),
        (64, 48, 3, 1, 3),
        (64, 48, 3, 1, 12),
        (16, 96, 3, 1, 28),
        (144, 16, 3, 1, 4),
        (32, 32, 3, 1, 1),
        (1, 16, 3, 2, 1),
    ];
    for (cin, cout, kernel, stride, size) in shapes {
        for images in [1, 3] {
            let cin_memory = if cin <= 3 { cin } else { padded(cin) };
            let conv = Conv { cin, cout, cin_memory, kernel, stride, size, offset: 7 };
            let (so, co) = (conv.out_size(), conv.cout_memory());
            let mut theta = vec![9.0; 7];
            theta.extend(formula(conv.len(), 1));
            let w = &theta[7..];
            let x = formula(images * size * size * cin, 2);
            let g = formula(images * so * so * cout, 3);
            let (mut y, mut dx, mut dw) = (vec![0f64; g.len()], vec![0f64; x.len()], vec![0f64; w.len()]);
            for (i, oy, ox, ky, kx) in (0..images * so * so * kernel * kernel).map(|at| {
                let (tap, pixel) = (at % (kernel * kernel), at / (kernel * kernel));
                (pixel / (so * so), pixel / so % so, pixel % so, tap / kernel, tap % kernel)
            }) {
                let (iy, ix) = (oy * stride + ky, ox * stride + kx);
                let (Some(iy), Some(ix)) = (iy.checked_sub(kernel / 2), ix.checked_sub(kernel / 2)) else {
                    continue;
                };
                if iy >= size || ix >= size {
                    continue;
                }
                for ic in 0..cin {
                    for oc in 0..cout {
                        let xi = ((i * size + iy) * size + ix) * cin + ic;
                        let yi = ((i * so + oy) * so + ox) * cout + oc;
                        let wi = ((ky * kernel + kx) * cin + ic) * cout + oc;
                        y[yi] += f64::from(x[xi]) * f64::from(w[wi]);
                        dx[xi] += f64::from(g[yi]) * f64::from(w[wi]);
                        dw[wi] += f64::from(g[yi]) * f64::from(x[xi]);
                    }
                }
            }
            let narrow = |v: Vec<f64>| -> Vec<f32> { v.into_iter().map(|v| v as f32).collect() };
            let (y, dx, dw) = (narrow(y), narrow(dx), narrow(dw));
            let px = padded_images(&x, images, size, cin, cin_memory);
            let pg = padded_images(&g, images, so, cout, co);
            let pool = Pool::default();
            for (level, algorithm) in
                Level::all().into_iter().flat_map(|l| [(l, Algorithm::Direct), (l, Algorithm::Winograd)])
            {
                let of = format!("{conv:?} {images} {level:?} {algorithm:?}");
                let mut out = vec![f32::NAN; images * so * so * co];
                Prepared::forward(&conv, &theta, images, false, algorithm, level, &pool).run(&px, &mut out);
                assert_close(&format!("forward {of}"), &unpadded(&out, cout, co), &y, 1e-4);
                let before = out.clone();
                Prepared::forward(&conv, &theta, images, true, algorithm, level, &pool).run(&px, &mut out);
                let twice: Vec<f32> = before.iter().map(|v| v * 2.0).collect();
                assert_close(&format!("accumulated {of}"), &out, &twice, 1e-5);
                if cin_memory.is_multiple_of(16) {
                    let mut out = vec![0.0; images * size * size * cin_memory];
                    Prepared::backward(&conv, &theta, images, false, algorithm, level, &pool)
                        .run(&pg, &mut out);
                    assert_close(&format!("input {of}"), &unpadded(&out, cin, cin_memory), &dx, 1e-4);
                }
                let weight = WeightGradient::new(&conv, co, images, algorithm, level);
                let mut result = vec![0.0; weight.len()];
                weight.add(images, &px, &pg, &mut result);
                let mut flat = vec![0.0; 7 + conv.len()];
                weight.finish(&result, &pool, |taps| super::conv::unpad(&conv, taps, 0, co, &mut flat));
                assert_close(&format!("weight {of}"), &flat[7..], &dw, 1e-4);
            }
        }
    }
}

#[test]
fn equal_seeds_give_equal_networks() {
    let a = Architecture { width: 8, ..Architecture::resnet18(3, 16, 4) };
    let new = |seed| {
        let n = Network::new(&a, &mut pipeline::random::stream(seed, "weights"), &Device::Cpu).unwrap();
        n.state().unwrap().into_iter().map(|(n, t)| (n, flat(&t))).collect::<Vec<_>>()
    };
    assert_eq!(new(1), new(1));
    assert_ne!(new(1), new(2));
    let state = new(1);
    assert!(state.is_sorted_by(|a, b| a.0 < b.0));
    let (_, w) = state.iter().find(|(n, _)| n == "stages.0.blocks.0.conv1.weight").unwrap();
    let bound = 1.0 / 72f32.sqrt();
    assert!(w.iter().all(|v| v.abs() <= bound) && w.iter().any(|v| v.abs() > 0.9 * bound));
}

#[test]
fn a_saved_state_is_read_back_whole_or_not_at_all() {
    let a = Architecture { width: 8, ..Architecture::resnet18(3, 16, 4) };
    let new = |seed| Network::new(&a, &mut pipeline::random::stream(seed, "w"), &Device::Cpu).unwrap();
    let (one, two) = (new(1), new(2));
    let mut state: HashMap<String, Tensor> = one.state().unwrap().into_iter().collect();
    two.load_state(&state).unwrap();
    let (x, _) = batch(&a, 2, 1);
    let logits = |n: &Network| flat(&n.forward(&x, Pass::Eval).unwrap().logits);
    assert_eq!(logits(&one), logits(&two));
    let fresh = new(3);
    let before = logits(&fresh);
    let weight = state.remove("stages.1.blocks.0.conv1.weight").unwrap();
    let error = fresh.load_state(&state).unwrap_err().to_string();
    assert!(error.contains("lacks stages.1.blocks.0.conv1.weight"), "{error}");
    state.insert("stages.1.blocks.0.conv1.weight".into(), weight.narrow(0, 0, 1).unwrap());
    let error = fresh.load_state(&state).unwrap_err().to_string();
    assert!(error.contains("has the shape [1, 8, 3, 3]"), "{error}");
    state.insert("stages.1.blocks.0.conv1.weight".into(), weight.clone());
    state.insert("stages.9.weight".into(), weight);
    let error = fresh.load_state(&state).unwrap_err().to_string();
    assert!(error.contains("no parameter called stages.9.weight"), "{error}");
    assert_eq!(before, logits(&fresh));
}

#[test]
fn a_key_network_follows_its_query_slowly() {
    let a = Architecture { width: 8, ..Architecture::resnet18(3, 16, 4) };
    let query = Network::new(&a, &mut pipeline::random::stream(1, "w"), &Device::Cpu).unwrap();
    let key = query.copy_of().unwrap();
    let before = flat(query.parameter(TRUNK).unwrap());
    let moved = (query.parameter(TRUNK).unwrap().as_detached_tensor() + 1.0).unwrap();
    query.parameter(TRUNK).unwrap().set(&moved).unwrap();
    assert_eq!(flat(key.parameter(TRUNK).unwrap()), before);
    key.ema_from(&query, 0.75).unwrap();
    let after = flat(key.parameter(TRUNK).unwrap());
    assert!(after.iter().zip(&before).all(|(a, b)| (a - b - 0.25).abs() < 1e-5));
    key.copy_from(&query).unwrap();
    assert_eq!(flat(key.parameter(TRUNK).unwrap()), flat(&moved));
}

#[test]
fn the_momentum_survives_a_checkpoint() {
    let a = Architecture { width: 4, blocks: [1; 4], ..Architecture::resnet18(1, 8, 2) };
    let network = network(&a);
    let (x, y) = batch(&a, 4, 1);
    let grads =
        || cross_entropy(&network.forward(&x, Pass::Train).unwrap().logits, &y).unwrap().backward().unwrap();
    let sgd = Sgd::new(network.parameters(), 0.9, 5e-4).unwrap();
    sgd.step(&grads(), 0.1).unwrap();
    let copy = network.copy_of().unwrap();
    let other = Sgd::new(copy.parameters(), 0.9, 5e-4).unwrap();
    other.load_state(&sgd.state().unwrap().into_iter().collect()).unwrap();
    sgd.step(&grads(), 0.1).unwrap();
    let out = copy.forward(&x, Pass::Train).unwrap();
    let wanted = flat(network.parameter(TRUNK).unwrap());
    copy.running_mean.set(&network.running_mean).unwrap();
    let before = cross_entropy(&out.logits, &y).unwrap().backward().unwrap();
    other.step(&before, 0.1).unwrap();
    assert_eq!(flat(copy.parameter(TRUNK).unwrap()), wanted);
}

#[test]
fn a_cpu_refuses_bf16() {
    let a = Architecture { width: 4, blocks: [1; 4], ..Architecture::resnet18(1, 8, 2) };
    let mut network = network(&a);
    let error = network.set_precision(Precision::Bf16).unwrap_err().to_string();
    assert!(error.contains("bf16") && error.contains("DEVICE=cuda"), "{error}");
    assert_eq!(network.precision(), Precision::F32);
    network.set_precision(Precision::F32).unwrap();
}

#[test]
fn an_impossible_architecture_is_refused() {
    for (change, word) in [("width", "width"), ("stride", "first_stride"), ("blocks", "blocks")] {
        let mut a = Architecture::resnet18(3, 32, 10);
        match change {
            "width" => a.width = 0,
            "stride" => a.first_stride = 3,
            _ => a.blocks[2] = 0,
        }
        assert!(a.validate().unwrap_err().to_string().contains(word));
    }
}

#[test]
fn images_of_another_shape_are_refused() {
    let a = Architecture { width: 4, blocks: [1; 4], ..Architecture::resnet18(1, 8, 2) };
    let (x, _) = batch(&a, 2, 1);
    let wrong = x.narrow(1, 0, 7).unwrap();
    let error = network(&a).forward(&wrong, Pass::Eval).err().unwrap().to_string();
    assert!(error.contains("8×8×1") && error.contains("2×7×8×1"), "{error}");
}
#[test]
fn a_step_adds_weight_decay_and_momentum_as_pytorch_does() {
    let var = Var::from_vec(vec![1.0f32, -2.0], 2, &Device::Cpu).unwrap();
    let parameters = [(String::from("w"), var.clone())];
    let sgd = Sgd::new(&parameters, 0.9, 0.1).unwrap();
    for _ in 0..2 {
        let loss = (var.as_tensor() * 3.0).unwrap().sum_all().unwrap();
        sgd.step(&loss.backward().unwrap(), 0.5).unwrap();
    }
    // v1 = 3 + 0.1 w0; w1 = w0 - v1 / 2; v2 = 0.9 v1 + 3 + 0.1 w1; w2 = w1 - v2 / 2.
    assert_close("two steps", &flat(&var), &[-3.4175, -5.99], 1e-6);
}
