//! IRNet (docs/methods.md; Lian et al. 2022, "IRNet: Iterative Refinement Network for Noisy Partial Label Learning"):
//! PiCO whose candidate sets are corrected for good. A class joins a sample's candidates where two views agree that its
//! prototype is nearer than those of all candidates.

use candle_core::{D, DType, Result as Computed, Tensor};
use candle_nn::ops::{log_softmax, softmax};
use pipeline::error::{Error, OrFail, Result};
use pipeline::graph::Handle;
use pipeline::stage::Context;
use serde::{Deserialize, Serialize};
use toml::Table;

use super::alim::momentum_from_the_start;
use super::pico_state::{PicoState, best_candidate, one_hot, own_rates};
use super::{Wire, Wired, counts};
use crate::artifacts::annotation::Labels;
use crate::artifacts::images::Images;
use crate::artifacts::training::SampleLabels;
use crate::dataset::catalog::Schedule;
use crate::learn::bounds::Bounds;
use crate::learn::confidence::Confidence;
use crate::learn::losses::{cross_entropy, prototype_logits};
use crate::learn::method::{Figure, Method, State, Step};
use crate::learn::metrics::share;
use crate::learn::optimizer::Optimizer;
use crate::learn::step_losses::StepLosses;
use crate::learn::train::Training;
use crate::learn::training_set::TrainingSet;
use crate::learn::viewed_batches::{ViewedBatches, check_batch, on_device};
use crate::network::Pass;
use crate::runtime::checkpoint::{Tensors, join, part};
use crate::vision::View;

/// Most classes of a set that the authors' constants for CIFAR-10 are for; with more, those for CIFAR-100 are.
const FEW_CLASSES: usize = 10;

/// IRNet with its constants. \[I\] comes from the authors' implementation; see docs/methods.md.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IrNet {
    /// Epochs, over which the learning rate follows the whole cosine.
    pub epochs: usize,
    /// Images a step.
    pub batch: usize,
    /// Learning rate of epoch 0 \[I\].
    pub learning_rate: f64,
    /// Weight decay \[I\].
    pub weight_decay: f64,
    /// e_c: epochs before candidate sets are corrected.
    pub correct_after: usize,
    /// τ: how much higher a class must score than all candidates. 0 for .1/C of up to ten classes and .2/C of more,
    /// which are usual values of the authors for CIFAR-10 and CIFAR-100 \[I\].
    pub margin: f64,
    /// The loss of a prediction against its target.
    pub loss: Loss,
    /// Weight of the cross-entropy in the symmetric loss \[I\].
    pub weight_forward: f64,
    /// Weight of the reverse cross-entropy in it \[I\].
    pub weight_reverse: f64,
    /// Weight of the contrastive term \[I\].
    pub lambda_contrast: f64,
    /// Temperature of the contrastive term \[I\].
    pub contrast_temperature: f64,
    /// Keys that the queue holds \[I\].
    pub queue: usize,
    /// What the key network keeps of itself in a step \[I\].
    pub key_momentum: f64,
    /// γ, what a prototype keeps of itself for each sample of its class \[I\].
    pub prototype_momentum: f64,
}

/// The loss of a prediction against its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// The symmetric one of up to ten classes, cross-entropy of more: the authors' for CIFAR-10 and CIFAR-100 \[I\].
    Auto,
    /// Symmetric cross-entropy (Wang et al. 2019).
    Symmetric,
    /// Cross-entropy.
    CrossEntropy,
}

impl Default for IrNet {
    fn default() -> Self {
        Self {
            epochs: 100,
            batch: 256,
            learning_rate: 0.01,
            weight_decay: 1e-3,
            correct_after: 40,
            margin: 0.0,
            loss: Loss::Auto,
            weight_forward: 6.0,
            weight_reverse: 1.0,
            lambda_contrast: 0.5,
            contrast_temperature: 0.07,
            queue: 8192,
            key_momentum: 0.999,
            prototype_momentum: 0.99,
        }
    }
}

impl IrNet {
    /// τ for so many classes.
    fn margin_of(&self, classes: usize) -> f64 {
        let share = if classes <= FEW_CLASSES { 0.1 } else { 0.2 };
        if self.margin > 0.0 { self.margin } else { share / classes.max(1) as f64 }
    }

    /// Whether the loss is the symmetric one for so many classes.
    fn is_symmetric(&self, classes: usize) -> bool {
        match self.loss {
            Loss::Auto => classes <= FEW_CLASSES,
            Loss::Symmetric => true,
            Loss::CrossEntropy => false,
        }
    }

