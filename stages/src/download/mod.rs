//! Images, from a hub or the user's own, and a hub's weights: what a data set is, how its files come, what is in
//! them, and which rows are for training and which for testing.

mod cache;
pub mod catalog;
pub mod hub;
pub mod images;
mod layout;
pub mod limit;
pub mod model;
pub mod own;
mod persist;
pub mod read;
mod request;
mod settings;
pub mod split;
mod watch;

pub use request::Listed;
