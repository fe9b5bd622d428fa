//! Behaviour of coreg that a user can see, one file a behaviour.

mod cache;
mod contract;
mod download;
mod interrupt;
