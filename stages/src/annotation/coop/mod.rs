//! The stage `coop`: a prompt that was learned from a few labelled images votes (CoOp; Zhou et al. 2022, "Learning to
//! Prompt for Vision-Language Models").
//!
//! CLIP stays as it is. In the place of a template's words stand vectors, which are trained so that CLIP gives the
//! labelled images their class. Then the prompt votes on all images like a template; it is one annotator.

mod crops;
mod prompt;
mod settings;
#[cfg(test)]
mod tests;

use candle_core::{Device, Tensor};
use pipeline::error::{Error, OrFail, Result};
use pipeline::random;
use pipeline::stage::{Context, Inputs, Machine, Reads, Resources, Stage, key_without};
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::embed::Embed;
use super::fetch_clip::locate;
use super::human_labels::HumanLabels;
use crate::artifacts::annotation::{Embeddings, Names, Votes};
use crate::artifacts::images::{Images, Index};
use crate::artifacts::model::Model;
use crate::clip::{Features, PromptTower, template_probabilities};
use crate::dataset::catalog::wordings;
use crate::runtime::checkpoint;
use crate::runtime::device::Place;

use crops::{CropEncoder, below};
use prompt::{Constants, LearnedPrompt};
pub use settings::{CoopSettings, Initial};

/// Words whose embeddings the vectors may start as.
const WORDS: &str = "a photo of a";
/// Standard deviation of vectors that start at random.
const DEVIATION: f32 = 0.02;

/// The stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Coop {
    /// How the prompt is learned. How many images it learns from, `labels` says.
    pub coop: CoopSettings,
    /// Whose labels it learns from.
    pub labels: HumanLabels,
    /// Seed of the vectors, the crops and their order.
    pub seed: u64,
    /// What CLIP is told of each class; perhaps in several [`wordings`].
    pub class_texts: Vec<String>,
    /// Factor before the softmax, in training as well, where the CLIP's files do not say which it was trained with.
    pub logit_scale: f64,
    /// Whether a mirrored image keeps its meaning.
    pub flip: bool,
    /// How images are embedded.
    pub embed: Embed,
}

/// How far a training came, beside its tensors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Done {
    epochs: usize,
    /// Mean loss of the last epoch.
    loss: f32,
}

impl Stage for Coop {
    type Inputs = (Images, Embeddings, Model);
    type Output = Votes;
    const NAME: &'static str = "coop";
    const VERSION: u32 = 1;

    fn key(&self) -> Result<Value> {
        key_without(self, &["/coop/shots", "/labels/table/file", "/embed/clip"])
    }

    fn resources(&self, machine: &Machine) -> Resources {
        Place::of(machine).resources()
    }

    fn files(&self) -> Vec<Reads> {
        self.labels.files()
    }

    fn check(&self, machine: &Machine) -> Result<()> {
        self.coop.check()?;
        self.labels.check(machine)?;
        if self.class_texts.len() < 2 {
            return Err(Error::new("there is nothing to choose from")
                .because(format!("{} class texts are given", self.class_texts.len()))
                .help("name at least two classes"));
        }
        if !(self.logit_scale > 0.0 && self.logit_scale.is_finite()) {
            return Err(Error::new(format!("annotate.logit_scale = {} must be positive", self.logit_scale)));
        }
        self.embed.check(machine)
    }

