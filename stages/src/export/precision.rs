//! In which type the weights of an export are stored.

use half::f16;
use pipeline::error::{Error, Result};

/// In which type weights are stored. What is computed with them is f32 either way; biases and batch norms, a hundredth
/// of all numbers, are stored as f32 always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// As they were trained.
    #[default]
    F32,
    /// Half the size, eleven significant bits.
    F16,
}

/// Weights as float16, which the tensor `name` holds.
///
/// # Errors
/// A weight beyond the numbers of float16, ±65504.
pub(super) fn halves(name: &str, values: &[f32]) -> Result<Vec<f16>> {
    let halves: Vec<f16> = values.iter().map(|value| f16::from_f32(*value)).collect();
    match halves.iter().zip(values).find(|(half, value)| !half.is_finite() && value.is_finite()) {
        None => Ok(halves),
        Some((_, value)) => Err(Error::new(format!("{name} holds {value}, which float16 cannot"))
            .help("export with --precision f32")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_float16_cannot_hold_is_refused() {
        let kept = halves("w", &[0.5, -3.0, 65_504.0]).unwrap();
        assert_eq!(kept.iter().map(|half| half.to_f32()).collect::<Vec<_>>(), [0.5, -3.0, 65_504.0]);
        let error = halves("network1.w", &[1.0, 7e4]).unwrap_err().to_string();
        assert!(error.contains("network1.w") && error.contains("70000") && error.contains("f32"), "{error}");
    }
}
