//! The four operations of a tower on candle tensors: our kernels where the tensors lie on the CPU in f32, candle's own
//! operations on any other device.
//!
//! What goes through a tower may depend on a variable; weights are constants. Gradients are in `ops/gradients.rs`;
//! patches have none.

mod gradients;

use std::ops::Deref;

use candle_core::{Device, Layout, Result, Storage, Tensor, bail};
use candle_nn::ops::softmax_last_dim;

use super::config::Activation;
use super::kernels;

/// A tensor on the CPU, locked for reading. (The lock's guard has no public name.)
struct Locked<'a, G> {
    storage: G,
    layout: &'a Layout,
}

fn locked(tensor: &Tensor) -> Locked<'_, impl Deref<Target = Storage>> {
    let (storage, layout) = tensor.storage_and_layout();
    Locked { storage, layout }
}

impl<G: Deref<Target = Storage>> Locked<'_, G> {
    /// The tensor's elements, if it is contiguous and f32.
    fn get(&self) -> Result<&[f32]> {
        match (&*self.storage, self.layout.contiguous_offsets()) {
            (Storage::Cpu(storage), Some((start, end))) => Ok(&storage.as_slice::<f32>()?[start..end]),
            _ => bail!("expected a contiguous tensor on the CPU"),
        }
    }
}

/// activation(x · weight + bias) or residual + x · weight + bias. Shapes: x (m, k), weight (k, n), bias (n),
/// result (m, n), residual (r, n) with r a divisor of m: its rows begin anew where they end.
pub fn linear(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    residual: Option<&Tensor>,
    activation: Option<Activation>,
) -> Result<Tensor> {
    let ((m, k), (wk, n)) = (x.dims2()?, weight.dims2()?);
    if k != wk || bias.dims() != [n] || residual.is_some_and(|r| !repeats(r, m, n)) {
        bail!("linear map of shape {:?} does not take {:?}", weight.shape(), x.shape());
    }
    if x.track_op() || residual.is_some_and(Tensor::track_op) {
        return gradients::linear(x, weight, bias, residual, activation);
    }
    if !matches!(x.device(), Device::Cpu) {
        return by_candle::linear(x, weight, bias, residual, activation);
    }
    let (x, weight, bias) = (locked(x), locked(weight), locked(bias));
    let residual = residual.map(locked);
    let residual = residual.as_ref().map(|r| r.get()).transpose()?;
    let mut out = kernels::bias_rows(m, bias.get()?, residual);
    kernels::matmul_add(x.get()?, weight.get()?, &mut out, [m, k, n]);
    if let Some(activation) = activation {
        kernels::activate(&mut out, activation);
    }
    Tensor::from_vec(out, (m, n), &Device::Cpu)
}

/// Whether the rows of a residual fill (m, n) when repeated.
fn repeats(residual: &Tensor, m: usize, n: usize) -> bool {
    matches!(residual.dims(), [rows, width] if *width == n && *rows > 0 && m.is_multiple_of(*rows))
}

/// activation(x), element by element, without gradient.
fn activated(x: &Tensor, activation: Activation) -> Result<Tensor> {
    if !matches!(x.device(), Device::Cpu) {
        return by_candle::activated(x, activation);
    }
    let mut out = locked(x).get()?.to_vec();
    kernels::activate(&mut out, activation);
    Tensor::from_vec(out, x.shape().clone(), &Device::Cpu)
}

/// Layer norm of the rows of x (m, n) with gain and bias (n).
pub fn layer_norm(x: &Tensor, gain: &Tensor, bias: &Tensor, eps: f32) -> Result<Tensor> {
    if x.track_op() {
        return gradients::layer_norm(x, gain, bias, eps);
    }
    if !matches!(x.device(), Device::Cpu) {
        return candle_nn::ops::layer_norm(x, gain, bias, eps);
    }
    let (_, n) = x.dims2()?;
    if gain.dims() != [n] || bias.dims() != [n] {
        bail!("layer norm over {:?} does not take {:?}", gain.shape(), x.shape());
    }
    let shape = x.shape().clone();
    let (x, gain, bias) = (locked(x), locked(gain), locked(bias));
    Tensor::from_vec(kernels::layer_norm(x.get()?, gain.get()?, bias.get()?, eps), shape, &Device::Cpu)
}

