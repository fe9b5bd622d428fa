//! What a trained student is worth.

pub mod evaluate;
pub mod inspect;
mod student;
mod twins;
