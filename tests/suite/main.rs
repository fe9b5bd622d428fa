//! Behaviour of coreg that a user can see, one file a behaviour.

mod bad_input;
mod cache;
mod cleaning;
mod clips;
mod contract;
mod demo;
mod download;
mod eurosat;
mod full_disks;
mod home;
mod house;
mod inputs;
mod interrupt;
mod kills;
mod less_data;
mod methods;
mod moved;
mod names;
mod numbers;
mod offline;
mod readme;
mod seven_sets;
mod sharing;
mod synthetic;
mod user_images;
mod votes;