/// Multi-head attention on queries, keys and values that lie side by side: qkv (sequences · tokens, 3 · hidden) to
/// (sequences · tokens, hidden).
pub fn attention(qkv: &Tensor, tokens: usize, heads: usize, causal: bool) -> Result<Tensor> {
    let (rows, width) = qkv.dims2()?;
    let hidden = width / 3;
    if tokens == 0 || heads == 0 || rows % tokens != 0 || width % 3 != 0 || hidden % heads != 0 {
        bail!("attention with {heads} heads over {tokens} tokens does not take {:?}", qkv.shape());
    }
    if qkv.track_op() {
        return gradients::attention(qkv, tokens, heads, causal);
    }
    if !matches!(qkv.device(), Device::Cpu) {
        return by_candle::attention(qkv, tokens, heads, causal);
    }
    let out = kernels::attention(locked(qkv).get()?, tokens, hidden, heads, causal);
    Tensor::from_vec(out, (rows, hidden), &Device::Cpu)
}

/// The whole patches of images (count, 3, side, side), as rows (count · (1 + grid²), 3 · patch²); the first row of
/// each image is zero, the place of its class token.
pub fn patches(images: &Tensor, patch: usize) -> Result<Tensor> {
    let (count, channels, side, width) = images.dims4()?;
    if channels != 3 || side != width || patch == 0 || side < patch {
        bail!("patches of side {patch} cannot be cut from {:?}", images.shape());
    }
    if !matches!(images.device(), Device::Cpu) {
        return by_candle::patches(images, patch);
    }
    let rows = count * (1 + (side / patch) * (side / patch));
    let out = kernels::patches(locked(images).get()?, side, patch);
    Tensor::from_vec(out, (rows, 3 * patch * patch), &Device::Cpu)
}

/// The same operations written with candle's own, for devices that our kernels do not know.
mod by_candle {
    use super::*;

    pub fn linear(
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        residual: Option<&Tensor>,
        activation: Option<Activation>,
    ) -> Result<Tensor> {
        let y = x.matmul(weight)?.broadcast_add(bias)?;
        let y = match residual {
            Some(residual) => {
                let (m, n) = y.dims2()?;
                y.reshape(((), residual.dim(0)?, n))?.broadcast_add(residual)?.reshape((m, n))?
            }
            None => y,
        };
        match activation {
            None => Ok(y),
            Some(activation) => activated(&y, activation),
        }
    }

    pub fn activated(x: &Tensor, activation: Activation) -> Result<Tensor> {
        match activation {
            Activation::QuickGelu => x * candle_nn::ops::sigmoid(&(x * 1.702)?)?,
            Activation::Gelu => x.gelu_erf(),
            Activation::GeluTanh => x.gelu(),
        }
    }

    pub fn attention(qkv: &Tensor, tokens: usize, heads: usize, causal: bool) -> Result<Tensor> {
        let (rows, width) = qkv.dims2()?;
        let split = by_head(qkv, 3, tokens, heads)?;
        let (q, k, v) = (split.get(0)?, split.get(1)?, split.get(2)?); // each (sequences, heads, tokens, head)
        looks(&q, &k, causal)?.matmul(&v)?.transpose(1, 2)?.reshape((rows, width / 3))
    }

    /// So many matrices that lie side by side, x (sequences · tokens, parts · hidden), with each head by itself:
    /// (parts, sequences, heads, tokens, head).
    pub fn by_head(x: &Tensor, parts: usize, tokens: usize, heads: usize) -> Result<Tensor> {
        let (rows, width) = x.dims2()?;
        let split = x.reshape((rows / tokens, tokens, parts, heads, width / parts / heads))?;
        split.permute((2, 0, 3, 1, 4))?.contiguous()
    }

    /// How much each token looks at each, (sequences, heads, tokens, tokens), from queries and keys (sequences, heads,
    /// tokens, head).
    pub fn looks(q: &Tensor, k: &Tensor, causal: bool) -> Result<Tensor> {
        let (_, _, tokens, head) = q.dims4()?;
        let scores = (q.matmul(&k.t()?)? * (head as f64).powf(-0.5))?;
        let scores = if causal { scores.broadcast_add(&causal_mask(tokens, &scores)?)? } else { scores };
        softmax_last_dim(&scores)
    }

