//! What annotators say of each image: `embed/embeddings.parquet`, `annotate/votes.parquet` with what is beside it, and
//! `label/labels.parquet`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{BooleanArray, Float32Array, Int32Array, UInt16Array, UInt64Array};
use pipeline::artifact::Artifact;
use pipeline::error::{Error, OrFail, Result};
use serde::{Deserialize, Serialize};

use super::images::Split;
use super::table::{Rows, Table};

/// The metadata entry of coreg's own tables.
const NAMES: &str = "coreg";

/// Image features: `width` numbers an image, of unit length.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    /// Ids of the images.
    pub ids: Vec<String>,
    /// SHA-256 of the images' files, lower-case hex: images of one digest have one embedding.
    pub images: Vec<String>,
    /// Features of all images, row after row: (N, width).
    pub features: Vec<f32>,
    /// Length of one feature vector.
    pub width: usize,
}

impl Artifact for Embeddings {
    fn save(&self, folder: &Path) -> Result<()> {
        Table::new()
            .strings("id", &self.ids)
            .strings("sha256", &self.images)
            .rows("embedding", Arc::new(Float32Array::from(self.features.clone())), self.width)
            .write(&folder.join("embeddings.parquet"))
    }

    fn load(folder: &Path) -> Result<Self> {
        let rows = Rows::read(&folder.join("embeddings.parquet"), &["id", "sha256", "embedding"])?;
        let (features, width) = rows.rows::<Float32Array>("embedding")?;
        let (ids, images) = (rows.strings("id")?, rows.strings("sha256")?);
        Ok(Self { ids, images, features: features.values().to_vec(), width })
    }
}

/// The names that the numbers in a table stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// Annotators, in the order of the votes: prompt templates, or whoever gave them.
    pub annotators: Vec<String>,
    /// Class names, in the order of the probabilities.
    pub classes: Vec<String>,
}

impl Names {
    fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).or_fail(|| Error::new("cannot write the names of annotators and classes"))
    }

    fn of(rows: &Rows) -> Result<Self> {
        serde_json::from_str(rows.metadata(NAMES)?)
            .or_fail(|| Error::new("cannot read the names of annotators and classes"))
    }
}

/// Every annotator's vote on every image, and the class probabilities averaged over annotators (method §1).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Votes {
    /// Ids of the images.
    pub ids: Vec<String>,
    /// Split of each image.
    pub splits: Vec<Split>,
    /// Votes, row after row: (N, annotators), each the index of a class; none where the annotator gave none. Of an
    /// answer that names several classes, the one that comes first in the list of classes.
    pub votes: Vec<Option<u16>>,
    /// The other classes of answers that name several: by image, then annotator, then class. Of a CLIP there are none.
    pub further: Vec<Further>,
    /// Mean class probabilities, row after row: (N, classes); all equal where nobody voted.
    pub mean_probs: Vec<f32>,
    /// Answers in which no class was found; of a CLIP there are none.
    pub unmatched: Vec<Unmatched>,
    /// Annotators and classes.
    pub names: Names,
}

/// A class that an annotator named beside the one in its vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Further {
    /// The image, by its row.
    pub row: usize,
    /// The annotator, by its place.
    pub annotator: usize,
    /// The class.
    pub class: u16,
}

/// An answer that is no vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmatched {
    /// Who gave it.
    pub annotator: String,
    /// The answer, as it was given.
    pub answer: String,
    /// Why it is no vote.
    pub reason: String,
    /// On how many images it was given.
    pub images: u64,
}

impl Votes {
    /// The votes on image `row`, in the order of the annotators.
    pub fn on(&self, row: usize) -> &[Option<u16>] {
        let width = self.names.annotators.len();
        &self.votes[row * width..(row + 1) * width]
    }

    /// The further classes that were named on image `row`.
    pub fn further_on(&self, row: usize) -> &[Further] {
        let before = |limit: usize| self.further.partition_point(|further| further.row < limit);
        &self.further[before(row)..before(row + 1)]
    }

    /// Every class that was named on image `row`: the votes in the order of the annotators, then the further classes.
    pub fn named_on(&self, row: usize) -> Vec<Option<u16>> {
        let further = self.further_on(row).iter().map(|further| Some(further.class));
        self.on(row).iter().copied().chain(further).collect()
    }

