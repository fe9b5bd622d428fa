//! The stages of coreg, from images on a hub to an evaluated student.

pub mod artifacts;
pub mod clip;
pub mod download;
pub mod network;
pub mod vision;
