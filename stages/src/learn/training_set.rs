//! What every method learns from: pixels of both splits in memory, candidate masks, soft labels, and the truth for
//! measuring only.

use candle_core::{Device, Tensor};
use pipeline::error::{Error, Result};
use pipeline::stage::Context;
use serde::{Deserialize, Serialize};

use crate::artifacts::annotation::{Labels, Votes};
use crate::artifacts::images::{Images, Split};
use crate::artifacts::student::InputFormat;
pub use crate::vision::StrongViews;
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
    /// What strong views have beside weak ones.
    pub strong: StrongViews,
}

impl Input {
    /// The views that this input asks for.
    ///
    /// # Errors
    /// Means, deviations or strong views that do not fit the channels.
    pub fn views(&self) -> Result<Views> {
        Views::new(self.channels, &self.mean, &self.std, self.flip, self.strong)
    }

    /// What a network is fed with that is trained on this input.
    pub fn format(&self) -> InputFormat {
        let Self { size, channels, mean, std, .. } = self;
        InputFormat { size: *size, channels: *channels, mean: mean.clone(), std: std.clone() }
    }
}

/// Decodes the images of these rows into square pixels of side `size`.
///
/// # Errors
/// An image that does not decode, by its id; the user asked to stop.
pub fn decode(
    images: &Images,
    rows: &[usize],
    (size, channels): (usize, usize),
    context: &Context,
) -> Result<Pixels> {
    let encoded = images.encoded()?;
    Pixels::decode(
        rows.len(),
        |i| encoded.get(rows[i]),
        |i| format!("image `{}`", images.index.ids[rows[i]]),
        (size, channels),
        context.progress(),
        || context.safe_point(),
    )
}

/// How much each class of the images of these rows is believed: (N, C), 0 for what is no candidate.
fn weights_of(labels: &Labels, rows: &[usize], classes: usize) -> Vec<f32> {
    let mut weights = vec![0f32; rows.len() * classes];
    for (&row, weights) in rows.iter().zip(weights.chunks_mut(classes.max(1))) {
        for (&class, &weight) in labels.candidates[row].iter().zip(&labels.weights[row]) {
            weights[usize::from(class)] = weight;
        }
    }
    weights
}

/// 1 for this class, 0 for all others: (C).
fn one_hot(class: u16, classes: usize) -> Vec<f32> {
    (0..classes).map(|at| if at == usize::from(class) { 1.0 } else { 0.0 }).collect()
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
    /// How much each class is believed before any training, row after row: (N, C). Rows sum to 1; what is no candidate
    /// has 0.
    pub weights: Vec<f32>,
    /// Whether anybody annotated the image; where nobody did every class is a candidate.
    pub annotated: Vec<bool>,
    /// The class that the annotators take the image for (N); none where nobody voted.
    pub single: Vec<Option<u16>>,
    /// Whether a human said which class it is: then that class is its only candidate and its single one.
    pub human: Vec<bool>,
    /// The annotators' averaged class probabilities, row after row: (N, C); none where there are no votes. Of a sample
    /// with a human label all is that class's.
    pub soft_labels: Option<Vec<f32>>,
    /// Number of classes, C.
    pub classes: usize,
    /// The training images' true classes, where known; for measuring only.
    pub truth: Vec<Option<u32>>,
    /// What [`weights`](Self::weights) says of the training images, of the test images: (N, C).
    pub test_weights: Vec<f32>,
    /// Whether anybody annotated the test image.
    pub test_annotated: Vec<bool>,
    /// The test images' true classes, where known.
    pub test_truth: Vec<Option<u32>>,
}

