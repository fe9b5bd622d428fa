//! The student's test (method §10): argmax of the sum of its networks' logits, and each network alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{D, Tensor};
use candle_nn::ops::softmax;
use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::{Context, Machine, Resources, Stage};
use serde::{Deserialize, Serialize};

use super::student::{StudentAtWork, sum};
use crate::artifacts::evaluation::Evaluation;
use crate::artifacts::images::{Images, Split};
use crate::artifacts::training::Trained;
use crate::learn::metrics::{accuracy, argmax_rows, macro_f1, macro_recall, share};
use crate::learn::training_set::decode;
use crate::runtime::device::Place;

/// The stage. All that it needs of a student is the student's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluate {}

impl Stage for Evaluate {
    type Inputs = (Images, Trained);
    type Output = Evaluation;
    const NAME: &'static str = "evaluate";
    // 4: macro recall.
    const VERSION: u32 = 4;

    fn resources(&self, machine: &Machine) -> Resources {
        Place::of(machine).resources()
    }

    fn check(&self, machine: &Machine) -> Result<()> {
        Place::of(machine).device().map(drop)
    }

    fn run(&self, (images, trained): (Arc<Images>, Arc<Trained>), context: &Context) -> Result<Evaluation> {
        let (index, student) = (&images.index, &trained.student);
        let rows = index.of(Split::Test);
        if rows.is_empty() {
            return Err(Error::new("there is no test image").help("see the `download` settings"));
        }
        if student.classes != index.classes {
            return Err(Error::new("the student's classes are not those of the images"));
        }
        let pixels = decode(&images, &rows, (student.input.size, student.input.channels), context)?;
        let classes = index.classes.len();
        let truth: Vec<Option<u32>> = rows.iter().map(|&row| index.labels[row].map(|l| l as u32)).collect();

        let device = Place::of(context.machine()).device()?;
        let logits = StudentAtWork::new(student, &device)?.logits(&pixels, context)?;
        let together = sum(&logits)?;
        let predicted = |logits: &Tensor| -> Result<Vec<u32>> { Ok(argmax_rows(&values(logits)?, classes)) };
        let predictions = predicted(&together)?;
        let alone = logits.iter().map(predicted).collect::<Result<Vec<_>>>()?;
        let probs = values(&softmax(&together, D::Minus1).or_fail(cannot)?)?;

        let mut metrics = vec![("accuracy".to_owned(), accuracy(predictions.iter().copied(), &truth))];
        let mut add = |name: &str, value| metrics.push((name.to_owned(), value));
        if let [one, two] = &alone[..] {
            add("accuracy_network1", accuracy(one.iter().copied(), &truth));
            add("accuracy_network2", accuracy(two.iter().copied(), &truth));
        }
        add("macro_recall", macro_recall(&predictions, &truth, classes));
        add("macro_f1", macro_f1(&predictions, &truth, classes));
        if let [one, two] = &alone[..] {
            add("agreement", share(one.iter().zip(two).map(|(a, b)| a == b)));
        }
        let confidence = probs.chunks(classes).map(|row| f64::from(row.iter().copied().fold(0.0, f32::max)));
        add("mean_confidence", Some(confidence.sum::<f64>() / rows.len() as f64));
        add("images", Some(rows.len() as f64));
        add("parameters", Some(student.parameters() as f64));

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
            metrics: metrics.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
            confusion: cells.into_iter().map(|((t, p), n)| (name(t), name(p), n)).collect(),
        })
    }
}

fn cannot() -> Error {
    Error::new("cannot compute the predictions")
}

fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all().and_then(|t| t.to_vec1()).or_fail(cannot)
}
