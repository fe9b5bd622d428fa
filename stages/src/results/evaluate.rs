//! The student's test (method §10): argmax of the sum of both networks' logits, and each network alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{D, Tensor};
use candle_nn::ops::softmax;
use pipeline::error::{Error, OrFail, Result};
use pipeline::random;
use pipeline::stage::{Context, Resources, Stage};
use serde::{Deserialize, Serialize};

use crate::artifacts::annotation::Labels;
use crate::artifacts::evaluation::Evaluation;
use crate::artifacts::images::{Images, Split};
use crate::artifacts::training::{CoRegResult, Pair, State, WarmedUp};
use crate::learn::learner::logits;
use crate::learn::training_set::{Input, accuracy, argmax_rows, share};
use crate::network::Network;
use crate::runtime::device::Place;
use crate::vision::{Draw, Pixels, View};

/// How often the stage shows every test image to a network: two networks, before and after Co-Reg.
pub const PASSES: usize = 4;

/// Settings of the stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluate {
    /// How images become input.
    pub input: Input,
    /// Where it is computed; not part of the key.
    #[serde(skip)]
    pub place: Place,
}

impl Stage for Evaluate {
    type Inputs = (Images, Labels, WarmedUp, CoRegResult);
    type Output = Evaluation;
    const NAME: &'static str = "evaluate";
    const VERSION: u32 = 2;

    fn resources(&self) -> Resources {
        self.place.resources()
    }

    fn check(&self) -> Result<()> {
        self.input.views()?;
        self.place.device().map(drop)
    }

    fn run(
        &self,
        (images, labels, warm, trained): (Arc<Images>, Arc<Labels>, Arc<WarmedUp>, Arc<CoRegResult>),
        context: &Context,
    ) -> Result<Evaluation> {
        let index = &images.index;
        let rows = index.of(Split::Test);
        if rows.is_empty() {
            return Err(Error::new("there is no test image").help("see the `download` settings"));
        }
        let pixels = self.input.decode(&images, &rows, context)?;
        let classes = index.classes.len();
        let truth: Vec<Option<u32>> = rows.iter().map(|&row| index.labels[row].map(|l| l as u32)).collect();
        let single: Vec<Option<u32>> = rows.iter().map(|&row| labels.single[row].map(u32::from)).collect();

        let after = self.both(&trained.pair, &pixels, context)?;
        let before = self.both(&warm.pair, &pixels, context)?;
        let sum = |logits: &[Tensor; 2]| (&logits[0] + &logits[1]).or_fail(cannot);
        let (both, both_before) = (sum(&after)?, sum(&before)?);
        let predicted = |logits: &Tensor| -> Result<Vec<u32>> { Ok(argmax_rows(&values(logits)?, classes)) };
        let predictions = predicted(&both)?;
        let [one, two] = [predicted(&after[0])?, predicted(&after[1])?];
        let probs = values(&softmax(&both, D::Minus1).or_fail(cannot)?)?;

        let confidence = probs.chunks(classes).map(|row| f64::from(row.iter().copied().fold(0.0, f32::max)));
        let agreement = share(one.iter().zip(&two).map(|(a, b)| a == b));
        let state = trained.pair.states[0].iter();
        let parameters = state.filter(|(name, _)| !name.contains("running_")).map(|(_, t)| t.elem_count());
        let metrics = [
            ("accuracy", accuracy(predictions.iter().copied(), &truth)),
            ("accuracy_network1", accuracy(one.iter().copied(), &truth)),
            ("accuracy_network2", accuracy(two.iter().copied(), &truth)),
            ("accuracy_after_warm_up", accuracy(predicted(&both_before)?, &truth)),
            ("macro_f1", macro_f1(&predictions, &truth, classes)),
            ("agreement", agreement),
            ("agreement_with_annotation", accuracy(predictions.iter().copied(), &single)),
            ("mean_confidence", Some(confidence.sum::<f64>() / rows.len() as f64)),
            ("images", Some(rows.len() as f64)),
            ("parameters", Some(parameters.sum::<usize>() as f64)),
        ];
        let metrics = metrics.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let mut cells: BTreeMap<(u32, u32), u64> = BTreeMap::new();
        for (truth, &given) in truth.iter().zip(&predictions) {
            if let Some(truth) = *truth {
                *cells.entry((truth, given)).or_default() += 1;
            }
        }
        let name = |class: u32| index.classes[class as usize].clone();
        Ok(Evaluation {
            ids: rows.iter().map(|&row| index.ids[row].clone()).collect(),
            labels: rows.iter().map(|&row| index.labels[row]).collect(),
            predictions: predictions.iter().map(|&p| p as u16).collect(),
            probs,
            class_count: classes,
            metrics: metrics.collect(),
            confusion: cells.into_iter().map(|((t, p), n)| (name(t), name(p), n)).collect(),
        })
    }
}

impl Evaluate {
    /// Logits of both networks for all of `pixels`: two tensors (N, C).
    fn both(&self, pair: &Pair, pixels: &Pixels, context: &Context) -> Result<[Tensor; 2]> {
        let (device, views) = (self.place.device()?, self.input.views()?);
        let draw = |step| Draw::new(0, "evaluate: plain views draw nothing", 0, step);
        let one = |state: &State| {
            let mut rng = random::stream(0, "evaluate: overwritten by the stored weights");
            let network = Network::new(&pair.architecture, &mut rng, &device).or_fail(cannot)?;
            network.load_state(&state.clone().into_iter().collect())?;
            logits(&network, pixels, &views, View::Plain, draw, context)
        };
        Ok([one(&pair.states[0])?, one(&pair.states[1])?])
    }
}

fn cannot() -> Error {
    Error::new("cannot compute the predictions")
}

fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all().and_then(|t| t.to_vec1()).or_fail(cannot)
}

/// Mean over classes of the F1 score, as scikit-learn's `f1_score(average="macro")` over the classes that
/// occur in truth or prediction; none without truth.
pub fn macro_f1(predictions: &[u32], truth: &[Option<u32>], classes: usize) -> Option<f64> {
    let known: Vec<(u32, u32)> =
        predictions.iter().zip(truth).filter_map(|(&p, truth)| Some((p, (*truth)?))).collect();
    let scores = (0..classes as u32).filter_map(|class| {
        let hits = known.iter().filter(|&&(p, t)| p == class && t == class).count();
        let given = known.iter().filter(|&&(p, _)| p == class).count();
        let there = known.iter().filter(|&&(_, t)| t == class).count();
        (given + there > 0).then(|| 2.0 * hits as f64 / (given + there) as f64)
    });
    let scores: Vec<f64> = scores.collect();
    (!known.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macro_f1_is_scikit_learns() {
        // sklearn.metrics.f1_score([0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1], average="macro") == 0.26666…
        let truth = [0, 1, 2, 0, 1, 2].map(Some);
        let score = macro_f1(&[0, 2, 1, 0, 0, 1], &truth, 3);
        assert!((score.unwrap_or(0.0) - 0.266_666_666_666_666_7).abs() < 1e-12);
        assert_eq!(macro_f1(&[0], &[None], 3), None);
    }
}
