//! What the network needs of a device once a process: the compiled kernels and cuDNN; and its memory.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaStream, DevicePtr};
use candle_core::cuda_backend::{CudaDevice, DeviceId};
use candle_core::{CudaStorage, Layout, Result, bail};

use super::convolution::Convolutions;
use super::kernels::Kernels;
use crate::runtime::device::explained;

/// A place in the device's memory.
pub(in crate::network) type Address = u64;

/// Memory of the device. Both its making and its end are queued on the device's stream, so that it may be
/// dropped while work on it is still queued; the driver's pool hands it on without asking the system.
pub(super) struct Buffer {
    slice: CudaSlice<u8>,
}

impl Buffer {
    /// Where it begins.
    pub fn address(&self) -> Address {
        self.slice.device_ptr(self.slice.stream()).0
    }
}

/// A device ready for the network.
pub(in crate::network) struct Engine {
    device: CudaDevice,
    stream: Arc<CudaStream>,
    pub(in crate::network) kernels: Kernels,
    pub(super) convolutions: Convolutions,
}

/// Engines live as long as the process: compiling takes a second.
static ENGINES: Mutex<Vec<(DeviceId, Arc<Engine>)>> = Mutex::new(Vec::new());

impl Engine {
    /// The engine of a device, made on first use.
    ///
    /// # Errors
    /// The kernels do not compile, or cuDNN cannot be used.
    pub fn of(device: &CudaDevice) -> Result<Arc<Self>> {
        let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, engine)) = engines.iter().find(|(id, _)| *id == device.id()) {
            return Ok(Arc::clone(engine));
        }
        let stream = device.cuda_stream();
        let engine = Arc::new(Self {
            device: device.clone(),
            kernels: Kernels::compile(&stream)?,
            convolutions: Convolutions::new(&stream)?,
            stream,
        });
        engines.push((device.id(), Arc::clone(&engine)));
        Ok(engine)
    }

    /// The device.
    pub fn device(&self) -> &CudaDevice {
        &self.device
    }

    /// Memory for `bytes` bytes, not set to anything.
    pub(super) fn bytes(&self, bytes: usize) -> Result<Buffer> {
        // SAFETY: whoever takes a buffer writes it before it is read.
        Ok(Buffer { slice: unsafe { self.stream.alloc::<u8>(bytes.max(1)) }.map_err(explained)? })
    }

    /// Memory for `count` floats that becomes a tensor's, not set to anything.
    pub(super) fn floats(&self, count: usize) -> Result<CudaSlice<f32>> {
        // SAFETY: as above.
        unsafe { self.stream.alloc::<f32>(count) }.map_err(explained)
    }

    /// Where a slice of this device begins.
    pub(super) fn address(&self, slice: &CudaSlice<f32>) -> Address {
        slice.device_ptr(&self.stream).0
    }

    /// Integers, copied to the device.
    pub(super) fn integers(&self, values: &[i32]) -> Result<CudaSlice<i32>> {
        self.stream.clone_htod(values).map_err(explained)
    }

    /// Where integers of this device begin.
    pub(super) fn integers_at(&self, slice: &CudaSlice<i32>) -> Address {
        slice.device_ptr(&self.stream).0
    }

    /// Where the values of a contiguous f32 tensor begin, and how many there are.
    pub(in crate::network) fn values(
        &self,
        storage: &CudaStorage,
        layout: &Layout,
    ) -> Result<(Address, usize)> {
        let Some((from, to)) = layout.contiguous_offsets() else {
            bail!("the network's operators need contiguous tensors")
        };
        let slice = storage.as_cuda_slice::<f32>()?;
        if to > slice.len() {
            bail!("a tensor of {to} values lies in {} values of memory", slice.len());
        }
        Ok((self.address(slice) + 4 * from as u64, to - from))
    }
}
