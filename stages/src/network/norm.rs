//! Batch norm's small arithmetic: from partial sums to statistics, coefficients and parameter gradients, as
//! `torch.nn.BatchNorm2d` does it (biased variance to normalise, unbiased for the running one).
//!
//! The sums come from `pixels.rs`, one part for each group of images, in order.

use super::pixels::{NormGrad, NormState};
use super::plan::{Norm, padded};

/// ε of every norm.
pub(super) const EPSILON: f64 = 1e-5;

/// Weight of the new batch in the running statistics.
pub(super) const MOMENTUM: f64 = 0.1;

/// Statistics of one group of pixels.
pub(super) struct Moments {
    pub count: usize,
    pub mean: Vec<f32>,
    pub m2: Vec<f32>,
}

/// Mean and Σ(x − mean)² of all groups together (Chan et al. 1979), in the order given, in f64.
pub(super) fn combine(parts: &[Moments]) -> (f64, Vec<f64>, Vec<f64>) {
    let channels = parts.first().map_or(0, |p| p.mean.len());
    let (mut n, mut mean, mut m2) = (0.0, vec![0.0; channels], vec![0.0; channels]);
    for part in parts {
        let more = part.count as f64;
        let total = n + more;
        for c in 0..channels {
            let delta = f64::from(part.mean[c]) - mean[c];
            mean[c] += delta * more / total;
            m2[c] += f64::from(part.m2[c]) + delta * delta * n * more / total;
        }
        n = total;
    }
    (n, mean, m2)
}

/// Coefficients of a norm from mean and biased variance.
pub(super) fn state(norm: &Norm, theta: &[f32], mean: &[f64], variance: &[f64]) -> NormState {
    let c = padded(norm.channels);
    let mut s =
        NormState { mean: vec![0.0; c], rstd: vec![0.0; c], scale: vec![0.0; c], shift: vec![0.0; c] };
    for i in 0..norm.channels {
        let rstd = 1.0 / (variance[i] + EPSILON).sqrt();
        let scale = f64::from(theta[norm.weight + i]) * rstd;
        s.mean[i] = mean[i] as f32;
        s.rstd[i] = rstd as f32;
        s.scale[i] = scale as f32;
        s.shift[i] = (f64::from(theta[norm.bias + i]) - mean[i] * scale) as f32;
    }
    s
}

/// Σdz and Σdz·x̂ of every channel, of one chunk of images.
pub(super) struct Sums {
    pub dz: Vec<f64>,
    pub dot: Vec<f64>,
}

impl Sums {
    /// No pixels yet.
    pub fn new(channels: usize) -> Self {
        Self { dz: vec![0.0; channels], dot: vec![0.0; channels] }
    }

    /// Adds the sums of some pixels.
    pub fn add(&mut self, dz: &[f32], dot: &[f32]) {
        for (to, v) in self.dz.iter_mut().zip(dz).chain(self.dot.iter_mut().zip(dot)) {
            *to += f64::from(*v);
        }
    }
}

/// Writes the gradients of scale and shift into `flat`, and gives the coefficients of the input's gradient.
pub(super) fn gradient(
    norm: &Norm,
    theta: &[f32],
    state: &NormState,
    sums: &[Sums],
    pixels: usize,
    flat: &mut [f32],
) -> NormGrad {
    let c = padded(norm.channels);
    let mut g = NormGrad { a: vec![0.0; c], b: vec![0.0; c], c: vec![0.0; c] };
    let n = pixels as f64;
    for i in 0..norm.channels {
        let dz: f64 = sums.iter().map(|s| s.dz[i]).sum();
        let dot: f64 = sums.iter().map(|s| s.dot[i]).sum();
        flat[norm.bias + i] = dz as f32;
        flat[norm.weight + i] = dot as f32;
        let rstd = f64::from(state.rstd[i]);
        let scale = f64::from(theta[norm.weight + i]) * rstd;
        g.a[i] = scale as f32;
        g.b[i] = (-scale * rstd * dot / n) as f32;
        g.c[i] = (-scale * dz / n) as f32;
    }
    g
}
