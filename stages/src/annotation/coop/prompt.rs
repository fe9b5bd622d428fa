//! A prompt that is learned: context vectors, their optimizer, and one step of both.
//!
//! Features of images and their classes come in; where they are from, it is not told.

use candle_core::{Result, Tensor, Var, bail};
use pipeline::error;

use crate::clip::{PromptTower, Prompts};
use crate::learn::losses::cross_entropy;
use crate::learn::method::restore_tensor;
use crate::runtime::checkpoint::Tensors;

/// What stays the same from step to step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Constants {
    /// Factor before the softmax.
    pub scale: f64,
    /// Momentum of the vectors.
    pub momentum: f64,
    /// Weight decay of the vectors.
    pub weight_decay: f64,
}

/// A prompt under way.
pub(super) struct LearnedPrompt<'a> {
    tower: &'a PromptTower,
    prompts: Prompts,
    constants: Constants,
    /// The context vectors, (M, hidden).
    context: Var,
    /// Their momentum.
    velocity: Tensor,
}

impl<'a> LearnedPrompt<'a> {
    /// Vectors that start as `start` (M, hidden), at rest.
    pub fn new(
        tower: &'a PromptTower,
        prompts: Prompts,
        start: &Tensor,
        constants: Constants,
    ) -> Result<Self> {
        let (context, velocity) = (Var::from_tensor(start)?, start.zeros_like()?);
        Ok(Self { tower, prompts, constants, context, velocity })
    }

    /// One step of SGD, as `torch.optim.SGD` does it, on images (B, P) whose classes are `targets` (B, C), ones among
    /// zeros. The loss before it: the mean cross-entropy of softmax(scale · cos(image, text)).
    pub fn step(&mut self, images: &Tensor, targets: &Tensor, rate: f64) -> Result<Tensor> {
        let Constants { scale, momentum, weight_decay } = self.constants;
        let texts = self.tower.features(&self.prompts, self.context.as_tensor())?; // (C, P)
        let logits = (images.matmul(&texts.t()?)? * scale)?; // (B, C)
        let loss = cross_entropy(&logits, targets)?;
        let gradients = loss.backward()?;
        let Some(gradient) = gradients.get(&self.context) else {
            bail!("the loss does not depend on the context")
        };
        let context = self.context.as_detached_tensor();
        // Without its graph, or every velocity would keep those of all steps before.
        let gradient = (gradient.detach() + (&context * weight_decay)?)?;
        self.velocity = ((&self.velocity * momentum)? + gradient)?;
        self.context.set(&(context - (&self.velocity * rate)?)?)?;
        Ok(loss.detach())
    }

    /// Features of the classes, (C, P), row after row.
    pub fn features(&self) -> Result<Vec<f32>> {
        self.tower.features(&self.prompts, &self.context.as_detached_tensor())?.flatten_all()?.to_vec1()
    }

    /// All that the next step needs.
    pub fn tensors(&self) -> Tensors {
        let context = self.context.as_detached_tensor();
        Tensors::from([("context".to_owned(), context), ("velocity".to_owned(), self.velocity.clone())])
    }

    /// Goes on from what [`LearnedPrompt::tensors`] gave.
    ///
    /// # Errors
    /// A tensor is missing or has another shape; nothing is changed then.
    pub fn restore(&mut self, tensors: &Tensors) -> error::Result<()> {
        let (mut context, mut velocity) = (self.context.as_detached_tensor(), self.velocity.clone());
        restore_tensor(tensors, "context", &mut context)?;
        restore_tensor(tensors, "velocity", &mut velocity)?;
        let set = self.context.set(&context);
        set.map_err(|cause| error::Error::new("cannot take the vectors of the checkpoint").because(cause))?;
        self.velocity = velocity;
        Ok(())
    }
}
