//! What every training leaves behind: a student, the history of its epochs and, where the method has them, the labels
//! that it settled on for its training images.

use std::path::Path;

use arrow::array::{Float32Array, StringArray, UInt16Array};
use pipeline::artifact::Artifact;
use pipeline::error::Result;

use super::history::History;
use super::student::Student;
use super::table::{Rows, Table, column_names};

/// What a training leaves behind.
pub struct Trained {
    /// The networks, ready to predict.
    pub student: Student,
    /// One row an epoch and network.
    pub history: History,
    /// What the method takes its training images for; one entry an image, but for those that it has nothing to say of.
    pub sample_labels: Option<SampleLabels>,
}

/// The labels that a method settled on, in the order of the training images (N). Images that nobody annotated may be
/// missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SampleLabels {
    /// Ids of the training images.
    pub ids: Vec<String>,
    /// The class each is taken for.
    pub labels: Vec<u16>,
    /// How sure that is: the class's probability.
    pub confidence: Vec<f32>,
    /// Where the method divides its training set: the division.
    pub division: Option<SampleDivision>,
}

/// How a method divided its training set in the end (method §5), in the order of the training images (N).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SampleDivision {
    /// Posterior that the candidate set holds the true class.
    pub w: Vec<f32>,
    /// Whether that makes it a sample of 𝒫 (`partial`) or of 𝒰 (`unlabeled`).
    pub partial: Vec<bool>,
}

const LABELS: &str = "pseudo_labels.parquet";

impl Artifact for Trained {
    fn save(&self, folder: &Path) -> Result<()> {
        self.student.save(folder)?;
        self.history.save(folder)?;
        self.sample_labels.as_ref().map_or(Ok(()), |labels| labels.save(&folder.join(LABELS)))
    }

    fn load(folder: &Path) -> Result<Self> {
        let labels = folder.join(LABELS);
        let sample_labels = labels.exists().then(|| SampleLabels::load(&labels)).transpose()?;
        Ok(Self { student: Student::load(folder)?, history: History::load(folder)?, sample_labels })
    }
}

impl SampleLabels {
    fn save(&self, path: &Path) -> Result<()> {
        let table = Table::new()
            .strings("id", &self.ids)
            .u16("pseudo_label", self.labels.iter().copied())
            .f32("confidence", self.confidence.iter().copied());
        let table = match &self.division {
            None => table,
            Some(SampleDivision { w, partial }) => {
                let kinds = partial.iter().map(|&partial| if partial { "partial" } else { "unlabeled" });
                table.f32("w", w.iter().copied()).strings("split_kind", kinds)
            }
        };
        table.write(path)
    }

    fn load(path: &Path) -> Result<Self> {
        let names = column_names(path)?;
        let rows = Rows::read(path, &names.iter().map(String::as_str).collect::<Vec<_>>())?;
        let floats = |name: &str| Ok(rows.column::<Float32Array>(name)?.values().to_vec());
        let division = || -> Result<SampleDivision> {
            let kinds = rows.column::<StringArray>("split_kind")?;
            Ok(SampleDivision {
                w: floats("w")?,
                partial: kinds.iter().map(|kind| kind == Some("partial")).collect(),
            })
        };
        Ok(Self {
            ids: rows.strings("id")?,
            labels: rows.column::<UInt16Array>("pseudo_label")?.values().to_vec(),
            confidence: floats("confidence")?,
            division: names.iter().any(|name| name == "w").then(division).transpose()?,
        })
    }
}
