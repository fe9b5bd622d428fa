//! Co-Reg (method §§5–9): two networks that divide the training set for each other, purify each other's
//! labels, and learn from them under consistency, prototype and contrastive terms.
//!
//! An epoch reads from top to bottom in [`CoReg`]'s `impl Method`: divide, pseudo-label, self-train, contrast. The parts
//! of a step are in `step.rs`, what a network is given in an epoch in `lesson.rs`, what is carried along in `state.rs`.
//!
//! # From the paper's symbols to the functions
//!
//! A search of these pages for a symbol finds its function, too.
//!
//! | symbol | what it is | function |
//! |---|---|---|
//! | p_i, Y | CLIP's probabilities for a template, the candidates | [`crate::clip::template_probabilities`], [`crate::annotation::candidates`] |
//! | η | share of images whose candidates lack the truth | [`crate::annotation::statistics`] |
//! | L_warm | warm-up: −log Σ Y f, and Σ f log f | [`partial_cross_entropy`](crate::learn::losses::partial_cross_entropy), [`negative_entropy`](crate::learn::losses::negative_entropy) |
//! | L_div | −log of the best candidate's probability | [`divide::division_loss`], after [`divide::align`] or [`divide::align_running`] |
//! | w, 𝒫, 𝒰 | posterior of the mixture, and the two splits | [`posterior_of_smaller`](crate::learn::gaussian_mixture::posterior_of_smaller), [`divide::divide`] |
//! | p | the other network's prediction, on the candidates | [`rescale`](crate::learn::pseudo_labels::rescale) |
//! | p̄ | mean over K weak views | [`mean_of_views`](crate::learn::pseudo_labels::mean_of_views) |
//! | p′, p̃ | fused and sharpened | [`fuse`](crate::learn::pseudo_labels::fuse), [`sharpen`](crate::learn::pseudo_labels::sharpen) |
//! | L_cr | self-training on 𝒫, on 𝒰 | [`cross_entropy`](crate::learn::losses::cross_entropy), [`mean_squared_error`](crate::learn::losses::mean_squared_error) |
//! | o_j, s | prototypes, similarity to them | [`Prototypes::update`](crate::learn::prototypes::Prototypes::update), [`prototype_logits`](crate::learn::losses::prototype_logits) |
//! | L_prot | prototype alignment on 𝒫, on 𝒰 | [`kl_divergence`](crate::learn::losses::kl_divergence), [`mean_squared_error`](crate::learn::losses::mean_squared_error) |
//! | L_ncont | noisy contrastive loss with its queue | [`contrastive_loss`](crate::learn::contrastive::contrastive_loss), [`KeyQueue`](crate::learn::key_queue::KeyQueue) |
//! | θ_k | key network | [`KeyEncoder`](crate::learn::key_encoder::KeyEncoder), [`crate::network::Network::ema_from`] |
//! | λ₁, λ₂, γ, T, T″, K | constants | [`CoReg`] |

pub mod benchmark;
pub mod divide;
#[cfg(test)]
mod golden_tests;
mod lesson;
mod settings;
mod state;
mod step;
#[cfg(test)]
mod step_tests;

use candle_core::{Result as Computed, Tensor};
use pipeline::error::{Error, OrFail, Result};
use pipeline::graph::Handle;
use pipeline::stage::Context;
use toml::{Table, Value};

use super::{Wire, Wired, counts, epochs};
use crate::artifacts::annotation::Labels;
use crate::artifacts::images::Images;
use crate::artifacts::training::{SampleLabels, Trained};
use crate::dataset::catalog::Schedule;
use crate::learn::learner::predict;
use crate::learn::method::{Figure, Method, Step};
use crate::learn::metrics::share;
use crate::learn::settled_labels::{mean_division, settled_labels};
use crate::learn::step_losses::StepLosses;
use crate::learn::train::Training;
use crate::methods::warm_up::WarmUp;
use crate::vision::View;
use divide::{Division, Samples, divide};
use lesson::{CoRegLesson, StepViews};
pub use settings::{CoReg, KeyRestart, Partner, UnlabeledError};
use state::CoRegState;
use step::{Batch, Targets, contrast, pseudo_label, self_train};

