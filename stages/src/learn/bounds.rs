//! What settings of methods may be.

use std::fmt::Display;

use pipeline::error::{Error, Result};

/// Refuses settings of the method of this name that make no sense.
pub struct Bounds(pub &'static str);

impl Bounds {
    /// A number between 0 and 1.
    ///
    /// # Errors
    /// It is another.
    pub fn share(&self, name: &str, value: f64) -> Result<()> {
        self.hold((0.0..=1.0).contains(&value), name, value, "must lie between 0 and 1")
    }

    /// A number above 0.
    ///
    /// # Errors
    /// It is none.
    pub fn positive(&self, name: &str, value: f64) -> Result<()> {
        self.hold(value > 0.0 && value.is_finite(), name, value, "must be a positive number")
    }

    /// The weight of a loss, or a rate: a number from 0 on.
    ///
    /// # Errors
    /// It is none.
    pub fn weight(&self, name: &str, value: f64) -> Result<()> {
        self.hold(value >= 0.0 && value.is_finite(), name, value, "must be zero or more")
    }

    /// A count between two others.
    ///
    /// # Errors
    /// It is not between them.
    pub fn count(&self, name: &str, value: usize, least: usize, most: usize) -> Result<()> {
        self.hold(
            (least..=most).contains(&value),
            name,
            value,
            &format!("must lie between {least} and {most}"),
        )
    }

    /// The room of a queue of keys.
    ///
    /// # Errors
    /// It is more than memory holds.
    pub fn queue(&self, value: usize) -> Result<()> {
        self.hold(value <= 1 << 24, "queue", value, "must not be more than 16777216")
    }

    fn hold(&self, fits: bool, name: &str, value: impl Display, rule: &str) -> Result<()> {
        if fits { Ok(()) } else { Err(Error::new(format!("{}.{name} = {value} {rule}", self.0))) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_setting_out_of_bounds_is_named() {
        let bounds = Bounds("pico");
        let refused = [
            bounds.share("key_momentum", 1.5),
            bounds.positive("contrast_temperature", 0.0),
            bounds.weight("lambda_contrast", f64::NAN),
            bounds.queue(1 << 25),
        ];
        let names =
            ["key_momentum = 1.5", "contrast_temperature = 0", "lambda_contrast = NaN", "queue = 33554432"];
        for (refused, name) in refused.into_iter().zip(names) {
            let told = refused.unwrap_err().to_string();
            assert!(told.contains(&format!("pico.{name}")), "{told}");
        }
        assert!(bounds.share("key_momentum", 1.0).is_ok() && bounds.weight("lambda_contrast", 0.0).is_ok());
        assert!(bounds.positive("contrast_temperature", 0.07).is_ok() && bounds.queue(0).is_ok());
    }
}
