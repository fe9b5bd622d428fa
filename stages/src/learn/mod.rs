//! What learning methods share: the learner and its optimizer, the training set, losses, schedules, MixUp, the Gaussian
//! mixture, prototypes, the queue of keys, and the contrastive loss.

pub mod contrastive;
pub(crate) mod contrastive_rows;
pub mod gaussian_mixture;
pub mod learner;
pub mod loss_terms;
pub mod losses;
pub mod mixup;
pub mod prototypes;
pub mod schedule;
pub mod supervised;
pub mod training_set;
