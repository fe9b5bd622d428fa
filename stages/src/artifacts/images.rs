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

use super::table::{self, ROW_GROUP, Rows, Table, TableWriter};
use crate::runtime::panics::guarded;

const FILE: &str = "images.parquet";
/// Bytes of images after which a row group ends, should it have fewer than [`ROW_GROUP`] rows: what writing needs of
/// memory, and what whoever reads a group needs.
const ROW_GROUP_BYTES: usize = 64 << 20;
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
    Memory {
        encoded: Vec<Vec<u8>>,
        paths: Vec<Option<String>>,
    },
    /// In the file that [`ImagesWriter`] wrote, until the store has it.
    Written(PathBuf),
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
            ImageStorage::Folder(_) | ImageStorage::Written(_) => {
                let path = match &self.source {
                    ImageStorage::Folder(folder) => folder.join(FILE),
                    ImageStorage::Memory { .. } => PathBuf::new(),
                    ImageStorage::Written(path) => path.clone(),
                };
                guarded(|| Encoded::read(&path)).or_fail(|| Error::new("cannot read the images").at(&path))?
            }
        }
    }
}

/// A table of images being written. No more of them are in memory than a row group holds.
pub struct ImagesWriter {
    path: PathBuf,
    inner: TableWriter,
    features: String,
    index: Index,
    /// The images of the row group that is being filled, and how many bytes they have.
    waiting: Vec<(Vec<u8>, Option<String>)>,
    bytes: usize,
}

impl ImagesWriter {
    /// Writes into `folder`, which is made, until the store takes the table over.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn create(folder: &Path, classes: Vec<String>) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .or_fail(|| Error::new("cannot write the table of images").at(folder))?;
        Ok(Self::to(&folder.join(FILE), classes))
    }

    fn to(path: &Path, classes: Vec<String>) -> Self {
        let text = |dtype| json!({"dtype": dtype, "_type": "Value"});
        let features = json!({"info": {"features": {
            "id": text("string"),
            "split": text("string"),
            "label": text("int32"),
            "image": {"_type": "Image"},
        }}, "classes": classes});
        Self {
            path: path.to_owned(),
            inner: TableWriter::new(path),
            features: features.to_string(),
            index: Index { classes, ..Index::default() },
            waiting: Vec::new(),
            bytes: 0,
        }
    }

    /// Appends an image: its file as it came, and that file's name where it is known.
    ///
    /// # Errors
    /// The table cannot be written.
    pub fn push(
        &mut self,
        id: String,
        split: Split,
        label: Option<i32>,
        image: (Vec<u8>, Option<String>),
    ) -> Result<()> {
        self.index.ids.push(id);
        self.index.splits.push(split);
        self.index.labels.push(label);
        self.bytes += image.0.len();
        self.waiting.push(image);
        if self.waiting.len() == ROW_GROUP || self.bytes >= ROW_GROUP_BYTES {
            self.end_row_group()
        } else {
            Ok(())
        }
    }

    fn end_row_group(&mut self) -> Result<()> {
        let (images, paths): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting).into_iter().unzip();
        self.bytes = 0;
        let Index { ids, splits, labels, .. } = &self.index;
        let rows = ids.len() - images.len()..ids.len();
        // Nullable throughout: `datasets` takes a column for an image only if it is declared so.
        let image = StructArray::from(vec![
            (
                Arc::new(Field::new("bytes", DataType::Binary, true)),
                Arc::new(BinaryArray::from_iter_values(&images)) as _,
            ),
            (
                Arc::new(Field::new("path", DataType::Utf8, true)),
                Arc::new(paths.into_iter().collect::<StringArray>()) as _,
            ),
        ]);
        let table = Table::new()
            .strings("id", &ids[rows.clone()])
            .strings("split", splits[rows.clone()].iter().map(|split| split.name()))
            .i32_or_null("label", labels[rows].iter().copied())
            .column("image", Arc::new(image), true)
            .metadata(FEATURES, self.features.clone());
        self.inner.write(table)?;
        self.inner.end_row_group()
    }

    /// Writes the table's end, and gives the images.
    ///
    /// # Errors
    /// The table cannot be written.
    pub fn finish(mut self) -> Result<Images> {
        if !self.waiting.is_empty() || self.index.ids.is_empty() {
            self.end_row_group()?;
        }
        self.inner.finish()?;
        Ok(Images { index: self.index, source: ImageStorage::Written(self.path) })
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
        let (encoded, paths) = match &self.source {
            ImageStorage::Memory { encoded, paths } => (encoded, paths),
            ImageStorage::Written(written) => {
                let path = folder.join(FILE);
                let cannot = || Error::new("cannot keep the table of images").at(&path);
                return match std::fs::rename(written, &path) {
                    // Another file system: a test's.
                    Err(_) => std::fs::copy(written, &path).map(drop).or_fail(cannot),
                    Ok(()) => Ok(()),
                };
            }
            ImageStorage::Folder(_) => return Err(Error::new("these images are stored already").at(folder)),
        };
        let Index { ids, splits, labels, classes } = &self.index;
        let mut writer = ImagesWriter::to(&folder.join(FILE), classes.clone());
        for row in 0..ids.len() {
            let image = (encoded[row].clone(), paths[row].clone());
            writer.push(ids[row].clone(), splits[row], labels[row], image)?;
        }
        writer.finish().map(drop)
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