impl Method for CoReg {
    const NAME: &'static str = "co-reg";
    const TITLE: &'static str = "Co-Reg";
    // 6: what the authors' implementation does otherwise than their paper is a setting each; human labels are kept to.
    const VERSION: u32 = 6;
    const NETWORKS: &'static [&'static str] = &["network1", "network2"];
    const FIGURES: &'static [&'static str] = &[
        "loss_partial",
        "loss_unlabeled",
        "loss_prototype_partial",
        "loss_prototype_unlabeled",
        "loss_contrastive",
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

    type Inputs = (Images, Labels, Trained);
    type State = CoRegState;
    type Lesson<'a> = CoRegLesson<'a>;

    fn check(&self) -> Result<()> {
        self.check_constants()
    }

    fn epochs(&self) -> usize {
        self.epochs
    }

    fn start(&self, training: &Training<'_, Self, ()>) -> Result<CoRegState> {
        CoRegState::new(self, training)
    }

    fn begin_epoch(training: &mut Training<'_, Self>, context: &Context) -> Result<()> {
        let method = &training.stage.method;
        if training.epoch == 0 && !method.regularises(method.epochs - 1) {
            let (from, epochs) = (method.regularise_after + 1, method.epochs);
            context.progress().note(format!(
                "the prototype and contrastive terms would count from epoch {from} on (co-reg.regularise_after), and there are {epochs}"
            ));
        }
        for me in [0, 1] {
            training.state.networks[me].division = divide_by(training, me, context)?; // §5
        }
        Ok(())
    }

    fn lesson<'a>(training: &mut Training<'a, Self>, me: usize) -> Result<CoRegLesson<'a>> {
        let [of_me, of_other] = [me, 1 - me].map(|n| &training.state.networks[n].division);
        // Network 1's division trains network 2, and the other way round (§5). So do its predictions (§6), but for the
        // ablation "w/o Co-PL".
        let teacher = if training.stage.method.co_pseudo_label { of_other } else { of_me };
        let lesson = CoRegLesson::new(training, me, of_other, teacher)?;
        let state = &mut training.state.networks[me];
        state.pseudo_labels.clear();
        let how = training.stage.method.key_restart;
        let key = state.restart_key(&training.learners[me].network, how); // §8
        key.or_fail(|| Error::new("cannot copy the network to its key network"))?;
        Ok(lesson)
    }

    fn step(
        training: &mut Training<'_, Self>,
        lesson: &CoRegLesson<'_>,
        step: Step,
        views: StepViews,
    ) -> Computed<StepLosses> {
        learn(training, step, &lesson.batch(step.number, views)?)
    }

    fn figures(
        training: &mut Training<'_, Self>,
        lesson: &CoRegLesson<'_>,
        me: usize,
    ) -> Result<Vec<Figure>> {
        // None where 𝒫 had no turn in this epoch.
        let labels: Vec<u32> = match &training.state.networks[me].pseudo_labels[..] {
            [] => Vec::new(),
            of_steps => (Tensor::cat(of_steps, 0).and_then(|labels| labels.to_vec1()))
                .or_fail(|| Error::new("cannot read the pseudo-labels from the device"))?,
        };
        let [partial, unlabeled] = lesson.hits(&labels);
        let mut figures = describe_division(training, &training.state.networks[1 - me].division);
        figures.push(("pseudo_label_accuracy_partial", share(partial)));
        figures.push(("pseudo_label_accuracy_unlabeled", share(unlabeled)));
        Ok(figures)
    }

    fn sample_labels(training: &Training<'_, Self>, context: &Context) -> Result<Option<SampleLabels>> {
        let (set, threshold) = (training.set, training.stage.method.divide.threshold);
        let [w1, w2] = [0, 1].map(|n| &training.state.networks[n].division.w[..]);
        let mut division = mean_division([w1, w2], threshold);
        division.partial.iter_mut().zip(&set.human).for_each(|(partial, human)| *partial |= human);
        settled_labels(training, Some(division), context).map(Some)
    }
}

/// One step of network number `step.network`.
fn learn(training: &mut Training<'_, CoReg>, step: Step, batch: &Batch) -> Computed<StepLosses> {
    let (me, method) = (step.network, &training.stage.method);
    let mut losses = StepLosses::default();
    let targets = pseudo_label(training, step, batch)?; // §6
    if method.prototypes_first {
        move_prototypes(training, batch, &targets)?; // §7
    }
    self_train(training, step, &batch.strong, &targets, &mut losses)?; // §7
    if method.lambda_contrast > 0.0 && method.regularises(training.epoch) {
        contrast(training, step, batch, &targets, &mut losses)?; // §8
    }
    training.learners[me].step(losses.total()?, step.rate)?; // §9
    let key = &training.state.networks[me].key.network;
    key.ema_from(&training.learners[me].network, method.key_momentum)?; // §8
    if !method.prototypes_first {
        move_prototypes(training, batch, &targets)?; // §7
    }
    training.state.networks[me].pseudo_labels.push(targets.labels);
    Ok(losses)
}

