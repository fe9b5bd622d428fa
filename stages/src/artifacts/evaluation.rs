//! `evaluate/*.parquet`: what the student says of the test images, and how well it does.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Float32Array, Float64Array, Int32Array, StringArray, UInt16Array, UInt64Array};
use pipeline::artifact::Artifact;
use pipeline::error::Result;

use super::table::{Rows, Table};

/// Predictions for the test split and the figures made of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Ids of the test images.
    pub ids: Vec<String>,
    /// True classes, where known.
    pub labels: Vec<Option<i32>>,
    /// Predicted classes.
    pub predictions: Vec<u16>,
    /// Class probabilities of the two networks together, row after row: (N, classes).
    pub probs: Vec<f32>,
    /// Number of classes.
    pub class_count: usize,
    /// `accuracy`, `accuracy_network1`, `accuracy_network2`, `macro_f1`, `agreement`, …
    pub metrics: Vec<(String, f64)>,
    /// How many images of one true class were given which class; only pairs that occur.
    pub confusion: Vec<(String, String, u64)>,
}

impl Evaluation {
    /// The figure `name`, if it could be computed.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.metrics.iter().find(|(metric, _)| metric == name).map(|&(_, value)| value)
    }
}

impl Artifact for Evaluation {
    fn save(&self, folder: &Path) -> Result<()> {
        Table::new()
            .strings("id", &self.ids)
            .i32_or_null("label", self.labels.iter().copied())
            .u16("prediction", self.predictions.iter().copied())
            .rows("probs", Arc::new(Float32Array::from(self.probs.clone())), self.class_count)
            .write(&folder.join("predictions.parquet"))?;
        Table::new()
            .strings("metric", self.metrics.iter().map(|(name, _)| name))
            .f64("value", self.metrics.iter().map(|&(_, value)| value))
            .write(&folder.join("metrics.parquet"))?;
        Table::new()
            .strings("label", self.confusion.iter().map(|(label, _, _)| label))
            .strings("prediction", self.confusion.iter().map(|(_, prediction, _)| prediction))
            .u64("images", self.confusion.iter().map(|&(_, _, images)| images))
            .write(&folder.join("confusion.parquet"))
    }

    fn load(folder: &Path) -> Result<Self> {
        let columns = ["id", "label", "prediction", "probs"];
        let rows = Rows::read(&folder.join("predictions.parquet"), &columns)?;
        let (probs, class_count) = rows.rows::<Float32Array>("probs")?;
        let metrics = Rows::read(&folder.join("metrics.parquet"), &["metric", "value"])?;
        let values = metrics.column::<Float64Array>("value")?.values();
        let confusion = Rows::read(&folder.join("confusion.parquet"), &["label", "prediction", "images"])?;
        let given = confusion.column::<StringArray>("prediction")?.iter().flatten();
        let images = confusion.column::<UInt64Array>("images")?.values();
        Ok(Self {
            ids: rows.strings("id")?,
            labels: rows.nullable::<Int32Array>("label")?.iter().collect(),
            predictions: rows.column::<UInt16Array>("prediction")?.values().to_vec(),
            probs: probs.values().to_vec(),
            class_count,
            metrics: metrics.strings("metric")?.into_iter().zip(values.iter().copied()).collect(),
            confusion: (confusion.strings("label")?.into_iter().zip(given).zip(images))
                .map(|((label, given), &images)| (label, given.to_owned(), images))
                .collect(),
        })
    }
}
