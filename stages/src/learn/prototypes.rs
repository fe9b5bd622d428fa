//! Class prototypes in embedding space, shared by both networks (method §7).

use candle_core::{D, DType, Device, Result, Tensor};

/// One unit vector a class, (C, E); zero until the class has its first sample.
#[derive(Clone, Debug)]
pub struct Prototypes(pub Tensor);

impl Prototypes {
    /// Prototypes of `classes` classes nobody has seen yet, for embeddings of length `width`.
    ///
    /// # Errors
    /// The device has no room.
    pub fn new(classes: usize, width: usize, device: &Device) -> Result<Self> {
        Ok(Self(Tensor::zeros((classes, width), DType::F32, device)?))
    }

    /// For every sample in turn o_j ← γ o_j + (1 − γ) z with j its pseudo-label; then every prototype is
    /// normalised. `embeddings` (B, E), `labels` (B) of u32.
    ///
    /// All at once, so that nothing leaves the device: a sample that n later ones of its class follow counts
    /// (1 − γ) γⁿ, and the old prototype γ to the number of its class's samples.
    ///
    /// # Errors
    /// Shapes, types or devices that do not fit.
    #[doc(alias = "o_j")]
    pub fn update(&mut self, embeddings: &Tensor, labels: &Tensor, momentum: f64) -> Result<()> {
        let (count, device) = (labels.elem_count(), labels.device());
        let classes = Tensor::arange(0u32, self.0.dim(0)? as u32, device)?.unsqueeze(1)?; // (C, 1)
        let labels = labels.unsqueeze(0)?; // (1, B)
        let of_class = classes.broadcast_eq(&labels)?.to_dtype(DType::F32)?; // (C, B)
        let later = (labels.t()?.broadcast_eq(&labels)?.to_dtype(DType::F32)?
            * Tensor::triu2(count, DType::F32, device)?)?
        .sum(D::Minus1)?
            - 1.0; // (B): samples of the same class behind each
        // A momentum of zero forgets all but the last; its logarithm would be −∞.
        let log = momentum.ln().max(-1e3);
        let share = ((later? * log)?.exp()? * (1.0 - momentum))?.unsqueeze(0)?; // (1, B)
        let kept = (of_class.sum_keepdim(D::Minus1)? * log)?.exp()?; // (C, 1)
        let moved = (self.0.broadcast_mul(&kept)? + of_class.broadcast_mul(&share)?.matmul(embeddings)?)?;
        let length = moved.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
        // A class without samples stays zero; a length is 1 or close to it otherwise.
        self.0 = moved.broadcast_div(&(length + 1e-12)?)?.detach();
        Ok(())
    }
}