    /// The class of the highest mean probability of image `row`, the first of equals; none where nobody voted.
    pub fn most_probable(&self, row: usize) -> Option<u16> {
        self.on(row).iter().any(Option::is_some).then(|| {
            let best = self.probs(row).iter().enumerate().rev().max_by(|a, b| a.1.total_cmp(b.1));
            best.map_or(0, |(class, _)| class as u16)
        })
    }

    /// The mean class probabilities of image `row`.
    pub fn probs(&self, row: usize) -> &[f32] {
        let width = self.names.classes.len();
        &self.mean_probs[row * width..(row + 1) * width]
    }
}

/// The table of what is no vote; there is none where there is nothing to say.
const UNMATCHED: &str = "unmatched.parquet";
/// The table of further classes; there is none where every answer names one class.
const FURTHER: &str = "further.parquet";

impl Artifact for Votes {
    fn save(&self, folder: &Path) -> Result<()> {
        let votes = UInt16Array::from(self.votes.clone());
        let probs = Float32Array::from(self.mean_probs.clone());
        Table::new()
            .strings("id", &self.ids)
            .strings("split", self.splits.iter().map(|split| split.name()))
            .rows_or_null("votes", Arc::new(votes), self.names.annotators.len())
            .rows("mean_probs", Arc::new(probs), self.names.classes.len())
            .metadata(NAMES, self.names.to_json()?)
            .write(&folder.join("votes.parquet"))?;
        if !self.further.is_empty() {
            let annotators = &self.names.annotators;
            Table::new()
                .strings("id", self.further.iter().map(|further| &self.ids[further.row]))
                .strings("annotator", self.further.iter().map(|further| &annotators[further.annotator]))
                .u16("class", self.further.iter().map(|further| further.class))
                .write(&folder.join(FURTHER))?;
        }
        if self.unmatched.is_empty() {
            return Ok(());
        }
        Table::new()
            .strings("annotator", self.unmatched.iter().map(|answer| &answer.annotator))
            .strings("answer", self.unmatched.iter().map(|answer| &answer.answer))
            .strings("reason", self.unmatched.iter().map(|answer| &answer.reason))
            .u64("images", self.unmatched.iter().map(|answer| answer.images))
            .write(&folder.join(UNMATCHED))
    }

    fn load(folder: &Path) -> Result<Self> {
        let columns = ["id", "split", "votes", "mean_probs"];
        let rows = Rows::read(&folder.join("votes.parquet"), &columns)?;
        let mut votes = Self {
            ids: rows.strings("id")?,
            splits: Split::column(&rows)?,
            votes: rows.rows::<UInt16Array>("votes")?.0.iter().collect(),
            mean_probs: rows.rows::<Float32Array>("mean_probs")?.0.values().to_vec(),
            further: Vec::new(),
            unmatched: load_unmatched(&folder.join(UNMATCHED))?,
            names: Names::of(&rows)?,
        };
        let (images, Names { annotators, classes }) = (votes.ids.len(), &votes.names);
        let class = |vote: &u16| usize::from(*vote) < classes.len();
        if annotators.is_empty()
            || votes.votes.len() != images * annotators.len()
            || votes.mean_probs.len() != images * classes.len()
            || !votes.votes.iter().flatten().all(class)
        {
            return Err(Error::new("the votes are not those of their annotators and classes").at(folder));
        }
        votes.further = load_further(&folder.join(FURTHER), &votes)?;
        Ok(votes)
    }
}

fn load_further(path: &Path, of: &Votes) -> Result<Vec<Further>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let rows = Rows::read(path, &["id", "annotator", "class"])?;
    let classes = rows.column::<UInt16Array>("class")?.values();
    let places = |names: &[String]| -> HashMap<String, usize> {
        names.iter().enumerate().map(|(at, name)| (name.clone(), at)).collect()
    };
    let (images, annotators) = (places(&of.ids), places(&of.names.annotators));
    let named = rows.strings("id")?.into_iter().zip(rows.strings("annotator")?).zip(classes);
    let mut further = named
        .map(|((id, annotator), &class)| {
            let (row, annotator) = (*images.get(&id)?, *annotators.get(&annotator)?);
            (usize::from(class) < of.names.classes.len()).then_some(Further { row, annotator, class })
        })
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| Error::new("the further classes are not those of the votes beside them").at(path))?;
    further.sort_unstable();
    Ok(further)
}