    /// Whether candidate sets are corrected in this epoch, which counts from 0.
    fn corrects(&self, epoch: usize) -> bool {
        epoch >= self.correct_after
    }
}

/// What IRNet carries from one epoch to the next.
pub struct IrNetState {
    pico: PicoState,
    /// Y (N, C) of zeros and ones: the candidates with all that joined them.
    candidates: Confidence,
}

impl Method for IrNet {
    const NAME: &'static str = "ir-net";
    const TITLE: &'static str = "IRNet";
    const VERSION: u32 = 1;
    const NETWORKS: &'static [&'static str] = &["network"];
    const FIGURES: &'static [&'static str] = &[
        "loss_targets",
        "loss_contrastive",
        "size_corrected",
        "correction_accuracy",
        "pseudo_label_accuracy",
    ];
    const TOLD: &'static [(&'static str, &'static str)] = &[
        ("size_corrected", "corrected"),
        ("correction_accuracy", "of them rightly"),
        ("pseudo_label_accuracy", "pseudo-labels right"),
    ];

    type Inputs = (Images, Labels);
    type State = IrNetState;
    type Lesson<'a> = ViewedBatches<'a>;

    fn check(&self) -> Result<()> {
        check_batch(Self::NAME, self.batch)?;
        let bounds = Bounds(Self::NAME);
        bounds.weight("learning_rate", self.learning_rate)?;
        bounds.weight("weight_decay", self.weight_decay)?;
        bounds.share("margin", self.margin)?;
        bounds.weight("weight_forward", self.weight_forward)?;
        bounds.weight("weight_reverse", self.weight_reverse)?;
        bounds.weight("lambda_contrast", self.lambda_contrast)?;
        bounds.positive("contrast_temperature", self.contrast_temperature)?;
        bounds.queue(self.queue)?;
        bounds.share("key_momentum", self.key_momentum)?;
        bounds.share("prototype_momentum", self.prototype_momentum)
    }

    fn epochs(&self) -> usize {
        self.epochs
    }

    fn optimizer(&self, shared: &Optimizer) -> Optimizer {
        own_rates(shared, self.epochs, self.learning_rate, self.weight_decay)
    }

    fn start(&self, training: &Training<'_, Self, ()>) -> Result<IrNetState> {
        let (set, device) = (training.set, &training.device);
        let candidates = set.candidates.iter().map(|&y| f32::from(y)).collect();
        let candidates = Confidence::from_rows(candidates, set.classes, device)
            .or_fail(|| Error::new("cannot put the candidates on the device"))?;
        Ok(IrNetState { pico: PicoState::new(training, self.queue)?, candidates })
    }

    fn lesson<'a>(training: &mut Training<'a, Self>, network: usize) -> Result<ViewedBatches<'a>> {
        let method = &training.stage.method;
        // The second weak view is for corrections alone.
        let kinds = [View::Weak, View::Strong, View::Weak];
        let kinds = if method.corrects(training.epoch) { &kinds[..] } else { &kinds[..2] };
        let annotated = training.set.annotated_samples();
        Ok(ViewedBatches::new(training, network, &annotated, method.batch, kinds))
    }

    fn step(
        training: &mut Training<'_, Self>,
        lesson: &ViewedBatches<'_>,
        step: Step,
        views: Vec<Tensor>,
    ) -> Computed<StepLosses> {
        let views = on_device(&views, &training.device)?; // (B, H, W, channels) each
        learn(training, step, lesson.samples(step.number), &views)
    }

    fn figures(training: &mut Training<'_, Self>, _: &ViewedBatches<'_>, _: usize) -> Result<Vec<Figure>> {
        let (state, set) = (&training.state, training.set);
        let now = state.candidates.to_vec();
        let now = now.or_fail(|| Error::new("cannot read the candidates from the device"))?;
        let [count, right] = corrections(&now, set);
        Ok(vec![
            ("size_corrected", count),
            ("correction_accuracy", right),
            ("pseudo_label_accuracy", state.pico.confidence.accuracy(set)?),
        ])
    }

    fn sample_labels(training: &Training<'_, Self>, _: &Context) -> Result<Option<SampleLabels>> {
        training.state.pico.confidence.sample_labels(training.set).map(Some)
    }
}

