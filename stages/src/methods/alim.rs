//! ALIM (docs/methods.md; Xu, Lian et al. 2023, "ALIM: Adjusting Label Importance Mechanism for Noisy Partial Label
//! Learning"): PiCO in which classes that are no candidates count, too, with an importance λ between trusting the
//! candidates (0) and trusting the model (1), and MixUp.

use candle_core::{D, Device, Result as Computed, Tensor};
use candle_nn::ops::softmax;
use pipeline::error::{Error, OrFail, Result};
use pipeline::graph::Handle;
use pipeline::stage::Context;
use serde::{Deserialize, Serialize};
use toml::Table;

use super::co_reg::divide::division_loss;
use super::pico_state::{PicoState, momentum_of_targets, one_hot, own_rates};
use super::{Wire, Wired, counts};
use crate::artifacts::annotation::Labels;
use crate::artifacts::images::Images;
use crate::artifacts::training::SampleLabels;
use crate::dataset::catalog::Schedule;
use crate::learn::bounds::Bounds;
use crate::learn::gaussian_mixture::{Fit, posterior_of_smaller};
use crate::learn::learner::predict;
use crate::learn::losses::cross_entropy;
use crate::learn::method::{Figure, Lesson, Method, State, Step};
use crate::learn::metrics::share;
use crate::learn::mixup::Mixing;
use crate::learn::optimizer::Optimizer;
use crate::learn::sample_scores::SampleScores;
use crate::learn::step_losses::StepLosses;
use crate::learn::train::Training;
use crate::learn::training_set::TrainingSet;
use crate::learn::viewed_batches::{ViewedBatches, check_batch, on_device};
use crate::network::Pass;
use crate::runtime::checkpoint::{Tensors, join, part};
use crate::vision::{Draw, View, Views};

/// ALIM with its constants. \[I\] comes from the authors' implementation; see docs/methods.md.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alim {
    /// Epochs, over which the learning rate follows the whole cosine.
    pub epochs: usize,
    /// Images a step.
    pub batch: usize,
    /// Learning rate of epoch 0 \[I\].
    pub learning_rate: f64,
    /// Weight decay \[I\].
    pub weight_decay: f64,
    /// What a sample's target moves towards: two rows of published tables.
    pub target: Target,
    /// Where the noise rate η comes from.
    pub noise: Noise,
    /// η where it is given: the share of samples whose candidates lack the truth.
    pub noise_rate: f64,
    /// e₀: epochs in which λ is 0 \[I: 80 of 1000\].
    pub trust_after: usize,
    /// Weight of the contrastive term \[I\].
    pub lambda_contrast: f64,
    /// Weight of the MixUp term \[I\]; 0 leaves it out.
    pub lambda_mixup: f64,
    /// Both parameters of MixUp's Beta distribution \[I\].
    pub mixup: f64,
    /// Keys in the queue \[I\].
    pub queue: usize,
    /// Momentum of the key network \[I\].
    pub key_momentum: f64,
    /// γ, momentum of the prototypes \[I\].
    pub prototype_momentum: f64,
    /// Temperature of the similarity to the prototypes \[I\].
    pub prototype_temperature: f64,
    /// Temperature of the contrastive loss \[I\].
    pub contrast_temperature: f64,
}

/// What a sample's target moves towards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The class with the largest weighted similarity: ALIM-Onehot.
    Onehot,
    /// All weighted similarities, normalised: ALIM-Scale.
    Scale,
}

/// Where the noise rate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Noise {
    /// Once λ is due, from a mixture fitted to the samples' losses. Ours.
    Estimated,
    /// It is the setting `noise_rate`; the authors give the true one.
    Given,
    /// It is counted by the true classes of the training images: what nobody has who needs the method.
    FromTruth,
}

impl Default for Alim {
    fn default() -> Self {
        Self {
            epochs: 100,
            batch: 256,
            learning_rate: 0.01,
            weight_decay: 1e-3,
            target: Target::Onehot,
            noise: Noise::Estimated,
            noise_rate: 0.2,
            trust_after: 8,
            lambda_contrast: 0.5,
            lambda_mixup: 1.0,
            mixup: 4.0,
            queue: 8192,
            key_momentum: 0.999,
            prototype_momentum: 0.99,
            prototype_temperature: 0.07,
            contrast_temperature: 0.07,
        }
    }
}

