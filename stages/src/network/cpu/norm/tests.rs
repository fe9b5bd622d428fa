//! Batch norm with ReLU and its gradients on every instruction set: against PyTorch (golden/make_operators.py) and
//! against finite differences.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde::Deserialize;

use super::*;
use crate::network::tests::{assert_digest, assert_slope, digest, dot, formula, gathered, spread};

#[derive(Deserialize)]
struct Goldens {
    norms: Vec<Golden>,
}

#[derive(Deserialize)]
struct Golden {
    channels: usize,
    pixels: usize,
    output: [f64; 2],
    input_gradient: [f64; 2],
    weight_gradient: [f64; 2],
    bias_gradient: [f64; 2],
    mean: [f64; 2],
    unbiased_variance: [f64; 2],
}

/// What batch norm with ReLU gives for pixels (n, c), and its gradients for those of its output.
struct NormResult {
    output: Vec<f32>,
    mean: Vec<f32>,
    unbiased_variance: Vec<f32>,
    /// Of input, weight and bias.
    gradients: [Vec<f32>; 3],
}

/// In two groups of pixels, one of them odd, as the network does it.
fn norm_and_relu(level: Level, x: &[f32], weight: &[f32], bias: &[f32], g: &[f32]) -> NormResult {
    let channels = weight.len();
    let (c, n) = (padded(channels), x.len() / channels);
    let of = Norm { channels, weight: 0, bias: channels, running: 0 };
    let theta = [weight, bias].concat();
    let (x, mut dz) = (spread(x, channels, c), spread(g, channels, c));
    let split = (n / 3).max(1) * c;
    let (count, mean, m2) = combine(&[&x[..split], &x[split..]].map(|x| Moments::of(level, x, c, None)));
    assert_eq!(count, n as f64);
    let biased: Vec<f64> = m2.iter().map(|m| m / count).collect();
    let norm = coefficients(&of, &theta, &mean, &biased);
    let (mut output, mut dx) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len()]);
    // SAFETY: both hold n · c values, the norm c.
    unsafe { norm_relu(level, x.as_ptr(), n, c, None, &norm, false, output.as_mut_ptr()) };
    let mut sums = Sums::new(c);
    sums.through_relu(level, &mut dz, &x, None, &norm);
    let mut flat = vec![0.0; 2 * channels];
    let grad = gradient(&of, &theta, &norm, &[sums], n, &mut flat);
    let (dz, at, to) = (dz.as_ptr(), x.as_ptr(), dx.as_mut_ptr());
    // SAFETY: all hold n · c values, the norms c.
    unsafe { norm_gradient(level, dz, at, n, c, 0, c, None, &norm, &grad, false, to) };
    let narrow = |v: Vec<f64>| v.into_iter().take(channels).map(|v| v as f32).collect();
    NormResult {
        output: gathered(&output, channels, c),
        mean: narrow(mean),
        unbiased_variance: narrow(m2.iter().map(|m| m / (count - 1.0)).collect()),
        gradients: [gathered(&dx, channels, c), flat[..channels].to_vec(), flat[channels..].to_vec()],
    }
}

#[test]
fn batch_norm_with_relu_is_pytorchs_and_its_gradients_the_slopes() {
    let goldens: Goldens = serde_json::from_str(include_str!("../../golden/operators.json")).unwrap();
    let check = |what: &str, found: &[f32], wanted| assert_digest(what, digest(found), wanted, 1e-4);
    for case in goldens.norms {
        let Golden { channels, pixels, .. } = case;
        let x = formula(pixels * channels, 6);
        let weight: Vec<f32> = formula(channels, 4).into_iter().map(|v| 1.0 + 0.3 * v).collect();
        let bias: Vec<f32> = formula(channels, 5).into_iter().map(|v| 0.2 * v).collect();
        let g = formula(pixels * channels, 7);
        for level in Level::all() {
            let of = format!("{channels} channels, {pixels} pixels, {level:?}");
            let found = norm_and_relu(level, &x, &weight, &bias, &g);
            let [dx, dw, db] = &found.gradients;
            check(&of, &found.output, case.output);
            check(&format!("mean {of}"), &found.mean, case.mean);
            check(&format!("variance {of}"), &found.unbiased_variance, case.unbiased_variance);
            check(&format!("input {of}"), dx, case.input_gradient);
            check(&format!("weight {of}"), dw, case.weight_gradient);
            check(&format!("bias {of}"), db, case.bias_gradient);
            // Some pixel crosses its ReLU on the way.
            let value = |x: &[f32], w: &[f32], b: &[f32]| dot(&norm_and_relu(level, x, w, b, &g).output, &g);
            assert_slope(&format!("input {of}"), &x, dx, 5e-2, |x| value(x, &weight, &bias));
            assert_slope(&format!("weight {of}"), &weight, dw, 5e-2, |w| value(&x, w, &bias));
            assert_slope(&format!("bias {of}"), &bias, db, 5e-2, |b| value(&x, &weight, b));
        }
    }
}
