//! The trunk and the optimizer's updates on an NVIDIA GPU.
//!
//! Convolutions are cuDNN's, channels-last; everything between them is a kernel of ours, compiled by NVRTC for the
//! device at hand, so that nothing but the toolkit's libraries is needed: an operator `X` is `X.cu` with the functions
//! that launch it in `X.rs`. As on the CPU, only the raw outputs of convolutions are kept for the backward pass. Every
//! sum has a fixed order and only deterministic convolutions are taken: the same command gives the same bytes on the
//! same device.
//!
//! All work goes to the device's one stream, and nothing waits for it: a step is only queued.

mod average_pool;
mod convolution;
mod custom_op;
mod engine;
mod kernels;
mod moving_average;
mod norm;
mod packing;
mod sgd;
#[cfg(test)]
mod tests;
mod trunk;

pub(super) use custom_op::{StatisticsSlot, TrunkOp};
pub(super) use engine::Engine;
pub(super) use trunk::DeviceTrunk;