/// What ALIM carries from one epoch to the next.
pub struct AlimState {
    pico: PicoState,
    /// How far the candidates are ahead of the other classes, of the samples visited in this epoch.
    ratios: SampleScores,
    /// λ.
    lambda: f64,
    /// η; none until it is estimated.
    noise_rate: Option<f64>,
}

/// What the network learns from in an epoch: two passes over the training set, the second for the partners of MixUp.
pub struct AlimLesson<'a> {
    own: ViewedBatches<'a>,
    set: &'a TrainingSet,
    views: Views,
    /// The partners of every step's samples.
    partners: Vec<Vec<usize>>,
    /// The random numbers of their views.
    draws: Vec<Draw>,
}

impl Lesson for AlimLesson<'_> {
    /// A weak and a strong view of the samples, and a weak one of their partners: (B, H, W, channels) each.
    type Views = Vec<Tensor>;

    fn steps(&self) -> usize {
        self.own.steps()
    }

    fn views(&self, step: usize) -> Result<Vec<Tensor>> {
        let mut views = self.own.views(step)?;
        let (partners, draw) = (&self.partners[step], &self.draws[step]);
        views.push(self.views.batch(&self.set.train, partners, View::Weak, draw)?);
        Ok(views)
    }
}

impl Method for Alim {
    const NAME: &'static str = "alim";
    const TITLE: &'static str = "ALIM";
    const VERSION: u32 = 1;
    const NETWORKS: &'static [&'static str] = &["network"];
    const FIGURES: &'static [&'static str] =
        &["loss_targets", "loss_contrastive", "loss_mixed", "lambda", "noise_rate", "pseudo_label_accuracy"];
    const TOLD: &'static [(&'static str, &'static str)] =
        &[("lambda", "λ"), ("pseudo_label_accuracy", "pseudo-labels right")];

    type Inputs = (Images, Labels);
    type State = AlimState;
    type Lesson<'a> = AlimLesson<'a>;

    fn check(&self) -> Result<()> {
        check_batch(Self::NAME, self.batch)?;
        let bounds = Bounds(Self::NAME);
        bounds.weight("learning_rate", self.learning_rate)?;
        bounds.weight("weight_decay", self.weight_decay)?;
        if !(0.0..1.0).contains(&self.noise_rate) {
            return Err(Error::new(format!("alim.noise_rate = {} is no noise rate", self.noise_rate))
                .help("it is the share of images whose candidates lack the truth, such as 0.2"));
        }
        bounds.weight("lambda_contrast", self.lambda_contrast)?;
        bounds.weight("lambda_mixup", self.lambda_mixup)?;
        bounds.positive("mixup", self.mixup)?;
        bounds.positive("contrast_temperature", self.contrast_temperature)?;
        bounds.queue(self.queue)?;
        bounds.share("key_momentum", self.key_momentum)?;
        bounds.share("prototype_momentum", self.prototype_momentum)?;
        bounds.positive("prototype_temperature", self.prototype_temperature)
    }

    fn epochs(&self) -> usize {
        self.epochs
    }

    fn optimizer(&self, shared: &Optimizer) -> Optimizer {
        own_rates(shared, self.epochs, self.learning_rate, self.weight_decay)
    }

    fn start(&self, training: &Training<'_, Self, ()>) -> Result<AlimState> {
        let noise_rate = match self.noise {
            Noise::Estimated => None,
            Noise::Given => Some(self.noise_rate),
            Noise::FromTruth => Some(true_noise_rate(training.set)?),
        };
        Ok(AlimState {
            pico: PicoState::new(training, self.queue)?,
            ratios: SampleScores::new(training.set.len()),
            lambda: 0.0,
            noise_rate,
        })
    }

    fn begin_epoch(training: &mut Training<'_, Self>, context: &Context) -> Result<()> {
        let (method, set) = (&training.stage.method, training.set);
        if training.epoch == 0 && method.noise == Noise::FromTruth {
            context.progress().note("alim.noise=from-truth: the training images' true classes were used");
        }
        if training.epoch >= method.trust_after.max(1) {
            let noise_rate = match training.state.noise_rate {
                Some(known) => known,
                None => estimated_noise_rate(training, context)?,
            };
            let state = &mut training.state;
            state.noise_rate = Some(noise_rate);
            let ratios = state.ratios.values().iter().zip(&set.human);
            let ratios = ratios.filter(|&(ratio, &human)| !human && !ratio.is_nan()).map(|(&ratio, _)| ratio);
            state.lambda = importance(ratios.collect(), noise_rate).unwrap_or(state.lambda);
        }
        training.state.ratios = SampleScores::new(set.len());
        Ok(())
    }

    fn lesson<'a>(training: &mut Training<'a, Self>, network: usize) -> Result<AlimLesson<'a>> {
        let (set, batch) = (training.set, training.stage.method.batch);
        let annotated = set.annotated_samples();
        let own = ViewedBatches::new(training, network, &annotated, batch, &[View::Weak, View::Strong]);
        let count = (0..own.steps()).map(|step| own.samples(step).len()).sum();
        // Not in turn, which would be the order of the first pass.
        let mut pass =
            training.shuffled(&stream_name(training.epoch, "partners"), &annotated, count).into_iter();
        // As many as the step has of its own, which samples with a human label may have enlarged.
        let of_step = |step| pass.by_ref().take(own.samples(step).len()).collect();
        let partners: Vec<Vec<usize>> = (0..own.steps()).map(of_step).collect();
        let draw = training.draws(network, "partners");
        let draws = (0..partners.len() as u64).map(draw).collect();
        Ok(AlimLesson { own, set, views: training.views.clone(), partners, draws })
    }

    fn step(
        training: &mut Training<'_, Self>,
        lesson: &AlimLesson<'_>,
        step: Step,
        views: Vec<Tensor>,
    ) -> Computed<StepLosses> {
        let (seed, beta) = (training.stage.seed, training.stage.method.mixup);
        let stream = stream_name(training.epoch, &format!("mixup/{}", step.number));
        // λ′ alone: the partners come from a pass of their own, and need no order.
        let mixing = Mixing::draw(seed, &stream, beta, 0)?;
        let views = on_device(&views, &training.device)?;
        let samples = [lesson.own.samples(step.number), lesson.partners[step.number].as_slice()];
        learn(training, step, samples, &views, &mixing)
    }

    fn figures(training: &mut Training<'_, Self>, _: &AlimLesson<'_>, _: usize) -> Result<Vec<Figure>> {
        let state = &mut training.state;
        state.ratios.settle()?;
        Ok(vec![
            ("lambda", Some(state.lambda)),
            ("noise_rate", state.noise_rate),
            ("pseudo_label_accuracy", state.pico.confidence.accuracy(training.set)?),
        ])
    }

    fn sample_labels(training: &Training<'_, Self>, _: &Context) -> Result<Option<SampleLabels>> {
        training.state.pico.confidence.sample_labels(training.set).map(Some)
    }
}

