//! The stage `download`: a data set's images from wherever they are, split and limited, as one image table.

use pipeline::error::{Error, Result};
use pipeline::stage::{Context, Machine, Reads, Stage, key_without};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::catalog::{Classes, Repository, Source};
use super::layout::{self, Piece};
use super::limit::{limit, limit_evenly};
use super::split::{Shuffle, Split, SplitRule, id, prefixes, split};
use super::tables::{ImageRow, ImageRows, LabelOrder, listed};
use super::user_images::ImportImages;
use crate::artifacts::images::{Images, Index};
use crate::hub::client::{Hub, ProgressMonitor};
use crate::hub::environment::HubSettings;

/// Settings of the stage. Class texts are no part of it: they change what CLIP reads, not the images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Download {
    /// Where the rows come from: of a repository the revision, files and columns.
    pub source: Source,
    /// Class names, and how the source writes them.
    pub classes: Classes,
    /// Which rows train and which test.
    pub split: SplitRule,
    /// Most training images; 0 for all.
    pub limit_train: usize,
    /// Most test images; 0 for all.
    pub limit_test: usize,
    /// Whether the limits take equally many images of each class.
    pub balanced: bool,
    /// Seed of a random split and of the limits.
    pub seed: u64,
    /// How images of one's own are taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<ImportImages>,
}

/// What decides no image: where files are whose content counts, what is only said of them, and which revision the
/// description had.
const NO_PART_OF_THE_KEY: [&str; 8] = [
    "/source/instead_of",
    "/source/folder/root",
    "/source/folder/notes",
    "/source/folder/parts/*/files",
    "/source/tables/notes",
    "/source/tables/files/*/path",
    "/source/idx/pairs/*/images",
    "/source/idx/pairs/*/labels",
];

impl Stage for Download {
    type Inputs = ();
    type Output = Images;
    const NAME: &'static str = "download";
    const VERSION: u32 = 2;

    fn key(&self) -> Result<Value> {
        key_without(self, &NO_PART_OF_THE_KEY)
    }

    fn files(&self) -> Vec<Reads> {
        match &self.source {
            Source::UserImages(images) => images.files(),
            Source::Hub(_) | Source::Drawn(_) => Vec::new(),
        }
    }

    fn check(&self, _: &Machine) -> Result<()> {
        match self.source {
            Source::Hub(_) => HubSettings::from_env().map(drop),
            Source::Drawn(_) | Source::UserImages(_) => Ok(()),
        }
    }

    fn run(&self, (): (), context: &Context) -> Result<Images> {
        let mut found = match &self.source {
            Source::Hub(repository) => self.fetch(repository, context)?,
            Source::Drawn(drawn) => {
                let mut found = Found::default();
                for part in Split::ALL {
                    for (number, row) in drawn.rows(part, context)?.into_iter().enumerate() {
                        found.push(row, id(part.name(), number), Some(part));
                    }
                }
                found
            }
            Source::UserImages(images) => images.rows(&self.classes, context)?,
        };
        let shuffle = match self.source {
            // People add to their images, and what was put aside for testing should stay there.
            Source::UserImages(_) => Shuffle::by_id(self.seed, &found.ids),
            Source::Hub(_) | Source::Drawn(_) => Shuffle::by_place(self.seed),
        };
        let splits = split(&self.split, &found.given, &shuffle)?;
        let [train, test] = [self.limit_train, self.limit_test].map(|limit| (limit > 0).then_some(limit));
        let mut kept = if self.balanced {
            let labels: Vec<Option<i32>> = found.rows.iter().map(|row| row.label).collect();
            limit_evenly(&splits, &labels, train, test, &shuffle)?
        } else {
            limit(&splits, train, test, &shuffle)
        };
        if let (Source::UserImages(images), Some(import)) = (&self.source, self.import) {
            kept = import.run(images, &mut found, kept, context)?;
        }
        let Found { mut rows, mut ids, .. } = found;
        let mut index = Index { classes: self.classes.names.clone(), ..Index::default() };
        let (mut encoded, mut paths) = (Vec::with_capacity(kept.len()), Vec::with_capacity(kept.len()));
        for row in kept {
            let image = &mut rows[row];
            index.ids.push(std::mem::take(&mut ids[row]));
            index.splits.push(splits[row]);
            index.labels.push(image.label);
            encoded.push(std::mem::take(&mut image.bytes));
            paths.push(image.path.take());
        }
        Ok(Images::new(index, encoded, paths))
    }
}

impl Download {
    /// All rows of a repository, in the order of its files. Ids are the same however the hub divides
    /// what the description has in one file a split.
    fn fetch(&self, source: &Repository, context: &Context) -> Result<Found> {
        let hub = Hub::open(HubSettings::from_env()?)?;
        let pieces = layout::fetch(&hub, source, &ProgressMonitor::of(context))?;
        let paths: Vec<&str> = source.files.iter().map(|file| file.path.as_str()).collect();
        let prefixes = prefixes(&paths);
        let mut found = Found::default();
        for Piece { first, rows, shards } in pieces {
            let mut tables = Vec::new();
            for shard in &shards {
                let label = source.label_column.as_deref();
                tables.push(ImageRows::open(
                    &shard.fetched.path,
                    &source.image_column,
                    label,
                    &self.classes,
                )?);
            }
            let count: u64 = tables.iter().map(ImageRows::row_count).sum();
            if rows.is_some_and(|expected| expected != count) {
                let path = shards.first().map(|shard| shard.fetched.path.clone()).unwrap_or_default();
                let files =
                    if shards.len() == 1 { String::new() } else { format!(" in {} files", shards.len()) };
                return Err(Error::new(format!(
                    "{count} rows{files} where the catalog has {}",
                    rows.unwrap_or(0)
                ))
                .at(path)
                .help(
                    "the data set changed on the hub: check its revision in the catalog, or take it as it is now: \
                     SET=download.revision=main",
                ));
            }
            let mut before = 0;
            for (shard, table) in shards.iter().zip(tables) {
                if let LabelOrder::OtherNames(names) = table.label_order() {
                    let names = listed(names);
                    context
                        .progress()
                        .note(format!("{} names its classes {names}; taken in this order", shard.path));
                }
                let rows = table.row_count() as usize;
                let id = |row| id(&prefixes[first], before + row);
                found.take(table, id, source.files[first].split, context)?;
                before += rows;
            }
        }
        Ok(found)
    }
}

/// What a source has.
#[derive(Default)]
pub(super) struct Found {
    pub(super) rows: Vec<ImageRow>,
    pub(super) ids: Vec<String>,
    /// The split that the source gives each row.
    pub(super) given: Vec<Option<Split>>,
}

impl Found {
    /// Takes all rows of a table.
    pub(super) fn take(
        &mut self,
        table: ImageRows,
        id: impl Fn(usize) -> String,
        split: Option<Split>,
        context: &Context,
    ) -> Result<()> {
        context.progress().begin(table.row_count(), "images read");
        for (number, row) in table.enumerate() {
            self.push(row?, id(number), split);
            if number % 256 == 255 {
                context.safe_point()?;
                context.progress().advance(256);
            }
        }
        Ok(())
    }

    pub(super) fn push(&mut self, row: ImageRow, id: String, split: Option<Split>) {
        self.rows.push(row);
        self.ids.push(id);
        self.given.push(split);
    }
}
