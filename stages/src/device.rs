//! Where tensors live and steps are computed: the CPU or an accelerator.

use candle_core::Device;
use pipeline::error::{Error, Result};
use pipeline::stage::Resources;

/// A device by name. Not part of any key: it says where, not what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// The processor, all cores.
    #[default]
    Cpu,
    /// The first CUDA device.
    Cuda,
}

impl Place {
    /// Parses `cpu`, `cuda` or `auto`; `auto` is the accelerator where this build and machine have one.
    ///
    /// # Errors
    /// Another word, or `cuda` where there is none.
    pub fn parse(word: &str) -> Result<Self> {
        match word {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Self::Cuda.device().map(|_| Self::Cuda),
            "auto" => Ok(if Self::Cuda.device().is_ok() { Self::Cuda } else { Self::Cpu }),
            other => Err(Error::new(format!("`{other}` is no device")).help("use cpu, cuda or auto")),
        }
    }

    /// `cpu` or `cuda`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }

    /// The candle device.
    ///
    /// # Errors
    /// This build knows no CUDA, or the machine has no such device.
    pub fn device(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda if !cfg!(feature = "cuda") => Err(Error::new("this build of coreg knows no CUDA")
                .help("build with `cargo build --release --features cuda`, or use DEVICE=cpu")),
            Self::Cuda => Device::new_cuda(0).map_err(|e| {
                Error::new("no CUDA device can be used")
                    .because(e)
                    .help("check the driver with `nvidia-smi`, or use DEVICE=cpu")
            }),
        }
    }

    /// What a stage that computes here needs.
    pub fn resources(self) -> Resources {
        match self {
            Self::Cpu => Resources { threads: Resources::ALL_THREADS, device: false },
            Self::Cuda => Resources { threads: 1, device: true },
        }
    }
}
