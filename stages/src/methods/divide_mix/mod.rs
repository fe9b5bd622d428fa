//! DivideMix (Li, Socher & Hoi 2020, "DivideMix: Learning with Noisy Labels as Semi-supervised Learning"), which Co-Reg
//! comes from: two networks that divide the training set by the losses of its single labels, for each other, and learn
//! from both splits as from labelled and unlabelled images (docs/methods.md).
//!
//! An epoch reads from top to bottom in [`DivideMix`]'s `impl Method`: warm up; then divide, label both splits, mix and
//! learn. The parts of a step are in `step.rs`, what a network is given in an epoch in `lesson.rs`, the division in
//! `divide.rs`, what is carried along in `state.rs`. The split of believed labels is 𝒫 here, as Co-Reg's; the paper
//! calls it 𝒳.

mod divide;
mod lesson;
mod settings;
mod state;
mod step;
#[cfg(test)]
mod tests;

use candle_core::{D, Result as Computed, Tensor};
use candle_nn::ops::log_softmax;
use pipeline::error::{Error, OrFail, Result};
use pipeline::graph::Handle;
use pipeline::stage::Context;
use toml::{Table, Value};

use super::{Voters, Wire, Wired, counts};
use crate::artifacts::annotation::Labels;
use crate::artifacts::images::Images;
use crate::artifacts::training::SampleLabels;
use crate::dataset::catalog::Schedule;
use crate::learn::learner::logits;
use crate::learn::method::{Figure, Method, Step};
use crate::learn::metrics::share;
use crate::learn::mixup::Mixing;
use crate::learn::optimizer::{Decay, Optimizer};
use crate::learn::settled_labels::{mean_division, settled_labels};
use crate::learn::step_losses::StepLosses;
use crate::learn::train::Training;
use crate::vision::View;
use divide::{Division, divide};
use lesson::DivideMixLesson;
pub use settings::DivideMix;
use state::DivideMixState;
use step::{Batch, co_label, label_losses, mixed_losses};

impl Method for DivideMix {
    const NAME: &'static str = "divide-mix";
    const TITLE: &'static str = "DivideMix";
    const VERSION: u32 = 1;
    const NETWORKS: &'static [&'static str] = &["network1", "network2"];
    const FIGURES: &'static [&'static str] = &[
        "loss_partial",
        "loss_negative_entropy",
        "loss_unlabeled",
        "loss_prior",
        "size_partial",
        "size_unlabeled",
        "mean_w",
        "purity",
        "purity_partial",
        "purity_unlabeled",
        "pseudo_label_accuracy_partial",
        "pseudo_label_accuracy_unlabeled",
    ];
    const TOLD: &'static [(&'static str, &'static str)] = &[
        ("size_partial", "𝒫"),
        ("purity_partial", "𝒫 pure"),
        ("pseudo_label_accuracy_partial", "pseudo-labels right in 𝒫"),
        ("pseudo_label_accuracy_unlabeled", "in 𝒰"),
    ];

    type Inputs = (Images, Labels);
    type State = DivideMixState;
    type Lesson<'a> = DivideMixLesson<'a>;

    fn check(&self) -> Result<()> {
        self.check_constants()
    }

    fn epochs(&self) -> usize {
        self.epochs
    }

    fn optimizer(&self, shared: &Optimizer) -> Optimizer {
        let Self { learning_rate, weight_decay, .. } = *self;
        Optimizer { learning_rate, weight_decay, decay: Decay::TenthAtHalf, ..shared.over(self.epochs) }
    }

    fn start(&self, training: &Training<'_, Self, ()>) -> Result<DivideMixState> {
        if training.set.single.iter().all(Option::is_none) {
            return Err(Error::new("nobody voted on any training image, and divide-mix learns nothing else")
                .help("let an annotator vote on the training images"));
        }
        Ok(DivideMixState::new(training.set.len()))
    }

    fn begin_epoch(training: &mut Training<'_, Self>, context: &Context) -> Result<()> {
        if training.stage.method.warms_up(training.epoch) {
            return Ok(());
        }
        for me in [0, 1] {
            training.state.networks[me].division = divide_by(training, me, context)?;
        }
        Ok(())
    }

    fn lesson<'a>(training: &mut Training<'a, Self>, me: usize) -> Result<DivideMixLesson<'a>> {
        training.state.networks[me].pseudo_labels.clear();
        if training.stage.method.warms_up(training.epoch) {
            return Ok(DivideMixLesson::warm_up(training, me));
        }
        // Network 1's division trains network 2, and the other way round.
        Ok(DivideMixLesson::divided(training, me, &training.state.networks[1 - me].division))
    }

    fn step(
        training: &mut Training<'_, Self>,
        lesson: &DivideMixLesson<'_>,
        step: Step,
        views: Vec<Tensor>,
    ) -> Computed<StepLosses> {
        let images = views[0].to_device(&training.device)?;
        match lesson {
            DivideMixLesson::WarmUp(batches) => {
                warm_up(training, step, batches.samples(step.number), &images)
            }
            DivideMixLesson::Divided(divided) => {
                let batch = divided.batch(step.number, images)?;
                let mixing = draw_mixing(training, step, batch.images.dim(0)?)?;
                learn(training, step, &batch, &mixing)
            }
        }
    }

    fn figures(
        training: &mut Training<'_, Self>,
        lesson: &DivideMixLesson<'_>,
        me: usize,
    ) -> Result<Vec<Figure>> {
        let DivideMixLesson::Divided(divided) = lesson else { return Ok(Vec::new()) };
        let mut figures = describe_division(training, &training.state.networks[1 - me].division);
        let [partial, unlabeled] = divided.hits(&pseudo_labels(training, me)?);
        figures.push(("pseudo_label_accuracy_partial", share(partial)));
        figures.push(("pseudo_label_accuracy_unlabeled", share(unlabeled)));
        Ok(figures)
    }

    fn sample_labels(training: &Training<'_, Self>, context: &Context) -> Result<Option<SampleLabels>> {
        let w = [0, 1].map(|n| training.state.networks[n].division.w.as_slice());
        let mut division = mean_division(w, training.stage.method.threshold);
        division.partial.iter_mut().zip(&training.set.human).for_each(|(partial, &human)| *partial |= human);
        settled_labels(training, Some(division), context).map(Some)
    }
}

