//! The rate of a large f32 product of matrices on this device, to which the other works are compared: on the
//! CPU the crate `gemm`, through candle.

use candle_core::Tensor;
use pipeline::error::Result;
use serde_json::json;

use crate::measure::{round, timed};
use crate::step::{failed, numbers};
use crate::{Rate, Setting};

/// Rows and columns of the square matrices: 16 MiB each, more than the caches near a core hold.
const SIZE: usize = 2048;

/// Measures it, prints it, and notes it in `setting`.
pub fn run(setting: &mut Setting) -> Result<()> {
    let matrix = || Tensor::from_vec(numbers(SIZE * SIZE), (SIZE, SIZE), &setting.device).map_err(failed);
    let (a, b) = (matrix()?, matrix()?);
    let times = timed(setting, 2, || a.matmul(&b).map(drop).map_err(failed))?;
    let work = (SIZE * SIZE * SIZE) as f64;
    setting.gemm = Some(Rate { wall: work / times.seconds, cpu: times.cpu.map(|cpu| work / cpu) });
    let line = json!({
        "work": "gemm_f32",
        "size": SIZE,
        "threads": setting.threads,
        "device": setting.place.name(),
        "gflop_per_s": round(2e-9 * work / times.seconds, 1),
        "ms": round(times.seconds * 1e3, 2),
        "cpu_ms": times.cpu.map(|cpu| round(cpu * 1e3, 2)),
    });
    println!("{line}");
    Ok(())
}
