//! Differentiable operations that candle would compose of many slow passes: bias, layer norm, GELU, attention.
//!
//! All on the CPU in f32, rows on all threads; sums over rows run in order, so that threads change no bit.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// Rows that one task takes.
const ROWS: usize = 32;

/// x (rows, width) + bias (width).
pub fn add_bias(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op2(bias, Bias)
}

/// Rows of x (rows, width) to mean 0 and variance 1, times gain plus bias (width).
pub fn layer_norm(x: &Tensor, gain: &Tensor, bias: &Tensor, eps: f32) -> Result<Tensor> {
    x.contiguous()?.apply_op3(gain, bias, Norm { eps })
}

/// x · Φ(x) in its tanh approximation.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Gelu)
}

/// Attention of each head, q, k, v and the result (sequences · length, heads · depth).
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, of: Attention) -> Result<Tensor> {
    q.apply_op3(k, v, of)
}

struct Bias;

impl CustomOp2 for Bias {
    fn name(&self) -> &'static str {
        "bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (bias, mut out) = (slice(b, lb)?, slice(x, lx)?.to_vec());
        out.par_chunks_mut(ROWS * bias.len()).for_each(|rows| {
            for row in rows.chunks_exact_mut(bias.len()) {
                row.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
            }
        });
        Ok((CpuStorage::F32(out), lx.shape().clone()))
    }

    fn bwd(
        &self,
        _: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let sums = column_sums(&values(grad)?, bias.elem_count());
        Ok((Some(grad.clone()), Some(like(sums, bias)?)))
    }
}

struct Norm {
    eps: f32,
}

impl Norm {
    /// Mean and 1 / standard deviation of a row.
    fn moments(&self, row: &[f32]) -> (f32, f32) {
        let count = row.len() as f32;
        let mean = row.iter().sum::<f32>() / count;
        let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / count;
        (mean, 1.0 / (variance + self.eps).sqrt())
    }
}

impl CustomOp3 for Norm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        gain: &CpuStorage,
        lg: &Layout,
        bias: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (gain, bias, mut out) = (slice(gain, lg)?, slice(bias, lb)?, slice(x, lx)?.to_vec());
        out.par_chunks_mut(ROWS * gain.len()).for_each(|rows| {
            for row in rows.chunks_exact_mut(gain.len()) {
                let (mean, scale) = self.moments(row);
                row.iter_mut().zip(gain).zip(bias).for_each(|((x, g), b)| *x = (*x - mean) * scale * g + b);
            }
        });
        Ok((CpuStorage::F32(out), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gain: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (mut unit, upstream, gains) = (values(x)?, values(grad)?, values(gain)?);
        let width = gains.len();
        let mut down = vec![0.0; unit.len()];
        let rows = down.par_chunks_mut(ROWS * width).zip(unit.par_chunks_mut(ROWS * width));
        rows.zip(upstream.par_chunks(ROWS * width)).for_each(|((down, unit), upstream)| {
            let rows = down.chunks_exact_mut(width).zip(unit.chunks_exact_mut(width));
            for ((down, unit), upstream) in rows.zip(upstream.chunks_exact(width)) {
                let (mean, scale) = self.moments(unit);
                unit.iter_mut().for_each(|x| *x = (*x - mean) * scale);
                down.iter_mut().zip(upstream).zip(&gains).for_each(|((d, u), g)| *d = u * g);
                let level = down.iter().sum::<f32>() / width as f32;
                let slope = down.iter().zip(&*unit).map(|(d, x)| d * x).sum::<f32>() / width as f32;
                down.iter_mut().zip(&*unit).for_each(|(d, x)| *d = (*d - level - x * slope) * scale);
            }
        });
        unit.iter_mut().zip(&upstream).for_each(|(x, u)| *x *= u);
        let (of_gain, of_bias) = (column_sums(&unit, width), column_sums(&upstream, width));
        Ok((Some(like(down, x)?), Some(like(of_gain, gain)?), Some(like(of_bias, bias)?)))
    }
}

struct Gelu;

impl Gelu {
    /// √(2/π), and the cube's share.
    const A: f32 = 0.797_884_6;
    const B: f32 = 0.044_715;

    fn tanh(x: f32) -> f32 {
        1.0 - 2.0 / ((2.0 * x).exp() + 1.0)
    }
}

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut out = slice(x, layout)?.to_vec();
        out.par_iter_mut().with_min_len(4096).for_each(|x| {
            *x *= 0.5 * (1.0 + Self::tanh(Self::A * (*x + Self::B * *x * *x * *x)));
        });
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (mut down, upstream) = (values(x)?, values(grad)?);
        down.par_iter_mut().with_min_len(4096).zip(&upstream).for_each(|(x, u)| {
            let (square, value) = (*x * *x, *x);
            let tanh = Self::tanh(Self::A * (value + Self::B * square * value));
            let slope = Self::A * (1.0 + 3.0 * Self::B * square);
            *x = u * 0.5 * (1.0 + tanh + value * (1.0 - tanh * tanh) * slope);
        });
        Ok(Some(like(down, x)?))
    }
}

