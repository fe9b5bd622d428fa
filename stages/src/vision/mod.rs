//! Images: from encoded bytes to the batches a network is fed.
//!
//! [`decode`] turns bytes into pixels as Pillow's `convert` does, [`resize`] is Pillow's resampling,
//! [`pixels`] keeps a set of images in one block, [`operations`] and [`augment`] make the weak and strong
//! views of method §3, and [`views`] writes normalised batches. The room knows nothing of data sets,
//! labels, networks or files.

#[macro_use]
mod widest;
pub mod augment;
pub mod decode;
pub mod operations;
pub mod pixels;
pub mod resize;
pub mod strong_views;
pub mod views;

pub use pixels::Pixels;
pub use strong_views::StrongViews;
pub use views::{Draw, View, Views};
