//! The trunk and the optimiser's updates on an NVIDIA GPU.
//!
//! Convolutions are cuDNN's, channels-last; everything between them is in `kernels/`, compiled by NVRTC for the
//! device at hand, so that nothing but the toolkit's libraries is needed. As on the CPU, only the raw
//! outputs of convolutions are kept for the backward pass. Every sum has a fixed order and only deterministic
//! convolutions are taken: the same command gives the same bytes on the same device.
//!
//! All work goes to the device's one stream, and nothing waits for it: a step is only queued. It knows
//! nothing of losses or data sets.

mod backward;
mod convolution;
mod engine;
mod forward;
mod kernels;
mod op;
#[cfg(test)]
mod tests;
mod trunk;

pub(super) use engine::Engine;
pub(super) use op::{Found, TrunkOp};
pub(super) use trunk::DeviceTrunk;
