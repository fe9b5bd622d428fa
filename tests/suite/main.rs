//! Behaviour of coreg that a user can see, one file a behaviour.

mod bad_input;
mod cache;
mod clips;
mod contract;
mod demo;
mod disks;
mod download;
mod eurosat;
mod house;
mod interrupt;
mod kills;
mod less_data;
mod moved;
mod numbers;
mod offline;
mod own_images;
mod readme;
mod seven_sets;
mod synthetic;
mod votes;
