//! A loss a sample over a network's last epochs, and how likely each is that of a right label (method §5; Li et al.
//! 2020, DivideMix).

use candle_core::{Device, Tensor};
use pipeline::error::{Error, OrFail, Result};

use super::gaussian_mixture::{Fit, posterior_of_smaller};
use super::method::State;
use crate::runtime::checkpoint::Tensors;

/// Losses of the last epochs, each epoch's scaled to [0, 1], newest last.
#[derive(Clone, Debug, PartialEq)]
pub struct LossHistory {
    samples: usize,
    epochs: Vec<Vec<f32>>,
}

impl LossHistory {
    /// Of so many samples and no epoch yet.
    pub fn new(samples: usize) -> Self {
        Self { samples, epochs: Vec::new() }
    }

    /// Takes in the `losses` (N) of the next epoch and gives w (N): for every sample the posterior probability of the
    /// mixture's component with the smaller mean, by its mean loss of the last `epochs` epochs.
    ///
    /// `counts` (N) says whose losses count: they are scaled among themselves, and the mixture is fitted to them alone.
    /// w of the others is 0.
    #[doc(alias = "w")]
    pub fn posteriors(&mut self, losses: &[f32], counts: &[bool], epochs: usize, fit: Fit) -> Vec<f32> {
        self.epochs.push(scale(losses, counts));
        let surplus = self.epochs.len().saturating_sub(epochs.max(1));
        self.epochs.drain(..surplus);
        let mean =
            |i: usize| self.epochs.iter().map(|epoch| epoch[i]).sum::<f32>() / self.epochs.len() as f32;
        let counted: Vec<usize> = (0..losses.len()).filter(|&i| counts[i]).collect();
        let means: Vec<f32> = counted.iter().map(|&i| mean(i)).collect();
        let mut w = vec![0.0; losses.len()];
        counted.iter().zip(posterior_of_smaller(&means, fit)).for_each(|(&i, posterior)| w[i] = posterior);
        w
    }
}

/// Losses scaled to [0, 1] over those that count; 0 of the others, and of all where those are all equal.
fn scale(losses: &[f32], counts: &[bool]) -> Vec<f32> {
    let counted = || losses.iter().zip(counts).filter(|&(_, &counts)| counts).map(|(&loss, _)| loss);
    let lowest = counted().fold(f32::INFINITY, f32::min);
    let range = counted().fold(f32::NEG_INFINITY, f32::max) - lowest;
    let scaled = |(&loss, &counts): (&f32, &bool)| {
        if counts && range > 0.0 { (loss - lowest) / range } else { 0.0 }
    };
    losses.iter().zip(counts).map(scaled).collect()
}

/// The checkpoint's name for the losses of the i-th of the epochs that are averaged.
fn name(i: usize) -> String {
    format!("losses.{i}")
}

impl State for LossHistory {
    fn tensors(&self) -> Result<Tensors> {
        let tensor = |(i, losses): (usize, &Vec<f32>)| -> Result<(String, Tensor)> {
            let tensor = Tensor::from_slice(losses, losses.len(), &Device::Cpu);
            Ok((name(i), tensor.or_fail(|| Error::new("cannot copy the losses"))?))
        };
        self.epochs.iter().enumerate().map(tensor).collect()
    }

    fn restore(&mut self, tensors: &Tensors) -> Result<()> {
        let values = |(i, tensor): (usize, &Tensor)| -> Result<Vec<f32>> {
            let cannot = || Error::new(format!("the checkpoint's `{}` cannot be used", name(i)));
            let values: Vec<f32> = tensor.to_vec1().or_fail(cannot)?;
            if values.len() == self.samples { Ok(values) } else { Err(cannot()) }
        };
        let kept = (0..).map_while(|i| Some((i, tensors.get(&name(i))?)));
        self.epochs = kept.map(values).collect::<Result<_>>()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Even samples have a loss near `even`, odd ones near `odd`.
    fn losses(even: f32, odd: f32) -> Vec<f32> {
        let loss = |i: usize| [even, odd][i % 2] + i as f32 * 0.01;
        (0..10).map(loss).collect()
    }

    fn believed(w: &[f32]) -> Vec<usize> {
        (0..w.len()).filter(|&i| w[i] > 0.5).collect()
    }

    #[test]
    fn small_losses_are_believed() {
        let w = LossHistory::new(10).posteriors(&losses(0.1, 3.0), &[true; 10], 1, Fit::default());
        assert_eq!(believed(&w), [0, 2, 4, 6, 8]);
    }

    #[test]
    fn the_last_epochs_are_averaged_and_no_more() {
        let mut history = LossHistory::new(10);
        let mut next = |even, odd| history.posteriors(&losses(even, odd), &[true; 10], 3, Fit::default());
        next(0.1, 3.0);
        next(0.1, 3.0);
        assert_eq!(believed(&next(3.0, 0.1)), [0, 2, 4, 6, 8], "two epochs of three say so");
        assert_eq!(believed(&next(3.0, 0.1)), [1, 3, 5, 7, 9]);
    }

    #[test]
    fn losses_that_do_not_count_change_nothing_for_the_rest() {
        let some = losses(0.1, 3.0);
        let alone = LossHistory::new(10).posteriors(&some, &[true; 10], 1, Fit::default());
        let among: Vec<f32> = [&[900.0][..], &some, &[-900.0]].concat();
        let counts: Vec<bool> = (0..12).map(|i| i != 0 && i != 11).collect();
        let w = LossHistory::new(12).posteriors(&among, &counts, 1, Fit::default());
        assert_eq!(w[1..11], alone);
        assert_eq!([w[0], w[11]], [0.0, 0.0]);
    }

    #[test]
    fn equal_losses_are_all_believed_and_none_is_no_number() {
        let w = LossHistory::new(4).posteriors(&[0.7; 4], &[true, true, false, true], 1, Fit::default());
        assert_eq!(w, [1.0, 1.0, 0.0, 1.0]);
        assert_eq!(LossHistory::new(2).posteriors(&[0.7; 2], &[false; 2], 1, Fit::default()), [0.0; 2]);
    }

    #[test]
    fn a_checkpoint_gives_the_same_posteriors_as_going_on() {
        let mut history = LossHistory::new(10);
        history.posteriors(&losses(0.1, 3.0), &[true; 10], 2, Fit::default());
        let mut back = LossHistory::new(10);
        back.restore(&history.tensors().unwrap()).unwrap();
        assert_eq!(back, history);
        let next =
            |history: &mut LossHistory| history.posteriors(&losses(1.0, 0.5), &[true; 10], 2, Fit::default());
        assert_eq!(next(&mut back), next(&mut history));
        assert!(LossHistory::new(9).restore(&history.tensors().unwrap()).is_err());
    }
}
