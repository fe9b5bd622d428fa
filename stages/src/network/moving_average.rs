//! The exponential moving average of a momentum network, in place: one pass over memory on all cores of a CPU, or
//! one kernel of a GPU (`cuda/moving_average.rs`).

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
#[cfg(feature = "cuda")]
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, Var, bail};
use rayon::prelude::*;

use super::cpu::{UPDATE_CHUNK, values, values_mut};
#[cfg(feature = "cuda")]
use super::cuda::Engine;

/// `key ← decay · key + (1 − decay) · query`, in place.
///
/// # Errors
/// The shapes or devices differ.
pub(super) fn average_into(key: &Var, query: &Tensor, decay: f64) -> Result<()> {
    key.inplace_op2(query, &Average { decay })
}

struct Average {
    decay: f64,
}

impl InplaceOp2 for Average {
    fn name(&self) -> &'static str {
        "moving-average"
    }

    fn cpu_fwd(&self, key: &mut CpuStorage, kl: &Layout, query: &CpuStorage, ql: &Layout) -> Result<()> {
        let (key, query) = (values_mut(key, kl)?, values(query, ql)?);
        if key.len() != query.len() {
            bail!("a moving average of {} values was given {}", key.len(), query.len());
        }
        let decay = self.decay as f32;
        let rest = 1.0 - decay;
        key.par_chunks_mut(UPDATE_CHUNK).zip(query.par_chunks(UPDATE_CHUNK)).for_each(|(key, query)| {
            for (k, q) in key.iter_mut().zip(query) {
                *k = decay * *k + rest * q;
            }
        });
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, key: &mut CudaStorage, kl: &Layout, query: &CudaStorage, ql: &Layout) -> Result<()> {
        let engine = Engine::of(key.device())?;
        let ((key, count), (query, given)) = (engine.values(key, kl)?, engine.values(query, ql)?);
        if count != given {
            bail!("a moving average of {count} values was given {given}");
        }
        engine.kernels.moving_average([key, query], count, [self.decay as f32, (1.0 - self.decay) as f32])
    }
}
