//! What the user says of how images are to be read, where it is not to be found out.

use serde::{Deserialize, Serialize};

/// In what the images lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// In whatever holds most of them, if that is clear.
    #[default]
    Auto,
    /// Image files.
    Files,
    /// Parquet or Arrow tables.
    Tables,
    /// IDX files, as MNIST's.
    Idx,
    /// Tar archives, as WebDataset's.
    Tar,
}

impl Format {
    /// As the setting writes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Files => "files",
            Self::Tables => "tables",
            Self::Idx => "idx",
            Self::Tar => "tar",
        }
    }
}

/// Where labels come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelsFrom {
    /// From wherever they are clear.
    #[default]
    Auto,
    /// Of image files: the first folder below the part that an image is in is its class.
    TopFolder,
    /// Of image files: the folder that an image lies in is its class.
    ParentFolder,
    /// Of image files: `metadata.csv` and its like.
    Metadata,
    /// From nowhere: all images are unlabeled.
    None,
}

/// How images are to be read; the default finds everything out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// In what they lie.
    pub format: Format,
    /// Where labels come from.
    pub labels: LabelsFrom,
    /// Names of the folders or files whose images train, separated by commas; found by their names if empty.
    pub train: String,
    /// Names of those whose images test.
    pub test: String,
    /// The column of images; of a tar archive the ending of their names.
    pub image_column: String,
    /// The column of labels.
    pub label_column: String,
    /// The number of the first class, where labels are numbers.
    pub first_label: Option<i64>,
    /// Whether files with names that cannot be used are left out.
    pub skip_unreadable: bool,
}

impl From<LabelsFrom> for super::layout::LabelsFrom {
    fn from(labels: LabelsFrom) -> Self {
        match labels {
            LabelsFrom::Auto => Self::Auto,
            LabelsFrom::TopFolder => Self::TopFolder,
            LabelsFrom::ParentFolder => Self::ParentFolder,
            LabelsFrom::Metadata | LabelsFrom::None => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_settings_are_written_as_the_messages_write_them() {
        for (labels, word) in [
            (LabelsFrom::Auto, "\"auto\""),
            (LabelsFrom::TopFolder, "\"top-folder\""),
            (LabelsFrom::ParentFolder, "\"parent-folder\""),
            (LabelsFrom::Metadata, "\"metadata\""),
            (LabelsFrom::None, "\"none\""),
        ] {
            assert_eq!(serde_json::to_string(&labels).unwrap(), word);
        }
        for format in [Format::Auto, Format::Files, Format::Tables, Format::Idx, Format::Tar] {
            assert_eq!(serde_json::to_string(&format).unwrap(), format!("\"{}\"", format.name()));
        }
    }
}