    /// (tokens, tokens): 0 where the column is not after the row, else −∞.
    fn causal_mask(tokens: usize, like: &Tensor) -> Result<Tensor> {
        let entry = |i: usize| if i % tokens > i / tokens { f32::NEG_INFINITY } else { 0.0 };
        let mask: Vec<f32> = (0..tokens * tokens).map(entry).collect();
        Tensor::from_vec(mask, (tokens, tokens), like.device())?.to_dtype(like.dtype())
    }

    pub fn patches(images: &Tensor, patch: usize) -> Result<Tensor> {
        let (count, _, side, _) = images.dims4()?;
        let grid = side / patch;
        let whole = images.narrow(2, 0, grid * patch)?.narrow(3, 0, grid * patch)?;
        let split = whole.reshape((count, 3, grid, patch, grid, patch))?;
        let rows = split.permute((0, 2, 4, 1, 3, 5))?.reshape((count, grid * grid, 3 * patch * patch))?;
        rows.pad_with_zeros(1, 1, 0)?.reshape((count * (1 + grid * grid), 3 * patch * patch))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn values(shape: &[usize], salt: usize) -> Tensor {
        let count = shape.iter().product();
        let values: Vec<f32> =
            (0..count).map(|i| (((i + salt) * 7919) % 1009) as f32 / 400.0 - 1.2).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn gap(a: &Tensor, b: &Tensor) -> f32 {
        assert_eq!(a.dims(), b.dims());
        (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
    }

    #[test]
    fn the_kernels_and_candle_agree_on_a_linear_map() {
        let (x, w, b, r) = (values(&[7, 12], 1), values(&[12, 20], 2), values(&[20], 3), values(&[7, 20], 4));
        for activation in
            [None, Some(Activation::QuickGelu), Some(Activation::Gelu), Some(Activation::GeluTanh)]
        {
            let ours = linear(&x, &w, &b, None, activation).unwrap();
            assert!(
                gap(&ours, &by_candle::linear(&x, &w, &b, None, activation).unwrap()) < 1e-5,
                "{activation:?}"
            );
        }
        for residual in [r, values(&[1, 20], 4)] {
            let ours = linear(&x, &w, &b, Some(&residual), None).unwrap();
            assert!(gap(&ours, &by_candle::linear(&x, &w, &b, Some(&residual), None).unwrap()) < 1e-5);
        }
    }

    #[test]
    fn the_kernels_and_candle_agree_on_attention() {
        let qkv = values(&[3 * 5, 3 * 24], 5);
        for causal in [false, true] {
            let ours = attention(&qkv, 5, 4, causal).unwrap();
            assert!(
                gap(&ours, &by_candle::attention(&qkv, 5, 4, causal).unwrap()) < 1e-5,
                "causal: {causal}"
            );
        }
    }

    #[test]
    fn the_kernels_and_candle_agree_on_layer_norm() {
        let (x, g, b) = (values(&[9, 37], 6), values(&[37], 7), values(&[37], 8));
        let ours = layer_norm(&x, &g, &b, 1e-3).unwrap();
        assert!(gap(&ours, &candle_nn::ops::layer_norm_slow(&x, &g, &b, 1e-3).unwrap()) < 1e-5);
    }

    #[test]
    fn the_kernels_and_candle_cut_the_same_patches() {
        let images = values(&[2, 3, 11, 11], 9);
        let ours = patches(&images, 3).unwrap();
        assert_eq!(ours.dims(), [2 * 10, 27]);
        assert_eq!(gap(&ours, &by_candle::patches(&images, 3).unwrap()), 0.0);
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let x = values(&[4, 6], 0);
        assert!(linear(&x, &values(&[5, 2], 0), &values(&[2], 0), None, None).is_err());
        let (w, b) = (values(&[6, 2], 0), values(&[2], 0));
        assert!(linear(&x, &w, &b, Some(&values(&[3, 2], 0)), None).is_err());
        assert!(layer_norm(&x, &values(&[5], 0), &values(&[5], 0), 1e-5).is_err());
        assert!(attention(&x, 3, 1, true).is_err());
        assert!(patches(&values(&[1, 3, 4, 4], 0), 5).is_err());
        assert!(layer_norm(&x.t().unwrap(), &values(&[4], 0), &values(&[4], 0), 1e-5).is_err());
    }
}