/// One step of warm-up, of network number `step.network`.
fn warm_up(
    training: &mut Training<'_, DivideMix>,
    step: Step,
    samples: &[usize],
    images: &Tensor,
) -> Computed<StepLosses> {
    let losses = label_losses(training, step, samples, images)?;
    training.learners[step.network].step(losses.total()?, step.rate)?;
    Ok(losses)
}

/// One step after it: label both splits, mix, learn.
fn learn(
    training: &mut Training<'_, DivideMix>,
    step: Step,
    batch: &Batch,
    mixing: &Mixing,
) -> Computed<StepLosses> {
    let targets = co_label(training, step.network, batch)?;
    let losses = mixed_losses(training, step, batch, &targets.rows, mixing)?;
    training.learners[step.network].step(losses.total()?, step.rate)?;
    training.state.networks[step.network].pseudo_labels.push(targets.labels);
    Ok(losses)
}

impl DivideMix {
    /// Whether this epoch, which counts from 0, is of warm-up.
    fn warms_up(&self, epoch: usize) -> bool {
        epoch < self.warm_up
    }
}

/// Epochs of a whole training from which on MixUp is the method's own, which short trainings have too few steps for.
const LONG: usize = 60;

impl Wired for DivideMix {
    const QUICK: &'static str = include_str!("../../../../data/profiles/quick/divide-mix.toml");
    const LEARNS_VOTES: bool = true;
    const OWN_EPOCHS: Option<usize> = Some(300);

    fn scheduled(schedule: &Schedule) -> Table {
        counts(&[("epochs", schedule.total), ("warm_up", schedule.warm_up)])
    }

    fn in_budget(schedule: &Schedule) -> Table {
        let mut table = Self::scheduled(schedule);
        // A fifth of the epochs after warm-up, and no more than the method's own.
        let ramp = (schedule.total.saturating_sub(schedule.warm_up) / 5).clamp(1, Self::default().ramp);
        table.extend(counts(&[("ramp", ramp)]));
        if schedule.total >= LONG {
            table.insert("mixup".to_owned(), Value::Float(Self::default().mixup));
        }
        table
    }

    fn inputs(&self, wire: &mut Wire) -> Result<(Handle<Images>, Handle<Labels>)> {
        // Single labels are votes, too: those that come with synthetic candidates are drawn at random.
        wire.votes(Self::NAME)?;
        let labels = match self.labels {
            Voters::Average => wire.labels,
            Voters::FirstTemplate => wire.first_labels(Self::NAME)?,
        };
        Ok((wire.images, labels))
    }
}

