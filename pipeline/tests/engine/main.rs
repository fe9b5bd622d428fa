//! Rules of the engine, one file a behaviour. Each test sets up a project in a temporary folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod caching;
mod cancelling;
mod child;
mod collecting;
mod corrupting;
mod damage;
mod failing;
mod full;
mod hostile;
mod killing;
mod looking;
mod machines;
mod opening;
mod pieces;
mod planning;
mod processes;
mod project;
mod read_only;
mod rebuilding;
mod resources;