fn load_unmatched(path: &Path) -> Result<Vec<Unmatched>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let rows = Rows::read(path, &["annotator", "answer", "reason", "images"])?;
    let images = rows.column::<UInt64Array>("images")?.values();
    let texts = rows.strings("annotator")?.into_iter().zip(rows.strings("answer")?);
    let texts = texts.zip(rows.strings("reason")?).zip(images);
    Ok(texts
        .map(|(((annotator, answer), reason), &images)| Unmatched { annotator, answer, reason, images })
        .collect())
}

/// The candidate set of every image, its single best class, and the truth where known.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// Ids of the images.
    pub ids: Vec<String>,
    /// Split of each image.
    pub splits: Vec<Split>,
    /// Candidate classes of each image, ascending.
    pub candidates: Vec<Vec<u16>>,
    /// How much each candidate is believed, in the order of the candidates; those of an image sum to 1.
    pub weights: Vec<Vec<f32>>,
    /// The class with the highest mean probability, none where nobody voted; of synthetic labels, one of the
    /// candidates at random.
    pub single: Vec<Option<u16>>,
    /// Whether a human said which class it is: then that class is its only candidate and its single one.
    pub human: Vec<bool>,
    /// The true class, where known.
    pub truth: Vec<Option<i32>>,
    /// Class names; no annotators.
    pub names: Names,
}

impl Labels {
    /// How many images of each class a human labelled.
    pub fn human_by_class(&self) -> Vec<usize> {
        let mut counts = vec![0; self.names.classes.len()];
        for (single, human) in self.single.iter().zip(&self.human) {
            if let (Some(class), true) = (single, human)
                && let Some(count) = counts.get_mut(usize::from(*class))
            {
                *count += 1;
            }
        }
        counts
    }

    /// How many labels humans gave: `40 human labels: 4 of each class`; none where they gave none.
    pub fn human_in_words(&self) -> Option<String> {
        let counts = self.human_by_class();
        let (least, most) = (counts.iter().min().copied()?, counts.iter().max().copied()?);
        let of_class = match least == most {
            true => format!("{most} of each class"),
            false => format!("{least} to {most} of a class"),
        };
        match counts.iter().sum::<usize>() {
            0 => None,
            1 => Some("1 human label".to_owned()),
            all => Some(format!("{all} human labels: {of_class}")),
        }
    }
}

impl Artifact for Labels {
    fn save(&self, folder: &Path) -> Result<()> {
        let values = UInt16Array::from_iter_values(self.candidates.iter().flatten().copied());
        let weights = Float32Array::from_iter_values(self.weights.iter().flatten().copied());
        Table::new()
            .strings("id", &self.ids)
            .strings("split", self.splits.iter().map(|split| split.name()))
            .lists("candidates", Arc::new(values), self.candidates.iter().map(Vec::len))
            .lists("weights", Arc::new(weights), self.weights.iter().map(Vec::len))
            .u16_or_null("single", self.single.iter().copied())
            .bool("human", self.human.iter().copied())
            .i32_or_null("label", self.truth.iter().copied())
            .metadata(NAMES, self.names.to_json()?)
            .write(&folder.join("labels.parquet"))
    }

    fn load(folder: &Path) -> Result<Self> {
        let columns = ["id", "split", "candidates", "weights", "single", "human", "label"];
        let rows = Rows::read(&folder.join("labels.parquet"), &columns)?;
        let (values, lengths) = rows.lists::<UInt16Array>("candidates")?;
        let candidates = parts(values.values(), &lengths);
        let (values, of_weights) = rows.lists::<Float32Array>("weights")?;
        if of_weights != lengths {
            return Err(Error::new("the weights are not those of the candidates").at(folder));
        }
        Ok(Self {
            candidates,
            weights: parts(values.values(), &lengths),
            ids: rows.strings("id")?,
            splits: Split::column(&rows)?,
            single: rows.nullable::<UInt16Array>("single")?.iter().collect(),
            human: rows.column::<BooleanArray>("human")?.values().iter().collect(),
            truth: rows.nullable::<Int32Array>("label")?.iter().collect(),
            names: Names::of(&rows)?,
        })
    }
}

/// `values` cut into lists of these lengths.
fn parts<T: Clone>(values: &[T], lengths: &[usize]) -> Vec<Vec<T>> {
    let mut rest = values;
    let cut = |&length: &usize| {
        let (these, after) = rest.split_at(length);
        rest = after;
        these.to_vec()
    };
    lengths.iter().map(cut).collect()
}
