//! What every room may use: the device, checkpoints, prefetching, panics of libraries turned into errors, digests, the
//! nearest known name, text files, Git LFS pointers, the home folder, the allocator.

pub mod allocator;
pub mod checkpoint;
pub mod device;
pub mod digest;
pub mod home;
pub mod lfs;
pub mod panics;
pub mod prefetch;
pub mod suggest;
pub mod text;
