//! What a trained student is worth.

pub mod evaluate;
mod student;
