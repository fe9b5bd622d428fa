//! Convolutions by cuDNN: forward, gradient of the input, gradient of the weight.
//!
//! Tensors are (B, H, W, C) and filters (out, kh, kw, in), the order that tensor cores want. An algorithm is
//! asked for once a shape, from cuDNN's heuristics (they know the shape and the device, they time nothing), and
//! only deterministic ones are taken.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ptr::null_mut;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::cuda_backend::cudarc::cudnn::result as api;
use candle_core::cuda_backend::cudarc::cudnn::sys::{
    self, cudnnConvolutionBwdDataAlgo_t as DataAlgo, cudnnConvolutionBwdFilterAlgo_t as FilterAlgo,
    cudnnConvolutionFwdAlgo_t as ForwardAlgo, cudnnMathType_t as Math,
};
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaStream, DevicePtr};
use candle_core::{Error, Result};

use super::engine::Address;
use crate::network::Precision;
use crate::runtime::device::{TOO_LITTLE_MEMORY, explained};

/// A convolution without bias, padded so that stride 1 keeps the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ConvShape {
    pub batch: usize,
    /// Side of the square input.
    pub size: usize,
    /// Channels of the input as they lie in memory.
    pub cin: usize,
    pub cout: usize,
    /// 1 or 3.
    pub kernel: usize,
    /// 1 or 2.
    pub stride: usize,
    pub precision: Precision,
    /// No TF32: multiplications in full f32.
    pub exact: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Direction {
    Forward,
    Data,
    Filter,
}

#[derive(Clone, Copy)]
enum Algorithm {
    Forward(ForwardAlgo),
    Data(DataAlgo),
    Filter(FilterAlgo),
}

/// cuDNN's answer for one algorithm, whatever the pass.
struct Candidate {
    algorithm: Algorithm,
    status: sys::cudnnStatus_t,
    determinism: sys::cudnnDeterminism_t,
    memory: usize,
    math: Math,
}

/// Descriptors and algorithm of one pass over one shape.
struct Prepared {
    x: sys::cudnnTensorDescriptor_t,
    y: sys::cudnnTensorDescriptor_t,
    w: sys::cudnnFilterDescriptor_t,
    conv: sys::cudnnConvolutionDescriptor_t,
    algorithm: Algorithm,
    workspace: usize,
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // SAFETY: each was created by `describe` and belongs to this alone. An error at the end of life has nobody
        // to tell.
        unsafe {
            let _ = api::destroy_tensor_descriptor(self.x);
            let _ = api::destroy_tensor_descriptor(self.y);
            let _ = api::destroy_filter_descriptor(self.w);
            let _ = api::destroy_convolution_descriptor(self.conv);
        }
    }
}

struct Inner {
    handle: sys::cudnnHandle_t,
    prepared: HashMap<(ConvShape, Direction), Prepared>,
    /// Shared by all convolutions, which follow one another on the stream; it only grows.
    workspace: Option<CudaSlice<u8>>,
}

// SAFETY: cuDNN's handle and descriptors may be used from any thread, one at a time: they are behind a lock.
unsafe impl Send for Inner {}

/// cuDNN on one stream.
pub(super) struct Convolutions {
    stream: Arc<CudaStream>,
    /// Most bytes that an algorithm may ask for.
    limit: usize,
    inner: Mutex<Inner>,
}

fn failed(what: &str) -> impl Fn(api::CudnnError) -> Error {
    move |error| {
        use sys::cudnnStatus_t::CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED as NO_MEMORY;
        if error.0 == NO_MEMORY {
            Error::Msg(TOO_LITTLE_MEMORY.to_owned())
        } else {
            Error::Msg(format!("cuDNN {} {what}: {error}", api::get_version()))
        }
    }
}

impl Convolutions {
    /// A handle on the stream.
    pub fn new(stream: &Arc<CudaStream>) -> Result<Self> {
        let context = stream.context();
        context.bind_to_thread().map_err(explained)?;
        // A share of the device's whole memory, not of what is free, so that the choice is always the same.
        let limit = (context.total_mem().map_err(explained)? / 16).min(1 << 30);
        let handle = api::create_handle().map_err(failed("does not start"))?;
        // SAFETY: both were made just now, and the stream outlives the handle: it is kept beside it.
        unsafe { api::set_stream(handle, stream.cu_stream() as sys::cudaStream_t) }
            .map_err(failed("does not take the device's stream"))?;
        let inner = Mutex::new(Inner { handle, prepared: HashMap::new(), workspace: None });
        Ok(Self { stream: Arc::clone(stream), limit, inner })
    }

