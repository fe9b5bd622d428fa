//! Dividing the training set into 𝒫, whose labels are believed (the paper's 𝒳), and 𝒰, whose are not.

use super::DivideMix;
use crate::learn::gaussian_mixture::Fit;
use crate::learn::loss_history::LossHistory;

/// How one network divides the training set, for the *other* network to learn from.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Division {
    /// Posterior that the label is right, of every sample (N).
    pub(super) w: Vec<f32>,
    /// Samples of 𝒫, ascending.
    pub(super) partial: Vec<usize>,
    /// Samples of 𝒰, ascending.
    pub(super) unlabeled: Vec<usize>,
}

impl Division {
    /// Of N samples, before the first time: nothing is believed.
    pub(super) fn none(samples: usize) -> Self {
        Self { w: vec![0.0; samples], partial: Vec::new(), unlabeled: (0..samples).collect() }
    }

    /// All labels are believed, for want of any that are: those of `single` (N).
    pub(super) fn everything(single: &[Option<u16>]) -> Self {
        let (partial, unlabeled) = (0..single.len()).partition(|&i| single[i].is_some());
        let w = single.iter().map(|label| if label.is_some() { 1.0 } else { 0.0 }).collect();
        Self { w, partial, unlabeled }
    }
}

/// Divides N samples by their `losses` (N), −log f_ŷ.
///
/// A sample without a label ŷ (`single`, N) is always in 𝒰, with w = 0. One whose label a human gave (`human`, N) is
/// always in 𝒫, with w = 1. Neither takes part in scaling and fit.
pub(super) fn divide(
    losses: &[f32],
    (single, human): (&[Option<u16>], &[bool]),
    history: &mut LossHistory,
    method: &DivideMix,
) -> Division {
    let counts: Vec<bool> =
        single.iter().zip(human).map(|(label, &human)| label.is_some() && !human).collect();
    let mut w = history.posteriors(losses, &counts, method.loss_history, Fit::default());
    let surely = |i: usize| single[i].is_some() && human[i];
    (0..w.len()).filter(|&i| surely(i)).for_each(|i| w[i] = 1.0);
    let (partial, unlabeled) = (0..w.len()).partition(|&i| surely(i) || f64::from(w[i]) > method.threshold);
    Division { w, partial, unlabeled }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten samples with label 0, of which the even ones have small losses.
    fn losses() -> Vec<f32> {
        let loss = |i: usize| [0.1, 3.0][i % 2] + i as f32 * 0.01;
        (0..10).map(loss).collect()
    }

    fn divided(losses: &[f32], single: &[Option<u16>], human: &[bool]) -> Division {
        let mut history = LossHistory::new(losses.len());
        divide(losses, (single, human), &mut history, &DivideMix::default())
    }

    #[test]
    fn labels_of_small_loss_are_believed() {
        let division = divided(&losses(), &[Some(0); 10], &[false; 10]);
        assert_eq!(division.partial, [0, 2, 4, 6, 8]);
        assert_eq!(division.unlabeled, [1, 3, 5, 7, 9]);
    }

    #[test]
    fn what_nobody_voted_on_is_unlabeled_and_changes_nothing_for_the_rest() {
        let alone = divided(&losses(), &[Some(0); 10], &[false; 10]);
        let losses = [losses(), vec![0.0, 99.0]].concat();
        let division = divided(&losses, &[[Some(0); 10].to_vec(), vec![None; 2]].concat(), &[false; 12]);
        assert_eq!(division.partial, alone.partial);
        assert_eq!(division.w[..10], alone.w);
        assert_eq!(division.w[10..], [0.0, 0.0]);
        assert_eq!(division.unlabeled, [1, 3, 5, 7, 9, 10, 11]);
    }

    #[test]
    fn what_a_human_said_is_believed_whatever_its_loss_and_changes_nothing_for_the_rest() {
        let alone = divided(&losses(), &[Some(0); 10], &[false; 10]);
        let losses = [losses(), vec![99.0]].concat();
        let human = [vec![false; 10], vec![true]].concat();
        let division = divided(&losses, &[Some(0); 11], &human);
        assert_eq!(division.w[..10], alone.w);
        assert_eq!((division.w[10], division.partial.last()), (1.0, Some(&10)));
        let never = DivideMix { threshold: 1.0, ..DivideMix::default() };
        let only = divide(&losses, (&[Some(0); 11], &human), &mut LossHistory::new(11), &never);
        assert_eq!(only.partial, [10], "no posterior exceeds 1");
    }

    #[test]
    fn where_nothing_is_believed_all_labels_are() {
        let division = Division::everything(&[Some(3), None, Some(0)]);
        assert_eq!(division, Division { w: vec![1.0, 0.0, 1.0], partial: vec![0, 2], unlabeled: vec![1] });
        assert!(Division::none(3).partial.is_empty());
    }
}
