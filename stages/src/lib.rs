//! The stages of coreg, from images on a hub to an evaluated student, and the program that runs them.
//!
//! Each stage has its room: [`download`], [`embed`], [`annotate`] or [`imported`] or [`join`] of both, [`label`] or
//! [`synthetic`], [`statistics`], [`warm_up`], [`co_reg`], [`evaluate`]. What they exchange is in [`artifacts`]; how they are wired, and all settings,
//! in [`experiment`] and [`settings`]; [`variants`] lays several of them side by side. [`ahead`] prepares batches while others are in use. None of them knows
//! of caching or scheduling: that is the crate [`pipeline`].

pub mod ahead;
pub mod allocator;
pub mod annotate;
pub mod artifacts;
pub mod checkpoint;
pub mod cli;
pub mod clip;
pub mod co_reg;
pub mod demo;
pub mod device;
pub mod digest;
pub mod distill;
pub mod download;
pub mod embed;
pub mod evaluate;
pub mod experiment;
pub mod foreign;
pub mod imported;
pub mod join;
pub mod label;
pub mod learner;
pub mod network;
pub mod settings;
pub mod statistics;
pub mod supervised;
pub mod synthetic;
pub mod tally;
pub mod training_set;
pub mod variants;
pub mod vision;
pub mod warm_up;