/// Moves the prototypes to the first weak views of 𝒫 (method §7).
fn move_prototypes(training: &mut Training<'_, CoReg>, batch: &Batch, targets: &Targets) -> Computed<()> {
    let of_partial = targets.labels.narrow(0, 0, batch.partial)?;
    let momentum = training.stage.method.prototype_momentum;
    training.state.prototypes.update(&targets.embeddings, &of_partial, momentum)
}

impl CoReg {
    /// Whether the prototype and contrastive terms are in force in this epoch, which counts from 0 (method §8).
    fn regularises(&self, epoch: usize) -> bool {
        epoch >= self.regularise_after
    }
}

/// Epochs of a whole training from which on MixUp is the method's own, which short trainings have too few steps for.
const LONG: usize = 60;

impl Wired for CoReg {
    const QUICK: &'static str = include_str!("../../../../data/profiles/quick/co-reg.toml");
    const VARIANTS: &'static [(&'static str, &'static str)] = &[
        ("paper", include_str!("../../../../data/variants/co-reg/paper.toml")),
        ("release", include_str!("../../../../data/variants/co-reg/release.toml")),
    ];

    fn scheduled(schedule: &Schedule) -> Table {
        epochs(schedule.total - schedule.warm_up)
    }

    fn in_budget(schedule: &Schedule) -> Table {
        let own = schedule.total - schedule.warm_up;
        let mut table = counts(&[("epochs", own), ("regularise_after", own * 3 / 4)]);
        if schedule.total >= LONG {
            table.insert("mixup".to_owned(), Value::Float(Self::default().mixup));
        }
        table
    }

    /// Co-Reg goes on from the two networks that warm-up leaves (method §4).
    fn inputs(&self, wire: &mut Wire) -> Result<(Handle<Images>, Handle<Labels>, Handle<Trained>)> {
        Ok((wire.images, wire.labels, wire.train::<WarmUp>()?))
    }
}

/// The name of a random stream of one network and epoch.
fn stream_name(me: usize, epoch: usize, purpose: &str) -> String {
    format!("{}/{}/epoch{epoch}/{purpose}", CoReg::NAME, CoReg::NETWORKS[me])
}

/// Divides the training set by the predictions of network number `me` (method §5).
fn divide_by(training: &mut Training<'_, CoReg>, me: usize, context: &Context) -> Result<Division> {
    let (set, method) = (training.set, &training.stage.method);
    let draws = training.draws(me, "divide");
    let network = &training.learners[me].network;
    let probs = predict(network, &set.train, &training.views, View::Weak, draws, context)
        .map_err(|error| training.in_epoch(me, error))?;
    let memory = &mut training.state.networks[me].memory;
    let mut division = divide(probs, Samples::of(set), memory, &method.divide);
    let open = |i: usize| set.annotated[i] && !set.human[i];
    if (0..set.len()).any(open) && !division.partial.iter().any(|&i| open(i)) {
        let epoch = training.epoch + 1;
        context.progress().note(format!("epoch {epoch}: no sample is believed; all are taken"));
        (division.partial, division.unlabeled) = (0..set.len()).partition(|&i| set.annotated[i]);
        division.partial.iter().for_each(|&i| division.w[i] = 1.0);
    }
    if !method.use_unlabeled {
        division.unlabeled.clear();
    }
    Ok(division)
}

/// Sizes, purities and mean w of a division.
fn describe_division(training: &Training<'_, CoReg>, division: &Division) -> Vec<Figure> {
    let set = training.set;
    // What humans said is neither found out nor to be judged.
    let machines = |i: &usize| !set.human[*i];
    let purity = |samples: &[usize]| {
        share(samples.iter().copied().filter(machines).filter_map(|i| set.holds_truth(i)))
    };
    let all: Vec<usize> = (0..set.len()).collect();
    let w: Vec<f64> = all.iter().copied().filter(machines).map(|i| f64::from(division.w[i])).collect();
    let mean_w = (!w.is_empty()).then(|| w.iter().sum::<f64>() / w.len() as f64);
    vec![
        ("size_partial", Some(division.partial.len() as f64)),
        ("size_unlabeled", Some((set.len() - division.partial.len()) as f64)),
        ("mean_w", mean_w),
        ("purity", purity(&all)),
        ("purity_partial", purity(&division.partial)),
        ("purity_unlabeled", purity(&division.unlabeled)),
    ]
}
