//! What a student says of images that it has not seen.

use candle_core::{D, Device};
use candle_nn::ops::softmax;
use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::Context;

use super::student::{StudentAtWork, sum};
use crate::artifacts::student::{InputFormat, Student};
use crate::vision::Pixels;

/// A student, or one of its networks, at work on encoded images.
pub struct Predictor {
    student: StudentAtWork,
    input: InputFormat,
}

impl Predictor {
    /// All of the student's networks together, or network number `only`, from 1.
    ///
    /// # Errors
    /// A network that the student does not have; weights or classes that do not fit.
    pub fn new(student: &Student, only: Option<usize>, device: &Device) -> Result<Self> {
        let (named, told_apart) = (student.classes.len(), student.architecture.classes);
        if named != told_apart {
            return Err(Error::new(format!("the student has {named} classes, its network {told_apart}"))
                .help("student.json was changed or damaged: take it from the run again"));
        }
        let mut chosen = student.clone();
        if let Some(number) = only {
            let count = student.networks.len();
            let network = number.checked_sub(1).and_then(|place| student.networks.get(place));
            let network = network.ok_or_else(|| {
                Error::new(format!("the student has no network {number}"))
                    .help(format!("it has {count}, numbered from 1; without a number all predict together"))
            })?;
            chosen.networks = vec![network.clone()];
        }
        Ok(Self { student: StudentAtWork::new(&chosen, device)?, input: student.input.clone() })
    }

    /// Class probabilities of PNG, JPEG, … images, row after row: (N, C); of no image none. `name` says what to call one in
    /// an error.
    ///
    /// # Errors
    /// An image that does not decode; the user asked to stop; the device runs out of memory.
    pub fn probs(
        &self,
        images: &[Vec<u8>],
        name: impl Fn(usize) -> String,
        context: &Context,
    ) -> Result<Vec<f32>> {
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let InputFormat { size, channels, .. } = self.input;
        let pixels = Pixels::decode(
            images.len(),
            |i| &images[i],
            name,
            (size, channels),
            // The caller counts images.
            &pipeline::event::Progress::silent(),
            || context.safe_point(),
        )?;
        let logits = sum(&self.student.logits(&pixels, context)?)?;
        let probs = softmax(&logits, D::Minus1).and_then(|probs| probs.flatten_all()?.to_vec1());
        probs.or_fail(|| Error::new("cannot compute the predictions"))
    }
}
