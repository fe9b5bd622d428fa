//! Plain distillation, the student to beat (method §14; KD and KD* in the paper's tables): one network of the same shape
//! learns the annotators' class probabilities as soft targets, averaged over templates or those of the first template; no
//! candidates, no division, no second network.

use candle_core::{Result as Computed, Tensor};
use pipeline::error::Result;
use pipeline::graph::Handle;
use serde::{Deserialize, Serialize};

use super::{Voters, Wire, Wired};
use crate::artifacts::annotation::{Labels, Votes};
use crate::artifacts::images::Images;
use crate::learn::bounds::Bounds;
use crate::learn::losses::cross_entropy;
use crate::learn::method::{Method, Step};
use crate::learn::optimizer::Optimizer;
use crate::learn::pseudo_labels::sharpen;
use crate::learn::step_losses::StepLosses;
use crate::learn::train::Training;
use crate::learn::viewed_batches::{ViewedBatches, check_batch};
use crate::network::Pass;
use crate::vision::View;

/// Plain distillation with its constants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distill {
    /// Epochs, over which its learning rate follows the whole cosine.
    pub epochs: usize,
    /// Images a step.
    pub batch: usize,
    /// Whose class probabilities it learns.
    pub labels: Voters,
    /// T, temperature of those probabilities: they are raised to the power 1/T and normalised. Above 1 they are softer.
    pub temperature: f64,
    /// Which views of the images it learns them for.
    pub view: Augmentation,
}

/// How much an image is changed before the student sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Augmentation {
    /// Weak views.
    Weak,
    /// Strong views.
    Strong,
}

impl From<Augmentation> for View {
    fn from(augmentation: Augmentation) -> Self {
        match augmentation {
            Augmentation::Weak => Self::Weak,
            Augmentation::Strong => Self::Strong,
        }
    }
}

impl Default for Distill {
    fn default() -> Self {
        let (labels, view) = (Voters::Average, Augmentation::Strong);
        Self { epochs: 100, batch: 256, labels, temperature: 1.0, view }
    }
}

impl Method for Distill {
    const NAME: &'static str = "distill";
    const TITLE: &'static str = "plain student";
    // 4: the probabilities may be softened, and the views weak.
    const VERSION: u32 = 4;
    const NETWORKS: &'static [&'static str] = &["network"];
    const FIGURES: &'static [&'static str] = &[];

    type Inputs = (Images, Labels, Votes);
    type State = ();
    type Lesson<'a> = ViewedBatches<'a>;

    fn check(&self) -> Result<()> {
        check_batch(Self::NAME, self.batch)?;
        Bounds(Self::NAME).positive("temperature", self.temperature)
    }

    fn epochs(&self) -> usize {
        self.epochs
    }

    fn optimizer(&self, shared: &Optimizer) -> Optimizer {
        shared.over(self.epochs)
    }

    fn start(&self, _training: &Training<'_, Self, ()>) -> Result<()> {
        Ok(())
    }

    fn lesson<'a>(training: &mut Training<'a, Self>, network: usize) -> Result<ViewedBatches<'a>> {
        let (voted, method) = (training.set.annotated_samples(), &training.stage.method);
        Ok(ViewedBatches::new(training, network, &voted, method.batch, &[method.view.into()]))
    }

    fn step(
        training: &mut Training<'_, Self>,
        lesson: &ViewedBatches<'_>,
        step: Step,
        views: Vec<Tensor>,
    ) -> Computed<StepLosses> {
        let images = views[0].to_device(&training.device)?; // (B, H, W, channels)
        let targets = training.set.soft_label_rows(lesson.samples(step.number), &training.device)?; // (B, C)
        learn(training, step, &images, &targets)
    }
}

/// One step on images whose class probabilities, before the temperature, are `targets` p̄ (B, C): L = −Σ_j p_j log f_j
/// with p = normalise(p̄^{1/T}).
fn learn(
    training: &mut Training<'_, Distill>,
    step: Step,
    images: &Tensor,
    targets: &Tensor,
) -> Computed<StepLosses> {
    let temperature = training.stage.method.temperature;
    let learner = &mut training.learners[step.network];
    let logits = learner.network.forward(images, Pass::Train)?.logits; // (B, C)
    let targets = if temperature == 1.0 { targets.clone() } else { sharpen(targets, temperature)? };
    let losses = StepLosses::of(cross_entropy(&logits, &targets)?);
    learner.step(losses.total()?, step.rate)?;
    Ok(losses)
}

impl Wired for Distill {
    const QUICK: &'static str = include_str!("../../../data/profiles/quick/distill.toml");
    const LEARNS_VOTES: bool = true;