/// What MixUp draws for a step of so many rows.
fn draw_mixing(training: &Training<'_, DivideMix>, step: Step, rows: usize) -> Computed<Mixing> {
    let network = DivideMix::NETWORKS[step.network];
    let stream = format!("{}/{network}/epoch{}/mixup/{}", DivideMix::NAME, training.epoch, step.number);
    Mixing::draw(training.stage.seed, &stream, training.stage.method.mixup, rows)
}

/// Divides the training set by the losses of network number `me`.
fn divide_by(training: &mut Training<'_, DivideMix>, me: usize, context: &Context) -> Result<Division> {
    let (set, method) = (training.set, &training.stage.method);
    let losses = division_losses(training, me, context).map_err(|error| training.in_epoch(me, error))?;
    let history = &mut training.state.networks[me].losses;
    let division = divide(&losses, (&set.single, &set.human), history, method);
    let open = |i: usize| set.single[i].is_some() && !set.human[i];
    if (0..set.len()).any(open) && !division.partial.iter().any(|&i| open(i)) {
        let epoch = training.epoch + 1;
        context.progress().note(format!("epoch {epoch}: no sample is believed; all are taken"));
        return Ok(Division::everything(&set.single));
    }
    Ok(division)
}

/// −log f_ŷ(x) by network number `me`, of every training image as it is (N); of an image without a label ŷ any number.
fn division_losses(training: &Training<'_, DivideMix>, me: usize, context: &Context) -> Result<Vec<f32>> {
    let (set, views, network) = (training.set, &training.views, &training.learners[me].network);
    let draws = training.draws(me, "divide: plain views draw nothing");
    let logits = logits(network, &set.train, views, View::Plain, draws, context)?;
    let labels: Vec<u32> = set.single.iter().map(|label| label.map_or(0, u32::from)).collect();
    let losses = || -> Computed<Vec<f32>> {
        let labels = Tensor::from_vec(labels, (set.len(), 1), &training.device)?;
        log_softmax(&logits, D::Minus1)?.gather(&labels, D::Minus1)?.neg()?.flatten_all()?.to_vec1()
    };
    let losses = losses().or_fail(|| Error::new("cannot read the losses from the device"))?;
    match losses.iter().all(|loss| loss.is_finite()) {
        true => Ok(losses),
        false => Err(Error::new("the network predicts numbers that are not finite")
            .help("lower divide-mix.learning_rate; training then starts anew")),
    }
}

/// The pseudo-labels that network number `me` learned in this epoch, step after step: 𝒫's, then 𝒰's.
fn pseudo_labels(training: &Training<'_, DivideMix>, me: usize) -> Result<Vec<u32>> {
    let labels = &training.state.networks[me].pseudo_labels;
    if labels.is_empty() {
        return Ok(Vec::new()); // 𝒫 had no turn: no step
    }
    let labels = Tensor::cat(labels, 0).and_then(|labels| labels.to_vec1());
    labels.or_fail(|| Error::new("cannot read the pseudo-labels from the device"))
}

/// Sizes, purities and mean w of a division. A purity is the share of labels that are right, where that is known,
/// without those that humans gave.
fn describe_division(training: &Training<'_, DivideMix>, division: &Division) -> Vec<Figure> {
    let set = training.set;
    let right = |i: usize| Some(u32::from(set.single[i].filter(|_| !set.human[i])?) == set.truth[i]?);
    let purity = |samples: &[usize]| share(samples.iter().filter_map(|&i| right(i)));
    let all: Vec<usize> = (0..set.len()).collect();
    let divided = all.iter().filter(|&&i| set.single[i].is_some() && !set.human[i]);
    let w: Vec<f64> = divided.map(|&i| f64::from(division.w[i])).collect();
    let mean_w = (!w.is_empty()).then(|| w.iter().sum::<f64>() / w.len() as f64);
    vec![
        ("size_partial", Some(division.partial.len() as f64)),
        ("size_unlabeled", Some(division.unlabeled.len() as f64)),
        ("mean_w", mean_w),
        ("purity", purity(&all)),
        ("purity_partial", purity(&division.partial)),
        ("purity_unlabeled", purity(&division.unlabeled)),
    ]
}
