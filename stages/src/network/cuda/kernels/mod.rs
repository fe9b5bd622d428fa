//! The kernels that stand between convolutions, compiled for a device: `norm.cu` and `layout.cu`, each with a file
//! of functions that launch them.
//!
//! It knows nothing of networks: addresses and extents in, work queued on the stream.

use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaModule, CudaStream, LaunchConfig, PushKernelArg,
};
use candle_core::cuda_backend::cudarc::nvrtc::{CompileError, CompileOptions, Ptx, compile_ptx_with_opts};
use candle_core::{Error, Result, bail};

use super::engine::Address;
use crate::network::Precision;
use crate::network::norm::EPSILON;
use crate::runtime::device::explained;

mod layout;
mod norm;

const SOURCE: &str = concat!(include_str!("common.cu"), include_str!("norm.cu"), include_str!("layout.cu"));

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

/// Pixels × channels, channels-last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub rows: usize,
    pub channels: usize,
}

impl Extent {
    /// Number of values.
    pub fn values(self) -> usize {
        self.rows * self.channels
    }

    /// Which variant of a kernel takes these values, and how many at once: sixteen bytes where they fit.
    fn variant(self, precision: Precision) -> (usize, usize) {
        let (first, wide) = match precision {
            Precision::F32 => (0, 4),
            Precision::Bf16 => (2, 8),
        };
        if self.channels.is_multiple_of(wide) { (first, wide) } else { (first + 1, 1) }
    }

    /// The launch of a kernel that takes one pack a thread, with the number of packs.
    fn each(self, width: usize) -> Result<(LaunchConfig, u32)> {
        let packs = self.values() / width;
        // The kernels count packs in 32 bits.
        match u32::try_from(packs) {
            Ok(packs) if self.rows <= i32::MAX as usize => Ok((blocks(packs as usize)?, packs)),
            _ => bail!("a map of {} × {} values is too large: use a smaller batch", self.rows, self.channels),
        }
    }

    /// How a sum over rows is split.
    pub fn split(self, precision: Precision) -> Split {
        let (_, width) = self.variant(precision);
        let packs = self.channels / width;
        let tiles = packs.div_ceil(BLOCK);
        let lanes = BLOCK / packs.min(BLOCK);
        let chunk = self.rows.div_ceil((PARTS / tiles).max(1)).max(4 * lanes);
        Split { chunk, chunks: self.rows.div_ceil(chunk), tiles }
    }
}

/// Rows of one block, how many such blocks, and how many blocks side by side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    chunk: usize,
    chunks: usize,
    tiles: usize,
}

impl Split {
    /// Floats that the blocks leave: two a channel.
    pub fn parts(self, channels: usize) -> usize {
        self.chunks * 2 * channels
    }

    fn launch(self) -> LaunchConfig {
        grid([self.chunks, self.tiles], [BLOCK, 1])
    }
}

fn grid(blocks: [usize; 2], threads: [usize; 2]) -> LaunchConfig {
    LaunchConfig {
        grid_dim: (blocks[0] as u32, blocks[1] as u32, 1),
        block_dim: (threads[0] as u32, threads[1] as u32, 1),
        shared_mem_bytes: 0,
    }
}

/// One thread for each of `count`.
fn blocks(count: usize) -> Result<LaunchConfig> {
    let blocks = count.div_ceil(BLOCK).max(1);
    if blocks > i32::MAX as usize {
        bail!("{count} values are too many for one launch: use a smaller batch");
    }
    Ok(grid([blocks, 1], [BLOCK, 1]))
}

/// An argument of a kernel.
enum Arg {
    At(Address),
    Int(i32),
    Count(u32),
    Long(u64),
    Float(f32),
}

fn int(value: usize) -> Arg {
    Arg::Int(value as i32)
}

fn maybe(address: Option<Address>) -> Arg {
    Arg::At(address.unwrap_or(0))
}

/// The compiled kernels. Variants: f32 by four, by one; bf16 by eight, by one.
pub(super) struct Kernels {
    stream: Arc<CudaStream>,
    moments: [CudaFunction; 4],
    activate: [CudaFunction; 4],
    norm_sums: [CudaFunction; 4],
    norm_gradient: [CudaFunction; 4],
    pool: [CudaFunction; 2],
    unpool: [CudaFunction; 2],
    images: [CudaFunction; 2],
    pack: [CudaFunction; 2],
    unpack: [CudaFunction; 2],
    norm_state: CudaFunction,
    running_state: CudaFunction,
    norm_slopes: CudaFunction,
    sgd: CudaFunction,
    average: CudaFunction,
}

fn index(precision: Precision) -> usize {
    match precision {
        Precision::F32 => 0,
        Precision::Bf16 => 1,
    }
}

/// Coefficients of the norms: four arrays, `stride` floats apart, this norm's begin at `at`.
#[derive(Clone, Copy)]
pub(super) struct State {
    pub at: Address,
    pub stride: usize,
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
            activate: four("activate")?,
            norm_sums: four("norm_sums")?,
            norm_gradient: four("norm_gradient")?,
            pool: two("pool")?,
            unpool: two("unpool")?,
            images: two("images")?,
            pack: two("pack")?,
            unpack: two("unpack")?,
            norm_state: one("norm_state")?,
            running_state: one("running_state")?,
            norm_slopes: one("norm_slopes")?,
            sgd: one("sgd")?,
            average: one("average")?,
        })
    }

    fn launch(&self, function: &CudaFunction, config: LaunchConfig, args: &[Arg]) -> Result<()> {
        let mut launch = self.stream.launch_builder(function);
        for arg in args {
            match arg {
                Arg::At(v) | Arg::Long(v) => launch.arg(v),
                Arg::Int(v) => launch.arg(v),
                Arg::Count(v) => launch.arg(v),
                Arg::Float(v) => launch.arg(v),
            };
        }
        // SAFETY: each caller below passes what the kernel of that name takes, in its order; the callers of those
        // pass addresses of memory of the extents they name.
        unsafe { launch.launch(config) }.map_err(explained)?;
        Ok(())
    }
}
