//! The stage `download`: a data set's images from wherever they are, split and limited, as one image table.

use pipeline::error::{Error, Result};
use pipeline::stage::{Context, Machine, Reads, Stage, key_without};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::catalog::{Classes, Repository, Source};
use super::import::{Import, ImportImages};
use super::labels::{LabelColumn, LabelOrder, listed};
use super::layout::{self, Piece};
use super::limit::{limit, limit_evenly};
use super::listing::{EncodedImage, ImageSource, Listing};
use super::split::{Shuffle, Split, SplitRule, prefixes, split};
use super::table_rows::{ImageTable, TableRows};
use crate::artifacts::images::{Images, ImagesWriter, Index};
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
    /// How images are taken over. Those of a hub are looked at only if unreadable ones are to be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<ImportImages>,
}

/// What decides no image: where files are whose content counts, what is only said of them, and which revision the
/// description had.
const NO_PART_OF_THE_KEY: [&str; 8] = [
    "/source/instead_of",
    "/source/folder/root",
    "/source/folder/parts/*/files",
    "/source/tables/files/*/path",
    "/source/tables/files/*/beside",
    "/source/idx/pairs/*/images",
    "/source/idx/pairs/*/labels",
    "/source/tar/archives/*/path",
];

impl Stage for Download {
    type Inputs = ();
    type Output = Images;
    const NAME: &'static str = "download";
    // 3: labels that are words for nothing are unknown, and numbers mean classes that are called by numerals.
    const VERSION: u32 = 3;

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
        let source: Box<dyn ImageSource> = match &self.source {
            Source::Hub(repository) => Box::new(self.fetch(repository, context)?),
            Source::Drawn(drawn) => Box::new(*drawn),
            Source::UserImages(images) => images.open(&self.classes)?,
        };
        let Listing { mut ids, labels, given } = source.list(context)?;
        let shuffle = match self.source {
            // People add to their images, and what was put aside for testing should stay there.
            Source::UserImages(_) => Shuffle::by_id(self.seed, &ids),
            Source::Hub(_) | Source::Drawn(_) => Shuffle::by_place(self.seed),
        };
        let splits = split(&self.split, &given, &shuffle)?;
        let [train, test] = [self.limit_train, self.limit_test].map(|limit| (limit > 0).then_some(limit));
        let kept = if self.balanced {
            limit_evenly(&splits, &labels, train, test, &shuffle)?
        } else {
            limit(&splits, train, test, &shuffle)
        };
        for (part, limit) in [(Split::Train, train), (Split::Test, test)] {
            let (all, taken) =
                (count(&splits, part), kept.iter().filter(|row| splits[**row] == part).count());
            if let Some(limit) = limit.filter(|_| taken < all) {
                context.progress().note(format!(
                    "{taken} of {all} images to {part} are taken: download.limit_{part}={limit}; 0 takes all"
                ));
            }
        }
        let mut import = Import::new(self.import, kept.len());
        let mut writer = ImagesWriter::create(context.checkpoint(), self.classes.names.clone())?;
        context.progress().begin(kept.len() as u64, "images");
        source.read(&kept, context, &mut |images| {
            let count = images.len() as u64;
            for (row, EncodedImage { bytes, path }) in import.good(images, &ids) {
                writer.push(std::mem::take(&mut ids[row]), splits[row], labels[row], (bytes, path))?;
            }
            context.progress().advance(count);
            Ok(())
        })?;
        import.finish(context)?;
        let images = writer.finish()?;
        for part in Split::ALL {
            if images.index.of(part).is_empty() {
                return Err(Error::new(format!("no image of {part} is left")).help(
                    "both splits need images: mend those that cannot be read, or check the split rule",
                ));
            }
        }
        context.progress().note(self.described(&images.index));
        Ok(images)
    }
}

/// How many rows are of a split.
fn count(splits: &[Split], part: Split) -> usize {
    splits.iter().filter(|split| **split == part).count()
}

impl Download {
    /// What was taken, in words.
    fn described(&self, index: &Index) -> String {
        let part = |part: Split| {
            let rows = index.of(part);
            let labelled = rows.iter().filter(|row| index.labels[**row].is_some()).count();
            let labels = match labelled {
                0 => "without labels".to_owned(),
                _ if labelled == rows.len() => "all with a label".to_owned(),
                _ => format!("{labelled} with a label"),
            };
            format!("{} images {part} ({labels})", rows.len())
        };
        let drawn = if matches!(self.split, SplitRule::Random { .. }) { ", drawn at random" } else { "" };
        let (count, classes) = (index.classes.len(), listed(&index.classes));
        format!("{count} classes: {classes}; {}, {}{drawn}", part(Split::Train), part(Split::Test))
    }

    /// The rows of a repository, in the order of its files. Ids are the same however the hub divides what the
    /// description has in one file a split.
    fn fetch(&self, source: &Repository, context: &Context) -> Result<TableRows> {
        let hub = Hub::open(HubSettings::from_env()?)?;
        let pieces = layout::fetch(&hub, source, &ProgressMonitor::of(context))?;
        let paths: Vec<&str> = source.files.iter().map(|file| file.path.as_str()).collect();
        let prefixes = prefixes(&paths);
        let label = source.label_column.clone().map(|name| LabelColumn { name, first: 0 });
        let mut all = Vec::new();
        for Piece { first, rows, shards } in pieces {
            let mut tables = Vec::new();
            for shard in &shards {
                let path = &shard.fetched.path;
                tables.push(ImageTable::open(
                    path,
                    &source.image_column,
                    label.as_ref(),
                    &self.classes,
                    (
                        "correct the data set's description: its columns, classes.names, or classes.renamed for names \
                         that the source writes differently",
                        true,
                    ),
                )?);
            }
            let count: u64 = tables.iter().map(|table| table.rows() as u64).sum();
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
                let rows = table.rows();
                all.push(table.called(&prefixes[first], before, source.files[first].split));
                before += rows;
            }
        }
        Ok(TableRows(all))
    }
}
