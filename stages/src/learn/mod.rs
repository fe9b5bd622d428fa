//! What learning methods share.
//!
//! A method comes in by the door of [`method`]; [`train`] is the stage and the only training loop around it. The other
//! files are what methods are composed of: views of an epoch ([`one_view`]), the training set, the learner and its
//! optimizer, losses by term ([`step_losses`]) and as functions ([`losses`], [`contrastive`]), MixUp, the Gaussian
//! mixture, prototypes, the queue of keys, the confidence matrix, schedules, metrics, and
//! criteria that need no truth.

pub mod chance;
pub mod confidence;
pub mod contrastive;
mod contrastive_rows;
pub mod criteria;
pub mod gaussian_mixture;
#[cfg(test)]
pub(crate) mod golden_tests;
pub mod key_queue;
pub mod learner;
pub mod losses;
pub mod method;
pub mod metrics;
pub mod mixup;
pub mod one_view;
pub mod optimizer;
pub mod prototypes;
pub mod pseudo_labels;
pub mod schedule;
pub mod step_losses;
pub mod train;
pub mod training_set;
