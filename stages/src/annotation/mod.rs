//! Who votes on the images, the candidate sets made of the votes, and how good both are.

pub mod annotate;
pub mod candidates;
pub mod embed;
pub mod fetch_clip;
pub mod import_votes;
pub mod merge_votes;
mod neighbours;
pub mod refine;
pub mod statistics;
pub mod synthetic;
