//! What learning methods share.
//!
//! A method comes in by the door of [`method`]; [`train`] is the stage and the only training loop around it. The other
//! files are what methods are composed of: views of an epoch ([`viewed_batches`]), the training set, the learner and its
//! optimizer, losses by term ([`step_losses`]) and as functions ([`losses`], [`contrastive`]), MixUp, the Gaussian
//! mixture, prototypes, the key network with its queue, the confidence matrix, numbers a sample, schedules, metrics, and
//! criteria that need no truth.

pub mod bounds;
pub mod chance;
pub mod confidence;
pub mod contrastive;
mod contrastive_rows;
pub mod criteria;
pub mod gaussian_mixture;
#[cfg(test)]
pub(crate) mod golden_tests;
pub mod key_encoder;
pub mod key_queue;
pub mod learner;
pub mod loss_history;
pub mod losses;
pub mod method;
pub mod metrics;
pub mod mixup;
pub mod optimizer;
pub mod partial_losses;
pub mod prototypes;
pub mod pseudo_labels;
pub mod sample_scores;
pub mod schedule;
pub mod settled_labels;
pub mod split_batches;
pub mod step_losses;
pub mod train;
pub mod training_set;
pub mod viewed_batches;
