//! What every room may use: the device, checkpoints, prefetching, panics of libraries turned into errors, digests, the
//! nearest known name, the allocator.

pub mod allocator;
pub mod checkpoint;
pub mod device;
pub mod digest;
pub mod panics;
pub mod prefetch;
pub mod suggest;
