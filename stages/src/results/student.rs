//! A student at work: its networks on a device, and what they say of images.

use candle_core::{Device, Tensor};
use pipeline::error::{Error, OrFail, Result};
use pipeline::random;
use pipeline::stage::Context;

use crate::artifacts::student::Student;
use crate::learn::learner::logits;
use crate::network::Network;
use crate::vision::{Draw, Pixels, View, Views};

/// The logits of each of the student's networks for all of `pixels`: a tensor (N, C) each.
///
/// # Errors
/// Weights that do not fit the architecture; the user asked to stop; the device runs out of memory.
pub(super) fn logits_of_each(
    student: &Student,
    pixels: &Pixels,
    device: &Device,
    context: &Context,
) -> Result<Vec<Tensor>> {
    let format = &student.input;
    let views = Views::new(format.channels, &format.mean, &format.std, false, false)?;
    let draw = |step| Draw::new(0, "plain views draw nothing", 0, step);
    let of_one = |(_, weights): &(String, _)| -> Result<Tensor> {
        let weights: &crate::artifacts::student::Weights = weights;
        let mut rng = random::stream(0, "overwritten by the student's weights");
        let network = Network::new(&student.architecture, &mut rng, device)
            .or_fail(|| Error::new("cannot make the student's network"))?;
        network.load_state(&weights.clone().into_iter().collect())?;
        logits(&network, pixels, &views, View::Plain, draw, context)
    };
    student.networks.iter().map(of_one).collect()
}
