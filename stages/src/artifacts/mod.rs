//! The artifacts of all stages: each table's schema stands here once, for writer and reader.
//!
//! The tables are the contract with whoever opens them in DuckDB, Polars, pandas or Hugging Face
//! `datasets`; column names do not change without a new stage version.

pub mod annotation;
pub mod evaluation;
pub mod findings;
pub mod history;
pub mod images;
pub mod model;
pub mod page;
pub mod statistics;
pub mod student;
pub(crate) mod table;
pub mod training;

#[cfg(test)]
mod tests;