/// The name of a random stream of one epoch.
fn stream_name(epoch: usize, purpose: &str) -> String {
    format!("{}/{}/{purpose}/epoch{epoch}", Alim::NAME, Alim::NETWORKS[0])
}

/// One step on the samples and their partners in MixUp, `[samples, partners]`: `views` are a weak and a strong one of
/// the samples, and a weak one of the partners.
fn learn(
    training: &mut Training<'_, Alim>,
    step: Step,
    [samples, partners]: [&[usize]; 2],
    views: &[Tensor],
    mixing: &Mixing,
) -> Computed<StepLosses> {
    let [weak, strong, of_partners] = views else { candle_core::bail!("{} views, not 3", views.len()) };
    let (method, set) = (&training.stage.method, training.set);
    let candidates = set.candidate_masks(samples, &training.device)?; // (B, C)
    let human: Vec<bool> = samples.iter().map(|&i| set.human[i]).collect();
    let log_weights = log_weights(&candidates, training.state.lambda, &human)?; // (B, C)

    let (learner, state) = (&mut training.learners[step.network], &mut training.state);
    let pico = &mut state.pico;
    let seen = pico.look(&learner.network, method.key_momentum, candidates, weak, strong)?;
    let labels = (seen.logits.detach() + &log_weights)?.argmax(D::Minus1)?; // argmax_j f_j (Y_j + λ (1 − Y_j)), (B)
    pico.prototypes.update(&seen.queries.detach(), &labels, method.prototype_momentum)?;

    let similarity = (&seen.scores / method.prototype_temperature)?; // (B, C): s is its softmax
    let weighted = (&similarity + &log_weights)?; // its softmax is u, normalised
    let targets = match method.target {
        Target::Onehot => one_hot(&weighted.argmax(D::Minus1)?, set.classes)?,
        Target::Scale => softmax(&weighted, D::Minus1)?,
    };
    pico.confidence.blend(samples, &targets, momentum_from_the_start(training.epoch, method.epochs))?;
    state.ratios.record(samples, &ratios(&softmax(&similarity, D::Minus1)?, &seen.candidates)?);

    let own = pico.confidence.rows(samples)?; // (B, C)
    let mut losses = StepLosses::default();
    losses.add("loss_targets", 1.0, cross_entropy(&seen.logits, &own)?)?;
    let contrast = pico.contrast_labels(seen.queries, seen.keys, &labels, method.contrast_temperature)?;
    losses.add("loss_contrastive", method.lambda_contrast, contrast)?;
    if method.lambda_mixup > 0.0 {
        let images = mixing.weigh(weak, of_partners)?;
        let mixed = mixing.weigh(&own, &pico.confidence.rows(partners)?)?; // (B, C)
        let logits = learner.network.forward(&images, Pass::Train)?.logits;
        losses.add("loss_mixed", method.lambda_mixup, cross_entropy(&logits, &mixed)?)?;
    }
    learner.step(losses.total()?, step.rate)?;
    Ok(losses)
}

