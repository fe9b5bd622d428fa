//! The door for a learning method: what it says of itself, what an epoch and a step of it do, and what it carries from
//! one epoch to the next. The loop around it is [`Train`](super::train::Train)'s.

use std::fmt::Debug;
use std::sync::Arc;

use candle_core::Tensor;
use pipeline::error::Result;
use pipeline::stage::{Context, Inputs};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::optimizer::Optimizer;
use super::step_losses::StepLosses;
use super::train::Training;
use crate::artifacts::annotation::{Labels, Votes};
use crate::artifacts::images::Images;
use crate::artifacts::training::{SampleLabels, Trained};
use crate::runtime::checkpoint::Tensors;

/// A figure of the history by its column; none where it does not apply.
pub type Figure = (&'static str, Option<f64>);

/// A learning method. The type itself holds the method's constants: its settings, whose defaults are the paper's.
pub trait Method:
    Clone + Debug + Default + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The method's name on the command line and in settings; of its stage, and what its random streams begin with.
    const NAME: &'static str;
    /// Its name in tables for people.
    const TITLE: &'static str;
    /// Raised whenever the same settings and inputs would give other bytes than before.
    const VERSION: u32;
    /// Names of its networks: of their initial weights' streams, in the checkpoint and in the student.
    const NETWORKS: &'static [&'static str];
    /// The figures it reports of an epoch, in the order of the history's columns. `learning_rate`, `loss` and the test
    /// accuracies are every method's.
    const FIGURES: &'static [&'static str];
    /// Figures that the progress line tells, with what they are called there. Those from 0 to 1 whose names do not
    /// begin with `size_` are told in percent.
    const TOLD: &'static [(&'static str, &'static str)] = &[];

    /// What it learns from: images and labels, and perhaps votes or an earlier training that it goes on from.
    type Inputs: Inputs<Loaded: Into<Material>>;
    /// What it carries from one epoch to the next beside its networks.
    type State: State;
    /// What one network learns from in one epoch.
    type Lesson<'a>: Lesson;

    /// Refuses constants that make no sense.
    ///
    /// # Errors
    /// The first such constant by name.
    fn check(&self) -> Result<()>;

    /// Its own epochs, those of an earlier training not counted.
    fn epochs(&self) -> usize;

    /// The optimizer's settings as this method takes them.
    fn optimizer(&self, shared: &Optimizer) -> Optimizer {
        shared.clone()
    }

    /// The state before the first epoch. The training's own state is not there yet.
    ///
    /// # Errors
    /// The device has no room.
    fn start(&self, training: &Training<'_, Self, ()>) -> Result<Self::State>;

    /// Prepares an epoch, before any network learns in it: divides the training set, say.
    ///
    /// # Errors
    /// The user asked to stop, or the device runs out of memory.
    fn begin_epoch(_training: &mut Training<'_, Self>, _context: &Context) -> Result<()> {
        Ok(())
    }

    /// What network number `network` learns from in this epoch.
    ///
    /// # Errors
    /// The device runs out of memory.
    fn lesson<'a>(training: &mut Training<'a, Self>, network: usize) -> Result<Self::Lesson<'a>>;

    /// One step of gradient descent of one network, with whatever moves along with it. Gives the loss by terms.
    ///
    /// # Errors
    /// The device runs out of memory.
    fn step(
        training: &mut Training<'_, Self>,
        lesson: &Self::Lesson<'_>,
        step: Step,
        views: <Self::Lesson<'_> as Lesson>::Views,
    ) -> candle_core::Result<StepLosses>;

    /// Figures of what network number `network` learned in this epoch, beside its losses.
    ///
    /// # Errors
    /// The device fails.
    fn figures(
        _training: &mut Training<'_, Self>,
        _lesson: &Self::Lesson<'_>,
        _network: usize,
    ) -> Result<Vec<Figure>> {
        Ok(Vec::new())
    }

    /// After the last epoch: what the method takes its training images for, if it says so.
    ///
    /// # Errors
    /// The user asked to stop, or the device fails.
    fn sample_labels(_training: &Training<'_, Self>, _context: &Context) -> Result<Option<SampleLabels>> {
        Ok(None)
    }
}

/// What a network learns from in an epoch, step by step. Views are made ahead of their step by another thread.
pub trait Lesson: Sync {
    /// The views of one step, on the CPU.
    type Views: Send;

    /// How many steps the epoch has.
    fn steps(&self) -> usize;

    /// The views of step number `step`.
    ///
    /// # Errors
    /// The device runs out of memory.
    fn views(&self, step: usize) -> Result<Self::Views>;
}

/// Which step it is.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The network that learns, from 0.
    pub network: usize,
    /// Steps of this epoch before it.
    pub number: usize,
    /// Epochs of this method, with the share of the current one that is done.
    pub progress: f64,
    /// The learning rate.
    pub rate: f64,
}

/// What a method carries from one epoch to the next, as tensors for the checkpoint.
pub trait State: Sized {
    /// All of it that the next epoch needs.
    ///
    /// # Errors
    /// The tensors cannot be copied from the device.
    fn tensors(&self) -> Result<Tensors>;

    /// Takes on what [`tensors`](Self::tensors) gave.
    ///
    /// # Errors
    /// A tensor is missing, or of another shape or type.
    fn restore(&mut self, tensors: &Tensors) -> Result<()>;
}

/// Methods that carry nothing but their networks.
impl State for () {
    fn tensors(&self) -> Result<Tensors> {
        Ok(Tensors::new())
    }

    fn restore(&mut self, _tensors: &Tensors) -> Result<()> {
        Ok(())
    }
}

/// What a training is given.
pub struct Material {
    /// The images.
    pub images: Arc<Images>,
    /// Their candidates.
    pub labels: Arc<Labels>,
    /// The annotators' votes, for methods that learn from soft labels.
    pub votes: Option<Arc<Votes>>,
    /// An earlier training whose networks this one goes on from.
    pub start: Option<Arc<Trained>>,
}

impl From<(Arc<Images>, Arc<Labels>)> for Material {
    fn from((images, labels): (Arc<Images>, Arc<Labels>)) -> Self {
        Self { images, labels, votes: None, start: None }
    }
}

impl From<(Arc<Images>, Arc<Labels>, Arc<Votes>)> for Material {
    fn from((images, labels, votes): (Arc<Images>, Arc<Labels>, Arc<Votes>)) -> Self {
        Self { images, labels, votes: Some(votes), start: None }
    }
}

impl From<(Arc<Images>, Arc<Labels>, Arc<Trained>)> for Material {
    fn from((images, labels, start): (Arc<Images>, Arc<Labels>, Arc<Trained>)) -> Self {
        Self { images, labels, votes: None, start: Some(start) }
    }
}

/// A tensor of a [`State`], put in the place of one of the same shape and type, on its device.
///
/// # Errors
/// The tensor is missing, or of another shape or type.
pub fn restore_tensor(tensors: &Tensors, name: &str, place: &mut Tensor) -> Result<()> {
    use pipeline::error::{Error, OrFail};
    let cannot = || Error::new(format!("the checkpoint's `{name}` cannot be used"));
    let found = tensors.get(name).filter(|t| t.dims() == place.dims() && t.dtype() == place.dtype());
    // A copy of its own, since some of them are written in place.
    let copy = found.ok_or_else(cannot)?.to_device(place.device()).and_then(|t| t.copy());
    *place = copy.or_fail(cannot)?;
    Ok(())
}
