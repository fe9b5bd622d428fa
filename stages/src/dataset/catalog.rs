//! The data sets: one TOML file each, parsed and validated into a [`DataSet`] that cannot be wrong inside.
//!
//! Everything particular to a data set is in its file in `data/catalog/`; the files are part of the
//! program. A user may name a file of his own instead.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pipeline::error::{Error, OrFail, Result};
use serde::de::Error as _;
use serde::{Deserialize, Serialize};

use super::demo::DrawnImages;
use super::split::{Split, SplitRule};
use super::user_images::UserImages;
use crate::hub::cache::is_commit;
use crate::vision::StrongViews;

/// The catalog, in the order in which it is listed.
const CATALOG: [(&str, &str); 8] = [
    ("cifar10", include_str!("../../../data/catalog/cifar10.toml")),
    ("cifar100", include_str!("../../../data/catalog/cifar100.toml")),
    ("demo", include_str!("../../../data/catalog/demo.toml")),
    ("eurosat", include_str!("../../../data/catalog/eurosat.toml")),
    ("fer2013", include_str!("../../../data/catalog/fer2013.toml")),
    ("fmnist", include_str!("../../../data/catalog/fmnist.toml")),
    ("gtsrb", include_str!("../../../data/catalog/gtsrb.toml")),
    ("svhn", include_str!("../../../data/catalog/svhn.toml")),
];

/// A data set and how the method treats it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSet {
    /// Short name, as on the command line: `eurosat`.
    pub name: String,
    /// Name for people: `EuroSAT`.
    pub title: String,
    /// What people should know who see a result on it.
    pub note: Option<String>,
    /// What was assumed of the user's files before any stage read them, a line each. No description says any.
    #[serde(skip)]
    pub notes: Vec<String>,
    /// The CLIP that annotates it unless another is named; left out where that is the usual one.
    pub clip: Option<String>,
    /// Prompt templates for its kind of images, which `annotate.prompts=data-set` takes.
    #[serde(default)]
    pub prompts: Vec<String>,
    /// Where its rows come from.
    #[serde(deserialize_with = "described_source")]
    pub source: Source,
    /// Which rows train and which test.
    pub split: SplitRule,
    /// Its classes.
    pub classes: Classes,
    /// What the networks see.
    pub image: ImageForm,
    /// How views are made (method §3).
    pub augmentation: Augmentation,
    /// Lengths of training (method §9).
    pub schedule: Schedule,
    /// Settings of this data set that replace those of a profile, by the profile's name.
    #[serde(default)]
    pub profile: BTreeMap<String, toml::Table>,
}

/// Where the rows of a data set come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Source {
    /// A repository of a hub.
    Hub(Repository),
    /// Pictures that the project draws itself.
    Drawn(DrawnImages),
    /// The user's files. IMAGES names them; a description cannot. Under its first name, so that what was kept stays valid.
    #[serde(rename = "own")]
    UserImages(UserImages),
}

/// The source in a description: `kind` says where the rows come from, and where it is left out a hub is meant. Files of
/// the user's, and what a choice of the user's leaves behind, have no place there.
fn described_source<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Source, D::Error> {
    let mut table = toml::Table::deserialize(deserializer)?;
    let kind = table.remove("kind").unwrap_or_else(|| "hub".into());
    let source = match kind.as_str() {
        Some("hub") if table.contains_key("instead_of") => {
            return Err(D::Error::custom("in `source`: unknown field `instead_of`"));
        }
        Some("hub") => Repository::deserialize(table).map(Source::Hub),
        Some("drawn") => DrawnImages::deserialize(table).map(Source::Drawn),
        _ => {
            return Err(D::Error::custom(format!("source.kind is {kind}, and must be \"hub\" or \"drawn\"")));
        }
    };
    source.map_err(|error| D::Error::custom(format!("in `source`: {}", error.message())))
}

/// A repository of a hub, and which of its files and columns are the data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// `owner/name` of a data set repository.
    pub repo: String,
    /// Commit, branch or tag; a commit pins the content.
    pub revision: String,
    /// The description's revision, where the user chose another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<String>,
    /// The column of encoded images.
    pub image_column: String,
    /// The column of true labels; without one the labels are unknown, and what needs the truth is left out.
    pub label_column: Option<String>,
    /// Parquet files, in the order in which rows are numbered.
    pub files: Vec<SourceFile>,
}

impl Source {
    /// The source at another revision, or at the description's if `revision` is empty; only repositories have any. Of
    /// another revision neither checksums nor numbers of rows are known.
    #[must_use]
    pub fn at(&self, revision: &str) -> Self {
        match self {
            Self::Hub(repository) => Self::Hub(repository.at(revision)),
            Self::Drawn(_) | Self::UserImages(_) => self.clone(),
        }
    }
}

