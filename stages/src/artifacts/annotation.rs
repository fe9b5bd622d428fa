//! What CLIP says of each image: `embed/embeddings.parquet`, `annotate/votes.parquet`, `label/labels.parquet`.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Float32Array, Int32Array, UInt16Array};
use pipeline::artifact::Artifact;
use pipeline::error::{Error, OrFail, Result};
use serde::{Deserialize, Serialize};

use super::images::Split;
use super::table::{Rows, Table};

/// The metadata entry of coreg's own tables.
const NAMES: &str = "coreg";

/// Image features: `width` numbers an image, of unit length.
pub struct Embeddings {
    /// Ids of the images.
    pub ids: Vec<String>,
    /// Features of all images, row after row: (N, width).
    pub features: Vec<f32>,
    /// Length of one feature vector.
    pub width: usize,
}

impl Artifact for Embeddings {
    fn save(&self, folder: &Path) -> Result<()> {
        Table::new()
            .strings("id", &self.ids)
            .rows("embedding", Arc::new(Float32Array::from(self.features.clone())), self.width)
            .write(&folder.join("embeddings.parquet"))
    }

    fn load(folder: &Path) -> Result<Self> {
        let rows = Rows::read(&folder.join("embeddings.parquet"), &["id", "embedding"])?;
        let (features, width) = rows.rows::<Float32Array>("embedding")?;
        Ok(Self { ids: rows.strings("id")?, features: features.values().to_vec(), width })
    }
}

/// The names that the numbers in a table stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// Prompt templates, in the order of the votes.
    pub templates: Vec<String>,
    /// Class names, in the order of the probabilities.
    pub classes: Vec<String>,
}

impl Names {
    fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).or_fail(|| Error::new("cannot write the names of templates and classes"))
    }

    fn of(rows: &Rows) -> Result<Self> {
        serde_json::from_str(rows.metadata(NAMES)?)
            .or_fail(|| Error::new("cannot read the names of templates and classes"))
    }
}

/// Every template's vote on every image, and the class probabilities averaged over templates (method §1).
pub struct Votes {
    /// Ids of the images.
    pub ids: Vec<String>,
    /// Split of each image.
    pub splits: Vec<Split>,
    /// Votes, row after row: (N, templates), each the index of a class.
    pub votes: Vec<u16>,
    /// Mean class probabilities, row after row: (N, classes).
    pub mean_probs: Vec<f32>,
    /// Templates and classes.
    pub names: Names,
}

impl Artifact for Votes {
    fn save(&self, folder: &Path) -> Result<()> {
        Table::new()
            .strings("id", &self.ids)
            .strings("split", self.splits.iter().map(|split| split.name()))
            .rows("votes", Arc::new(UInt16Array::from(self.votes.clone())), self.names.templates.len())
            .rows(
                "mean_probs",
                Arc::new(Float32Array::from(self.mean_probs.clone())),
                self.names.classes.len(),
            )
            .metadata(NAMES, self.names.to_json()?)
            .write(&folder.join("votes.parquet"))
    }

    fn load(folder: &Path) -> Result<Self> {
        let columns = ["id", "split", "votes", "mean_probs"];
        let rows = Rows::read(&folder.join("votes.parquet"), &columns)?;
        Ok(Self {
            ids: rows.strings("id")?,
            splits: Split::column(&rows)?,
            votes: rows.rows::<UInt16Array>("votes")?.0.values().to_vec(),
            mean_probs: rows.rows::<Float32Array>("mean_probs")?.0.values().to_vec(),
            names: Names::of(&rows)?,
        })
    }
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
    /// The class with the highest mean probability; of synthetic labels, one of the candidates at random.
    pub single: Vec<u16>,
    /// The true class, where known.
    pub labels: Vec<Option<i32>>,
    /// Class names; no templates.
    pub names: Names,
}

impl Artifact for Labels {
    fn save(&self, folder: &Path) -> Result<()> {
        let values = UInt16Array::from_iter_values(self.candidates.iter().flatten().copied());
        Table::new()
            .strings("id", &self.ids)
            .strings("split", self.splits.iter().map(|split| split.name()))
            .lists("candidates", Arc::new(values), self.candidates.iter().map(Vec::len))
            .u16("single", self.single.iter().copied())
            .i32_or_null("label", self.labels.iter().copied())
            .metadata(NAMES, self.names.to_json()?)
            .write(&folder.join("labels.parquet"))
    }

    fn load(folder: &Path) -> Result<Self> {
        let columns = ["id", "split", "candidates", "single", "label"];
        let rows = Rows::read(&folder.join("labels.parquet"), &columns)?;
        let (values, lengths) = rows.lists::<UInt16Array>("candidates")?;
        let mut rest = &values.values()[..];
        let candidates = lengths.into_iter().map(|length| {
            let (these, after) = rest.split_at(length);
            rest = after;
            these.to_vec()
        });
        Ok(Self {
            candidates: candidates.collect(),
            ids: rows.strings("id")?,
            splits: Split::column(&rows)?,
            single: rows.column::<UInt16Array>("single")?.values().to_vec(),
            labels: rows.nullable::<Int32Array>("label")?.iter().collect(),
            names: Names::of(&rows)?,
        })
    }
}