    fn run(
        &self,
        (images, embeddings, model): <Self::Inputs as Inputs>::Loaded,
        context: &Context,
    ) -> Result<Votes> {
        let index = &images.index;
        index.check_same_ids(&embeddings.ids, "embeddings")?;
        let classes = self.class_texts.len();
        if index.classes.len() != classes {
            return Err(Error::new(format!("{classes} class texts for {} classes", index.classes.len()))
                .help("give one text a class, in the order of the labels"));
        }
        let labelled = self.labelled(index, context)?;
        let device = Place::of(context.machine()).device()?;
        let files = locate(&model, &self.embed.clip, context)?;
        let tower = PromptTower::load(&files, &device)?;
        let crops = CropEncoder {
            encoder: self.embed.encoder(&files, &device)?,
            encoded: images.encoded()?,
            ids: &index.ids,
            seed: self.seed,
            flip: self.flip,
            device: device.clone(),
            context,
        };
        // Another scale than the CLIP's own makes steps of another size: vectors then learn poorly.
        let scale = files.logit_scale()?.unwrap_or(self.logit_scale);
        let mut prompt = self.start(&tower, scale, &device, context)?;
        let done = self.learn(&mut prompt, &labelled, &crops, context)?;
        context.progress().note(format!(
            "a prompt was learned from {} labelled images in {} epochs, loss {:.3}",
            labelled.len(),
            done.epochs,
            done.loss
        ));
        let texts = prompt.features().or_fail(|| Error::new("cannot encode the learned prompt"))?;
        if !texts.iter().all(|value| value.is_finite()) {
            return Err(Error::new("the learned prompt has features that are not finite")
                .help("lower coop.learning_rate; training then starts anew"));
        }
        let texts = Features { values: &texts, width: tower.width() }; // (C, P)
        let features = Features { values: &embeddings.features, width: embeddings.width }; // (N, P)
        let annotation = template_probabilities(features, texts, classes, scale as f32)?;
        Ok(Votes {
            ids: index.ids.clone(),
            splits: index.splits.clone(),
            votes: annotation.votes.into_iter().map(Some).collect(),
            mean_probs: annotation.mean,
            further: Vec::new(),
            unmatched: Vec::new(),
            names: Names { annotators: vec![self.annotator(labelled.len())], classes: index.classes.clone() },
        })
    }
}

impl Coop {
    /// The images that the prompt learns from, by their rows, each with its class.
    fn labelled(&self, index: &Index, context: &Context) -> Result<Vec<(usize, u16)>> {
        let learns = match self.labels.shots {
            0 => "CoOp learns from labelled images".to_owned(),
            1 => "CoOp learns from 1 labelled image of each class".to_owned(),
            shots => format!("CoOp learns from {shots} labelled images of each class"),
        };
        match self.labels.draw(index, "coop.shots", context) {
            Ok(none) if none.is_empty() => Err(Error::new(learns).because("there are none")),
            Ok(labelled) => Ok(labelled),
            Err(error) if error.is_cancelled() => Err(error),
            Err(error) => Err(Error::new(learns).because(error)),
        }
    }

    /// What the prompt is called among annotators.
    fn annotator(&self, labelled: usize) -> String {
        match self.labels.shots {
            0 => format!("coop, {labelled} labelled images"),
            1 => "coop, 1 labelled image a class".to_owned(),
            shots => format!("coop, {shots} labelled images a class"),
        }
    }

