//! The confidence matrix: a distribution over classes for every training sample, kept from epoch to epoch on the device.

use candle_core::{D, Device, Result, Tensor};
use pipeline::error::{Error, OrFail};

use super::method::{State, restore_tensor};
use super::metrics::{accuracy, argmax_rows};
use super::training_set::TrainingSet;
use crate::artifacts::training::SampleLabels;
use crate::runtime::checkpoint::Tensors;

/// P (N, C): how much each class is believed to be the true one of each sample; rows sum to one.
pub struct Confidence(Tensor);

impl Confidence {
    /// The uniform start: P_ij = Y_ij / Σ_k Y_ik.
    ///
    /// # Errors
    /// The device runs out of memory.
    pub fn uniform(set: &TrainingSet, device: &Device) -> Result<Self> {
        let all: Vec<usize> = (0..set.len()).collect();
        let masks = set.candidate_masks(&all, device)?;
        Ok(Self(masks.broadcast_div(&masks.sum_keepdim(D::Minus1)?)?))
    }

    /// Rows (N, C) that are given, one after the other.
    ///
    /// # Errors
    /// Another number of values than rows of `classes` have, or no room on the device.
    pub fn from_rows(rows: Vec<f32>, classes: usize, device: &Device) -> Result<Self> {
        let count = rows.len() / classes.max(1);
        Ok(Self(Tensor::from_vec(rows, (count, classes), device)?))
    }

    /// P_i ← φ P_i + (1 − φ) t_i with φ = `keep` and t = `targets` (B, C), for these samples. Of one that occurs
    /// twice, the later row stays.
    ///
    /// # Errors
    /// Shapes, types or devices that do not fit.
    pub fn blend(&mut self, samples: &[usize], targets: &Tensor, keep: f64) -> Result<()> {
        let rows = ((self.rows(samples)? * keep)? + (targets * (1.0 - keep))?)?;
        self.replace(samples, &rows)
    }

    /// The rows of these samples: (B, C).
    ///
    /// # Errors
    /// A sample beyond the set.
    pub fn rows(&self, samples: &[usize]) -> Result<Tensor> {
        self.0.index_select(&self.indices(samples)?, 0)
    }

    /// Puts `rows` (B, C) in the place of the rows of these samples; of a sample that occurs twice the later row stays.
    ///
    /// # Errors
    /// Shapes, types or devices that do not fit.
    pub fn replace(&mut self, samples: &[usize], rows: &Tensor) -> Result<()> {
        let indices = self.indices(samples)?.unsqueeze(1)?.broadcast_as(rows.shape())?.contiguous()?;
        self.0.scatter_set(&indices, &rows.detach().contiguous()?, 0)
    }

    /// All rows, one after the other: (N · C).
    ///
    /// # Errors
    /// The matrix cannot be copied from the device.
    pub fn to_vec(&self) -> Result<Vec<f32>> {
        self.0.flatten_all()?.to_vec1()
    }

    /// Share of the largest classes that are right, of the annotated samples of `set` whose truth is known and that no human
    /// labelled.
    ///
    /// # Errors
    /// The matrix cannot be copied from the device.
    pub fn accuracy(&self, set: &TrainingSet) -> pipeline::error::Result<Option<f64>> {
        let labels = largest_classes(&self.read()?, set);
        let counts = |i: usize| set.annotated[i] && !set.human[i];
        let truth: Vec<Option<u32>> = (0..set.len()).map(|i| set.truth[i].filter(|_| counts(i))).collect();
        Ok(accuracy(labels, &truth))
    }

    /// The class that each annotated sample of `set` has most of, and how much. Of the others no row says anything.
    ///
    /// # Errors
    /// The matrix cannot be copied from the device.
    pub fn sample_labels(&self, set: &TrainingSet) -> pipeline::error::Result<SampleLabels> {
        self.sample_labels_of(set, &set.annotated_samples())
    }

    /// The same of these samples.
    ///
    /// # Errors
    /// The matrix cannot be copied from the device.
    pub fn sample_labels_of(
        &self,
        set: &TrainingSet,
        samples: &[usize],
    ) -> pipeline::error::Result<SampleLabels> {
        let rows = self.read()?;
        let labels = largest_classes(&rows, set);
        Ok(SampleLabels {
            ids: samples.iter().map(|&i| set.ids[i].clone()).collect(),
            confidence: samples.iter().map(|&i| rows[i * set.classes + labels[i] as usize]).collect(),
            labels: samples.iter().map(|&i| labels[i] as u16).collect(),
            division: None,
        })
    }

    fn read(&self) -> pipeline::error::Result<Vec<f32>> {
        self.to_vec().or_fail(|| Error::new("cannot read the confidence matrix from the device"))
    }

    fn indices(&self, samples: &[usize]) -> Result<Tensor> {
        let indices: Vec<u32> = samples.iter().map(|&i| i as u32).collect();
        Tensor::from_vec(indices, samples.len(), self.0.device())
    }
}

/// The largest class of every row of (N · C); of equals the one that the annotators believe most.
fn largest_classes(rows: &[f32], set: &TrainingSet) -> Vec<u32> {
    let told: Vec<f32> = rows.iter().zip(&set.weights).map(|(row, weight)| row + 1e-6 * weight).collect();
    argmax_rows(&told, set.classes)
}

const NAME: &str = "confidence";

impl State for Confidence {
    fn tensors(&self) -> pipeline::error::Result<Tensors> {
        let copy = self.0.to_device(&Device::Cpu).and_then(|tensor| tensor.copy());
        let copy = copy.or_fail(|| Error::new("cannot copy the confidence matrix"))?;
        Ok(Tensors::from([(NAME.to_owned(), copy)]))
    }

    fn restore(&mut self, tensors: &Tensors) -> pipeline::error::Result<()> {
        restore_tensor(tensors, NAME, &mut self.0)
    }
}
