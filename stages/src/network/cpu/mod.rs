//! The trunk on a CPU, on all cores: `f32`, channels-last, channels padded to whole vectors.
//!
//! One file or folder an operator, forward and backward; `trunk/` strings them together. `simd.rs` and `buffers.rs`
//! are what the operators stand on.

mod average_pool;
mod buffers;
mod convolution;
mod custom_op;
mod gemm;
mod norm;
mod simd;
mod trunk;
mod winograd;

pub use custom_op::{StatisticsSlot, TrunkOp, values, values_mut};
pub use simd::{LANES, Level};
pub use trunk::Trunk;
#[cfg(all(test, feature = "cuda"))]
pub use trunk::tests::pass;

/// Parameters that one task of an update in place changes.
pub const UPDATE_CHUNK: usize = 16 * 1024;
