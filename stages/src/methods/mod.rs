//! The learning methods, one room or file each.

pub mod co_reg;
pub mod distill;
pub mod warm_up;
