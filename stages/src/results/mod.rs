//! What a trained student is worth.

pub mod evaluate;
pub mod inspect;
pub mod predict;
mod student;
mod twins;