/// One step on these samples: `views` are a weak and a strong one and, where candidate sets are corrected, a second
/// weak one.
fn learn(
    training: &mut Training<'_, IrNet>,
    step: Step,
    samples: &[usize],
    views: &[Tensor],
) -> Computed<StepLosses> {
    let [weak, strong, rest @ ..] = views else { candle_core::bail!("{} views, not 2 or 3", views.len()) };
    let (method, set) = (&training.stage.method, training.set);
    let (learner, state) = (&mut training.learners[step.network], &mut training.state);
    let candidates = state.candidates.rows(samples)?; // (B, C), as corrected so far
    let pico = &mut state.pico;
    let seen = pico.look(&learner.network, method.key_momentum, candidates, weak, strong)?;
    let mut both = None;
    if let Some(again) = rest.first() {
        let features = learner.network.forward(again, Pass::TrainNoGrad)?.features;
        let z = learner.network.project(&features, Pass::TrainNoGrad)?;
        // By the prototypes before they move, as the first view.
        let second = prototype_logits(&z, &pico.prototypes.0, 1.0)?.detach();
        // s of both views, (B, C).
        both = Some([softmax(&seen.scores, D::Minus1)?, softmax(&second, D::Minus1)?]);
    }
    let labels = best_candidate(&seen.logits, &seen.candidates)?; // argmax_j Y_ij f_j, (B)
    pico.prototypes.update(&seen.queries.detach(), &labels, method.prototype_momentum)?;
    pico.move_targets(samples, &seen, momentum_from_the_start(training.epoch, method.epochs))?;

    let mut losses = StepLosses::default();
    let targets = pico.confidence.rows(samples)?; // (B, C)
    let of_targets = if method.is_symmetric(set.classes) {
        let weights = [method.weight_forward, method.weight_reverse];
        symmetric_cross_entropy(&seen.logits, &targets, weights)?
    } else {
        cross_entropy(&seen.logits, &targets)?
    };
    losses.add("loss_targets", 1.0, of_targets)?;
    let contrast = pico.contrast_labels(seen.queries, seen.keys, &labels, method.contrast_temperature)?;
    losses.add("loss_contrastive", method.lambda_contrast, contrast)?;
    learner.step(losses.total()?, step.rate)?;

    if let Some(both) = both {
        let human: Vec<bool> = samples.iter().map(|&i| set.human[i]).collect();
        let joining = joining(&both, &seen.candidates, method.margin_of(set.classes), &human)?;
        state.candidates.replace(samples, &(&seen.candidates + &joining)?)?;
        // What was no candidate had no share.
        let rows = (targets + (&joining * &both[0])?)?;
        pico.confidence.replace(samples, &rows.broadcast_div(&rows.sum_keepdim(D::Minus1)?)?)?;
    }
    Ok(losses)
}

/// The class that joins each sample's candidates Y (B, C), as rows of zeros and at most one 1: (B, C).
///
/// It is j* where for both views' scores s (B, C) max_{j∉Y} s_j > max_{j∈Y} s_j + τ with τ = `margin`, j* has the
/// former in both, and no `human` (B) labelled the sample.
fn joining(both: &[Tensor; 2], candidates: &Tensor, margin: f64, human: &[bool]) -> Computed<Tensor> {
    let others = candidates.affine(-1.0, 1.0)?;
    // Which samples' largest score is beyond the candidates, (B) of zeros and ones, and where it is, (B).
    let beyond = |scores: &Tensor| -> Computed<(Tensor, Tensor)> {
        let (inside, outside) = ((scores * candidates)?, (scores * &others)?);
        let most = (inside.max(D::Minus1)? + margin)?;
        Ok((outside.max(D::Minus1)?.gt(&most)?.to_dtype(DType::F32)?, outside.argmax(D::Minus1)?))
    };
    let ((first, class), (second, same)) = (beyond(&both[0])?, beyond(&both[1])?);
    let agreed = ((first * second)? * class.eq(&same)?.to_dtype(DType::F32)?)?;
    let open: Vec<f32> = human.iter().map(|&human| f32::from(u8::from(!human))).collect();
    let agreed = (agreed * Tensor::from_vec(open, human.len(), candidates.device())?)?;
    one_hot(&class, candidates.dim(D::Minus1)?)?.broadcast_mul(&agreed.unsqueeze(1)?)
}

