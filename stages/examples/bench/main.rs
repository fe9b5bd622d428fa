//! Speed of the parts that users wait for, one JSON object a line.
//!
//!     cargo run --release -p stages --example bench -- --work step --batch 64 --threads 2
//!
//! The names of the works are those of `peer.py`, which does the same with PyTorch; `versus` runs both in turn
//! and compares. Fields of a line:
//!
//! - `ms`: wall-clock milliseconds of one pass, the median of the repeats; `images_per_s` follows from it.
//! - `cpu_ms`: processor time of all threads together, the median too; Linux only. On a machine that others
//!   use as well it says more than `ms`.
//! - `of_gemm`: the share of the rate of `gemm_f32` that the work reaches, by `ms`; `of_gemm_cpu` by `cpu_ms`,
//!   which holds on a busy machine too, but does not see threads that wait. They count the multiply-adds of
//!   direct convolutions, a training step as a forward and two more for the gradients, and nothing for norms,
//!   pools or losses. Winograd's convolutions need up to 2.25 times fewer, so that they may exceed 1.
//! - `amp`: whether products are in half precision; otherwise they are f32, on a GPU TF32.
//! - `peak_mib`: most memory the process ever held; `start_mib` of it before the network was made.

mod augment;
mod clip;
mod count;
mod epoch;
mod gemm;
mod measure;
mod memory;
mod step;

use std::process::ExitCode;

use candle_core::Device;
use clap::{Parser, ValueEnum};
use pipeline::error::{Error, OrFail, Result};
use stages::runtime::device::Place;

#[global_allocator]
static ALLOCATOR: stages::runtime::allocator::MiMalloc = stages::runtime::allocator::MiMalloc; // as the program has it

/// Speed of the parts that users wait for, one JSON object a line.
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    /// What is measured.
    #[arg(long, value_enum, default_value = "all")]
    work: Work,
    /// Images of a training step, of inference, and of CLIP's image tower at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,
    /// Timed passes; their median is printed.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    repeats: u32,
    /// Threads that compute.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=4096))]
    threads: u32,
    /// cpu, cuda or auto.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Half-precision products: bf16 for training, f16 for CLIP. On a GPU only.
    #[arg(long)]
    amp: bool,
    /// Measure the memory of this very process.
    #[arg(long, hide = true)]
    here: bool,
}

/// Groups of works.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Work {
    /// Training and inference of PreAct ResNet-18 at 32 and 64 pixels.
    Step,
    /// CLIP ViT-B/32's image tower.
    Clip,
    /// Strong views of 64-pixel images.
    Augment,
    /// One step and one epoch of Co-Reg.
    Epoch,
    /// Most memory of a training step of 256 images; on the CPU only.
    Memory,
    /// All of them.
    All,
}

/// What every work needs to know.
pub struct Setting {
    /// Images at once.
    pub batch: usize,
    /// Timed passes.
    pub repeats: usize,
    /// Threads that compute.
    pub threads: usize,
    /// Where.
    pub place: Place,
    /// The same place, opened.
    pub device: Device,
    /// Whether products are in half precision.
    pub amp: bool,
    /// Multiply-adds a second of a large product of matrices, once measured.
    pub gemm: Option<Rate>,
}

/// Multiply-adds a second.
#[derive(Clone, Copy)]
pub struct Rate {
    /// By the clock.
    pub wall: f64,
    /// Of processor time, where the system tells.
    pub cpu: Option<f64>,
}

fn main() -> ExitCode {
    stages::runtime::allocator::keep_freed_memory();
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let threads = arguments.threads as usize;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    pool.or_fail(|| Error::new(format!("cannot start {threads} threads")).help("use fewer: --threads 2"))?;
    let place = Place::choose(&arguments.device, |words| eprintln!("note: {words}"))?;
    if arguments.amp && place == Place::Cpu {
        return Err(Error::new("--amp is for a GPU").help("leave it out, or use --device cuda"));
    }
    let mut setting = Setting {
        batch: arguments.batch as usize,
        repeats: arguments.repeats as usize,
        threads,
        place,
        device: place.device()?,
        amp: arguments.amp,
        gemm: None,
    };
    let wanted = |work| arguments.work == work || arguments.work == Work::All;
    if wanted(Work::Step) || wanted(Work::Clip) || wanted(Work::Epoch) {
        gemm::run(&mut setting)?;
    }
    if wanted(Work::Step) {
        step::run(&setting)?;
    }
    if wanted(Work::Clip) {
        clip::run(&setting)?;
    }
    if wanted(Work::Augment) {
        augment::run(&setting)?;
    }
    if wanted(Work::Epoch) {
        epoch::run(&setting)?;
    }
    if wanted(Work::Memory) {
        memory::run(&setting, arguments.here)?;
    }
    Ok(())
}
