//! `download/images.parquet`: every image as it was encoded, its split and its label where known.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, BinaryArray, Int32Array, StringArray, StructArray};
use arrow::datatypes::{DataType, Field};
use pipeline::artifact::Artifact;
use pipeline::error::{Error, OrFail, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::table::{self, ROW_GROUP, Rows, Table};
use crate::runtime::panics::guarded;

const FILE: &str = "images.parquet";
/// The entry in which Hugging Face `datasets` looks for the columns' features; the class names are in it
/// too, as `classes`.
const FEATURES: &str = "huggingface";

/// Which part of the data set an image belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Images the student learns from; their labels are used for statistics only.
    Train,
    /// Images the student is judged on.
    Test,
}

impl Split {
    /// Both splits, in the order in which tables list them.
    pub const ALL: [Self; 2] = [Self::Train, Self::Test];

    /// `train` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }

    /// The column `split` of a table.
    pub(super) fn column(rows: &Rows) -> Result<Vec<Self>> {
        rows.column::<StringArray>("split")?.iter().flatten().map(Self::parse).collect()
    }

    fn parse(name: &str) -> Result<Self> {
        (Self::ALL.into_iter().find(|split| split.name() == name))
            .ok_or_else(|| Error::new(format!("`{name}` is no split: `train` or `test` is")))
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Rows of the image table without the images themselves: what most stages need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// Unique names of the images.
    pub ids: Vec<String>,
    /// The split of each image.
    pub splits: Vec<Split>,
    /// The true class of each image, where known; an index into `classes`.
    pub labels: Vec<Option<i32>>,
    /// Names of the classes.
    pub classes: Vec<String>,
}

impl Index {
    /// Positions of the images of `split`, ascending.
    pub fn of(&self, split: Split) -> Vec<usize> {
        (0..self.ids.len()).filter(|&i| self.splits[i] == split).collect()
    }

    /// Checks that `ids` of another table name the same images in the same order.
    ///
    /// # Errors
    /// The first row that differs.
    pub fn check_same_ids(&self, ids: &[String], table: &str) -> Result<()> {
        if self.ids.len() != ids.len() {
            let (there, here) = (ids.len(), self.ids.len());
            return Err(Error::new(format!("{table} holds {there} rows where images holds {here}")));
        }
        match (0..ids.len()).find(|&i| ids[i] != self.ids[i]) {
            None => Ok(()),
            Some(row) => Err(Error::new(format!(
                "{table}, row {row}: image `{}` where images has `{}`",
                ids[row], self.ids[row]
            ))),
        }
    }
}

/// All images of a data set, encoded as they came.
pub struct Images {
    /// Ids, splits, labels and class names.
    pub index: Index,
    source: ImageStorage,
}

enum ImageStorage {
    Memory { encoded: Vec<Vec<u8>>, paths: Vec<Option<String>> },
    Folder(PathBuf),
}

impl Images {
    /// Images that were just fetched: `encoded` are files as they came (PNG, JPEG, …), `paths` their names.
    pub fn new(index: Index, encoded: Vec<Vec<u8>>, paths: Vec<Option<String>>) -> Self {
        Self { index, source: ImageStorage::Memory { encoded, paths } }
    }

    /// The encoded images, in the order of [`Index`].
    ///
    /// # Errors
    /// The table cannot be read.
    pub fn encoded(&self) -> Result<Encoded> {
        match &self.source {
            ImageStorage::Memory { encoded, .. } => {
                let chunks: Vec<_> = encoded.chunks(ROW_GROUP).map(BinaryArray::from_iter_values).collect();
                let starts = (0..=chunks.len()).map(|n| (n * ROW_GROUP).min(encoded.len())).collect();
                Ok(Encoded { starts, chunks })
            }
            ImageStorage::Folder(folder) => {
                let path = folder.join(FILE);
                guarded(|| Encoded::read(&path)).or_fail(|| Error::new("cannot read the images").at(&path))?
            }
        }
    }
}

/// Encoded images, row by row.
pub struct Encoded {
    chunks: Vec<BinaryArray>,
    starts: Vec<usize>,
}

impl Encoded {
    fn read(path: &Path) -> Result<Self> {
        let (reader, _) = table::reader(path, &["image"])?;
        let (mut chunks, mut starts) = (Vec::new(), vec![0]);
        for batch in reader {
            let batch = batch.or_fail(|| Error::new("cannot read the images").at(path))?;
            let bytes = (batch.column(0).as_any().downcast_ref::<StructArray>())
                .and_then(|image| image.column_by_name("bytes"))
                .and_then(|bytes| bytes.as_any().downcast_ref::<BinaryArray>());
            let bytes =
                bytes.ok_or_else(|| Error::new("column `image` is no struct<bytes, path>").at(path))?;
            starts.push(starts.last().copied().unwrap_or(0) + bytes.len());
            chunks.push(bytes.clone());
        }
        Ok(Self { chunks, starts })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The file of image `row`.
    pub fn get(&self, row: usize) -> &[u8] {
        let chunk = self.starts.partition_point(|&start| start <= row) - 1;
        self.chunks[chunk].value(row - self.starts[chunk])
    }
}

impl Artifact for Images {
    fn save(&self, folder: &Path) -> Result<()> {
        let ImageStorage::Memory { encoded, paths } = &self.source else {
            return Err(Error::new("these images are stored already").at(folder));
        };
        let Index { ids, splits, labels, classes } = &self.index;
        let text = |dtype| json!({"dtype": dtype, "_type": "Value"});
        let features = json!({"info": {"features": {
            "id": text("string"),
            "split": text("string"),
            "label": text("int32"),
            "image": {"_type": "Image"},
        }}, "classes": classes});
        let features = features.to_string();
        // Piece by piece: one Arrow array holds no more than 2 GiB.
        let starts = (0..ids.len().max(1)).step_by(ROW_GROUP);
        let tables = starts.map(|start| {
            let rows = start..(start + ROW_GROUP).min(ids.len());
            // Nullable throughout: `datasets` takes a column for an image only if it is declared so.
            let image = StructArray::from(vec![
                (
                    Arc::new(Field::new("bytes", DataType::Binary, true)),
                    Arc::new(BinaryArray::from_iter_values(&encoded[rows.clone()])) as _,
                ),
                (
                    Arc::new(Field::new("path", DataType::Utf8, true)),
                    Arc::new(paths[rows.clone()].iter().cloned().collect::<StringArray>()) as _,
                ),
            ]);
            Table::new()
                .strings("id", &ids[rows.clone()])
                .strings("split", splits[rows.clone()].iter().map(|split| split.name()))
                .i32_or_null("label", labels[rows].iter().copied())
                .column("image", Arc::new(image), true)
                .metadata(FEATURES, features.clone())
        });
        Table::write_all(&folder.join(FILE), tables)
    }

    fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let rows = Rows::read(&path, &["id", "split", "label"])?;
        let features: serde_json::Value = serde_json::from_str(rows.metadata(FEATURES)?)
            .or_fail(|| Error::new("cannot read the class names").at(&path))?;
        let names = features["classes"].as_array();
        let names = names.ok_or_else(|| Error::new("the table names no classes").at(&path))?;
        let index = Index {
            ids: rows.strings("id")?,
            splits: Split::column(&rows)?,
            labels: rows.nullable::<Int32Array>("label")?.iter().collect(),
            classes: names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect(),
        };
        Ok(Self { index, source: ImageStorage::Folder(folder.to_owned()) })
    }
}
