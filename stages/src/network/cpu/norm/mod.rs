//! Batch norm with ReLU, forward and backward, as `torch.nn.BatchNorm2d` does it (biased variance to normalise,
//! unbiased for the running one): from sums over groups of pixels, which [`kernels`] takes, to statistics,
//! coefficients and parameter gradients. Parts are combined in order and in f64.

use super::simd::Level;
use crate::network::parameters::{EPSILON, Norm, padded};

mod kernels;
#[cfg(test)]
mod tests;

pub use kernels::{norm_gradient, norm_relu};

/// One value for each channel of a batch norm, padded to whole vectors with zeros.
#[derive(Clone, Debug, Default)]
pub struct Coefficients {
    /// Mean of the batch (or the running one).
    pub mean: Vec<f32>,
    /// 1 / √(variance + ε).
    pub rstd: Vec<f32>,
    /// weight · rstd.
    pub scale: Vec<f32>,
    /// bias − mean · scale.
    pub shift: Vec<f32>,
}

/// Gradient through a batch norm, channel by channel: dx = a·dz + b·(x − mean) + c.
#[derive(Clone, Debug, Default)]
pub struct GradientCoefficients {
    /// weight · rstd.
    pub a: Vec<f32>,
    /// −weight · rstd² · Σ(dz·x̂)/n.
    pub b: Vec<f32>,
    /// −weight · rstd · Σdz/n.
    pub c: Vec<f32>,
}

/// Statistics of one group of pixels.
pub struct Moments {
    pub count: usize,
    pub mean: Vec<f32>,
    pub m2: Vec<f32>,
}

impl Moments {
    /// Of whole pixels x, or of relu(inner(x)) where there is an inner norm.
    pub fn of(level: Level, x: &[f32], channels: usize, inner: Option<&Coefficients>) -> Self {
        let count = x.len() / channels;
        let (mut mean, mut m2) = (vec![0.0; channels], vec![0.0; channels]);
        let (to_mean, to_m2) = (mean.as_mut_ptr(), m2.as_mut_ptr());
        // SAFETY: x holds `count` pixels of these channels, as do the results and the norm.
        unsafe { kernels::moments(level, x.as_ptr(), count, channels, inner, to_mean, to_m2) };
        Self { count, mean, m2 }
    }
}

/// Mean and Σ(x − mean)² of all groups together (Chan et al. 1979), in the order given, in f64.
pub fn combine(parts: &[Moments]) -> (f64, Vec<f64>, Vec<f64>) {
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
pub fn coefficients(norm: &Norm, theta: &[f32], mean: &[f64], variance: &[f64]) -> Coefficients {
    let c = padded(norm.channels);
    let mut s =
        Coefficients { mean: vec![0.0; c], rstd: vec![0.0; c], scale: vec![0.0; c], shift: vec![0.0; c] };
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
pub struct Sums {
    pub dz: Vec<f64>,
    pub dot: Vec<f64>,
}

impl Sums {
    /// No pixels yet.
    pub fn new(channels: usize) -> Self {
        Self { dz: vec![0.0; channels], dot: vec![0.0; channels] }
    }

    /// Back through the ReLU of relu(norm(x')), in place, adding the sums of these pixels; x' = relu(inner(x)) where
    /// there is an inner norm.
    pub fn through_relu(
        &mut self,
        level: Level,
        da: &mut [f32],
        x: &[f32],
        inner: Option<&Coefficients>,
        norm: &Coefficients,
    ) {
        assert_eq!(da.len(), x.len(), "as many gradients as values");
        let channels = self.dz.len();
        let (n, mut sum, mut dot) = (da.len() / channels, vec![0.0; channels], vec![0.0; channels]);
        let (to_sum, to_dot) = (sum.as_mut_ptr(), dot.as_mut_ptr());
        // SAFETY: both hold the same whole pixels of these channels, as do the sums and the norms.
        unsafe {
            let (da, x) = (da.as_mut_ptr(), x.as_ptr());
            kernels::relu_gradient(level, da, x, n, channels, inner, norm, to_sum, to_dot);
        }
        for (to, v) in self.dz.iter_mut().zip(&sum).chain(self.dot.iter_mut().zip(&dot)) {
            *to += f64::from(*v);
        }
    }
}

/// Writes the gradients of scale and shift into `flat`, and gives the coefficients of the input's gradient.
pub fn gradient(
    norm: &Norm,
    theta: &[f32],
    forward: &Coefficients,
    sums: &[Sums],
    pixels: usize,
    flat: &mut [f32],
) -> GradientCoefficients {
    let c = padded(norm.channels);
    let mut g = GradientCoefficients { a: vec![0.0; c], b: vec![0.0; c], c: vec![0.0; c] };
    let n = pixels as f64;
    for i in 0..norm.channels {
        let dz: f64 = sums.iter().map(|s| s.dz[i]).sum();
        let dot: f64 = sums.iter().map(|s| s.dot[i]).sum();
        flat[norm.bias + i] = dz as f32;
        flat[norm.weight + i] = dot as f32;
        let rstd = f64::from(forward.rstd[i]);
        let scale = f64::from(theta[norm.weight + i]) * rstd;
        g.a[i] = scale as f32;
        g.b[i] = (-scale * rstd * dot / n) as f32;
        g.c[i] = (-scale * dz / n) as f32;
    }
    g
}
