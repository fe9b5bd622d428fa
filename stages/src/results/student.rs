//! A student at work: its networks on a device, and what they say of images.

use candle_core::{Device, Tensor};
use pipeline::error::{Error, OrFail, Result};
use pipeline::random;
use pipeline::stage::Context;

use crate::artifacts::student::{Student, Weights};
use crate::learn::learner::logits;
use crate::network::Network;
use crate::vision::{Draw, Pixels, StrongViews, View, Views};

/// A student that is ready to predict.
pub(super) struct StudentAtWork {
    networks: Vec<Network>,
    views: Views,
}

impl StudentAtWork {
    /// The student's networks on a device.
    ///
    /// # Errors
    /// Weights that do not fit the architecture, or a device without room.
    pub(super) fn new(student: &Student, device: &Device) -> Result<Self> {
        let format = &student.input;
        let views = Views::new(format.channels, &format.mean, &format.std, false, StrongViews::None)?;
        let network = |(_, weights): &(String, Weights)| -> Result<Network> {
            let mut rng = random::stream(0, "overwritten by the student's weights");
            let network = Network::new(&student.architecture, &mut rng, device)
                .or_fail(|| Error::new("cannot make the student's network"))?;
            network.load_state(&weights.clone().into_iter().collect())?;
            Ok(network)
        };
        let networks = student.networks.iter().map(network).collect::<Result<_>>()?;
        Ok(Self { networks, views })
    }

    /// The logits of each network for all of `pixels`: a tensor (N, C) each.
    ///
    /// # Errors
    /// The user asked to stop; the device runs out of memory.
    pub(super) fn logits(&self, pixels: &Pixels, context: &Context) -> Result<Vec<Tensor>> {
        let draw = |step| Draw::new(0, "plain views draw nothing", 0, step);
        let of = |network| logits(network, pixels, &self.views, View::Plain, draw, context);
        self.networks.iter().map(of).collect()
    }
}

/// The sum of the networks' logits: (N, C) (method §10).
///
/// # Errors
/// A student without networks; the device runs out of memory.
pub(super) fn sum(logits: &[Tensor]) -> Result<Tensor> {
    let [first, rest @ ..] = logits else { return Err(Error::new("the student has no network")) };
    rest.iter()
        .try_fold(first.clone(), |sum, logits| sum + logits)
        .or_fail(|| Error::new("cannot compute the predictions"))
}