    fn inputs(&self, wire: &mut Wire) -> Result<(Handle<Images>, Handle<Labels>, Handle<Votes>)> {
        let votes = match self.labels {
            Voters::Average => wire.votes(Self::NAME)?,
            Voters::FirstTemplate => wire.first_votes(Self::NAME)?,
        };
        Ok((wire.images, wire.labels, votes))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use candle_core::Device;

    use super::*;
    use crate::learn::method::Lesson;
    use crate::learn::train::Train;
    use crate::learn::training_set::{Input, TrainingSet};
    use crate::methods::golden_tests::Steps;
    use crate::network::Architecture;
    use crate::network::tests::flat;
    use crate::vision::{Pixels, StrongViews};

    /// What the teacher of make_distill.py says of these samples: (B, 5).
    fn teacher(samples: &[usize]) -> Tensor {
        let row = |&i: &usize| {
            let shares = [0, 1, 2, 3, 4].map(|j| (1 + (3 * i + 2 * j) % 7) as f32);
            shares.map(|share| share / shares.iter().sum::<f32>())
        };
        let rows: Vec<f32> = samples.iter().flat_map(row).collect();
        Tensor::from_vec(rows, (samples.len(), 5), &Device::Cpu).unwrap()
    }

    #[test]
    fn whole_steps_of_distillation_are_pytorchs() {
        let weight_decay = Optimizer::default().weight_decay;
        for (name, temperature) in [("distill", 1.0), ("distill_softened", 4.0)] {
            let method = Distill { temperature, ..Distill::default() };
            let golden = include_str!("golden/distill.json");
            let learn = |training: &mut Training<'_, Distill>, step, samples: &[usize], views: &[Tensor]| {
                learn(training, step, &views[0], &teacher(samples))
            };
            let steps = Steps { golden, name, method, weight_decay, views: 1 };
            steps.are_pytorchs(|_| {}, learn, |_| Vec::new());
        }
    }

    /// Two images, of which nobody looks at more than the pixels.
    fn two_images() -> TrainingSet {
        let bytes: Vec<u8> = (0..2 * 16 * 16 * 3u32).map(|i| (i * 7 % 251) as u8).collect();
        TrainingSet {
            ids: vec!["first".to_owned(), "second".to_owned()],
            train: Pixels::new(16, 3, bytes).unwrap(),
            test: Pixels::new(16, 3, Vec::new()).unwrap(),
            candidates: vec![1, 1, 0, 0, 0, 1],
            weights: vec![0.5, 0.5, 0.0, 0.0, 0.0, 1.0],
            annotated: vec![true; 2],
            single: vec![Some(0), Some(2)],
            human: vec![false; 2],
            soft_labels: None,
            classes: 3,
            truth: vec![None; 2],
            test_weights: Vec::new(),
            test_annotated: Vec::new(),
            test_truth: Vec::new(),
        }
    }

    #[test]
    fn a_temperature_softens_what_is_not_certain() {
        let targets = Tensor::new(&[[0f32, 0., 1.], [0.64, 0.36, 0.]], &Device::Cpu).unwrap();
        let softened = flat(&sharpen(&targets, 2.0).unwrap());
        // The roots of the second row are .8 and .6. The first is what a human said.
        let expected = [0.0, 0.0, 1.0, 4.0 / 7.0, 3.0 / 7.0, 0.0];
        assert!(softened.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{softened:?}");
    }

    #[test]
    fn the_student_sees_the_views_that_are_set() {
        let set = two_images();
        let architecture = Architecture { width: 8, blocks: [1; 4], ..Architecture::resnet18(3, 16, 3) };
        let (mean, std) = (vec![0.5; 3], vec![0.5; 3]);
        let input = Input { size: 16, channels: 3, mean, std, flip: true, strong: StrongViews::Operations };
        let seen = |view: Augmentation| {
            let method = Distill { view, ..Distill::default() };
            let (input, architecture) = (input.clone(), architecture.clone());
            let stage = Train { method, seed: 0, optimizer: Optimizer::default(), input, architecture };
            let mut training = stage.start(&set, None, &Device::Cpu).unwrap();
            let lesson = Distill::lesson(&mut training, 0).unwrap();
            let draw = training.draws(0, "views")(0);
            let expected = training.views.batch(&set.train, lesson.samples(0), view.into(), &draw).unwrap();
            let images = flat(&lesson.views(0).unwrap()[0]);
            assert_eq!(images, flat(&expected));
            images
        };
        assert_ne!(seen(Augmentation::Weak), seen(Augmentation::Strong));
        assert_eq!(Distill::default().view, Augmentation::Strong);
    }

    #[test]
    fn a_temperature_that_is_none_is_refused() {
        for temperature in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = Distill { temperature, ..Distill::default() }.check().unwrap_err().to_string();
            assert!(error.contains("distill.temperature"), "{error}");
        }
    }
}
