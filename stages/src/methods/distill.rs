//! Plain distillation, the student to beat (method §14): one network of the same shape learns CLIP's class
//! probabilities, averaged over templates, as soft targets; no candidates, no division, no second network.

use candle_core::Tensor;
use pipeline::error::{Error, Result};
use pipeline::stage::{Context, Inputs, Resources, Stage};
use serde::{Deserialize, Serialize};

use crate::artifacts::annotation::{Labels, Votes};
use crate::artifacts::images::{Images, Split};
use crate::artifacts::training::Distilled;
use crate::learn::losses::cross_entropy;
use crate::learn::supervised::{Settings, Supervised};
use crate::learn::training_set::TrainingSet;

/// The stage, with its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distill(pub Settings);

impl Stage for Distill {
    type Inputs = (Images, Votes, Labels);
    type Output = Distilled;
    const NAME: &'static str = "distill";
    const VERSION: u32 = 1;

    fn resources(&self) -> Resources {
        self.0.place.resources()
    }

    fn check(&self) -> Result<()> {
        self.0.check()
    }

    fn run(
        &self,
        (images, votes, labels): <Self::Inputs as Inputs>::Loaded,
        context: &Context,
    ) -> Result<Distilled> {
        images.index.check_same_ids(&votes.ids, "votes")?;
        let set = TrainingSet::new(&images, &labels, &self.0.input, context)?;
        let (classes, device) = (set.classes, self.0.place.device()?);
        let rows = images.index.of(Split::Train); // of the votes, in the order of the training set
        let targets = |samples: &[usize]| {
            let of_sample = |&i: &usize| &votes.mean_probs[rows[i] * classes..(rows[i] + 1) * classes];
            let values: Vec<f32> = samples.iter().flat_map(of_sample).copied().collect();
            Tensor::from_vec(values, (samples.len(), classes), &device)
        };
        // Of images that nobody voted on there is nothing to learn.
        let samples = (0..set.len()).filter(|&i| set.annotated[i]).collect();
        let networks = &["network"];
        let training = Supervised { name: Self::NAME, networks, settings: &self.0, set: &set, samples };
        let (learners, history) = training
            .run(context, |logits, samples| Ok(vec![("loss", cross_entropy(logits, &targets(samples)?)?)]))?;
        let [learner] = &learners[..] else { return Err(Error::new("one network was to be trained")) };
        Distilled::new(learner, history)
    }
}
