//! The trunk as one node of candle's graph on a GPU: images and flat parameters in,
//! features out, own backward pass.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::op::BackpropOp;
use candle_core::{CpuStorage, CudaStorage, CustomOp2, Layout, Result, Shape, Storage, Tensor, bail};

use super::engine::Address;
use super::trunk::{DeviceTrunk, Saved, Statistics};

/// A place for the flat means and unbiased variances that the forward pass finds.
pub(in crate::network) type StatisticsSlot = Arc<Mutex<Option<[Tensor; 2]>>>;

/// The trunk's pass over one batch.
pub(in crate::network) struct TrunkOp {
    trunk: Arc<DeviceTrunk>,
    /// Running means and variances to use; without, those of the batch.
    running: Option<[Tensor; 2]>,
    /// Keep what the backward pass needs.
    save: bool,
    slot: StatisticsSlot,
    saved: Mutex<Option<Saved>>,
}

impl TrunkOp {
    /// A pass; `running` for evaluation.
    pub fn new(
        trunk: &Arc<DeviceTrunk>,
        running: Option<[Tensor; 2]>,
        save: bool,
        slot: &StatisticsSlot,
    ) -> Self {
        Self { trunk: Arc::clone(trunk), running, save, slot: Arc::clone(slot), saved: Mutex::new(None) }
    }

    /// Calls `work` with the place of a tensor's values and their number.
    fn at<R>(&self, tensor: &Tensor, work: impl FnOnce(Address, usize) -> Result<R>) -> Result<R> {
        let (storage, layout) = tensor.storage_and_layout();
        match &*storage {
            Storage::Cuda(storage) => {
                let (at, count) = self.trunk.engine().values(storage, layout)?;
                work(at, count)
            }
            _ => bail!("the network's CUDA operators were given a tensor of another device"),
        }
    }

    fn wrap(&self, slice: candle_core::cuda_backend::cudarc::driver::CudaSlice<f32>) -> CudaStorage {
        CudaStorage::wrap_cuda_slice(slice, self.trunk.engine().device().clone())
    }
}

impl CustomOp2 for TrunkOp {
    fn name(&self) -> &'static str {
        "preact-resnet-trunk"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("a network on a GPU was given images on the CPU")
    }

    fn cuda_fwd(
        &self,
        images: &CudaStorage,
        images_layout: &Layout,
        theta: &CudaStorage,
        theta_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let batch = images_layout.shape().dims4()?.0;
        let engine = self.trunk.engine();
        let (images, _) = engine.values(images, images_layout)?;
        let (theta, _) = engine.values(theta, theta_layout)?;
        let statistics = match &self.running {
            None => Statistics::Batch,
            Some([mean, variance]) => {
                Statistics::Running([self.at(mean, |at, _| Ok(at))?, self.at(variance, |at, _| Ok(at))?])
            }
        };
        let result = self.trunk.forward(theta, images, batch, &statistics, self.save)?;
        let tensor = |slice| {
            let count = candle_core::cuda_backend::cudarc::driver::DeviceSlice::len(&slice);
            Tensor::from_storage(Storage::Cuda(self.wrap(slice)), count, BackpropOp::none(), false)
        };
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = result.batch.map(|both| both.map(tensor));
        *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = result.saved;
        Ok((self.wrap(result.features), Shape::from((batch, self.trunk.features()))))
    }

    fn bwd(
        &self,
        images: &Tensor,
        theta: &Tensor,
        _features: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        // Taken, not borrowed: memory is given back as the pass goes on.
        let saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(saved) = saved else { bail!("the forward pass kept nothing for a backward pass") };
        let grad = grad.contiguous()?;
        let flat =
            self.at(images, |images, _| self.at(&grad, |grad, _| self.trunk.backward(images, saved, grad)))?;
        let storage = Storage::Cuda(self.wrap(flat));
        Ok((None, Some(Tensor::from_storage(storage, theta.shape(), BackpropOp::none(), false))))
    }
}
