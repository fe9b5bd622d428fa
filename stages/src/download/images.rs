//! The stage `download`: a data set's images from wherever they are, split and limited, as one image table.

use pipeline::error::{Error, Result};
use pipeline::stage::{Context, Reads, Stage};
use serde::{Deserialize, Serialize};

use super::catalog::{Classes, Repository, Source};
use super::hub::{Hub, RepoKind, Wanted, Watch};
use super::own::Import;
use super::read::{LabelOrder, Row, Rows};
use super::settings::HubSettings;
use super::split::{Split, SplitRule, id, limit, prefixes, split};
use crate::artifacts::images::{Images, Index};

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
    /// Seed of a random split and of the limits.
    pub seed: u64,
    /// How images of one's own are taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<Import>,
}

impl Stage for Download {
    type Inputs = ();
    type Output = Images;
    const NAME: &'static str = "download";
    const VERSION: u32 = 1;

    fn files(&self) -> Vec<Reads> {
        match &self.source {
            Source::Own(own) => own.files(),
            Source::Hub(_) | Source::Drawn(_) => Vec::new(),
        }
    }

    fn check(&self) -> Result<()> {
        match self.source {
            Source::Hub(_) => HubSettings::from_env().map(drop),
            Source::Drawn(_) | Source::Own(_) => Ok(()),
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
            Source::Own(own) => own.rows(&self.classes, context)?,
        };
        let splits = split(&self.split, &found.given, self.seed)?;
        let most = |limit: usize| (limit > 0).then_some(limit);
        let mut kept = limit(&splits, most(self.limit_train), most(self.limit_test), self.seed);
        if let (Source::Own(own), Some(import)) = (&self.source, self.import) {
            kept = import.run(own, &mut found, kept, context)?;
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
    /// All rows of a repository, in the order of its files.
    fn fetch(&self, source: &Repository, context: &Context) -> Result<Found> {
        let hub = Hub::open(HubSettings::from_env()?)?;
        let watch = Watch::of(context);
        let mut files = Vec::new();
        for file in &source.files {
            let wanted = Wanted {
                kind: RepoKind::Dataset,
                repo: &source.repo,
                revision: &source.revision,
                file: &file.path,
                sha256: file.sha256.as_deref(),
            };
            files.push(hub.fetch(&wanted, &watch)?);
        }
        let paths: Vec<&str> = source.files.iter().map(|file| file.path.as_str()).collect();
        let label = source.label_column.as_deref();
        let mut found = Found::default();
        for ((file, fetched), prefix) in source.files.iter().zip(&files).zip(prefixes(&paths)) {
            let table = Rows::open(&fetched.path, &source.image_column, label, &self.classes)?;
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
            found.take(table, |row| id(&prefix, row), file.split, context)?;
        }
        Ok(found)
    }
}

/// What a source has.
#[derive(Default)]
pub(super) struct Found {
    pub(super) rows: Vec<Row>,
    pub(super) ids: Vec<String>,
    /// The split that the source gives each row.
    pub(super) given: Vec<Option<Split>>,
}

impl Found {
    /// Takes all rows of a table.
    pub(super) fn take(
        &mut self,
        table: Rows,
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

    pub(super) fn push(&mut self, row: Row, id: String, split: Option<Split>) {
        self.rows.push(row);
        self.ids.push(id);
        self.given.push(split);
    }
}