/// log(Y + λ (1 − Y)) for candidates Y (B, C), with λ = 0 for samples that a human labelled (B): (B, C).
fn log_weights(candidates: &Tensor, lambda: f64, human: &[bool]) -> Computed<Tensor> {
    // exp(−1e9) is 0 in f32, and unlike −∞ it never makes 0 · ∞.
    const NOTHING: f32 = -1e9;
    let others = (lambda.ln() as f32).max(NOTHING);
    let others: Vec<f32> = human.iter().map(|&human| if human { NOTHING } else { others }).collect();
    let others = Tensor::from_vec(others, (human.len(), 1), candidates.device())?;
    candidates.affine(-1.0, 1.0)?.broadcast_mul(&others)
}

/// m = max_{j∈Y} s_j / (max_{j∉Y} s_j + 1e-9) of scores s and candidates Y (B, C): (B). A sample whose m is below λ has
/// its largest weighted score outside its candidates.
fn ratios(scores: &Tensor, candidates: &Tensor) -> Computed<Tensor> {
    let inside = (scores * candidates)?.max(D::Minus1)?;
    let outside = (scores * candidates.affine(-1.0, 1.0)?)?.max(D::Minus1)?;
    inside / (outside + 1e-9)?
}

/// λ, so that the share η = `noise_rate` of the samples has an m (`ratios`) below it; at most 1. None of no samples.
fn importance(mut ratios: Vec<f32>, noise_rate: f64) -> Option<f64> {
    if noise_rate <= 0.0 {
        return Some(0.0);
    }
    ratios.sort_unstable_by(f32::total_cmp);
    // A rate that is a quotient of counts may have come out a hair too small.
    let below = (noise_rate * ratios.len() as f64 + 1e-9) as usize;
    let ratio = ratios.get(below).or(ratios.last())?;
    Some(f64::from(*ratio).min(1.0))
}