    /// y = x * w.
    pub fn forward(&self, shape: ConvShape, x: Address, w: Address, y: Address) -> Result<()> {
        self.run(shape, Direction::Forward, x, w, y)
    }

    /// dx from w and dy.
    pub fn data(&self, shape: ConvShape, dy: Address, w: Address, dx: Address) -> Result<()> {
        self.run(shape, Direction::Data, dx, w, dy)
    }

    /// dw from x and dy.
    pub fn filter(&self, shape: ConvShape, x: Address, dy: Address, dw: Address) -> Result<()> {
        self.run(shape, Direction::Filter, x, dw, dy)
    }

    fn run(&self, shape: ConvShape, direction: Direction, x: Address, w: Address, y: Address) -> Result<()> {
        self.stream.context().bind_to_thread().map_err(explained)?;
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { handle, prepared, workspace } = &mut *inner;
        let handle = *handle;
        let prepared = match prepared.entry((shape, direction)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(self.prepare(handle, shape, direction)?),
        };
        let &mut Prepared { x: xd, y: yd, w: wd, conv, algorithm, workspace: bytes } = prepared;
        let workspace = self.workspace(workspace, bytes)?;
        let (one, zero) = (1f32, 0f32);
        let (one, zero) = ((&raw const one).cast(), (&raw const zero).cast());
        let room = workspace as *mut _;
        let (x, w, y) = (x as *mut std::ffi::c_void, w as *mut std::ffi::c_void, y as *mut _);
        // SAFETY: handle and descriptors live; the callers give memory of the shape's extents, and the workspace
        // is as large as cuDNN asked for.
        unsafe {
            match algorithm {
                Algorithm::Forward(algo) => {
                    api::convolution_forward(handle, one, xd, x, wd, w, conv, algo, room, bytes, zero, yd, y)
                }
                Algorithm::Data(algo) => api::convolution_backward_data(
                    handle, one, wd, w, yd, y, conv, algo, room, bytes, zero, xd, x,
                ),
                Algorithm::Filter(algo) => api::convolution_backward_filter(
                    handle, one, xd, x, yd, y, conv, algo, room, bytes, zero, wd, w,
                ),
            }
        }
        .map_err(failed(&format!("refuses a convolution ({direction:?} of {shape:?})")))
    }

    /// At least `bytes` of workspace. What is outgrown is freed on the stream, after the work that uses it.
    fn workspace(&self, kept: &mut Option<CudaSlice<u8>>, bytes: usize) -> Result<Address> {
        if kept.as_ref().map_or(0, CudaSlice::len) < bytes {
            *kept = None;
            // SAFETY: cuDNN writes before it reads.
            *kept = Some(unsafe { self.stream.alloc(bytes) }.map_err(explained)?);
        }
        Ok(kept.as_ref().map_or(0, |slice| slice.device_ptr(&self.stream).0))
    }

    fn prepare(
        &self,
        handle: sys::cudnnHandle_t,
        shape: ConvShape,
        direction: Direction,
    ) -> Result<Prepared> {
        let mut prepared = describe(shape).map_err(failed(&format!("does not know {shape:?}")))?;
        let candidates = candidates(handle, &prepared, direction)
            .map_err(failed(&format!("knows no algorithm for {direction:?} of {shape:?}")))?;
        let chosen = candidates.into_iter().find(|c| {
            c.status == sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS
                && c.determinism == sys::cudnnDeterminism_t::CUDNN_DETERMINISTIC
                && c.memory <= self.limit
                // f32 may become TF32, which keeps its range, but not f16.
                && (shape.precision == Precision::Bf16 || c.math != Math::CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION)
        });
        let Some(chosen) = chosen else {
            return Err(Error::Msg(format!(
                "cuDNN {} has no deterministic algorithm within {} MB for {direction:?} of {shape:?}",
                api::get_version(),
                self.limit >> 20
            )));
        };
        if !shape.exact {
            // SAFETY: the descriptor is this one's.
            unsafe { api::set_convolution_math_type(prepared.conv, chosen.math) }
                .map_err(failed("does not take its own choice"))?;
        }
        prepared.algorithm = chosen.algorithm;
        prepared.workspace = chosen.memory;
        Ok(prepared)
    }
}

