//! What is known of each image of a data set, gathered from its stages: what it is taken for, who says so, how sure that
//! is.
//!
//! The images themselves stay on disk.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use pipeline::artifact::Artifact;
use pipeline::error::{Error, Result};

use super::stages::Stages;
use crate::artifacts::annotation::Labels;
use crate::artifacts::evaluation::Evaluation;
use crate::artifacts::images::{Images, Index, Split};
use crate::artifacts::training::Trained;

/// Who says what an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A human, of a training image with a label of its own.
    Human,
    /// The method, of a training image: the label that it settled on.
    Method,
    /// The student, of a test image.
    Student,
    /// The annotators, where neither says anything: their most likely class.
    Annotators,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Human, Self::Method, Self::Student, Self::Annotators];

    /// Whether the student's networks say it, so that the confidence is a probability of theirs; of the annotators it is
    /// a share of votes.
    pub fn is_the_students(self) -> bool {
        matches!(self, Self::Method | Self::Student)
    }
}

/// What an image is taken for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Said {
    /// The class; an index into the class names.
    pub class: usize,
    /// How sure that is, from 0 to 1. Of the annotators: how much of their belief in the image's candidates this class
    /// has; 0 where none of them voted for it.
    pub confidence: f32,
    /// Who says so.
    pub source: Source,
}

/// An image and what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledImage {
    /// Its unique name.
    pub id: String,
    /// Its split.
    pub split: Split,
    /// What it is taken for; none where nobody voted and no student looked at it.
    pub said: Option<Said>,
    /// Its candidates, ascending; indices into the class names.
    pub candidates: Vec<u16>,
    /// The true class, where known; an index into the class names.
    pub truth: Option<usize>,
}

/// All images of a data set.
#[derive(Clone, Debug)]
pub struct LabelSet {
    /// Names of the classes.
    pub classes: Vec<String>,
    /// The method whose labels these are; none where nothing was trained.
    pub method: Option<String>,
    /// The images, in the order of the table of images.
    pub images: Vec<LabelledImage>,
    /// The table of images.
    pub(super) table: PathBuf,
}

impl LabelSet {
    /// Gathers what the stages say.
    ///
    /// # Errors
    /// A table that is missing or damaged, or tables of different runs.
    pub fn load(stages: &Stages) -> Result<Self> {
        let (download, label) = (stages.data_set.join("download"), stages.data_set.join("label"));
        let index = Images::load(&download)?.index;
        if !label.is_dir() {
            return Err(Error::new("the images have no labels yet")
                .at(&stages.data_set)
                .help("run the pipeline to its end first: coreg run"));
        }
        let labels = Labels::load(&label)?;
        index.check_same_ids(&labels.ids, "label").map_err(|error| error.at(&label).help(AGAIN))?;
        let count = index.classes.len();
        let mut classes = labels.candidates.iter().flatten().chain(labels.single.iter().flatten());
        if labels.names.classes != index.classes || !classes.all(|class| usize::from(*class) < count) {
            return Err(of_another_run(&label));
        }
        let mut said: Vec<Option<Said>> = (0..index.ids.len()).map(|row| annotated(&labels, row)).collect();
        let method = hear(stages, &index, &mut said)?;
        for (row, said) in said.iter_mut().enumerate().filter(|(row, _)| labels.human[*row]) {
            *said = annotated(&labels, row).map(|said| Said { source: Source::Human, ..said });
        }
        let Index { ids, splits, labels: truth, classes } = index;
        let rows = ids.into_iter().zip(splits).zip(truth).zip(said).zip(labels.candidates);
        let images = rows
            .map(|((((id, split), truth), said), candidates)| {
                let truth =
                    truth.and_then(|class| usize::try_from(class).ok()).filter(|class| *class < count);
                LabelledImage { id, split, said, candidates, truth }
            })
            .collect();
        Ok(Self { classes, method, images, table: download.join("images.parquet") })
    }

    /// A source's name in tables: `human`, `co-reg` or another method, `student`, `annotators`.
    pub fn source(&self, source: Source) -> &str {
        match source {
            Source::Human => "human",
            Source::Method => self.method.as_deref().unwrap_or("method"),
            Source::Student => "student",
            Source::Annotators => "annotators",
        }
    }
}

/// What to do about results that do not belong together.
const AGAIN: &str = "results of different runs lie side by side: run the pipeline to its end again";

fn of_another_run(folder: &Path) -> Error {
    Error::new("this result does not belong to the images").at(folder).help(AGAIN)
}

/// The annotators' most likely class of an image; none where nobody voted.
fn annotated(labels: &Labels, row: usize) -> Option<Said> {
    let class = labels.single[row]?;
    let mut believed = labels.candidates[row].iter().zip(&labels.weights[row]);
    let weight = believed.find(|(candidate, _)| **candidate == class).map_or(0.0, |(_, weight)| *weight);
    Some(Said { class: usize::from(class), confidence: weight, source: Source::Annotators })
}

/// Puts what the method and its student say in the place of what the annotators do; gives the method's name.
fn hear(stages: &Stages, index: &Index, said: &mut [Option<Said>]) -> Result<Option<String>> {
    let rows: HashMap<&str, usize> =
        index.ids.iter().enumerate().map(|(row, id)| (id.as_str(), row)).collect();
    let mut put = |folder: &Path, id: &str, of: Said| match rows.get(id) {
        Some(&row) if of.class < index.classes.len() => {
            said[row] = Some(of);
            Ok(())
        }
        _ => Err(of_another_run(folder)),
    };
    let mut method = None;
    if let Some(folder) = &stages.method {
        let Trained { student, sample_labels, .. } = Trained::load(folder)?;
        if student.classes != index.classes {
            return Err(of_another_run(folder));
        }
        if let Some(labels) = sample_labels {
            for ((id, class), confidence) in labels.ids.iter().zip(labels.labels).zip(labels.confidence) {
                put(folder, id, Said { class: usize::from(class), confidence, source: Source::Method })?;
            }
        }
        method = Some(student.method);
    }
    if stages.evaluated {
        let folder = stages.data_set.join("evaluate");
        let Evaluation { ids, predictions, probs, class_count, .. } = Evaluation::load(&folder)?;
        let probs = probs.chunks(class_count.max(1));
        for ((id, class), probs) in ids.iter().zip(predictions).zip(probs) {
            let class = usize::from(class);
            let confidence = probs.get(class).copied().ok_or_else(|| of_another_run(&folder))?;
            put(&folder, id, Said { class, confidence, source: Source::Student })?;
        }
    }
    Ok(method)
}
