//! The kernels that stand between convolutions, compiled for a device. Each `.cu` file has a file of functions beside
//! it that launch its kernels: addresses and extents in, work queued on the stream.

use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaModule, CudaStream, LaunchConfig, PushKernelArg,
};
use candle_core::cuda_backend::cudarc::nvrtc::{CompileError, CompileOptions, Ptx, compile_ptx_with_opts};
use candle_core::{Error, Result, bail};

use super::engine::Address;
use crate::network::Precision;
use crate::network::parameters::EPSILON;
use crate::runtime::device::explained;

const SOURCE: &str = concat!(
    include_str!("common.cu"),
    include_str!("norm.cu"),
    include_str!("average_pool.cu"),
    include_str!("packing.cu"),
    include_str!("sgd.cu"),
    include_str!("moving_average.cu"),
);

/// Threads of a block.
const BLOCK: usize = 256;
/// Blocks that share the rows of a sum. A few for each multiprocessor of today's devices, and few enough that
/// adding their parts is quick; fixed, so that sums do not depend on the device.
const PARTS: usize = 256;

/// Compiles the kernels for a compute capability, e.g. 90; without one, for any device.
pub(super) fn compile(capability: Option<i32>) -> std::result::Result<Ptx, CompileError> {
    let mut options = vec![
        format!("--define-macro=BLOCK={BLOCK}"),
        format!("--define-macro=EPSILON={EPSILON:e}"),
        "--std=c++17".to_owned(),
    ];
    options.extend(capability.map(|c| format!("--gpu-architecture=compute_{c}")));
    let name = Some("kernels.cu".to_owned());
    compile_ptx_with_opts(SOURCE, CompileOptions { options, name, ..CompileOptions::default() })
}

/// Pixels × channels, channels-last, in the type of computation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub rows: usize,
    pub channels: usize,
    pub precision: Precision,
}

impl Extent {
    /// Number of values.
    pub fn values(self) -> usize {
        self.rows * self.channels
    }

    /// Which variant of a kernel takes these values, and how many at once: sixteen bytes where they fit.
    fn variant(self) -> (usize, usize) {
        let (first, wide) = match self.precision {
            Precision::F32 => (0, 4),
            Precision::Bf16 => (2, 8),
        };
        if self.channels.is_multiple_of(wide) { (first, wide) } else { (first + 1, 1) }
    }

    /// The number of packs of `width` values, which the kernels count in 32 bits.
    fn packs(self, width: usize) -> Result<u32> {
        match u32::try_from(self.values() / width) {
            Ok(packs) if self.rows <= i32::MAX as usize => Ok(packs),
            _ => bail!("a map of {} × {} values is too large: use a smaller batch", self.rows, self.channels),
        }
    }

    /// How a sum over rows is split.
    pub fn split(self) -> Split {
        let (_, width) = self.variant();
        let packs = self.channels / width;
        let tiles = packs.div_ceil(BLOCK);
        let lanes = BLOCK / packs.min(BLOCK);
        let chunk = self.rows.div_ceil((PARTS / tiles).max(1)).max(4 * lanes);
        Split { chunk, chunks: self.rows.div_ceil(chunk), tiles, channels: self.channels }
    }
}

/// Rows of one block, how many such blocks, and how many blocks side by side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    pub chunk: usize,
    pub chunks: usize,
    tiles: usize,
    channels: usize,
}

impl Split {
    /// Floats that the blocks leave: two a channel.
    pub fn parts(self) -> usize {
        self.chunks * 2 * self.channels
    }
}

pub(super) fn grid(blocks: [usize; 2], threads: [usize; 2]) -> LaunchConfig {
    LaunchConfig {
        grid_dim: (blocks[0] as u32, blocks[1] as u32, 1),
        block_dim: (threads[0] as u32, threads[1] as u32, 1),
        shared_mem_bytes: 0,
    }
}

/// One thread for each of `count`.
pub(super) fn blocks(count: usize) -> Result<LaunchConfig> {
    let blocks = count.div_ceil(BLOCK).max(1);
    if blocks > i32::MAX as usize {
        bail!("{count} values are too many for one launch: use a smaller batch");
    }
    Ok(grid([blocks, 1], [BLOCK, 1]))
}

/// An argument of a kernel.
#[derive(Clone, Copy)]
pub(super) enum Arg {
    At(Address),
    Int(i32),
    Count(u32),
    Long(u64),
    Float(f32),
}

pub(super) fn int(value: usize) -> Arg {
    Arg::Int(value as i32)
}

pub(super) fn maybe(address: Option<Address>) -> Arg {
    Arg::At(address.unwrap_or(0))
}

