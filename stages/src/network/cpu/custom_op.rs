//! The trunk as one node of candle's graph: images and flat parameters in, features out, own backward.
//!
//! One node instead of one per operator, because candle's backward pass adds every gradient into a fresh
//! tensor of zeros: two more passes over memory for each operator.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Storage, Tensor, bail};

use super::trunk::{BatchStatistics, Saved, Statistics, Trunk};

/// A place for the statistics of the batch, which the forward pass leaves there.
pub type StatisticsSlot = Arc<Mutex<Option<BatchStatistics>>>;

/// The trunk's pass over one batch.
pub struct TrunkOp {
    trunk: Trunk,
    /// Running means and variances to use; without, those of the batch.
    running: Option<(Vec<f32>, Vec<f32>)>,
    /// Keep what the backward pass needs.
    save: bool,
    slot: StatisticsSlot,
    saved: Mutex<Option<Saved>>,
}

impl TrunkOp {
    /// A pass; `running` for evaluation.
    pub fn new(
        trunk: &Trunk,
        running: Option<(Vec<f32>, Vec<f32>)>,
        save: bool,
        slot: &StatisticsSlot,
    ) -> Self {
        Self { trunk: trunk.clone(), running, save, slot: Arc::clone(slot), saved: Mutex::new(None) }
    }
}

/// The values of a contiguous f32 tensor on the CPU.
pub fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(all), Some((from, to))) => Ok(&all[from..to]),
        (CpuStorage::F32(_), None) => bail!("the network's operators need contiguous tensors"),
        _ => bail!("the network's operators need f32 tensors"),
    }
}

/// Calls `work` with the values of a tensor on the CPU.
pub fn with_values<R>(tensor: &Tensor, work: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => work(values(storage, layout)?),
        _ => bail!("the network's CPU operators were given a tensor of another device"),
    }
}

/// The values of a contiguous f32 tensor on the CPU, to be changed in place.
pub fn values_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(all), Some((from, to))) => Ok(&mut all[from..to]),
        _ => bail!("parameters must be contiguous f32 tensors"),
    }
}

impl CustomOp2 for TrunkOp {
    fn name(&self) -> &'static str {
        "preact-resnet-trunk"
    }

    fn cpu_fwd(
        &self,
        images: &CpuStorage,
        images_layout: &Layout,
        theta: &CpuStorage,
        theta_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let batch = images_layout.shape().dims4()?.0;
        let statistics = match &self.running {
            Some((mean, variance)) => Statistics::Running(mean, variance),
            None => Statistics::Batch,
        };
        let result = self.trunk.forward(
            values(theta, theta_layout)?,
            values(images, images_layout)?,
            batch,
            statistics,
            self.save,
        );
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = result.batch;
        *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = result.saved;
        Ok((CpuStorage::F32(result.features), Shape::from((batch, self.trunk.layout.features))))
    }

    fn bwd(
        &self,
        images: &Tensor,
        theta: &Tensor,
        _features: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(saved) = &*saved else { bail!("the forward pass kept nothing for a backward pass") };
        let grad = grad.contiguous()?;
        let flat = with_values(theta, |theta| {
            with_values(images, |images| {
                with_values(&grad, |grad| {
                    let batch = grad.len() / self.trunk.layout.features;
                    Ok(self.trunk.backward(theta, images, batch, saved, grad))
                })
            })
        })?;
        Ok((None, Some(Tensor::from_vec(flat, theta.shape(), theta.device())?)))
    }
}