/// Symmetric cross-entropy of logits (B, C) to soft targets (B, C) (Wang et al. 2019, "Symmetric Cross Entropy for
/// Robust Learning with Noisy Labels"): a CE(p, f) + b CE(f, p) with weights \[a, b\], p at least 1e-4 and f at least
/// 1e-7 \[I\].
fn symmetric_cross_entropy(
    logits: &Tensor,
    targets: &Tensor,
    [forward, reverse]: [f64; 2],
) -> Computed<Tensor> {
    let log_probs = log_softmax(logits, D::Minus1)?.maximum(1e-7f64.ln())?;
    let targets = targets.maximum(1e-4f64)?;
    let of_targets = (&log_probs * &targets)?.sum(D::Minus1)?.mean_all()?;
    let of_probs = (log_probs.exp()? * targets.log()?)?.sum(D::Minus1)?.mean_all()?;
    (of_targets * -forward)? + (of_probs * -reverse)?
}

/// How many samples' candidates are more `now` (N · C) than they were at first, and the share of these that a true
/// class joined, where it is known.
fn corrections(now: &[f32], set: &TrainingSet) -> [Option<f64>; 2] {
    let joined =
        |i: usize, class: usize| now[i * set.classes + class] > 0.5 && set.candidate_row(i)[class] == 0;
    let corrected = (0..set.len()).filter(|&i| (0..set.classes).any(|class| joined(i, class)));
    let corrected: Vec<usize> = corrected.collect();
    let right = corrected.iter().filter_map(|&i| Some(joined(i, set.truth[i]? as usize)));
    [Some(corrected.len() as f64), share(right)]
}

/// Names of the parts in the checkpoint.
const PICO: &str = "pico";
const CANDIDATES: &str = "candidates";

impl State for IrNetState {
    fn tensors(&self) -> Result<Tensors> {
        Ok(join(vec![(PICO, self.pico.tensors()?), (CANDIDATES, self.candidates.tensors()?)]))
    }

    fn restore(&mut self, tensors: &Tensors) -> Result<()> {
        self.pico.restore(&part(tensors, PICO))?;
        self.candidates.restore(&part(tensors, CANDIDATES))
    }
}

impl Wired for IrNet {
    const QUICK: &'static str = include_str!("../../../data/profiles/quick/ir-net.toml");
    const OWN_EPOCHS: Option<usize> = Some(1000);

    /// Corrections begin after .4 of the epochs: the authors' rule looks at the test accuracy.
    fn scheduled(schedule: &Schedule) -> Table {
        counts(&[("epochs", schedule.total), ("correct_after", 2 * schedule.total / 5)])
    }

