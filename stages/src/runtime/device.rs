//! Where tensors live and steps are computed: the CPU or an accelerator.

use candle_core::{DType, Device};
use pipeline::error::{Error, Result};
use pipeline::stage::{Machine, Resources};
use serde::{Deserialize, Serialize};

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(all(feature = "cuda", target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod loader;

#[cfg(feature = "cuda")]
pub use cuda::explained;
#[cfg(all(
    test,
    feature = "cuda",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
pub(crate) use loader::files as library_files;

/// What to say when a device's memory does not suffice.
pub const TOO_LITTLE_MEMORY: &str = "the GPU has too little memory: use smaller batches \
     (co-reg.batch_partial, co-reg.batch_unlabeled, warm-up.batch), or DEVICE=cpu";

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
        Self::choose(word, |_| ())
    }

    /// As [`Place::parse`]; where `auto` falls back to the CPU, `say` is told so, with the reason.
    ///
    /// # Errors
    /// Another word, or `cuda` where there is none.
    pub fn choose(word: &str, say: impl FnOnce(&str)) -> Result<Self> {
        match word {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Self::Cuda.device().map(|_| Self::Cuda),
            "auto" => Ok(match Self::Cuda.device() {
                Ok(_) => Self::Cuda,
                Err(reason) => {
                    let reason = reason.to_string();
                    let first = reason.lines().next().unwrap_or_default();
                    say(&format!("computing on the CPU: {first}"));
                    Self::Cpu
                }
            }),
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

    /// The candle device, the same one each time.
    ///
    /// # Errors
    /// This build knows no CUDA, or the machine has no driver or no such device.
    pub fn device(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            #[cfg(feature = "cuda")]
            Self::Cuda => cuda::device(),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda => Err(Error::new("this build of coreg knows no CUDA")
                .help("build with `cargo build --release --features cuda`, or use DEVICE=cpu")),
        }
    }

    /// The device of a machine; the CPU where it names none.
    pub fn of(machine: &Machine) -> Self {
        machine.get().copied().unwrap_or_default()
    }

    /// The type in which networks that are only run, not trained, are computed here: f32 on the CPU; f16 on a
    /// GPU, the type in which OpenAI released and ran CLIP (bf16 would keep three bits less of each value).
    pub fn inference_type(self) -> InferenceType {
        match self {
            Self::Cpu => InferenceType::F32,
            Self::Cuda => InferenceType::F16,
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

/// What networks that are only run, not trained, are computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InferenceType {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
}

impl InferenceType {
    /// Candle's name for it.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
        }
    }
}

/// What this process offers stages: `place`, and as labels all that makes two machines round differently.
pub fn machine(place: Place) -> Machine {
    Machine::default().with(place).label("device", place.name()).label("instructions", instructions())
}

/// The instruction set that kernels choose at run time: ours (`network`) by these features, those of the crate `gemm`
/// by AVX-512F and FMA.
fn instructions() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        return if is_x86_feature_detected!("avx512f") { "avx512" } else { "avx2" };
    }
    if cfg!(target_arch = "x86_64") { "portable" } else { std::env::consts::ARCH }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_word_that_is_no_device_is_refused() {
        let error = Place::parse("gpu").unwrap_err().to_string();
        assert!(error.contains("`gpu` is no device") && error.contains("cpu, cuda or auto"), "{error}");
    }

    #[test]
    fn a_machine_offers_its_place_and_says_what_makes_it_round_differently() {
        assert_eq!(Place::of(&Machine::default()), Place::Cpu);
        let machine = machine(Place::Cuda);
        assert_eq!(Place::of(&machine), Place::Cuda);
        assert_eq!(machine.labels()["device"], "cuda");
        assert!(
            ["avx512", "avx2", "portable", std::env::consts::ARCH]
                .contains(&&*machine.labels()["instructions"])
        );
    }

    #[test]
    fn auto_takes_a_gpu_or_says_why_it_takes_the_cpu() {
        let mut said = String::new();
        let place = Place::choose("auto", |words| said = words.to_owned()).unwrap();
        match Place::Cuda.device() {
            Ok(_) => assert_eq!((place, said.as_str()), (Place::Cuda, "")),
            Err(reason) => {
                assert_eq!(place, Place::Cpu);
                assert!(said.starts_with("computing on the CPU: "), "{said}");
                assert!(reason.to_string().contains(said.trim_start_matches("computing on the CPU: ")));
            }
        }
    }

    #[test]
    fn a_gpu_that_is_not_there_is_one_clear_error() {
        if Place::Cuda.device().is_ok() {
            println!("skipped: this machine has a CUDA device");
            return;
        }
        let error = Place::choose("cuda", |_| panic!("nothing is fallen back to")).unwrap_err().to_string();
        assert!(error.contains("DEVICE=cpu"), "{error}");
    }
}
