//! The CUDA device of the process: found once, with one stream that all work goes to.

use std::sync::{Mutex, PoisonError};

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{CudaContext, DriverError, sys};
use candle_core::{Device, cuda_backend};
use pipeline::error::{Error, Result};

use super::TOO_LITTLE_MEMORY;

/// A driver's error in candle's words, too little memory in ours.
pub fn explained(error: DriverError) -> candle_core::Error {
    if error.0 == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY {
        candle_core::Error::Msg(TOO_LITTLE_MEMORY.to_owned())
    } else {
        match Err::<(), _>(error).w() {
            Err(error) => error,
            Ok(()) => candle_core::Error::Msg("the driver failed and did not".to_owned()),
        }
    }
}

/// The first device.
///
/// # Errors
/// There is no driver or no device, or it cannot be used.
pub fn device() -> Result<Device> {
    static DEVICE: Mutex<Option<Device>> = Mutex::new(None);
    let mut device = DEVICE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(device) = &*device {
        return Ok(device.clone());
    }
    let found = find()?;
    *device = Some(found.clone());
    Ok(found)
}

fn find() -> Result<Device> {
    let cannot = |what: &str| Error::new(what).help("check the driver with `nvidia-smi`, or use DEVICE=cpu");
    #[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
    match super::loader::absent() {
        absent if absent.is_empty() => {}
        absent if absent[0].starts_with("libcuda.so") => {
            return Err(
                cannot("this machine has no NVIDIA driver").because(format!("{} is not found", absent[0]))
            );
        }
        absent => {
            return Err(Error::new("this machine lacks libraries of the CUDA toolkit")
                .because(format!("not found: {}", absent.join(", ")))
                .help("install the CUDA toolkit and cuDNN 9, or put their folders into LD_LIBRARY_PATH, or use DEVICE=cpu"));
        }
    }
    let count = CudaContext::device_count()
        .map_err(|e| cannot("the NVIDIA driver does not start").because(explained(e)))?;
    if count == 0 {
        return Err(cannot("this machine has no CUDA device"));
    }
    // A stream of its own, not candle's default, which is another one for each thread.
    let device = Device::new_cuda_with_stream(0)
        .and_then(|device| prepare(&device).map(|()| device))
        .map_err(|e| cannot("the CUDA device cannot be used").because(e))?;
    Ok(device)
}

fn prepare(device: &Device) -> candle_core::Result<()> {
    let device = device.as_cuda_device()?;
    let stream = device.cuda_stream();
    let context = stream.context();
    // SAFETY: the process has this one stream, so that no order between streams needs to be kept by events, of
    // which cudarc would make two for each allocation.
    unsafe { device.disable_event_tracking() };
    if context.has_async_alloc() {
        // The pool keeps what is freed: without this it goes back to the system at each synchronisation.
        let mut pool = std::ptr::null_mut();
        let mut all = u64::MAX;
        // SAFETY: the context lives; the attribute is a 64-bit count that the call reads.
        unsafe {
            sys::cuDeviceGetDefaultMemPool(&raw mut pool, context.cu_device()).result().map_err(explained)?;
            let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
            sys::cuMemPoolSetAttribute(pool, threshold, (&raw mut all).cast()).result().map_err(explained)?;
        }
    }
    // Products in f32 become TF32's, as the convolutions do.
    cuda_backend::set_gemm_reduced_precision_f32(true);
    Ok(())
}
