//! The stage `download`: a data set's files from a hub, verified, split and limited, as one image table.

use pipeline::error::{Error, Result};
use pipeline::stage::{Context, Stage};
use serde::{Deserialize, Serialize};

use super::catalog::{Classes, Source};
use super::hub::{Hub, RepoKind, Wanted, Watch};
use super::read::{LabelOrder, Rows};
use super::settings::HubSettings;
use super::split::{SplitRule, id, limit, prefixes, split};
use crate::artifacts::images::{Images, Index};

/// Settings of the stage. Class texts are no part of it: they change what CLIP reads, not the images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Download {
    /// Repository, revision, files and columns.
    pub source: Source,
    /// Class names, and how the source writes them.
    pub classes: Classes,
    /// Which rows train and which test.
    pub split: SplitRule,
    /// Most training images; 0 for all.
    pub limit_train: usize,
    /// Most test images; 0 for all.
    pub limit_test: usize,
    /// Seed of a random split and of the limits.
    pub seed: u64,
}

impl Stage for Download {
    type Inputs = ();
    type Output = Images;
    const NAME: &'static str = "download";
    const VERSION: u32 = 1;

    fn check(&self) -> Result<()> {
        HubSettings::from_env().map(drop)
    }

    fn run(&self, (): (), context: &Context) -> Result<Images> {
        let hub = Hub::open(HubSettings::from_env()?)?;
        let watch = Watch::of(context);
        let mut files = Vec::new();
        for file in &self.source.files {
            let wanted = Wanted {
                kind: RepoKind::Dataset,
                repo: &self.source.repo,
                revision: &self.source.revision,
                file: &file.path,
                sha256: file.sha256.as_deref(),
            };
            files.push(hub.fetch(&wanted, &watch)?);
        }
        let paths: Vec<&str> = self.source.files.iter().map(|file| file.path.as_str()).collect();
        let label = self.source.label_column.as_deref();
        let (mut rows, mut ids, mut given) = (Vec::new(), Vec::new(), Vec::new());
        for ((file, fetched), prefix) in self.source.files.iter().zip(&files).zip(prefixes(&paths)) {
            let table = Rows::open(&fetched.path, &self.source.image_column, label, &self.classes)?;
            if file.rows.is_some_and(|expected| expected != table.row_count()) {
                return Err(Error::new(format!(
                    "{} rows where the catalog has {}",
                    table.row_count(),
                    file.rows.unwrap_or(0)
                ))
                .at(&fetched.path)
                .help("the data set changed on the hub: check its revision in the catalog"));
            }
            if let LabelOrder::OtherNames(names) = table.label_order() {
                let names = names.join(", ");
                context
                    .progress()
                    .note(format!("{} names its classes {names}; taken in this order", file.path));
            }
            context.progress().begin(table.row_count(), "images read");
            for (number, row) in table.enumerate() {
                rows.push(row?);
                ids.push(id(&prefix, number));
                given.push(file.split);
                if number % 256 == 255 {
                    context.safe_point()?;
                    context.progress().advance(256);
                }
            }
        }
        let splits = split(&self.split, &given, self.seed)?;
        let most = |limit: usize| (limit > 0).then_some(limit);
        let kept = limit(&splits, most(self.limit_train), most(self.limit_test), self.seed);
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
