//! Images and what they are called: the catalog, people's own images, the demo, and the stage `download`.

pub mod catalog;
pub mod demo;
pub mod download;
mod layout;
pub mod limit;
pub(crate) mod names;
pub mod set_name;
pub mod split;
pub mod tables;
pub mod user_images;
