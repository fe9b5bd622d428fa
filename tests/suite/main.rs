//! Behaviour of coreg that a user can see, one file a behaviour.

mod bad_input;
mod cache;
mod clips;
mod contract;
mod demo;
mod disks;
mod download;
mod eurosat;
mod interrupt;
mod kills;
mod numbers;
mod offline;
mod own_images;
mod readme;
mod synthetic;