/// φ in epoch number `epoch` of `epochs`, counted from 0, where targets move from the first epoch on: .99 in that one,
/// since the authors set it after an epoch for the first time; then what PiCO has an epoch later, since they count
/// from 1 \[I\].
pub(super) fn momentum_from_the_start(epoch: usize, epochs: usize) -> f64 {
    const FIRST: f64 = 0.99;
    if epoch == 0 { FIRST } else { momentum_of_targets(epoch + 1, epochs) }
}

/// Samples whose candidates somebody but a human who knows chose: those that a noise rate is about.
fn in_doubt(set: &TrainingSet) -> impl Iterator<Item = usize> {
    (0..set.len()).filter(|&i| set.annotated[i] && !set.human[i])
}

/// η by the truth.
fn true_noise_rate(set: &TrainingSet) -> Result<f64> {
    let lacks = in_doubt(set).filter_map(|i| set.holds_truth(i)).map(|holds| !holds);
    share(lacks).ok_or_else(|| {
        Error::new("alim.noise=from-truth needs true classes of training images, and none is known")
            .help("set alim.noise=estimated, or alim.noise=given with alim.noise_rate")
    })
}

/// η as the network sees it now: the weight of the component of larger losses −log max_{j∈Y} f_j.
fn estimated_noise_rate(training: &Training<'_, Alim>, context: &Context) -> Result<f64> {
    let (set, network) = (training.set, &training.learners[0].network);
    let draws = training.draws(0, "noise rate");
    let probs = predict(network, &set.train, &training.views, View::Weak, draws, context)
        .map_err(|error| training.in_epoch(0, error))?;
    let probs_of = |i: usize| &probs[i * set.classes..(i + 1) * set.classes];
    let losses = in_doubt(set).map(|i| division_loss(probs_of(i), set.candidate_row(i)));
    Ok(share_of_larger(&losses.collect::<Vec<_>>()))
}

/// Weight of the component with the larger mean in a mixture of two Gaussians fitted to losses, scaled to \[0, 1\]; 0
/// where all are equal.
fn share_of_larger(losses: &[f32]) -> f64 {
    let lowest = losses.iter().copied().fold(f32::INFINITY, f32::min);
    let range = losses.iter().copied().fold(f32::NEG_INFINITY, f32::max) - lowest;
    let scaled: Vec<f32> = losses.iter().map(|loss| (loss - lowest) / range.max(f32::MIN_POSITIVE)).collect();
    let smaller = posterior_of_smaller(&scaled, Fit::default());
    smaller.iter().map(|&posterior| 1.0 - f64::from(posterior)).sum::<f64>() / losses.len().max(1) as f64
}

/// Names of the parts in the checkpoint.
const PICO: &str = "pico";
const RATIOS: &str = "ratios";
/// λ and η, which is no number as long as it is not known.
const RATES: &str = "rates";

impl State for AlimState {
    fn tensors(&self) -> Result<Tensors> {
        let mut tensors = join(vec![(PICO, self.pico.tensors()?), (RATIOS, self.ratios.tensors()?)]);
        let rates = [self.lambda, self.noise_rate.unwrap_or(f64::NAN)];
        let rates = Tensor::new(&rates, &Device::Cpu).or_fail(|| Error::new("cannot copy λ"))?;
        tensors.insert(RATES.to_owned(), rates);
        Ok(tensors)
    }

    fn restore(&mut self, tensors: &Tensors) -> Result<()> {
        self.pico.restore(&part(tensors, PICO))?;
        self.ratios.restore(&part(tensors, RATIOS))?;
        let rates: Option<Vec<f64>> = tensors.get(RATES).and_then(|rates| rates.to_vec1().ok());
        let Some(&[lambda, noise_rate]) = rates.as_deref() else {
            return Err(Error::new(format!("the checkpoint's `{RATES}` cannot be used")));
        };
        (self.lambda, self.noise_rate) = (lambda, (!noise_rate.is_nan()).then_some(noise_rate));
        Ok(())
    }
}

impl Wired for Alim {
    const QUICK: &'static str = include_str!("../../../data/profiles/quick/alim.toml");
    const OWN_EPOCHS: Option<usize> = Some(1000);

