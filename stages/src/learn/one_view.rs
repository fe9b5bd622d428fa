//! An epoch in which a network sees one view of every sample once, in random order.

use candle_core::Tensor;
use pipeline::error::{Error, Result};

use super::method::{Lesson, Method};
use super::train::Training;
use super::training_set::TrainingSet;
use crate::vision::{Draw, View, Views};

/// The steps of one network's epoch.
pub struct OneView<'a> {
    set: &'a TrainingSet,
    views: Views,
    view: View,
    batches: Vec<Vec<usize>>,
    draws: Vec<Draw>,
}

impl<'a> OneView<'a> {
    /// Those of `samples` whose turn it is, in random order, `batch` a step, each as `view` of it.
    pub fn new<M: Method>(
        training: &Training<'a, M>,
        network: usize,
        samples: &[usize],
        batch: usize,
        view: View,
    ) -> Self {
        let stream = format!("{}/{}/order/epoch{}", M::NAME, M::NETWORKS[network], training.epoch);
        let order = training.in_turn(network, &stream, samples);
        let batches: Vec<Vec<usize>> = order.chunks(batch.max(1)).map(<[usize]>::to_vec).collect();
        let draws = (0..batches.len() as u64).map(training.draws(network, "views")).collect();
        Self { set: training.set, views: training.views.clone(), view, batches, draws }
    }

    /// The samples of a step: (B).
    pub fn samples(&self, step: usize) -> &[usize] {
        &self.batches[step]
    }
}

impl Lesson for OneView<'_> {
    /// (B, H, W, channels).
    type Views = Tensor;

    fn steps(&self) -> usize {
        self.batches.len()
    }

    fn views(&self, step: usize) -> Result<Tensor> {
        self.views.batch(&self.set.train, &self.batches[step], self.view, &self.draws[step])
    }
}

/// Refuses a batch that batch norm cannot work with, or that no memory holds.
///
/// # Errors
/// The batch, by the name of its setting.
pub fn check_batch(method: &str, batch: usize) -> Result<()> {
    match batch {
        2..=65_536 => Ok(()),
        _ => Err(Error::new(format!("{method}.batch = {batch} is no batch"))
            .help(format!("set {method}.batch between 2 and 65536"))),
    }
}
