//! The loss terms of an epoch's steps, left on the device until all steps are done: reading a number in the
//! middle would make the program wait for the device at every step.

use candle_core::Tensor;
use pipeline::error::{Error, OrFail, Result};

/// Loss terms of one step by name, as scalars.
pub type Terms = Vec<(&'static str, Tensor)>;

/// The terms of every step so far; each step has the same ones.
#[derive(Default)]
pub struct Tally(Vec<Terms>);

impl Tally {
    /// Adds the terms of the next step.
    pub fn add(&mut self, terms: Terms) {
        self.0.push(terms);
    }

    /// The mean of every term over the steps.
    ///
    /// # Errors
    /// A term that is not finite: the error that `failed` gives for its step, with the term.
    pub fn means(&self, failed: impl Fn(usize) -> Error) -> Result<Vec<(&'static str, Option<f64>)>> {
        let cannot = || Error::new("cannot read the losses from the device");
        let mut means: Vec<(&'static str, Option<f64>)> = Vec::new();
        for (at, (name, _)) in self.0.first().into_iter().flatten().enumerate() {
            let values: Vec<&Tensor> = self.0.iter().filter_map(|terms| Some(&terms.get(at)?.1)).collect();
            let values: Vec<f32> = Tensor::stack(&values, 0).and_then(|all| all.to_vec1()).or_fail(cannot)?;
            if let Some(step) = values.iter().position(|value| !value.is_finite()) {
                return Err(failed(step)
                    .because(format!("{name} is {}", values[step]))
                    .help("lower optimizer.learning_rate; training then starts anew"));
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

    fn terms(values: [f32; 2]) -> Terms {
        let scalar = |value| Tensor::new(value, &Device::Cpu).unwrap();
        vec![("loss", scalar(values[0])), ("loss_partial", scalar(values[1]))]
    }

    #[test]
    fn means_are_taken_over_the_steps() {
        let mut tally = Tally::default();
        assert!(tally.means(|_| Error::new("no step")).unwrap().is_empty());
        tally.add(terms([1.0, 10.0]));
        tally.add(terms([2.0, 30.0]));
        let means = tally.means(|_| Error::new("no step")).unwrap();
        assert_eq!(means, [("loss", Some(1.5)), ("loss_partial", Some(20.0))]);
    }

    #[test]
    fn a_term_that_is_not_finite_is_named_with_its_step() {
        let mut tally = Tally::default();
        tally.add(terms([1.0, 10.0]));
        tally.add(terms([2.0, f32::NAN]));
        let error = tally.means(|step| Error::new(format!("step {step} failed"))).unwrap_err().to_string();
        assert!(error.contains("step 1 failed") && error.contains("loss_partial is NaN"), "{error}");
    }
}
