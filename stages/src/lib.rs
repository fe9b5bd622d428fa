//! The stages of coreg, from images on a hub to an evaluated student, and the program that runs them.
//!
//! Rooms, from the top floor down; each knows only what is below it:
//!
//! - [`cli`]: the command line.
//! - [`experiment`]: all settings and the only wiring of the graph; variants of it side by side.
//! - [`methods`]: the learning methods. [`annotation`]: who votes, and the candidates made of the votes. [`results`]:
//!   what a trained student is worth. [`report`]: a page that shows a run. [`export`]: students and labels for others.
//! - [`learn`]: what learning methods share. [`dataset`]: images and what they are called. [`hub`]: the Hugging Face
//!   hub.
//! - [`artifacts`]: the tables that stages exchange.
//! - [`network`], [`clip`], [`vision`]: the student's network, CLIP's towers, images.
//! - [`runtime`]: device, checkpoints, prefetching.
//!
//! Caching and scheduling are the crate [`pipeline`]'s.

pub mod annotation;
pub mod artifacts;
pub mod cli;
pub mod clip;
pub mod dataset;
pub mod experiment;
pub mod export;
pub mod hub;
pub mod learn;
pub mod methods;
pub mod network;
pub mod report;
pub mod results;
pub mod runtime;
pub mod vision;
