//! The operations of a tower whose input depends on a variable: the same values, and how a gradient goes back to the
//! input. Weights are constants and get none, which spares a step a third of its products.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, D, Layout, Result, Shape, Tensor};
use candle_nn::ops::sigmoid;

use super::{Activation, by_candle};

/// How a gradient goes back through an operation.
trait Backward: Send + Sync + 'static {
    /// The gradient by the input `x`, which comes without its graph, from the one by the result.
    fn backward(&self, x: &Tensor, gradient: &Tensor) -> Result<Tensor>;
}

/// A node of candle's graph that takes its value over from where it was computed.
struct Node<B>(B);

impl<B: Backward> CustomOp2 for Node<B> {
    fn name(&self) -> &'static str {
        "clip-tower"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        value: &CpuStorage,
        layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok((value.try_clone(layout)?, layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        value: &CudaStorage,
        layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        Ok((value.try_clone(layout)?, layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        _: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(self.0.backward(&x.detach(), gradient)?), None))
    }
}

/// As [`super::linear`].
pub fn linear(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    residual: Option<&Tensor>,
    activation: Option<Activation>,
) -> Result<Tensor> {
    let y = super::linear(&x.detach(), weight, bias, None, None)?;
    let (y, slope) = match activation {
        None => (y, None),
        Some(activation) => (super::activated(&y, activation)?, Some(slope(&y, activation)?)),
    };
    let y = x.apply_op2(&y, Node(Linear { weight: weight.clone(), slope }))?;
    let (rows, width) = y.dims2()?;
    match residual {
        None => Ok(y),
        Some(residual) if residual.dim(0)? == rows => y + residual,
        Some(residual) => {
            y.reshape(((), residual.dim(0)?, width))?.broadcast_add(residual)?.reshape((rows, width))
        }
    }
}

struct Linear {
    weight: Tensor,
    /// The activation's derivative, (m, n).
    slope: Option<Tensor>,
}

impl Backward for Linear {
    fn backward(&self, _: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let weight = self.weight.t()?;
        match &self.slope {
            None => gradient.matmul(&weight),
            Some(slope) => (gradient * slope)?.matmul(&weight),
        }
    }
}

/// The derivative of the activation at x.
fn slope(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        // s (1 + 1.702 x (1 − s)), s = σ(1.702 x)
        Activation::QuickGelu => {
            let s = sigmoid(&(x * 1.702)?)?;
            let rest = (s.affine(-1.0, 1.0)? * x)?.affine(1.702, 1.0)?;
            s * rest
        }
        // Φ(x) + x φ(x)
        Activation::Gelu => {
            let below = (x * FRAC_1_SQRT_2)?.erf()?.affine(0.5, 0.5)?;
            let density = ((x.sqr()? * -0.5)?.exp()? * (0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2))?;
            below + (density * x)?
        }
        // s (1 + x (1 − s) 2u′), s = σ(2u), 2u = c (x + 0.044715 x³), c = 2 √(2/π)
        Activation::GeluTanh => {
            let c = 2.0 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
            let s = sigmoid(&(x.sqr()?.affine(c * 0.044715, c)? * x)?)?;
            let inner = x.sqr()?.affine(3.0 * c * 0.044715, c)?;
            let rest = ((s.affine(-1.0, 1.0)? * x)? * inner)?.affine(1.0, 1.0)?;
            s * rest
        }
    }
}

/// As [`super::layer_norm`].
pub fn layer_norm(x: &Tensor, gain: &Tensor, bias: &Tensor, eps: f32) -> Result<Tensor> {
    let y = super::layer_norm(&x.detach(), gain, bias, eps)?;
    x.apply_op2(&y, Node(LayerNorm { gain: gain.clone(), eps: f64::from(eps) }))
}

struct LayerNorm {
    gain: Tensor,
    eps: f64,
}

impl Backward for LayerNorm {
    fn backward(&self, x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let scale = (centred.sqr()?.mean_keepdim(D::Minus1)? + self.eps)?.sqrt()?.recip()?; // (m, 1)
        let unit = centred.broadcast_mul(&scale)?;
        let gradient = gradient.broadcast_mul(&self.gain)?;
        let along = (&gradient * &unit)?.mean_keepdim(D::Minus1)?;
        let rest = gradient.broadcast_sub(&gradient.mean_keepdim(D::Minus1)?)?;
        (rest - unit.broadcast_mul(&along)?)?.broadcast_mul(&scale)
    }
}

/// As [`super::attention`].
pub fn attention(qkv: &Tensor, tokens: usize, heads: usize, causal: bool) -> Result<Tensor> {
    let y = super::attention(&qkv.detach(), tokens, heads, causal)?;
    qkv.apply_op2(&y, Node(Attention { tokens, heads, causal }))
}

struct Attention {
    tokens: usize,
    heads: usize,
    causal: bool,
}

