//! The trunk through candle's own operators: a second opinion for the tests.

use candle_core::{Result, Tensor};

use super::norm::EPSILON;
use super::plan::{Conv, Norm, Plan};

/// images (B, H, W, C), flat parameters → features (B, F), and flat means and unbiased variances of the batch
/// unless `running` ones are given.
pub(super) fn forward(
    plan: &Plan,
    images: &Tensor,
    theta: &Tensor,
    running: Option<(&Tensor, &Tensor)>,
) -> Result<(Tensor, Option<(Tensor, Tensor)>)> {
    let mut pass = Pass { theta, running, means: vec![], variances: vec![] };
    let mut x = images.permute((0, 3, 1, 2))?.contiguous()?; // (B, C, H, W)
    x = pass.norm_relu(&plan.stem_norm, &pass.conv(&plan.stem, &x)?)?;
    for block in &plan.blocks {
        let a = pass.norm_relu(&block.norm1, &x)?;
        let shortcut = match &block.shortcut {
            Some(conv) => pass.conv(conv, &a)?,
            None => a.clone(),
        };
        let hidden = pass.norm_relu(&block.norm2, &pass.conv(&block.conv1, &a)?)?;
        x = (pass.conv(&block.conv2, &hidden)? + shortcut)?;
    }
    let features = x.mean((2, 3))?;
    let batch = match running {
        Some(_) => None,
        // The plan numbers the running statistics in the order in which the norms are met here.
        None => Some((Tensor::cat(&pass.means, 0)?, Tensor::cat(&pass.variances, 0)?)),
    };
    Ok((features, batch))
}

struct Pass<'a> {
    theta: &'a Tensor,
    running: Option<(&'a Tensor, &'a Tensor)>,
    means: Vec<Tensor>,
    variances: Vec<Tensor>,
}

impl Pass<'_> {
    fn conv(&self, conv: &Conv, x: &Tensor) -> Result<Tensor> {
        let w = self.theta.narrow(0, conv.offset, conv.len())?;
        let w = w
            .reshape((conv.kernel, conv.kernel, conv.cin, conv.cout))?
            .permute((3, 2, 0, 1))?
            .contiguous()?;
        x.conv2d(&w, conv.kernel / 2, conv.stride, 1, 1)
    }

    fn norm_relu(&mut self, norm: &Norm, x: &Tensor) -> Result<Tensor> {
        let c = norm.channels;
        let (mean, variance) = match self.running {
            Some((mean, variance)) => {
                (mean.narrow(0, norm.running, c)?, variance.narrow(0, norm.running, c)?)
            }
            None => {
                let (b, _, h, w) = x.dims4()?;
                let n = (b * h * w) as f64;
                let mean = x.mean((0, 2, 3))?;
                let variance = x.broadcast_sub(&mean.reshape((1, c, 1, 1))?)?.sqr()?.mean((0, 2, 3))?;
                self.means.push(mean.detach());
                self.variances.push((variance.detach() * (n / (n - 1.0).max(1.0)))?);
                (mean, variance)
            }
        };
        let rstd = (variance + EPSILON)?.sqrt()?.recip()?;
        let scale = (self.theta.narrow(0, norm.weight, c)? * rstd)?.reshape((1, c, 1, 1))?;
        let shift = self.theta.narrow(0, norm.bias, c)?.reshape((1, c, 1, 1))?;
        x.broadcast_sub(&mean.reshape((1, c, 1, 1))?)?.broadcast_mul(&scale)?.broadcast_add(&shift)?.relu()
    }
}