/// Descriptors of a shape, with no algorithm yet.
fn describe(shape: ConvShape) -> std::result::Result<Prepared, api::CudnnError> {
    let int = |v: usize| v as std::ffi::c_int;
    let (nhwc, element) = (sys::cudnnTensorFormat_t::CUDNN_TENSOR_NHWC, element(shape.precision));
    let out = (shape.size - 1) / shape.stride + 1;
    let (pad, stride) = (int(shape.kernel / 2), int(shape.stride));
    let math = match (shape.precision, shape.exact) {
        (Precision::Bf16, _) => Math::CUDNN_TENSOR_OP_MATH,
        (Precision::F32, true) => Math::CUDNN_FMA_MATH,
        (Precision::F32, false) => Math::CUDNN_DEFAULT_MATH, // TF32 where the device has it
    };
    let mut prepared = Prepared {
        x: null_mut(),
        y: null_mut(),
        w: null_mut(),
        conv: null_mut(),
        algorithm: Algorithm::Forward(ForwardAlgo::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM),
        workspace: 0,
    };
    prepared.x = api::create_tensor_descriptor()?;
    prepared.y = api::create_tensor_descriptor()?;
    prepared.w = api::create_filter_descriptor()?;
    prepared.conv = api::create_convolution_descriptor()?;
    // SAFETY: the descriptors were made just now. Dimensions are in the order N, C, H, W, whatever the layout.
    unsafe {
        let dims = [shape.batch, shape.cin, shape.size, shape.size].map(int);
        api::set_tensor4d_descriptor(prepared.x, nhwc, element, dims)?;
        let dims = [shape.batch, shape.cout, out, out].map(int);
        api::set_tensor4d_descriptor(prepared.y, nhwc, element, dims)?;
        let dims = [shape.cout, shape.cin, shape.kernel, shape.kernel].map(int);
        api::set_filter4d_descriptor(prepared.w, element, nhwc, dims)?;
        let mode = sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
        let float = sys::cudnnDataType_t::CUDNN_DATA_FLOAT;
        api::set_convolution2d_descriptor(prepared.conv, pad, pad, stride, stride, 1, 1, mode, float)?;
        api::set_convolution_math_type(prepared.conv, math)?;
    }
    Ok(prepared)
}

fn element(precision: Precision) -> sys::cudnnDataType_t {
    match precision {
        Precision::F32 => sys::cudnnDataType_t::CUDNN_DATA_FLOAT,
        Precision::Bf16 => sys::cudnnDataType_t::CUDNN_DATA_BFLOAT16,
    }
}

/// What cuDNN offers, the fastest in its own estimate first.
fn candidates(
    handle: sys::cudnnHandle_t,
    prepared: &Prepared,
    direction: Direction,
) -> std::result::Result<Vec<Candidate>, api::CudnnError> {
    /// Asks through one of cuDNN's three functions of the same form.
    macro_rules! ask {
        ($function:path, [$($of:expr),*], $perf:ty, $algorithm:path) => {{
            let mut found = 0;
            let mut answers = Vec::<$perf>::with_capacity(MOST);
            // SAFETY: handle and descriptors live, and there is room for as many answers as are asked for, of
            // which cuDNN says how many it wrote.
            unsafe {
                $function(handle, $($of,)* MOST as _, &raw mut found, answers.as_mut_ptr())?;
                answers.set_len(found.max(0) as usize);
            }
            let candidate = |a: $perf| Candidate {
                algorithm: $algorithm(a.algo),
                status: a.status,
                determinism: a.determinism,
                memory: a.memory,
                math: a.mathType,
            };
            answers.into_iter().map(candidate).collect()
        }};
    }
    /// More than cuDNN has algorithms.
    const MOST: usize = 16;
    let Prepared { x, y, w, conv, .. } = *prepared;
    Ok(match direction {
        Direction::Forward => ask!(
            api::get_convolution_forward_algorithm,
            [x, w, conv, y],
            sys::cudnnConvolutionFwdAlgoPerf_t,
            Algorithm::Forward
        ),
        Direction::Data => ask!(
            api::get_convolution_backward_data_algorithm,
            [w, y, conv, x],
            sys::cudnnConvolutionBwdDataAlgoPerf_t,
            Algorithm::Data
        ),
        Direction::Filter => ask!(
            api::get_convolution_backward_filter_algorithm,
            [x, y, conv, w],
            sys::cudnnConvolutionBwdFilterAlgoPerf_t,
            Algorithm::Filter
        ),
    })
}