/// The compiled kernels. Four variants: f32 by four, by one; bf16 by eight, by one. Two: f32, bf16.
pub(in crate::network) struct Kernels {
    stream: Arc<CudaStream>,
    pub(super) moments: [CudaFunction; 4],
    pub(super) norm_relu: [CudaFunction; 4],
    pub(super) norm_sums: [CudaFunction; 4],
    pub(super) norm_gradient: [CudaFunction; 4],
    pub(super) average_pool: [CudaFunction; 2],
    pub(super) average_pool_gradient: [CudaFunction; 2],
    pub(super) images: [CudaFunction; 2],
    pub(super) pack: [CudaFunction; 2],
    pub(super) unpack: [CudaFunction; 2],
    pub(super) norm_coefficients: CudaFunction,
    pub(super) running_coefficients: CudaFunction,
    pub(super) norm_slopes: CudaFunction,
    pub(super) sgd: CudaFunction,
    pub(super) moving_average: CudaFunction,
}

pub(super) fn index(precision: Precision) -> usize {
    match precision {
        Precision::F32 => 0,
        Precision::Bf16 => 1,
    }
}

impl Kernels {
    /// Compiles and loads the kernels.
    pub fn compile(stream: &Arc<CudaStream>) -> Result<Self> {
        let context = stream.context();
        let (major, minor) = context.compute_capability().map_err(explained)?;
        // A device newer than this NVRTC gets code for any device.
        let ptx = compile(Some(10 * major + minor)).or_else(|_| compile(None)).map_err(|error| {
            let log = match &error {
                CompileError::CompileError { log, .. } => log.to_string_lossy().into_owned(),
                other => other.to_string(),
            };
            Error::Msg(format!("NVRTC does not compile the network's kernels: {log}"))
        })?;
        let module = context.load_module(ptx).map_err(explained)?;
        let one = |name: &str| CudaModule::load_function(&module, name).map_err(explained);
        let four = |name: &str| -> Result<[CudaFunction; 4]> {
            let get = |suffix| one(&format!("{name}_{suffix}"));
            Ok([get("f32_4")?, get("f32_1")?, get("bf16_8")?, get("bf16_1")?])
        };
        let two = |name: &str| -> Result<[CudaFunction; 2]> {
            Ok([one(&format!("{name}_f32"))?, one(&format!("{name}_bf16"))?])
        };
        Ok(Self {
            stream: Arc::clone(stream),
            moments: four("moments")?,
            norm_relu: four("norm_relu")?,
            norm_sums: four("norm_sums")?,
            norm_gradient: four("norm_gradient")?,
            average_pool: two("average_pool")?,
            average_pool_gradient: two("average_pool_gradient")?,
            images: two("images")?,
            pack: two("pack")?,
            unpack: two("unpack")?,
            norm_coefficients: one("norm_coefficients")?,
            running_coefficients: one("running_coefficients")?,
            norm_slopes: one("norm_slopes")?,
            sgd: one("sgd")?,
            moving_average: one("moving_average")?,
        })
    }

    /// Launches a kernel that takes one pack of values a thread: its first arguments, the extent, its last ones.
    pub(super) fn each_pack(
        &self,
        variants: &[CudaFunction; 4],
        of: Extent,
        first: &[Arg],
        last: &[Arg],
    ) -> Result<()> {
        let (variant, width) = of.variant();
        let packs = of.packs(width)?;
        let extent = [int(of.channels), Arg::Count(packs)];
        self.launch(&variants[variant], blocks(packs as usize)?, &[first, &extent[..], last].concat())
    }

    /// Launches a kernel that sums over rows: its first arguments, the extent, its last ones.
    pub(super) fn sum_rows(
        &self,
        variants: &[CudaFunction; 4],
        of: Extent,
        first: &[Arg],
        last: &[Arg],
    ) -> Result<()> {
        let (variant, width) = of.variant();
        of.packs(width)?;
        let split = of.split();
        let extent = [int(of.rows), int(of.channels), int(split.chunk)];
        let config = grid([split.chunks, split.tiles], [BLOCK, 1]);
        self.launch(&variants[variant], config, &[first, &extent[..], last].concat())
    }

    pub(super) fn launch(&self, function: &CudaFunction, config: LaunchConfig, args: &[Arg]) -> Result<()> {
        let mut launch = self.stream.launch_builder(function);
        for arg in args {
            match arg {
                Arg::At(v) | Arg::Long(v) => launch.arg(v),
                Arg::Int(v) => launch.arg(v),
                Arg::Count(v) => launch.arg(v),
                Arg::Float(v) => launch.arg(v),
            };
        }
        // SAFETY: each caller passes what the kernel of that name takes, in its order; the callers of those
        // pass addresses of memory of the extents they name.
        unsafe { launch.launch(config) }.map_err(explained)?;
        Ok(())
    }
}
