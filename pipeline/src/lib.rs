//! A DAG of typed stages with a content-addressed artifact store.

pub mod artifact;
pub mod error;
pub mod event;
pub mod fingerprint;
pub mod graph;
pub mod random;
pub mod schedule;
pub mod stage;
pub mod store;