impl Repository {
    fn at(&self, revision: &str) -> Self {
        if revision.is_empty() || revision == self.revision && is_commit(revision) {
            return self.clone();
        }
        let unchecked = |file: &SourceFile| SourceFile { sha256: None, rows: None, ..file.clone() };
        Self {
            revision: revision.to_owned(),
            instead_of: Some(self.revision.clone()),
            files: self.files.iter().map(unchecked).collect(),
            ..self.clone()
        }
    }
}

/// One Parquet file of the repository.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Path in the repository.
    pub path: String,
    /// The split its rows belong to; with the rule `standard` every file must say it.
    pub split: Option<Split>,
    /// SHA-256 in hex, where known.
    pub sha256: Option<String>,
    /// Rows, where known.
    pub rows: Option<u64>,
}

/// The classes in the order of their labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classes {
    /// Names, as results show them.
    pub names: Vec<String>,
    /// What CLIP is told of each class (method §1), put into the templates as it stands; several
    /// wordings are separated by [`ALTERNATIVES`]. Left out in the file where the names serve.
    #[serde(default)]
    pub texts: Vec<String>,
    /// Names that the source has differently: its name, and ours.
    #[serde(default)]
    pub renamed: Vec<Renamed>,
}

/// A class name that the source writes in its own way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renamed {
    /// The source's name.
    pub from: String,
    /// The name in [`Classes::names`].
    pub to: String,
}

/// The form in which the student networks take an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageForm {
    /// 1 (grey) or 3 (RGB).
    pub channels: usize,
    /// Side in pixels; other sizes are resized to it.
    pub size: usize,
    /// Stride of the network's first stage.
    pub first_stride: usize,
    /// Mean of each channel, pixels in [0, 1].
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, pixels in [0, 1].
    pub std: Vec<f32>,
}

/// What the random views may do to an image without changing its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    /// Horizontal flip.
    pub flip: bool,
    /// What a strong view has beside a weak one.
    pub strong: StrongViews,
}

/// Epochs, by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Epochs of warm-up.
    pub warm_up: usize,
    /// Epochs in all.
    pub total: usize,
}

/// What separates the wordings of a class text. A class with several stands where the mean of their
/// features points.
pub const ALTERNATIVES: char = '|';

/// The wordings of a class text; the text as it stands where there is one alone.
pub fn wordings(text: &str) -> impl Iterator<Item = &str> {
    let several = text.contains(ALTERNATIVES);
    text.split(ALTERNATIVES).map(move |wording| if several { wording.trim() } else { wording })
}

/// What to do about a description that is not valid.
const LIKE_OURS: &str = "correct the file; those in data/catalog show every key";

/// The names of the data sets in the catalog.
pub fn names() -> impl Iterator<Item = &'static str> {
    CATALOG.iter().map(|(name, _)| *name)
}

impl DataSet {
    /// A data set of the catalog by its name, or of the user's own by the path of a `.toml` file.
    ///
    /// # Errors
    /// An unknown name (says the nearest), a file that cannot be read or is not valid.
    pub fn find(name_or_path: &str) -> Result<Self> {
        if let Some((name, text)) = CATALOG.iter().find(|(name, _)| *name == name_or_path) {
            return Self::parse(text, Path::new(&format!("data/catalog/{name}.toml")));
        }
        if name_or_path.ends_with(".toml") {
            let path = Path::new(name_or_path);
            let text = std::fs::read_to_string(path).or_fail(|| {
                let help = "name a data set of the catalog, or a TOML file like those in data/catalog";
                Error::new("cannot read the description of a data set").at(path).help(help)
            })?;
            return Self::parse(&text, path);
        }
        let asked = name_or_path.to_lowercase().replace(['-', '_', ' '], "");
        let nearest = names()
            .map(|name| (strsim::damerau_levenshtein(&asked, name), name))
            .min()
            .filter(|(distance, name)| *distance <= 3.min(name.len() / 2))
            .map_or_else(String::new, |(_, name)| format!("did you mean `{name}`? "));
        let list: Vec<_> = names().collect();
        Err(Error::new(format!("there is no data set `{name_or_path}`"))
            .help(format!("{nearest}there are: {}; or name a .toml file of your own", list.join(", "))))
    }

