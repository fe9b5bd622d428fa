//! What DivideMix carries from step to step and from epoch to epoch, beside its two networks.

use candle_core::{Device, Tensor};
use pipeline::error::{Error, OrFail, Result};

use super::divide::Division;
use crate::learn::loss_history::LossHistory;
use crate::learn::method::State;
use crate::runtime::checkpoint::{Tensors, join, part};

/// Of both networks.
pub struct DivideMixState {
    pub(super) networks: [NetworkState; 2],
}

/// What goes along with one network.
pub(super) struct NetworkState {
    /// Its losses of the last epochs.
    pub(super) losses: LossHistory,
    /// How it divided the training set in its last epoch, for the other network.
    pub(super) division: Division,
    /// The pseudo-labels that it learned in the current epoch: the largest class of each step's targets (p + u).
    pub(super) pseudo_labels: Vec<Tensor>,
}

impl DivideMixState {
    /// Before the first epoch, of N samples.
    pub(super) fn new(samples: usize) -> Self {
        let network = || NetworkState {
            losses: LossHistory::new(samples),
            division: Division::none(samples),
            pseudo_labels: Vec::new(),
        };
        Self { networks: [network(), network()] }
    }
}

/// Names of the parts in the checkpoint.
const NETWORKS: [&str; 2] = ["network1", "network2"];
const W: &str = "w";

impl State for DivideMixState {
    fn tensors(&self) -> Result<Tensors> {
        let parts = NETWORKS.into_iter().zip(&self.networks);
        let parts = parts.map(|(name, network)| Ok((name, network.tensors()?)));
        Ok(join(parts.collect::<Result<Vec<_>>>()?))
    }

    fn restore(&mut self, tensors: &Tensors) -> Result<()> {
        for (name, network) in NETWORKS.into_iter().zip(&mut self.networks) {
            network.restore(&part(tensors, name))?;
        }
        Ok(())
    }
}

/// Of the division, w alone: every epoch divides anew, and w is what the last one leaves.
impl State for NetworkState {
    fn tensors(&self) -> Result<Tensors> {
        let mut tensors = self.losses.tensors()?;
        let w = Tensor::from_slice(&self.division.w, self.division.w.len(), &Device::Cpu);
        tensors.insert(W.to_owned(), w.or_fail(|| Error::new("cannot copy the division"))?);
        Ok(tensors)
    }

    fn restore(&mut self, tensors: &Tensors) -> Result<()> {
        let cannot = || Error::new(format!("the checkpoint's `{W}` cannot be used"));
        let w: Vec<f32> = tensors.get(W).ok_or_else(cannot)?.to_vec1().or_fail(cannot)?;
        if w.len() != self.division.w.len() {
            return Err(cannot());
        }
        self.division.w = w;
        self.losses.restore(tensors)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::learn::gaussian_mixture::Fit;

    #[test]
    fn a_checkpoint_keeps_what_the_next_epoch_and_the_end_need() {
        let mut state = DivideMixState::new(3);
        let [one, two] = &mut state.networks;
        one.division.w = vec![1.0, 0.5, 0.0];
        two.losses.posteriors(&[0.1, 0.2, 3.0], &[true; 3], 5, Fit::default());
        let mut back = DivideMixState::new(3);
        back.restore(&state.tensors().unwrap()).unwrap();
        for (back, state) in back.networks.iter().zip(&state.networks) {
            assert_eq!(back.division.w, state.division.w);
            assert_eq!(back.losses, state.losses);
        }
        assert!(DivideMixState::new(4).restore(&state.tensors().unwrap()).is_err());
        assert!(DivideMixState::new(3).restore(&Tensors::new()).is_err());
    }
}
