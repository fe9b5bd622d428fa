//! Plain distillation, the student to beat (method §10): one network of the same shape learns CLIP's class
//! probabilities, averaged over templates, as soft targets; no candidates, no division, no second network.

use candle_core::Tensor;
use pipeline::error::{Error, Result};
use pipeline::stage::{Context, Inputs, Resources, Stage};
use serde::{Deserialize, Serialize};

use crate::artifacts::annotation::{Labels, Votes};
use crate::artifacts::images::{Images, Split};
use crate::artifacts::training::Distilled;
use crate::co_reg::losses::cross_entropy;
use crate::device::Place;
use crate::learner::Optimizer;
use crate::network::Architecture;
use crate::supervised::Supervised;
use crate::training_set::{Input, TrainingSet};

/// Settings of the stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distill {
    /// Epochs.
    pub epochs: usize,
    /// Images a step.
    pub batch: usize,
    /// Seed of weights, order and views.
    pub seed: u64,
    /// The optimizer and its schedule.
    pub optimizer: Optimizer,
    /// How images become input.
    pub input: Input,
    /// What the network looks like.
    pub architecture: Architecture,
    /// Where it is computed; not part of the key.
    #[serde(skip)]
    pub place: Place,
}

impl Stage for Distill {
    type Inputs = (Images, Votes, Labels);
    type Output = Distilled;
    const NAME: &'static str = "distill";
    const VERSION: u32 = 1;

    fn resources(&self) -> Resources {
        self.place.resources()
    }

    fn check(&self) -> Result<()> {
        self.architecture.validate()?;
        self.input.views()?;
        self.optimizer.check(self.place)?;
        if self.epochs == 0 || !(2..=1 << 16).contains(&self.batch) {
            return Err(Error::new(format!(
                "{} epochs of batch {} are no training",
                self.epochs, self.batch
            ))
            .help("set warm-up.batch between 2 and 65536"));
        }
        self.place.device().map(drop)
    }

    fn run(
        &self,
        (images, votes, labels): <Self::Inputs as Inputs>::Loaded,
        context: &Context,
    ) -> Result<Distilled> {
        images.index.check_same_ids(&votes.ids, "votes")?;
        let set = TrainingSet::new(&images, &labels, &self.input, context)?;
        let (classes, device) = (set.classes, self.place.device()?);
        let rows = images.index.of(Split::Train); // of the votes, in the order of the training set
        let targets = |samples: &[usize]| {
            let of_sample = |&i: &usize| &votes.mean_probs[rows[i] * classes..(rows[i] + 1) * classes];
            let values: Vec<f32> = samples.iter().flat_map(of_sample).copied().collect();
            Tensor::from_vec(values, (samples.len(), classes), &device)
        };
        let training = Supervised {
            name: Self::NAME,
            networks: &["network"],
            epochs: self.epochs,
            batch: self.batch,
            seed: self.seed,
            optimizer: &self.optimizer,
            architecture: &self.architecture,
            place: self.place,
            set: &set,
            views: &self.input.views()?,
        };
        let (learners, history) = training
            .run(context, |logits, samples| Ok(vec![("loss", cross_entropy(logits, &targets(samples)?)?)]))?;
        let [learner] = &learners[..] else { return Err(Error::new("one network was to be trained")) };
        Distilled::new(learner, history)
    }
}