impl Backward for Attention {
    fn backward(&self, qkv: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let split = by_candle::by_head(qkv, 3, self.tokens, self.heads)?;
        let (q, k, v) = (split.get(0)?, split.get(1)?, split.get(2)?); // each (sequences, heads, tokens, head)
        let gradient = by_candle::by_head(gradient, 1, self.tokens, self.heads)?.get(0)?;
        let looks = by_candle::looks(&q, &k, self.causal)?;
        let by_v = looks.t()?.matmul(&gradient)?;
        let by_looks = gradient.matmul(&v.t()?)?; // (sequences, heads, tokens, tokens)
        let mean = (&by_looks * &looks)?.sum_keepdim(D::Minus1)?;
        let by_scores = (by_looks.broadcast_sub(&mean)? * &looks)?;
        let by_scores = (by_scores * (q.dim(D::Minus1)? as f64).powf(-0.5))?;
        let (by_q, by_k) = (by_scores.matmul(&k)?, by_scores.t()?.matmul(&q)?);
        let together = Tensor::stack(&[by_q, by_k, by_v], 0)?; // (3, sequences, heads, tokens, head)
        together.permute((1, 3, 0, 2, 4))?.reshape(qkv.shape())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use candle_core::{Device, Var};

    use super::*;

    fn values(shape: &[usize], salt: usize) -> Tensor {
        let count = shape.iter().product();
        let values: Vec<f32> =
            (0..count).map(|i| (((i + salt) * 7919) % 1009) as f32 / 400.0 - 1.2).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    /// A scalar that depends on every element of y in its own way.
    fn scalar(y: &Tensor) -> Tensor {
        (y * values(y.dims(), 77)).unwrap().sum_all().unwrap()
    }

    /// Compares values and gradients with those of the same through candle's operators.
    fn agree(what: &str, x: &Tensor, ours: impl Fn(&Tensor) -> Tensor, candles: impl Fn(&Tensor) -> Tensor) {
        let var = Var::from_tensor(x).unwrap();
        let (ours, candles) = (ours(var.as_tensor()), candles(var.as_tensor()));
        let gap = |a: &Tensor, b: &Tensor| {
            let gap = (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
            gap.to_scalar::<f32>().unwrap()
        };
        assert!(gap(&ours, &candles) < 1e-5, "{what}: {}", gap(&ours, &candles));
        let gradient = |y: &Tensor| scalar(y).backward().unwrap().get(&var).unwrap().clone();
        let (found, wanted) = (gradient(&ours), gradient(&candles));
        assert!(gap(&found, &wanted) < 2e-4, "the gradient of {what}: {}", gap(&found, &wanted));
        assert!(wanted.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap() > 1.0, "{what}");
    }

    #[test]
    fn gradients_of_a_linear_map_are_candles() {
        let (x, w, b, r) = (values(&[6, 12], 1), values(&[12, 20], 2), values(&[20], 3), values(&[6, 20], 4));
        for activation in
            [None, Some(Activation::QuickGelu), Some(Activation::Gelu), Some(Activation::GeluTanh)]
        {
            let ours = |x: &Tensor| super::super::linear(x, &w, &b, None, activation).unwrap();
            let candles = |x: &Tensor| by_candle::linear(x, &w, &b, None, activation).unwrap();
            agree(&format!("{activation:?}"), &x, ours, candles);
        }
        for residual in [&r, &values(&[2, 20], 5)] {
            let ours = |x: &Tensor| super::super::linear(x, &w, &b, Some(residual), None).unwrap();
            let candles = |x: &Tensor| by_candle::linear(x, &w, &b, Some(residual), None).unwrap();
            agree("a map onto a residual", &x, ours, candles);
            // The variable is behind the residual alone.
            let ours = |r: &Tensor| super::super::linear(&x, &w, &b, Some(r), None).unwrap();
            let candles = |r: &Tensor| by_candle::linear(&x, &w, &b, Some(r), None).unwrap();
            agree("a residual", residual, ours, candles);
        }
    }

    #[test]
    fn gradients_of_layer_norm_are_candles() {
        let (x, g, b) = (values(&[9, 37], 6), values(&[37], 7), values(&[37], 8));
        let ours = |x: &Tensor| super::super::layer_norm(x, &g, &b, 1e-3).unwrap();
        let candles = |x: &Tensor| candle_nn::ops::layer_norm_slow(x, &g, &b, 1e-3).unwrap();
        agree("layer norm", &x, ours, candles);
    }

    #[test]
    fn gradients_of_attention_are_candles() {
        // Attention of one head by basic operators, since the quick softmax of candle has no gradient.
        let (tokens, heads, head) = (5, 4, 6);
        let candles = |qkv: &Tensor, causal: bool| {
            let split = by_candle::by_head(qkv, 3, tokens, heads).unwrap();
            let (q, k, v) = (split.get(0).unwrap(), split.get(1).unwrap(), split.get(2).unwrap());
            let scores = (q.matmul(&k.t().unwrap()).unwrap() * (head as f64).powf(-0.5)).unwrap();
            let later: Vec<f32> =
                (0..tokens * tokens).map(|i| if i % tokens > i / tokens { -1e9 } else { 0.0 }).collect();
            let later = Tensor::from_vec(later, (tokens, tokens), &Device::Cpu).unwrap();
            let scores = if causal { scores.broadcast_add(&later).unwrap() } else { scores };
            let looks = candle_nn::ops::softmax(&scores, D::Minus1).unwrap();
            let y = looks.matmul(&v).unwrap().transpose(1, 2).unwrap();
            y.reshape((3 * tokens, heads * head)).unwrap()
        };
        let qkv = values(&[3 * tokens, 3 * heads * head], 9);
        for causal in [false, true] {
            let ours = |x: &Tensor| super::super::attention(x, tokens, heads, causal).unwrap();
            agree(&format!("attention, causal: {causal}"), &qkv, ours, |x| candles(x, causal));
        }
    }

    #[test]
    fn a_constant_input_makes_no_graph() {
        let (x, w, b) = (values(&[6, 12], 1), values(&[12, 20], 2), values(&[20], 3));
        assert!(!super::super::linear(&x, &w, &b, None, None).unwrap().track_op());
        let var = Var::from_tensor(&x).unwrap();
        assert!(super::super::linear(var.as_tensor(), &w, &b, None, None).unwrap().track_op());
    }
}
