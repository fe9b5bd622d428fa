//! Who votes on the images, the candidate sets made of the votes, labels of humans beside them, and how good all that
//! is.

pub mod annotate;
pub mod candidates;
pub mod coop;
pub mod embed;
pub mod fetch_clip;
pub mod human_labels;
pub mod import_votes;
pub mod merge_votes;
mod neighbours;
pub mod refine;
pub mod statistics;
pub mod synthetic;