    fn inputs(&self, wire: &mut Wire) -> Result<(Handle<Images>, Handle<Labels>)> {
        Ok((wire.images, wire.labels))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use candle_core::Device;

    use super::*;
    use crate::methods::golden_tests::Steps;
    use crate::methods::pico_state::tests::{begin, kept};
    use crate::vision::Pixels;

    /// Two steps in this epoch, counted from 0; `views` are two or three.
    fn steps_are_pytorchs(
        (golden, name): (&str, &str),
        (method, epoch, views): (IrNet, usize, usize),
        kept: impl Fn(&Training<'_, IrNet>) -> Vec<f32>,
    ) {
        let method = IrNet { epochs: 4, queue: 24, key_momentum: 0.8, prototype_momentum: 0.9, ..method };
        let weight_decay = method.weight_decay;
        let prepare = |training: &mut Training<'_, IrNet>| {
            training.epoch = epoch;
            begin(&training.learners[0].network, &mut training.state.pico);
        };
        Steps { golden, name, method, weight_decay, views }.are_pytorchs(prepare, learn, kept);
    }

    #[test]
    fn whole_steps_with_corrections_are_pytorchs() {
        let golden = (include_str!("golden/ir_net.json"), "corrects");
        let method = IrNet { margin: 0.02, weight_forward: 1.5, weight_reverse: 0.5, ..IrNet::default() };
        steps_are_pytorchs(golden, (method, 3, 3), |training| {
            [kept(&training.state.pico), training.state.candidates.to_vec().unwrap()].concat()
        });
    }

    #[test]
    fn before_corrections_and_with_the_plain_loss_it_is_pico() {
        let method = IrNet { loss: Loss::CrossEntropy, ..IrNet::default() };
        // One epoch before PiCO's, whose targets keep as much then.
        let golden = (include_str!("golden/pico.json"), "pico");
        steps_are_pytorchs(golden, (method, 2, 2), |training| kept(&training.state.pico));
    }

    fn tensor<const N: usize>(rows: [[f32; 3]; N]) -> Tensor {
        Tensor::new(&rows, &Device::Cpu).unwrap()
    }

    #[test]
    fn a_class_joins_where_both_views_agree_beyond_the_margin() {
        let both = [
            tensor([[0.2, 0.3, 0.5], [0.2, 0.3, 0.5], [0.2, 0.39, 0.41], [0.2, 0.3, 0.5], [0.2, 0.3, 0.5]]),
            tensor([[0.2, 0.2, 0.6], [0.2, 0.5, 0.3], [0.2, 0.2, 0.6], [0.2, 0.49, 0.51], [0.2, 0.2, 0.6]]),
        ];
        let candidates = tensor([[0., 1., 0.], [1., 0., 0.], [0., 1., 0.], [0., 1., 0.], [0., 1., 0.]]);
        let human = [false, false, false, false, true];
        let joining = joining(&both, &candidates, 0.05, &human).unwrap().to_vec2::<f32>().unwrap();
        // The others: another class, one view within the margin, the other one, a human's label.
        let none = [0.0; 3];
        assert_eq!(joining, [[0.0, 0.0, 1.0], none, none, none, none]);
    }

    #[test]
    fn nothing_joins_where_every_class_is_a_candidate() {
        let scores = tensor([[0.2, 0.3, 0.5]]);
        let all = tensor([[1.0; 3]]);
        let joining = joining(&[scores.clone(), scores], &all, 0.0, &[false]).unwrap();
        assert_eq!(joining.to_vec2::<f32>().unwrap(), [[0.0; 3]]);
    }

    #[test]
    fn corrections_are_counted_and_compared_with_the_truth() {
        let none = || Pixels::new(16, 3, Vec::new()).unwrap();
        let set = TrainingSet {
            ids: (0..4).map(|i| i.to_string()).collect(),
            train: none(),
            test: none(),
            candidates: [1, 0, 0].repeat(4),
            weights: [1.0, 0.0, 0.0].repeat(4),
            annotated: vec![true; 4],
            single: vec![Some(0); 4],
            human: vec![false; 4],
            soft_labels: None,
            classes: 3,
            truth: vec![Some(0), Some(1), Some(1), None],
            test_weights: Vec::new(),
            test_annotated: Vec::new(),
            test_truth: Vec::new(),
        };
        let now = [[1f32, 0., 0.], [1., 1., 0.], [1., 0., 1.], [1., 1., 0.]].concat();
        assert_eq!(corrections(&now, &set), [Some(3.0), Some(0.5)]);
        assert_eq!(corrections(&[1f32, 0., 0.].repeat(4), &set), [Some(0.0), None]);
    }

    #[test]
    fn margin_and_loss_follow_from_the_number_of_classes() {
        let method = IrNet::default();
        let margins = [10, 100].map(|classes| method.margin_of(classes));
        assert!((margins[0] - 0.010).abs() < 1e-12 && (margins[1] - 0.002).abs() < 1e-12, "{margins:?}");
        assert_eq!(IrNet { margin: 0.3, ..IrNet::default() }.margin_of(10), 0.3);
        assert_eq!([10, 11].map(|classes| method.is_symmetric(classes)), [true, false]);
        assert!(IrNet { loss: Loss::Symmetric, ..IrNet::default() }.is_symmetric(100));
        assert!(!IrNet { loss: Loss::CrossEntropy, ..IrNet::default() }.is_symmetric(10));
    }

    #[test]
    fn corrections_begin_after_two_fifths_of_the_epochs() {
        let after = |total| IrNet::scheduled(&Schedule { warm_up: 1, total })["correct_after"].as_integer();
        assert_eq!([1000, 30, 3].map(after), [Some(400), Some(12), Some(1)]);
        let method = IrNet { correct_after: 12, ..IrNet::default() };
        assert_eq!([0, 11, 12].map(|epoch| method.corrects(epoch)), [false, false, true]);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let told = |method: IrNet| method.check().unwrap_err().to_string();
        assert!(told(IrNet { batch: 1, ..IrNet::default() }).contains("ir-net.batch = 1"));
        assert!(told(IrNet { margin: -0.1, ..IrNet::default() }).contains("ir-net.margin = -0.1"));
        assert!(told(IrNet { weight_reverse: -1.0, ..IrNet::default() }).contains("ir-net.weight_reverse"));
        let mut table = Table::try_from(IrNet::default()).unwrap();
        table.insert("loss".to_owned(), "cross-entropy".into());
        let expected = IrNet { loss: Loss::CrossEntropy, ..IrNet::default() };
        assert_eq!(table.try_into::<IrNet>().unwrap(), expected);
        assert!(IrNet::default().check().is_ok());
    }
}
