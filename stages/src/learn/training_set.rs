//! What both training stages read: pixels of both splits in memory, candidate masks, and the truth for
//! measuring only.
//!
//! It knows nothing of networks or losses.

use candle_core::{Device, Tensor};
use pipeline::error::{Error, Result};
use pipeline::stage::Context;
use serde::{Deserialize, Serialize};

use crate::artifacts::annotation::Labels;
use crate::artifacts::images::{Images, Split};
use crate::vision::{Pixels, Views};

/// How images become network input (method §3); given by the data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Side of the square input in pixels.
    pub size: usize,
    /// 3 for colour, 1 for grey.
    pub channels: usize,
    /// Mean of each channel, of values in [0, 1].
    pub mean: Vec<f32>,
    /// Standard deviation of each channel.
    pub std: Vec<f32>,
    /// Whether views may be mirrored.
    pub flip: bool,
    /// Whether strong views differ from weak ones (not for the grey sets).
    pub strong: bool,
}

impl Input {
    /// The views that this input asks for.
    ///
    /// # Errors
    /// Means or deviations that do not fit the channels.
    pub fn views(&self) -> Result<Views> {
        Views::new(self.channels, &self.mean, &self.std, self.flip, self.strong)
    }

    /// Decodes the images of one split.
    ///
    /// # Errors
    /// An image that does not decode, by its id.
    pub fn decode(&self, images: &Images, rows: &[usize], context: &Context) -> Result<Pixels> {
        let encoded = images.encoded()?;
        Pixels::decode(
            rows.len(),
            |i| encoded.get(rows[i]),
            |i| format!("image `{}`", images.index.ids[rows[i]]),
            (self.size, self.channels),
            context.progress(),
            || context.safe_point(),
        )
    }
}

/// The images of a data set with their candidate labels.
pub struct TrainingSet {
    /// Ids of the training images.
    pub ids: Vec<String>,
    /// Pixels of the N training images.
    pub train: Pixels,
    /// Pixels of the test images.
    pub test: Pixels,
    /// 1 for each candidate, row after row: (N, C).
    pub candidates: Vec<u8>,
    /// Whether anybody annotated the image; where nobody did every class is a candidate.
    pub annotated: Vec<bool>,
    /// Number of classes, C.
    pub classes: usize,
    /// The training images' true classes, where known; for measuring only.
    pub truth: Vec<Option<u32>>,
    /// The test images' true classes, where known.
    pub test_truth: Vec<Option<u32>>,
}

impl TrainingSet {
    /// Decodes `images` and joins them with their `labels`.
    ///
    /// # Errors
    /// Tables that name different images, an image that does not decode, too many classes, no image.
    pub fn new(images: &Images, labels: &Labels, input: &Input, context: &Context) -> Result<Self> {
        images.index.check_same_ids(&labels.ids, "labels")?;
        let (train, test) = (images.index.of(Split::Train), images.index.of(Split::Test));
        if train.is_empty() {
            return Err(Error::new("there is no training image").help("see the `download` settings"));
        }
        let classes = labels.names.classes.len();
        let mut candidates = vec![0u8; train.len() * classes];
        for (row, mask) in train.iter().zip(candidates.chunks_mut(classes)) {
            for &class in &labels.candidates[*row] {
                let cell = mask.get_mut(usize::from(class));
                *cell.ok_or_else(|| {
                    Error::new(format!("candidate {class} where there are {classes} classes"))
                })? = 1;
            }
        }
        let truth = |rows: &[usize]| rows.iter().map(|&row| labels.truth[row].map(|l| l as u32)).collect();
        Ok(Self {
            ids: train.iter().map(|&row| images.index.ids[row].clone()).collect(),
            candidates,
            annotated: train.iter().map(|&row| labels.single[row].is_some()).collect(),
            classes,
            truth: truth(&train),
            test_truth: truth(&test),
            train: input.decode(images, &train, context)?,
            test: input.decode(images, &test, context)?,
        })
    }

    /// Number of training images, N.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The candidates of all samples, and whether anybody annotated them.
    pub fn annotation(&self) -> (&[u8], &[bool]) {
        (&self.candidates, &self.annotated)
    }

    /// Candidate masks of the given samples: (B, C) of zeros and ones.
    ///
    /// # Errors
    /// The device runs out of memory.
    pub fn candidate_masks(&self, samples: &[usize], device: &Device) -> candle_core::Result<Tensor> {
        let rows = samples.iter().flat_map(|&i| self.candidate_row(i));
        let masks: Vec<f32> = rows.map(|&y| f32::from(y)).collect();
        Tensor::from_vec(masks, (samples.len(), self.classes), device)
    }

    /// Whether the candidates of sample `i` hold its true class, where that is known.
    pub fn holds_truth(&self, i: usize) -> Option<bool> {
        let truth = self.truth[i]? as usize;
        Some(self.candidate_row(i).get(truth) == Some(&1))
    }

    fn candidate_row(&self, i: usize) -> &[u8] {
        &self.candidates[i * self.classes..(i + 1) * self.classes]
    }
}

/// Share of `predictions` that agree with the truth, among those whose truth is known.
pub fn accuracy(predictions: impl IntoIterator<Item = u32>, truth: &[Option<u32>]) -> Option<f64> {
    let known = predictions.into_iter().zip(truth).filter_map(|(p, truth)| truth.map(|t| p == t));
    share(known)
}

/// Share of `true` among the given; none of nothing.
pub fn share(of: impl IntoIterator<Item = bool>) -> Option<f64> {
    let (hits, count) = of.into_iter().fold((0u64, 0u64), |(h, n), hit| (h + u64::from(hit), n + 1));
    (count > 0).then(|| hits as f64 / count as f64)
}

/// Index of the largest value of every row of `classes` values; of equals the first.
pub fn argmax_rows(values: &[f32], classes: usize) -> Vec<u32> {
    (values.chunks(classes))
        .map(|row| (0..row.len()).fold(0, |best, j| if row[j] > row[best] { j } else { best }) as u32)
        .collect()
}