    /// The prompt before its first step.
    fn start<'a>(
        &self,
        tower: &'a PromptTower,
        scale: f64,
        device: &Device,
        context: &Context,
    ) -> Result<LearnedPrompt<'a>> {
        let cannot = || Error::new("cannot make the vectors of the prompt");
        let start = match self.coop.initial {
            Initial::Words => tower.words(WORDS)?,
            Initial::Random => {
                let shape = (self.coop.context_length, tower.hidden());
                let mut rng = random::stream(self.seed, "coop/context");
                let normal = (0..shape.0 * shape.1).map(|_| {
                    let value: f32 = StandardNormal.sample(&mut rng);
                    DEVIATION * value
                });
                Tensor::from_vec(normal.collect::<Vec<f32>>(), shape, device).or_fail(cannot)?
            }
        }; // (M, hidden)
        // As the authors do, who have class names from file names.
        let name = |wording: &str| wording.replace('_', " ");
        let names: Vec<Vec<String>> =
            self.class_texts.iter().map(|text| wordings(text).map(name).collect()).collect();
        let prompts = tower.prompts(&names, start.dim(0).or_fail(cannot)?)?;
        if let Some(first) = prompts.cut.first() {
            let count = prompts.cut.len();
            context.progress().note(format!(
                "behind the vectors of the prompt CLIP has no room for {count} of the class texts, and does not see \
                 their ends: `{first}`"
            ));
        }
        let CoopSettings { momentum, weight_decay, .. } = self.coop;
        let constants = Constants { scale, momentum, weight_decay };
        LearnedPrompt::new(tower, prompts, &start, constants).or_fail(cannot)
    }

    /// Trains the prompt, from its checkpoint on if there is one.
    fn learn(
        &self,
        prompt: &mut LearnedPrompt,
        labelled: &[(usize, u16)],
        crops: &CropEncoder,
        context: &Context,
    ) -> Result<Done> {
        let classes = self.class_texts.len();
        let epochs = self.coop.epochs(labelled.len().div_ceil(classes));
        let mut done = resume(prompt, context);
        let pool = match done.epochs < epochs {
            true => self.pool(labelled, crops, context)?,
            false => Vec::new(),
        };
        context.progress().begin(epochs as u64, "epochs");
        context.progress().advance(done.epochs as u64);
        while done.epochs < epochs {
            let epoch = done.epochs + 1;
            let failed = || Error::new(format!("epoch {epoch} failed"));
            let order = self.order(epoch, labelled.len());
            let views = self.views(epoch, &order, labelled, &pool, crops)?;
            let targets = order.iter().flat_map(|&image| {
                let of = usize::from(labelled[image].1);
                (0..classes).map(move |class| f32::from(class == of))
            });
            let (count, width) = (order.len(), crops.encoder.width());
            let images = Tensor::from_vec(views, (count, width), &crops.device).or_fail(failed)?;
            let targets: Vec<f32> = targets.collect();
            let targets = Tensor::from_vec(targets, (count, classes), &crops.device).or_fail(failed)?;
            let (rate, batch) = (self.coop.rate(epoch, epochs), self.coop.batch.min(count));
            let mut losses = Vec::new();
            for from in (0..count).step_by(batch) {
                context.safe_point()?;
                let mut step = || {
                    let (images, targets) = (images.narrow(0, from, batch)?, targets.narrow(0, from, batch)?);
                    prompt.step(&images, &targets, rate)
                };
                losses.push(step().or_fail(failed)?);
            }
            let mean = || Tensor::stack(&losses, 0)?.mean_all()?.to_scalar::<f32>();
            done = Done { epochs: epoch, loss: mean().or_fail(failed)? };
            if !done.loss.is_finite() {
                return Err(failed()
                    .because(format!("the loss is {}", done.loss))
                    .help("lower coop.learning_rate; training then starts anew"));
            }
            checkpoint::save(context, &prompt.tensors(), &done)?;
            context.progress().advance(1);
        }
        Ok(done)
    }

    /// The labelled images of an epoch, in its order: whole batches, or all images where they do not fill one.
    fn order(&self, epoch: usize, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        order.shuffle(&mut random::stream(self.seed, &format!("coop/order, epoch {epoch}")));
        if count >= self.coop.batch {
            order.truncate(count / self.coop.batch * self.coop.batch);
        }
        order
    }

    /// Features of `coop.crops` crops of every labelled image: (crops) times (images, P).
    fn pool(
        &self,
        labelled: &[(usize, u16)],
        crops: &CropEncoder,
        context: &Context,
    ) -> Result<Vec<Vec<f32>>> {
        let mut pool = Vec::with_capacity(self.coop.crops);
        if self.coop.crops == 0 {
            return Ok(pool);
        }
        let of_all = |crop: u64| labelled.iter().map(|&(row, _)| (row, crop)).collect::<Vec<_>>();
        context.progress().begin(self.coop.crops as u64, "crops of each image");
        for crop in 0..self.coop.crops as u64 {
            pool.push(crops.encode(&of_all(crop))?);
            context.progress().advance(1);
        }
        Ok(pool)
    }

    /// Features (images, P) of one crop of each image in the order of an epoch: one of the pool, or a new one where
    /// that is empty.
    fn views(
        &self,
        epoch: usize,
        order: &[usize],
        labelled: &[(usize, u16)],
        pool: &[Vec<f32>],
        crops: &CropEncoder,
    ) -> Result<Vec<f32>> {
        if pool.is_empty() {
            let new: Vec<_> = order.iter().map(|&image| (labelled[image].0, epoch as u64)).collect();
            return crops.encode(&new);
        }
        let width = crops.encoder.width();
        let mut rng = random::stream(self.seed, &format!("coop/crops, epoch {epoch}"));
        let mut views = Vec::with_capacity(order.len() * width);
        for &image in order {
            let crop = below(pool.len() as u32, &mut rng) as usize;
            views.extend(&pool[crop][image * width..(image + 1) * width]);
        }
        Ok(views)
    }
}

/// Takes the checkpoint on if there is one that fits.
fn resume(prompt: &mut LearnedPrompt, context: &Context) -> Done {
    let Some((tensors, done)) = checkpoint::load::<Done>(context) else { return Done::default() };
    match prompt.restore(&tensors) {
        Ok(()) => done,
        Err(error) => {
            context.progress().note(format!("the checkpoint does not fit, starting afresh: {error}"));
            Done::default()
        }
    }
}