    /// Parses and validates the text of a catalog file; `path` is for messages.
    ///
    /// # Errors
    /// TOML that is wrong, an unknown or missing key, values that contradict each other: names the key.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let mut set: Self = toml::from_str(text)
            .or_fail(|| Error::new("the description of a data set is not valid").at(path).help(LIKE_OURS))?;
        if set.classes.texts.is_empty() {
            set.classes.texts.clone_from(&set.classes.names);
        }
        set.validated(path)
    }

    /// The data set, if nothing in it contradicts itself; `path` is for messages.
    pub(super) fn validated(self, path: &Path) -> Result<Self> {
        self.validate().map_err(|(key, fault)| {
            Error::new(format!("the description of data set `{}` is not valid: {key} {fault}", self.name))
                .at(path)
                .help(LIKE_OURS)
        })?;
        Ok(self)
    }

    /// How many classes there are.
    pub fn class_count(&self) -> usize {
        self.classes.names.len()
    }

    fn validate(&self) -> Result<(), InvalidKey> {
        let short = !self.name.is_empty()
            && self.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        check(short, "name", || {
            "must be lower-case letters, digits and hyphens: it names folders".to_owned()
        })?;
        match &self.source {
            Source::Hub(repository) => self.validate_repository(repository)?,
            Source::UserImages(_) => {}
            Source::Drawn(drawn) => {
                check(self.split == SplitRule::Standard, "split.rule", || {
                    "must be `standard` for pictures that are drawn for train and test".to_owned()
                })?;
                drawn.validate(self.classes.names.len()).map_err(|fault| ("source", fault))?;
            }
        }
        if let SplitRule::Random { test_share } = self.split {
            check(test_share > 0.0 && test_share < 1.0, "split.test_share", || {
                format!("is {test_share}, and must lie between 0 and 1")
            })?;
        }
        let Classes { names, texts, renamed } = &self.classes;
        check((2..=usize::from(u16::MAX)).contains(&names.len()), "classes.names", || {
            format!("has {} names, and must have 2 to 65535", names.len())
        })?;
        check(texts.len() == names.len(), "classes.texts", || {
            format!("has {} texts for {} names", texts.len(), names.len())
        })?;
        for (key, list) in [("classes.names", names), ("classes.texts", texts)] {
            let mut seen = BTreeSet::new();
            for (at, text) in list.iter().enumerate() {
                check(!text.trim().is_empty(), key, || format!("is empty at {at}"))?;
                check(seen.insert(text), key, || format!("has `{text}` twice"))?;
            }
        }
        for text in texts {
            let wordings = wordings(text).all(|wording| !wording.trim().is_empty());
            check(wordings, "classes.texts", || format!("has an empty wording in `{text}`"))?;
        }
        for Renamed { from, to } in renamed {
            check(names.contains(to), "classes.renamed", || {
                format!("gives `{from}` the unknown name `{to}`")
            })?;
        }
        for template in &self.prompts {
            check(template.contains("{}"), "prompts", || {
                format!("has `{template}`, with no {{}} for the class")
            })?;
        }
        let ImageForm { channels, size, first_stride, mean, std } = &self.image;
        check(matches!(channels, 1 | 3), "image.channels", || format!("is {channels}, and must be 1 or 3"))?;
        check((8..=1024).contains(size), "image.size", || format!("is {size}, and must be 8 to 1024"))?;
        check(matches!(first_stride, 1 | 2), "image.first_stride", || {
            format!("is {first_stride}, and must be 1 or 2")
        })?;
        for (key, list) in [("image.mean", mean), ("image.std", std)] {
            check(list.len() == *channels, key, || {
                format!("has {} values for {channels} channels", list.len())
            })?;
            check(list.iter().all(|value| value.is_finite()), key, || "must be finite".to_owned())?;
        }
        check(std.iter().all(|value| *value > 0.0), "image.std", || "must be greater than 0".to_owned())?;
        let operates = self.augmentation.strong == StrongViews::Operations;
        check(!operates || *channels == 3, "augmentation.strong", || {
            "is `operations`, which need three channels: write `cutout` or `none`".to_owned()
        })?;
        let Schedule { warm_up, total } = self.schedule;
        check(0 < warm_up && warm_up < total, "schedule", || {
            format!("has {warm_up} epochs of warm-up within {total} in all")
        })
    }

    fn validate_repository(&self, source: &Repository) -> Result<(), InvalidKey> {
        let files = &source.files;
        check(source.repo.split('/').filter(|part| !part.is_empty()).count() == 2, "source.repo", || {
            format!("is `{}`, and must be written owner/name", source.repo)
        })?;
        check(!source.revision.is_empty(), "source.revision", || "is empty".to_owned())?;
        check(!files.is_empty(), "source.files", || "is empty".to_owned())?;
        for (at, file) in files.iter().enumerate() {
            let path = &file.path;
            check(!files[..at].iter().any(|other| other.path == *path), "source.files", || {
                format!("has `{path}` twice")
            })?;
            let hex = |sum: &String| sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit());
            check(file.sha256.as_ref().is_none_or(hex), "source.files.sha256", || {
                format!("of `{path}` is not 64 hex digits")
            })?;
            check(self.split != SplitRule::Standard || file.split.is_some(), "source.files.split", || {
                format!("of `{path}` is missing, which the rule `standard` needs")
            })?;
        }
        if self.split == SplitRule::Standard {
            let has = |split| files.iter().any(|file| file.split == Some(split));
            check(has(Split::Train) && has(Split::Test), "source.files.split", || {
                "must have both train and test with the rule `standard`".to_owned()
            })?;
        }
        Ok(())
    }
}

/// A key of the file, and what is wrong with it.
type InvalidKey = (&'static str, String);

fn check(good: bool, key: &'static str, fault: impl FnOnce() -> String) -> Result<(), InvalidKey> {
    if good { Ok(()) } else { Err((key, fault())) }
}

#[cfg(test)]
#[path = "catalog_tests.rs"]
mod tests;
