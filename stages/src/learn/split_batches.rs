//! The samples of an epoch over a divided training set (method §9): one pass over 𝒫, and samples of 𝒰 beside them.

use super::method::Method;
use super::train::Training;
use super::training_set::TrainingSet;

/// The samples of every step, in order.
pub struct SplitBatches {
    /// Samples of 𝒫 whose turn it is, each once, and those with a human label that join them.
    partial: Vec<Vec<usize>>,
    /// Samples of 𝒰, again and again.
    unlabeled: Vec<usize>,
    /// How many of 𝒰 a step has.
    of_unlabeled: usize,
}

impl SplitBatches {
    /// Of 𝒫 and 𝒰, for network number `network` in this epoch, so many of each a step. The last step has what is left
    /// of 𝒫; 𝒰 is gone round as often as the steps need.
    pub fn new<M: Method>(
        training: &Training<'_, M>,
        network: usize,
        [partial, unlabeled]: [&[usize]; 2],
        [of_partial, of_unlabeled]: [usize; 2],
    ) -> Self {
        let stream =
            |purpose: &str| format!("{}/{}/epoch{}/{purpose}", M::NAME, M::NETWORKS[network], training.epoch);
        let in_turn = training.in_turn(network, &stream("partial"), partial);
        let batches = in_turn.chunks(of_partial.max(1)).map(<[usize]>::to_vec);
        let partial = training.with_human_labels(network, batches);
        let unlabeled = training.shuffled(&stream("unlabeled"), unlabeled, partial.len() * of_unlabeled);
        let of_unlabeled = unlabeled.len() / partial.len().max(1);
        Self { partial, unlabeled, of_unlabeled }
    }

    /// How many steps the epoch has.
    pub fn steps(&self) -> usize {
        self.partial.len()
    }

    /// Samples of 𝒫 and of 𝒰 of one step.
    pub fn samples(&self, step: usize) -> (&[usize], &[usize]) {
        let rest = self.of_unlabeled;
        (&self.partial[step], &self.unlabeled[step * rest..(step + 1) * rest])
    }

    /// Whether `labels`, those of every step's samples of 𝒫 and then of 𝒰, one step after the other, are right: of 𝒫's
    /// samples, and of 𝒰's. Only where that is known, and where no human gave the label.
    pub fn hits(&self, labels: &[u32], set: &TrainingSet) -> [Vec<bool>; 2] {
        let mut hits = [Vec::new(), Vec::new()];
        let mut labels = labels.iter();
        for step in 0..self.steps() {
            let (partial, unlabeled) = self.samples(step);
            for (samples, hits) in [partial, unlabeled].into_iter().zip(&mut hits) {
                // By reference, and samples first: zip must not take a label too many.
                for (&i, &label) in samples.iter().zip(labels.by_ref()) {
                    hits.extend(set.truth[i].filter(|_| !set.human[i]).map(|truth| truth == label));
                }
            }
        }
        hits
    }
}

/// How many samples of 𝒰 a step has beside `batch` of 𝒫, of so many in 𝒫 and in 𝒰: `most`, unless one of 𝒰 would then
/// be looked at more than `repeats` times as often as one of 𝒫. 0 for no such limit.
pub fn unlabeled_per_step(
    [partial, unlabeled]: [usize; 2],
    [batch, most]: [usize; 2],
    repeats: f64,
) -> usize {
    if repeats == 0.0 {
        return most;
    }
    let as_often = (batch * unlabeled) as f64 / partial.max(1) as f64;
    // Upwards: of a few, one a step is the least.
    ((as_often * repeats).ceil() as usize).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_images_of_the_unlabeled_split_are_not_looked_at_over_and_over() {
        let of = |repeats, partial, unlabeled| unlabeled_per_step([partial, unlabeled], [64, 32], repeats);
        assert_eq!(of(0.0, 600, 10), 32, "no limit");
        assert_eq!(of(1.0, 640, 10), 1);
        assert_eq!(of(2.0, 640, 40), 8);
        assert_eq!(of(1.0, 100, 900), 32, "never more than the batch has");
        assert_eq!(of(1.0, 640, 0), 0);
    }
}