/// The shape of an attention.
#[derive(Clone, Copy)]
pub struct Attention {
    /// Tokens of a sequence.
    pub length: usize,
    /// Heads.
    pub heads: usize,
    /// Whether a token sees only those before it and itself.
    pub causal: bool,
}

impl Attention {
    /// What one token sees of its sequence in one head: weights that add up to 1.
    fn weights(&self, q: &[f32], k: &[f32], at: usize, head: usize, width: usize, out: &mut [f32]) {
        let depth = width / self.heads;
        let part = |token: usize| token * width + head * depth..token * width + (head + 1) * depth;
        let own = &q[part(at)];
        let seen = if self.causal { at + 1 } else { self.length };
        let scale = 1.0 / (depth as f32).sqrt();
        let mut most = f32::NEG_INFINITY;
        for (token, out) in out.iter_mut().enumerate().take(seen) {
            *out = scale * own.iter().zip(&k[part(token)]).map(|(a, b)| a * b).sum::<f32>();
            most = most.max(*out);
        }
        out[..seen].iter_mut().for_each(|x| *x = (*x - most).exp());
        let sum: f32 = out[..seen].iter().sum();
        out[..seen].iter_mut().for_each(|x| *x /= sum);
        out[seen..].fill(0.0);
    }
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        lq: &Layout,
        k: &CpuStorage,
        lk: &Layout,
        v: &CpuStorage,
        lv: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (q, k, v) = (slice(q, lq)?, slice(k, lk)?, slice(v, lv)?);
        let width = lq.shape().dims()[1];
        let (one, depth) = (self.length * width, width / self.heads);
        let mut out = vec![0.0; q.len()];
        let sequences = out.par_chunks_mut(one).zip(q.par_chunks(one));
        sequences.zip(k.par_chunks(one)).zip(v.par_chunks(one)).for_each(|(((out, q), k), v)| {
            let mut weights = vec![0.0; self.length];
            for (at, head) in (0..self.length).flat_map(|at| (0..self.heads).map(move |head| (at, head))) {
                self.weights(q, k, at, head, width, &mut weights);
                let out = &mut out[at * width + head * depth..][..depth];
                for (token, weight) in weights.iter().enumerate() {
                    let v = &v[token * width + head * depth..][..depth];
                    out.iter_mut().zip(v).for_each(|(o, v)| *o += weight * v);
                }
            }
        });
        Ok((CpuStorage::F32(out), lq.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let width = q.dim(1)?;
        let (one, depth) = (self.length * width, width / self.heads);
        let scale = 1.0 / (depth as f32).sqrt();
        let [qs, ks, vs, upstream] = [values(q)?, values(k)?, values(v)?, values(grad)?];
        let [mut dq, mut dk, mut dv] = [(); 3].map(|()| vec![0.0; qs.len()]);
        let inputs =
            qs.par_chunks(one).zip(ks.par_chunks(one)).zip(vs.par_chunks(one)).zip(upstream.par_chunks(one));
        let outputs = dq.par_chunks_mut(one).zip(dk.par_chunks_mut(one)).zip(dv.par_chunks_mut(one));
        inputs.zip(outputs).for_each(|((((q, k), v), upstream), ((dq, dk), dv))| {
            let (mut weights, mut slopes) = (vec![0.0; self.length], vec![0.0; self.length]);
            for (at, head) in (0..self.length).flat_map(|at| (0..self.heads).map(move |head| (at, head))) {
                self.weights(q, k, at, head, width, &mut weights);
                let part = |token: usize| token * width + head * depth..token * width + (head + 1) * depth;
                let up = &upstream[part(at)];
                for (token, weight) in weights.iter().enumerate() {
                    slopes[token] = up.iter().zip(&v[part(token)]).map(|(u, v)| u * v).sum();
                    dv[part(token)].iter_mut().zip(up).for_each(|(d, u)| *d += weight * u);
                }
                let level: f32 = weights.iter().zip(&slopes).map(|(w, s)| w * s).sum();
                for (token, weight) in weights.iter().enumerate() {
                    let slope = scale * weight * (slopes[token] - level);
                    dq[part(at)].iter_mut().zip(&k[part(token)]).for_each(|(d, k)| *d += slope * k);
                    dk[part(token)].iter_mut().zip(&q[part(at)]).for_each(|(d, q)| *d += slope * q);
                }
            }
        });
        Ok((Some(like(dq, q)?), Some(like(dk, k)?), Some(like(dv, v)?)))
    }
}

fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => candle_core::bail!("these numbers do not lie side by side"),
    }
}

fn values(x: &Tensor) -> Result<Vec<f32>> {
    x.flatten_all()?.to_vec1()
}

fn like(values: Vec<f32>, x: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(values, x.shape(), x.device())
}

fn column_sums(rows: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![0.0; width];
    for row in rows.chunks_exact(width) {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
    sums
}
