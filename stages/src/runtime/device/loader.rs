//! Lets a program that was built for CUDA start where CUDA is not.
//!
//! candle links the driver, cuBLAS, cuDNN and their like the ordinary way, and the system's loader ends a
//! program whose libraries it does not find before `main`: no error of ours, no falling back to the CPU. So the
//! functions that candle and we call are defined here, each as one jump through a slot. The linker takes these
//! and then needs none of the libraries; before `main` the slots are filled from those that are there.
//!
//! A function that the list below lacks (a newer candle's) is linked the ordinary way, as all were before.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

use candle_core::cuda_backend::cudarc::driver::sys::CUDA_VERSION;

/// A library by its name without ending, the version in its file's name, and its functions.
struct Library {
    name: &'static str,
    version: u32,
    slots: &'static [(&'static CStr, &'static AtomicPtr<c_void>)],
}

/// The toolkit that this was built with.
const MAJOR: u32 = CUDA_VERSION / 1000;

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// Stands in for every function of a library that is not there. Nobody gets that far, since the device is
/// looked for first, but for CUDA's own registration of kernels before `main`, which does not look.
extern "C" fn missing() -> usize {
    1
}

macro_rules! libraries {
    ($($library:literal $version:expr => $($function:ident)*;)*) => {
        mod slots {
            #![allow(non_upper_case_globals)]
            use super::*;
            $($(pub(super) static $function: AtomicPtr<c_void> =
                AtomicPtr::new(missing as *const c_void as *mut c_void);)*)*
        }

        $($(
            #[unsafe(naked)]
            #[unsafe(no_mangle)]
            #[allow(non_snake_case)]
            extern "C" fn $function() {
                #[cfg(target_arch = "x86_64")]
                std::arch::naked_asm!("jmp qword ptr [rip + {slot}]", slot = sym slots::$function);
                #[cfg(target_arch = "aarch64")]
                std::arch::naked_asm!(
                    "adrp x16, {slot}",
                    "ldr x16, [x16, :lo12:{slot}]",
                    "br x16",
                    slot = sym slots::$function
                );
            }
        )*)*

        static LIBRARIES: &[Library] = &[$(Library {
            name: $library,
            version: $version,
            slots: &[$((
                match CStr::from_bytes_with_nul(concat!(stringify!($function), "\0").as_bytes()) {
                    Ok(name) => name,
                    Err(_) => c"",
                },
                &slots::$function,
            )),*],
        }),*];

        /// Keeps the functions in every program that looks for a device.
        #[used]
        static FUNCTIONS: &[extern "C" fn()] = &[$($($function),*),*];
    };
}

libraries! {
    "libcuda" 1 =>
        cuCtxDestroy_v2 cuCtxGetCurrent cuCtxSetCurrent cuCtxSynchronize cuDeviceGet cuDeviceGetAttribute
        cuDeviceGetCount cuDeviceGetDefaultMemPool cuDevicePrimaryCtxRelease_v2 cuDevicePrimaryCtxRetain
        cuDeviceTotalMem_v2 cuEventCreate cuEventDestroy_v2 cuEventRecord cuGetErrorString cuInit cuLaunchKernel
        cuMemAllocAsync cuMemAlloc_v2 cuMemFreeAsync cuMemFree_v2 cuMemPoolSetAttribute cuMemcpyDtoDAsync_v2
        cuMemcpyDtoHAsync_v2 cuMemcpyHtoDAsync_v2 cuMemcpyPeerAsync cuMemsetD8Async cuModuleGetFunction
        cuModuleLoad cuModuleLoadData cuModuleUnload cuStreamCreate cuStreamDestroy_v2 cuStreamIsCapturing
        cuStreamSynchronize cuStreamWaitEvent;
    "libcudart" MAJOR =>
        __cudaGetKernel __cudaLaunchKernel_ptsz __cudaPopCallConfiguration __cudaPushCallConfiguration
        __cudaRegisterFatBinary __cudaRegisterFatBinaryEnd __cudaRegisterFunction __cudaRegisterVar
        __cudaUnregisterFatBinary cudaDeviceGetAttribute cudaFree cudaFreeAsync_ptsz cudaFuncGetAttributes
        cudaFuncSetAttribute cudaGetDevice cudaGetDeviceCount cudaGetErrorName cudaGetErrorString
        cudaGetLastError cudaMalloc cudaMallocAsync_ptsz cudaMemsetAsync_ptsz
        cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags cudaPeekAtLastError cudaSetDevice
        cudaStreamSynchronize_ptsz;
    "libcublas" MAJOR =>
        cublasCreate_v2 cublasDestroy_v2 cublasDgemmStridedBatched cublasGemmStridedBatchedEx
        cublasSetStream_v2;
    "libcudnn" 9 =>
        cudnnConvolutionBackwardData cudnnConvolutionBackwardFilter cudnnConvolutionForward cudnnCreate
        cudnnCreateConvolutionDescriptor cudnnCreateFilterDescriptor cudnnCreateTensorDescriptor cudnnDestroy
        cudnnDestroyConvolutionDescriptor cudnnDestroyFilterDescriptor cudnnDestroyTensorDescriptor
        cudnnGetConvolutionBackwardDataAlgorithm_v7 cudnnGetConvolutionBackwardFilterAlgorithm_v7
        cudnnGetConvolutionForwardAlgorithm_v7 cudnnGetConvolutionForwardWorkspaceSize cudnnGetVersion
        cudnnSetConvolution2dDescriptor cudnnSetConvolutionMathType cudnnSetFilter4dDescriptor cudnnSetStream
        cudnnSetTensor4dDescriptor cudnnSetTensor4dDescriptorEx;
    "libcurand" 10 =>
        curandCreateGenerator curandDestroyGenerator curandGenerateNormal curandGenerateNormalDouble
        curandGenerateUniform curandGenerateUniformDouble curandSetPseudoRandomGeneratorSeed curandSetStream;
    "libnvrtc" MAJOR =>
        nvrtcCompileProgram nvrtcCreateProgram nvrtcDestroyProgram nvrtcGetPTX nvrtcGetPTXSize
        nvrtcGetProgramLog nvrtcGetProgramLogSize;
}

