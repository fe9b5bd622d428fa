//! A number a training sample, as it was at the sample's last visit.

use candle_core::{Device, Tensor};
use pipeline::error::{Error, OrFail, Result};

use super::method::State;
use crate::runtime::checkpoint::Tensors;

/// The numbers; those of the epoch under way stay on the device until [`settle`](Self::settle), so that no step waits.
#[derive(Debug, Default)]
pub struct SampleScores {
    values: Vec<f32>,
    pending: Vec<(Vec<usize>, Tensor)>,
}

impl SampleScores {
    /// For so many samples, none of which was visited.
    pub fn new(samples: usize) -> Self {
        Self { values: vec![f32::NAN; samples], pending: Vec::new() }
    }

    /// Notes the `scores` (B) of these samples (B).
    pub fn record(&mut self, samples: &[usize], scores: &Tensor) {
        self.pending.push((samples.to_vec(), scores.detach()));
    }

    /// Reads what was noted since the last time; gives the samples that were visited meanwhile, each once, ascending.
    ///
    /// # Errors
    /// The device fails.
    pub fn settle(&mut self) -> Result<Vec<usize>> {
        let mut visited = Vec::new();
        for (samples, scores) in self.pending.drain(..) {
            let scores: Vec<f32> =
                scores.to_vec1().or_fail(|| Error::new("cannot read the samples' scores from the device"))?;
            for (&sample, score) in samples.iter().zip(scores) {
                self.values[sample] = score;
            }
            visited.extend(samples);
        }
        visited.sort_unstable();
        visited.dedup();
        Ok(visited)
    }

    /// What was last noted of every sample (N); NaN of those that were never visited.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

const NAME: &str = "scores";

/// Of what is settled.
impl State for SampleScores {
    fn tensors(&self) -> Result<Tensors> {
        let tensor = Tensor::from_slice(&self.values, self.values.len(), &Device::Cpu);
        let tensor = tensor.or_fail(|| Error::new("cannot copy the samples' scores"))?;
        Ok(Tensors::from([(NAME.to_owned(), tensor)]))
    }

    fn restore(&mut self, tensors: &Tensors) -> Result<()> {
        let cannot = || Error::new(format!("the checkpoint's `{NAME}` cannot be used"));
        let found: Vec<f32> = tensors.get(NAME).ok_or_else(cannot)?.to_vec1().or_fail(cannot)?;
        if found.len() != self.values.len() {
            return Err(cannot());
        }
        self.values = found;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_last_visit_counts_and_survives_a_checkpoint() {
        let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
        let mut scores = SampleScores::new(4);
        scores.record(&[3, 1], &tensor(&[0.3, 0.1]));
        scores.record(&[1], &tensor(&[0.5]));
        assert_eq!(scores.settle().unwrap(), [1, 3]);
        assert_eq!([scores.values()[1], scores.values()[3]], [0.5, 0.3]);
        assert!(scores.values()[0].is_nan() && scores.values()[2].is_nan());
        let mut back = SampleScores::new(4);
        back.restore(&scores.tensors().unwrap()).unwrap();
        assert_eq!(back.values()[3], 0.3);
        assert_eq!(back.settle().unwrap(), Vec::<usize>::new());
        assert!(SampleScores::new(3).restore(&scores.tensors().unwrap()).is_err());
    }
}
