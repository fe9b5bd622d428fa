//! The trunk in training mode through candle's own operators, one by one: what the tests compare the trunk with.

use candle_core::{Result, Tensor};

use super::parameters::{Conv, EPSILON, Norm, TrunkLayout};

/// images (B, H, W, C), flat parameters → features (B, F), with the statistics of the batch.
pub(super) fn forward(layout: &TrunkLayout, images: &Tensor, theta: &Tensor) -> Result<Tensor> {
    let mut x = images.permute((0, 3, 1, 2))?.contiguous()?; // (B, C, H, W)
    x = norm_relu(&layout.stem_norm, theta, &convolve(&layout.stem, theta, &x)?)?;
    for block in &layout.blocks {
        let a = norm_relu(&block.norm1, theta, &x)?;
        let shortcut = match &block.shortcut {
            Some(conv) => convolve(conv, theta, &a)?,
            None => a.clone(),
        };
        let hidden = norm_relu(&block.norm2, theta, &convolve(&block.conv1, theta, &a)?)?;
        x = (convolve(&block.conv2, theta, &hidden)? + shortcut)?;
    }
    x.mean((2, 3))
}

fn convolve(conv: &Conv, theta: &Tensor, x: &Tensor) -> Result<Tensor> {
    let w = theta.narrow(0, conv.offset, conv.len())?;
    let w =
        w.reshape((conv.kernel, conv.kernel, conv.cin, conv.cout))?.permute((3, 2, 0, 1))?.contiguous()?;
    x.conv2d(&w, conv.kernel / 2, conv.stride, 1, 1)
}

fn norm_relu(norm: &Norm, theta: &Tensor, x: &Tensor) -> Result<Tensor> {
    let c = norm.channels;
    let mean = x.mean((0, 2, 3))?.reshape((1, c, 1, 1))?;
    let centred = x.broadcast_sub(&mean)?;
    let rstd = (centred.sqr()?.mean((0, 2, 3))? + EPSILON)?.sqrt()?.recip()?;
    let scale = (theta.narrow(0, norm.weight, c)? * rstd)?.reshape((1, c, 1, 1))?;
    let shift = theta.narrow(0, norm.bias, c)?.reshape((1, c, 1, 1))?;
    centred.broadcast_mul(&scale)?.broadcast_add(&shift)?.relu()
}
