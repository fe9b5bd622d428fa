//! The loss of a step as a sum of named terms, and their means over an epoch.
//!
//! All numbers stay on the device until the epoch's steps are done: reading one in between would make the program wait
//! for the device at every step.

use candle_core::{Result, Tensor};
use pipeline::error::{Error, OrFail};

/// The terms of one step's loss, and their weighted sum.
#[derive(Default)]
pub struct StepLosses {
    total: Option<Tensor>,
    terms: Vec<(&'static str, Tensor)>,
}

/// The figure of the weighted sum.
const TOTAL: &str = "loss";

impl StepLosses {
    /// A loss of one term, which is reported as the loss alone.
    pub fn of(loss: Tensor) -> Self {
        Self { total: Some(loss), terms: Vec::new() }
    }

    /// Adds `weight` · `term` to the loss; `term`, a scalar, is reported under `name` as it is, without its weight.
    ///
    /// # Errors
    /// The device runs out of memory.
    pub fn add(&mut self, name: &'static str, weight: f64, term: Tensor) -> Result<()> {
        self.terms.push((name, term.detach()));
        let weighted = if weight == 1.0 { term } else { (term * weight)? };
        self.total = Some(match self.total.take() {
            None => weighted,
            Some(total) => (total + weighted)?,
        });
        Ok(())
    }

    /// The loss: the weighted sum of the terms.
    ///
    /// # Errors
    /// No term was added.
    pub fn total(&self) -> Result<&Tensor> {
        self.total.as_ref().ok_or_else(|| candle_core::Error::Msg("a loss without a term".to_owned()))
    }

    /// The terms by name, the loss itself last, as scalars without gradient.
    pub fn into_terms(self) -> Vec<(&'static str, Tensor)> {
        let total = self.total.map(|total| (TOTAL, total.detach()));
        self.terms.into_iter().chain(total).collect()
    }
}

/// The terms of every step of an epoch so far; each step has the same ones.
#[derive(Default)]
pub struct EpochLosses(Vec<Vec<(&'static str, Tensor)>>);

impl EpochLosses {
    /// Adds the losses of the next step.
    pub fn push(&mut self, losses: StepLosses) {
        self.0.push(losses.into_terms());
    }

    /// The mean of every term over the steps.
    ///
    /// # Errors
    /// A term that is not finite: the error that `failed` gives for its step, with the term.
    pub fn means(
        &self,
        failed: impl Fn(usize) -> Error,
    ) -> pipeline::error::Result<Vec<(&'static str, Option<f64>)>> {
        let cannot = || Error::new("cannot read the losses from the device");
        let mut means: Vec<(&'static str, Option<f64>)> = Vec::new();
        for (at, (name, _)) in self.0.first().into_iter().flatten().enumerate() {
            let values: Vec<&Tensor> = self.0.iter().filter_map(|terms| Some(&terms.get(at)?.1)).collect();
            let values: Vec<f32> = Tensor::stack(&values, 0).and_then(|all| all.to_vec1()).or_fail(cannot)?;
            if let Some(step) = values.iter().position(|value| !value.is_finite()) {
                return Err(failed(step)
                    .because(format!("{name} is {}", values[step]))
                    .help("lower the learning rate (optimizer.learning_rate, or the method's own); training then starts anew"));
            }
            means.push((name, Some(values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64)));
        }
        Ok(means)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use candle_core::Device;

    fn losses(terms: &[(&'static str, f64, f32)]) -> StepLosses {
        let mut losses = StepLosses::default();
        for &(name, weight, value) in terms {
            losses.add(name, weight, Tensor::new(value, &Device::Cpu).unwrap()).unwrap();
        }
        losses
    }

    #[test]
    fn the_loss_is_the_weighted_sum_and_terms_are_reported_without_weight() {
        let losses = losses(&[("one", 1.0, 2.0), ("two", 0.5, 3.0)]);
        assert_eq!(losses.total().unwrap().to_scalar::<f32>().unwrap(), 3.5);
        let terms = losses.into_terms();
        let values = terms.iter().map(|(name, term)| (*name, term.to_scalar::<f32>().unwrap()));
        assert_eq!(values.collect::<Vec<_>>(), [("one", 2.0), ("two", 3.0), ("loss", 3.5)]);
        assert!(StepLosses::default().total().is_err());
    }

    #[test]
    fn means_are_taken_over_the_steps() {
        let mut epoch = EpochLosses::default();
        assert!(epoch.means(|_| Error::new("no step")).unwrap().is_empty());
        epoch.push(losses(&[("one", 2.0, 1.0)]));
        epoch.push(losses(&[("one", 2.0, 3.0)]));
        let means = epoch.means(|_| Error::new("no step")).unwrap();
        assert_eq!(means, [("one", Some(2.0)), ("loss", Some(4.0))]);
    }

    #[test]
    fn a_term_that_is_not_finite_is_named_with_its_step() {
        let mut epoch = EpochLosses::default();
        epoch.push(losses(&[("one", 1.0, 1.0), ("two", 1.0, 1.0)]));
        epoch.push(losses(&[("one", 1.0, 1.0), ("two", 1.0, f32::NAN)]));
        let error = epoch.means(|step| Error::new(format!("step {step} failed"))).unwrap_err().to_string();
        assert!(error.contains("step 1 failed") && error.contains("two is NaN"), "{error}");
    }
}