impl TrainingSet {
    /// Decodes `images` and joins them with their `labels` and, where the method learns from them, `votes`.
    ///
    /// # Errors
    /// Tables that name different images, an image that does not decode, too many classes, no image.
    pub fn new(
        images: &Images,
        labels: &Labels,
        votes: Option<&Votes>,
        input: &Input,
        context: &Context,
    ) -> Result<Self> {
        images.index.check_same_ids(&labels.ids, "labels")?;
        if let Some(votes) = votes {
            images.index.check_same_ids(&votes.ids, "votes")?;
        }
        let (train, test) = (images.index.of(Split::Train), images.index.of(Split::Test));
        if train.is_empty() {
            return Err(Error::new("there is no training image").help("see the `download` settings"));
        }
        let classes = labels.names.classes.len();
        if let Some(class) = labels.candidates.iter().flatten().find(|&&class| usize::from(class) >= classes)
        {
            return Err(Error::new(format!("candidate {class} where there are {classes} classes")));
        }
        let weights = weights_of(labels, &train, classes);
        let mut candidates = vec![0u8; train.len() * classes];
        for (&row, mask) in train.iter().zip(candidates.chunks_mut(classes)) {
            labels.candidates[row].iter().for_each(|&class| mask[usize::from(class)] = 1);
        }
        let annotated = |rows: &[usize]| rows.iter().map(|&row| labels.single[row].is_some()).collect();
        let truth = |rows: &[usize]| rows.iter().map(|&row| labels.truth[row].map(|l| l as u32)).collect();
        let form = (input.size, input.channels);
        let soft_labels = votes.map(|votes| {
            let row = |&row: &usize| match labels.single[row].filter(|_| labels.human[row]) {
                Some(human) => one_hot(human, classes),
                None => votes.probs(row).to_vec(),
            };
            train.iter().flat_map(row).collect()
        });
        Ok(Self {
            ids: train.iter().map(|&row| images.index.ids[row].clone()).collect(),
            candidates,
            weights,
            soft_labels,
            annotated: annotated(&train),
            single: train.iter().map(|&row| labels.single[row]).collect(),
            human: train.iter().map(|&row| labels.human[row]).collect(),
            test_weights: weights_of(labels, &test, classes),
            test_annotated: annotated(&test),
            classes,
            truth: truth(&train),
            test_truth: truth(&test),
            train: decode(images, &train, form, context)?,
            test: decode(images, &test, form, context)?,
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

    /// The samples that somebody annotated; of the others there is nothing to learn but what they look like.
    pub fn annotated_samples(&self) -> Vec<usize> {
        (0..self.len()).filter(|&i| self.annotated[i]).collect()
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

    /// How much each class of the given samples is believed before any training: (B, C).
    ///
    /// # Errors
    /// The device runs out of memory.
    pub fn weight_rows(&self, samples: &[usize], device: &Device) -> candle_core::Result<Tensor> {
        let row = |&i: &usize| &self.weights[i * self.classes..(i + 1) * self.classes];
        let values: Vec<f32> = samples.iter().flat_map(row).copied().collect();
        Tensor::from_vec(values, (samples.len(), self.classes), device)
    }

    /// Soft labels of the given samples: (B, C).
    ///
    /// # Errors
    /// There are none, or the device runs out of memory.
    pub fn soft_label_rows(&self, samples: &[usize], device: &Device) -> candle_core::Result<Tensor> {
        let Some(all) = &self.soft_labels else { candle_core::bail!("the training set has no soft labels") };
        let row = |&i: &usize| &all[i * self.classes..(i + 1) * self.classes];
        let values: Vec<f32> = samples.iter().flat_map(row).copied().collect();
        Tensor::from_vec(values, (samples.len(), self.classes), device)
    }

    /// Whether the candidates of sample `i` hold its true class, where that is known.
    pub fn holds_truth(&self, i: usize) -> Option<bool> {
        let truth = self.truth[i]? as usize;
        Some(self.candidate_row(i).get(truth) == Some(&1))
    }

    /// The candidates of sample `i`: (C) of zeros and ones.
    pub fn candidate_row(&self, i: usize) -> &[u8] {
        &self.candidates[i * self.classes..(i + 1) * self.classes]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Cursor;

    use image::{ImageFormat, RgbImage};

    use super::*;
    use crate::artifacts::annotation::Names;
    use crate::artifacts::images::Index;

    const INPUT: &str = "size = 8\nchannels = 3\nmean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\nflip = true\n\
                         strong = \"none\"";

    #[test]
    fn the_soft_label_of_a_sample_with_a_human_label_is_that_class() {
        let ids = ["a", "b", "t"].map(str::to_owned).to_vec();
        let splits = vec![Split::Train, Split::Train, Split::Test];
        let classes = ["x", "y"].map(str::to_owned).to_vec();
        let mut png = Cursor::new(Vec::new());
        RgbImage::new(2, 2).write_to(&mut png, ImageFormat::Png).unwrap();
        let index = Index {
            ids: ids.clone(),
            splits: splits.clone(),
            labels: vec![None; 3],
            classes: classes.clone(),
        };
        let images = Images::new(index, vec![png.into_inner(); 3], vec![None; 3]);
        let votes = Votes {
            ids: ids.clone(),
            splits: splits.clone(),
            votes: vec![Some(0); 3],
            mean_probs: [0.75, 0.25].repeat(3),
            names: Names { annotators: vec!["m".to_owned()], classes: classes.clone() },
            ..Votes::default()
        };
        let labels = Labels {
            ids,
            splits,
            candidates: vec![vec![0, 1], vec![1], vec![0]],
            weights: vec![vec![0.75, 0.25], vec![1.0], vec![1.0]],
            single: vec![Some(0), Some(1), Some(0)],
            human: vec![false, true, false],
            truth: vec![None; 3],
            names: Names { annotators: Vec::new(), classes },
        };
        let input: Input = toml::from_str(INPUT).unwrap();
        let context = Context::for_test("nowhere");
        let set = TrainingSet::new(&images, &labels, Some(&votes), &input, &context).unwrap();
        assert_eq!((&set.human[..], &set.single[..]), (&[false, true][..], &[Some(0), Some(1)][..]));
        assert_eq!(set.soft_labels.as_deref(), Some(&[0.75, 0.25, 0.0, 1.0][..]));
        assert_eq!((set.candidate_row(0), set.candidate_row(1)), (&[1, 1][..], &[0, 1][..]));
    }
}
