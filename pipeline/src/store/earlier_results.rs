//! Earlier results of a stage, for pieces that need not be made again.
//!
//! It reads what is kept and changes nothing. What cannot be read counts as not there: a stage can always do
//! without.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::record::Record;
use super::{Store, disk, object};
use crate::artifact::Artifact;
use crate::fingerprint::{Fingerprint, Manifest};

/// Where to look, and for which stage.
#[derive(Clone)]
pub(crate) struct EarlierResults {
    root: PathBuf,
    manifest: Arc<Manifest>,
}

/// A kept result of the same stage, version, key and files, made from other inputs.
pub(crate) struct EarlierResult {
    record: Record,
    folder: PathBuf,
}

impl Store {
    /// The earlier results of the stage whose next result is that of `manifest`.
    pub(crate) fn earlier_results(&self, manifest: Arc<Manifest>) -> EarlierResults {
        EarlierResults { root: self.root.clone(), manifest }
    }
}

impl EarlierResults {
    /// Those that were made from the same inputs as the next one at the positions `same`, the newest first.
    pub(crate) fn with_inputs(&self, same: &[usize]) -> Vec<EarlierResult> {
        let results = self.root.join("results");
        let names = disk::names_in(&results).unwrap_or_default();
        let mut found: Vec<EarlierResult> = names.iter().filter_map(|name| self.result(name, same)).collect();
        found.sort_by(|a, b| b.record.made.at.cmp(&a.record.made.at).then(a.folder.cmp(&b.folder)));
        found
    }

    fn result(&self, name: &str, same: &[usize]) -> Option<EarlierResult> {
        let fingerprint: Fingerprint = name.strip_suffix(".json")?.parse().ok()?;
        let text = fs::read(self.root.join("results").join(name)).ok()?;
        let record = Record::read(&text, &fingerprint).ok()?;
        let (old, new) = (&record.manifest, &*self.manifest);
        let same_input = |at: &usize| match (old.inputs.get(*at), new.inputs.get(*at)) {
            (Some(old), Some(new)) => old.digest == new.digest,
            _ => false,
        };
        let of_the_stage = old.stage == new.stage
            && old.version == new.version
            && old.settings == new.settings
            && old.files.iter().map(|file| file.digest).eq(new.files.iter().map(|file| file.digest));
        let folder = self.root.join("objects").join(record.digest.to_string());
        let usable = of_the_stage
            && same.iter().all(same_input)
            && object::sizes_differ(&folder, &record.files).is_none();
        usable.then_some(EarlierResult { record, folder })
    }
}

impl EarlierResult {
    /// The result, if it is still whole.
    pub(crate) fn load<A: Artifact>(&self) -> Option<A> {
        match object::damage(&self.folder, &self.record.files) {
            None => A::load(&self.folder).ok(),
            Some(_) => None,
        }
    }
}