    /// e₀ is as large a part of the epochs as the authors' 80 of 1000.
    fn scheduled(schedule: &Schedule) -> Table {
        counts(&[("epochs", schedule.total), ("trust_after", (2 * schedule.total).div_ceil(25))])
    }

    fn inputs(&self, wire: &mut Wire) -> Result<(Handle<Images>, Handle<Labels>)> {
        Ok((wire.images, wire.labels))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::learn::train::Train;
    use crate::learn::training_set::Input;
    use crate::methods::golden_tests::Steps;
    use crate::methods::pico_state::tests::{begin, kept};
    use crate::vision::{Pixels, StrongViews};

    /// ALIM as `golden/make_alim.py` has it.
    fn of_the_script(target: Target) -> Alim {
        let momenta = Alim { key_momentum: 0.8, prototype_momentum: 0.9, ..Alim::default() };
        Alim { epochs: 4, target, queue: 24, ..momenta }
    }

    /// Steps of `method` in this epoch, counted from 0, with this λ.
    fn steps_are_pytorchs(golden: &str, name: &str, method: Alim, (epoch, lambda): (usize, f64)) {
        let partners = [[1, 3, 5, 7, 9, 0], [0, 4, 8, 2, 6, 1]];
        let mixing = Mixing { lambda: 0.7, order: Vec::new() };
        let weight_decay = method.weight_decay;
        let prepare = |training: &mut Training<'_, Alim>| {
            (training.epoch, training.state.lambda) = (epoch, lambda);
            begin(&training.learners[0].network, &mut training.state.pico);
        };
        let learn = |training: &mut Training<'_, Alim>, step: Step, samples: &[usize], views: &[Tensor]| {
            learn(training, step, [samples, &partners[step.number]], views, &mixing)
        };
        let steps = Steps { golden, name, method, weight_decay, views: 3 };
        steps.are_pytorchs(prepare, learn, |training| kept(&training.state.pico));
    }

    #[test]
    fn whole_steps_of_alim_onehot_are_pytorchs() {
        let golden = include_str!("golden/alim.json");
        steps_are_pytorchs(golden, "onehot", of_the_script(Target::Onehot), (3, 0.6));
    }

    #[test]
    fn whole_steps_of_alim_scale_are_pytorchs() {
        let golden = include_str!("golden/alim.json");
        steps_are_pytorchs(golden, "scale", of_the_script(Target::Scale), (3, 0.6));
    }

    #[test]
    fn without_importance_and_mixup_it_is_pico() {
        let method = Alim { lambda_mixup: 0.0, prototype_temperature: 1.0, ..of_the_script(Target::Onehot) };
        // One epoch before PiCO's, whose targets keep as much then.
        steps_are_pytorchs(include_str!("golden/pico.json"), "pico", method, (2, 0.0));
    }

    #[test]
    fn the_noise_rates_share_of_the_samples_is_below_importance() {
        let ratios = vec![5.0, 0.1, 0.9, 0.3, 2.0, 0.7, 8.0, 0.5, 0.2, 4.0];
        for (rate, share) in [(0.1, 1), (0.3, 3), (0.35, 3), (0.5, 5)] {
            let lambda = importance(ratios.clone(), rate).unwrap();
            assert_eq!(ratios.iter().filter(|&&m: &&f32| f64::from(m) < lambda).count(), share, "{rate}");
        }
        assert_eq!(importance(ratios.clone(), 0.3), Some(0.5));
        assert_eq!(importance(ratios.clone(), 0.8), Some(1.0), "never above 1");
        assert_eq!(importance(ratios.clone(), 1.0), Some(1.0));
        assert_eq!(importance(ratios, 0.0), Some(0.0), "no noise, no importance");
        // 0.29 · 100 is a hair below 29 in binary.
        let hundred: Vec<f32> = (0..100).map(|i| i as f32 / 1000.0).collect();
        assert_eq!(importance(hundred, 0.29), Some(f64::from(0.029f32)));
        assert_eq!(importance(Vec::new(), 0.5), None);
    }

    #[test]
    fn a_sample_whose_ratio_is_below_importance_takes_another_class_unless_a_human_labelled_it() {
        let tensor = |rows: [[f32; 3]; 3]| Tensor::new(&rows, &Device::Cpu).unwrap();
        let scores = tensor([[0.2, 0.3, 0.5], [0.1, 0.2, 0.7], [0.1, 0.2, 0.7]]);
        let candidates = tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]);
        let ratios: Vec<f32> = ratios(&scores, &candidates).unwrap().to_vec1().unwrap();
        let expected = [0.3 / 0.5, 0.2 / 0.7, 0.2 / 0.7];
        assert!(ratios.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{ratios:?}");
        let best = |lambda: f64| -> Vec<u32> {
            let weights = log_weights(&candidates, lambda, &[false, false, true]).unwrap();
            let weighted = (scores.log().unwrap() + weights).unwrap();
            weighted.argmax(D::Minus1).unwrap().to_vec1().unwrap()
        };
        assert_eq!(best(0.0), [1, 1, 1]);
        assert_eq!(best(0.5), [1, 2, 1]);
        assert_eq!(best(1.0), [2, 2, 1]);
    }

    #[test]
    fn the_larger_losses_tell_the_noise_rate() {
        let heap = |i: usize| if i.is_multiple_of(4) { 6.0 } else { 0.5 };
        let losses: Vec<f32> = (0..200).map(|i| heap(i) + (i % 7) as f32 / 100.0).collect();
        assert!((share_of_larger(&losses) - 0.25).abs() < 1e-3);
        assert_eq!(share_of_larger(&[0.3; 5]), 0.0);
        assert_eq!(share_of_larger(&[]), 0.0);
    }

    #[test]
    fn targets_move_from_the_first_epoch_on() {
        let kept = [0, 1, 50, 100].map(|epoch| momentum_from_the_start(epoch, 100));
        let expected = [0.99, 0.9485, 0.875, 0.8];
        assert!(kept.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{kept:?}");
    }

    #[test]
    fn candidates_alone_count_for_a_part_of_the_epochs() {
        let after = |total| Alim::scheduled(&Schedule { warm_up: 1, total })["trust_after"].as_integer();
        assert_eq!([1000, 30, 3].map(after), [Some(80), Some(3), Some(1)]);
    }

    /// Ten samples of two classes, each with its own number's parity as the only candidate.
    fn set(truth: [Option<u32>; 10]) -> TrainingSet {
        let none = || Pixels::new(16, 3, Vec::new()).unwrap();
        TrainingSet {
            ids: (0..10).map(|i| i.to_string()).collect(),
            train: none(),
            test: none(),
            candidates: [1, 0, 0, 1].repeat(5),
            weights: [1.0, 0.0, 0.0, 1.0].repeat(5),
            annotated: vec![true; 10],
            single: [Some(0), Some(1)].repeat(5),
            human: vec![false; 10],
            soft_labels: None,
            classes: 2,
            truth: truth.to_vec(),
            test_weights: Vec::new(),
            test_annotated: Vec::new(),
            test_truth: Vec::new(),
        }
    }

    fn stage(method: Alim, optimizer: Optimizer) -> Train<Alim> {
        let (mean, std) = (vec![0.5; 3], vec![0.5; 3]);
        let input = Input { size: 16, channels: 3, mean, std, flip: false, strong: StrongViews::None };
        let golden: serde_json::Value = serde_json::from_str(include_str!("golden/alim.json")).unwrap();
        let mut architecture: crate::network::Architecture =
            serde_json::from_value(golden["architecture"].clone()).unwrap();
        architecture.classes = 2;
        Train { method, seed: 0, optimizer, input, architecture }
    }

    #[test]
    fn the_truth_gives_the_noise_rate_only_where_it_is_known() {
        let stage = stage(Alim { noise: Noise::FromTruth, ..Alim::default() }, Optimizer::default());
        let refused = stage.start(&set([None; 10]), None, &Device::Cpu).err().unwrap().to_string();
        assert!(refused.contains("alim.noise=from-truth"), "{refused}");
        // All of class 0: the five odd ones lack it, of which a human labelled one, and one is not known.
        let mut known = set([Some(0); 10]);
        (known.human[1], known.truth[3]) = (true, None);
        let training = stage.start(&known, None, &Device::Cpu).unwrap();
        assert_eq!(training.state.noise_rate, Some(3.0 / 8.0));
    }

    #[test]
    fn partners_come_from_a_pass_of_their_own() {
        // Once as whole passes, and once as pieces of a random order.
        for (budget, count) in [(0, 10), (24, 6)] {
            let optimizer = Optimizer { budget, horizon: 4, ..Optimizer::default() };
            let (stage, set) = (stage(Alim { batch: 4, ..Alim::default() }, optimizer), set([None; 10]));
            let mut training = stage.start(&set, None, &Device::Cpu).unwrap();
            let lesson = Alim::lesson(&mut training, 0).unwrap();
            let own: Vec<&[usize]> = (0..lesson.steps()).map(|step| lesson.own.samples(step)).collect();
            assert!(own.iter().zip(&lesson.partners).all(|(own, other)| own.len() == other.len()));
            let mut partners = lesson.partners.concat();
            assert_eq!((partners.len(), lesson.partners.len()), (count, lesson.draws.len()));
            assert_ne!(partners, own.concat());
            partners.sort_unstable();
            partners.dedup();
            assert_eq!(partners.len(), count, "each once");
        }
    }

    #[test]
    fn every_sample_has_a_partner_where_human_labels_enlarge_the_batches() {
        let optimizer = Optimizer { human_share: 0.5, ..Optimizer::default() };
        let (stage, mut set) = (stage(Alim { batch: 4, ..Alim::default() }, optimizer), set([None; 10]));
        set.human[1] = true;
        let mut training = stage.start(&set, None, &Device::Cpu).unwrap();
        let lesson = Alim::lesson(&mut training, 0).unwrap();
        assert!(lesson.own.samples(0).len() > 4);
        for step in 0..lesson.steps() {
            assert_eq!(lesson.own.samples(step).len(), lesson.partners[step].len());
        }
    }

    #[test]
    fn its_state_survives_a_checkpoint() {
        let (stage, set) = (stage(Alim::default(), Optimizer::default()), set([None; 10]));
        let mut training = stage.start(&set, None, &Device::Cpu).unwrap();
        assert_eq!(training.state.noise_rate, None);
        let start = training.state.tensors().unwrap();
        let state = &mut training.state;
        (state.lambda, state.noise_rate) = (0.3, Some(0.1));
        state.ratios.record(&[4], &Tensor::new(&[0.7f32], &Device::Cpu).unwrap());
        state.ratios.settle().unwrap();
        let kept = state.tensors().unwrap();
        state.restore(&start).unwrap();
        assert_eq!((state.lambda, state.noise_rate), (0.0, None));
        assert!(state.ratios.values()[4].is_nan());
        state.restore(&kept).unwrap();
        assert_eq!((state.lambda, state.noise_rate), (0.3, Some(0.1)));
        assert_eq!(state.ratios.values()[4], 0.7);
        assert!(state.restore(&Tensors::new()).is_err());
    }

    #[test]
    fn settings_are_words_and_numbers_and_those_that_make_no_sense_are_refused() {
        let mut table = Table::try_from(Alim::default()).unwrap();
        table.insert("target".to_owned(), "scale".into());
        table.insert("noise".to_owned(), "from-truth".into());
        let expected = Alim { target: Target::Scale, noise: Noise::FromTruth, ..Alim::default() };
        assert_eq!(table.try_into::<Alim>().unwrap(), expected);
        let told = |method: Alim| method.check().unwrap_err().to_string();
        assert!(told(Alim { batch: 1, ..Alim::default() }).contains("alim.batch = 1"));
        assert!(told(Alim { noise_rate: 1.0, ..Alim::default() }).contains("alim.noise_rate = 1"));
        assert!(told(Alim { mixup: 0.0, ..Alim::default() }).contains("alim.mixup = 0"));
        assert!(told(Alim { lambda_mixup: -1.0, ..Alim::default() }).contains("alim.lambda_mixup = -1"));
        assert!(Alim::default().check().is_ok());
    }
}
