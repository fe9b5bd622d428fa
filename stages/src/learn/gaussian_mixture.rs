//! A two-component Gaussian mixture on one dimension, fitted as scikit-learn's `GaussianMixture` does
//! (method §5): k-means start, at most ten steps of expectation and maximisation.

/// How the mixture is fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// Most steps of expectation and maximisation.
    pub max_steps: usize,
    /// Stop once the mean log-likelihood gains less than this.
    pub tolerance: f64,
    /// Added to every variance, so that none vanishes.
    pub variance_floor: f64,
}

/// The constants of method §5.
impl Default for Fit {
    fn default() -> Self {
        Self { max_steps: 10, tolerance: 1e-2, variance_floor: 5e-4 }
    }
}

#[derive(Clone, Copy, Debug)]
struct Component {
    weight: f64,
    mean: f64,
    variance: f64,
}

impl Component {
    /// log(weight · N(x; mean, variance))
    fn log_joint(&self, x: f64) -> f64 {
        let distance = x - self.mean;
        self.weight.ln()
            - 0.5 * ((2.0 * std::f64::consts::PI * self.variance).ln() + distance * distance / self.variance)
    }
}

/// For every value the posterior probability of the component with the smaller mean.
///
/// Where all values are equal there is nothing to divide: every posterior is 1.
#[doc(alias = "w")]
#[doc(alias = "gaussian mixture")]
pub fn posterior_of_smaller(values: &[f32], fit: Fit) -> Vec<f32> {
    let lowest = values.iter().copied().fold(f32::INFINITY, f32::min);
    let highest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if highest.partial_cmp(&lowest) != Some(std::cmp::Ordering::Greater) {
        return vec![1.0; values.len()];
    }
    let mut first = two_means(values, lowest, highest); // responsibilities of the lower component
    let mut pair = maximise(values, &first, fit.variance_floor);
    let mut before = f64::NEG_INFINITY;
    for _ in 0..fit.max_steps {
        let likelihood = expect(values, pair, &mut first);
        pair = maximise(values, &first, fit.variance_floor);
        let gain = (likelihood - before).abs();
        before = likelihood;
        if gain < fit.tolerance {
            break;
        }
    }
    expect(values, pair, &mut first);
    let swap = pair[1].mean < pair[0].mean;
    first.iter().map(|&p| (if swap { 1.0 - p } else { p }) as f32).collect()
}

/// Lloyd's algorithm from the extremes: 1 for members of the lower cluster, 0 for the others.
fn two_means(values: &[f32], lowest: f32, highest: f32) -> Vec<f64> {
    let (mut low, mut high) = (f64::from(lowest), f64::from(highest));
    let mut border = 0.5 * (low + high);
    // As many rounds as scikit-learn's k-means has; a dozen are usual.
    for _ in 0..300 {
        let mut sums = [(0.0, 0usize); 2];
        for &value in values {
            let (sum, count) = &mut sums[usize::from(f64::from(value) > border)];
            *sum += f64::from(value);
            *count += 1;
        }
        // Both clusters keep an extreme each, so neither is ever empty.
        (low, high) = (sums[0].0 / sums[0].1 as f64, sums[1].0 / sums[1].1 as f64);
        let before = std::mem::replace(&mut border, 0.5 * (low + high));
        if before == border {
            break;
        }
    }
    values.iter().map(|&value| f64::from(f64::from(value) <= border)).collect()
}

/// Fills `first` with the posterior of component 0; gives the mean log-likelihood.
fn expect(values: &[f32], pair: [Component; 2], first: &mut [f64]) -> f64 {
    let mut total = 0.0;
    for (&value, posterior) in values.iter().zip(first.iter_mut()) {
        let [a, b] = pair.map(|component| component.log_joint(f64::from(value)));
        let most = a.max(b);
        let log_sum = most + ((a - most).exp() + (b - most).exp()).ln();
        *posterior = (a - log_sum).exp();
        total += log_sum;
    }
    total / values.len() as f64
}

/// The components that fit the posteriors best.
fn maximise(values: &[f32], first: &[f64], floor: f64) -> [Component; 2] {
    [0, 1].map(|which| {
        let share = |p: f64| if which == 0 { p } else { 1.0 - p };
        // As scikit-learn's `_estimate_gaussian_parameters` begins.
        let (mut mass, mut sum) = (10.0 * f64::EPSILON, 0.0);
        for (&value, &p) in values.iter().zip(first) {
            mass += share(p);
            sum += share(p) * f64::from(value);
        }
        let mean = sum / mass;
        let spread: f64 =
            values.iter().zip(first).map(|(&value, &p)| share(p) * (f64::from(value) - mean).powi(2)).sum();
        Component { weight: mass / values.len() as f64, mean, variance: spread / mass + floor }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_heaps_are_told_apart() {
        let values: Vec<f32> = (0..100)
            .map(|i| if i % 3 == 0 { 0.8 + i as f32 * 1e-3 } else { 0.1 + i as f32 * 1e-3 })
            .collect();
        for (&value, &p) in values.iter().zip(&posterior_of_smaller(&values, Fit::default())) {
            assert_eq!(p > 0.5, value < 0.5, "{value} has {p}");
        }
    }

    #[test]
    fn equal_values_all_belong_to_the_smaller_component() {
        assert_eq!(posterior_of_smaller(&[0.3; 5], Fit::default()), [1.0; 5]);
        assert_eq!(posterior_of_smaller(&[], Fit::default()), Vec::<f32>::new());
    }
}