/// Fills the slots, before any other initialisation that may use them.
#[used]
#[unsafe(link_section = ".init_array.00100")]
static BEFORE_MAIN: extern "C" fn() = fill;

extern "C" fn fill() {
    const NOW: c_int = 2;
    for library in LIBRARIES {
        // No allocation is certain to work this early, so that the name is built on the stack.
        let mut name = [0u8; 64];
        write_name(library, &mut name);
        // SAFETY: the name ends with a zero; loading runs the libraries' own initialisation, as linking would.
        let handle = unsafe { dlopen(name.as_ptr().cast(), NOW) };
        if handle.is_null() {
            continue;
        }
        for (function, slot) in library.slots {
            // SAFETY: the handle is open, the name ends with a zero.
            let found = unsafe { dlsym(handle, function.as_ptr()) };
            if !found.is_null() {
                slot.store(found, Ordering::Relaxed);
            }
        }
    }
}

/// `libname.so.version`, and a zero.
fn write_name(library: &Library, to: &mut [u8; 64]) {
    let digits = [(library.version / 10) as u8 + b'0', (library.version % 10) as u8 + b'0'];
    let digits = if library.version < 10 { &digits[1..] } else { &digits[..] };
    let parts = [library.name.as_bytes(), b".so.", digits];
    let bytes = parts.iter().flat_map(|part| part.iter());
    for (to, byte) in to.iter_mut().zip(bytes) {
        *to = *byte;
    }
}

fn file(library: &Library) -> String {
    format!("{}.so.{}", library.name, library.version)
}

fn is_there(library: &Library) -> bool {
    let absent = missing as *const c_void as *mut c_void;
    library.slots.iter().all(|(_, slot)| slot.load(Ordering::Relaxed) != absent)
}

/// The libraries that are not there, or lack a function; the driver's comes first.
pub(crate) fn absent() -> Vec<String> {
    LIBRARIES.iter().filter(|library| !is_there(library)).map(file).collect()
}

/// The files of all libraries.
#[cfg(test)]
pub(crate) fn files() -> Vec<String> {
    LIBRARIES.iter().map(file).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_librarys_file_is_named_as_the_system_names_it() {
        for library in LIBRARIES {
            let mut name = [0; 64];
            write_name(library, &mut name);
            assert_eq!(CStr::from_bytes_until_nul(&name).unwrap().to_str().unwrap(), file(library));
        }
    }

    #[test]
    fn a_library_is_there_if_the_system_loads_it() {
        for library in LIBRARIES {
            let name = std::ffi::CString::new(file(library)).unwrap();
            // SAFETY: as in `fill`.
            let loads = unsafe { !dlopen(name.as_ptr(), 2).is_null() };
            assert_eq!(is_there(library), loads, "{}", file(library));
        }
    }
}
