//! Earlier results of a stage, for work that need not be done again.
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
pub(crate) struct Past {
    root: PathBuf,
    manifest: Arc<Manifest>,
}

/// A kept result of the same stage, version and settings, made from other inputs.
pub struct Earlier {
    record: Record,
    folder: PathBuf,
    same: Vec<bool>,
}

impl Store {
    /// The earlier results of the stage whose next result is that of `manifest`.
    pub(crate) fn past(&self, manifest: Arc<Manifest>) -> Past {
        Past { root: self.root.clone(), manifest }
    }
}

impl Past {
    /// The results, the newest first.
    pub(crate) fn results(&self) -> Vec<Earlier> {
        let results = self.root.join("results");
        let names = disk::names_in(&results).unwrap_or_default();
        let mut found: Vec<Earlier> = names.iter().filter_map(|name| self.result(name)).collect();
        found.sort_by(|a, b| b.record.made.at.cmp(&a.record.made.at).then(a.folder.cmp(&b.folder)));
        found
    }

    fn result(&self, name: &str) -> Option<Earlier> {
        let fingerprint: Fingerprint = name.strip_suffix(".json")?.parse().ok()?;
        let text = fs::read(self.root.join("results").join(name)).ok()?;
        let record = Record::read(&text, &fingerprint).ok()?;
        let (old, new) = (&record.manifest, &*self.manifest);
        let of_the_stage = old.stage == new.stage
            && old.version == new.version
            && old.settings == new.settings
            && old.inputs.len() == new.inputs.len()
            && old.files.iter().map(|file| file.digest).eq(new.files.iter().map(|file| file.digest));
        let folder = self.root.join("objects").join(record.digest.to_string());
        if !of_the_stage || object::sizes_differ(&folder, &record.files).is_some() {
            return None;
        }
        let same = old.inputs.iter().zip(&new.inputs).map(|(old, new)| old.digest == new.digest).collect();
        Some(Earlier { record, folder, same })
    }
}

impl Earlier {
    /// Of each input, in the order in which the stage takes them, whether it is the same now.
    pub fn same(&self) -> &[bool] {
        &self.same
    }

    /// The result, if it is still whole.
    pub fn load<A: Artifact>(&self) -> Option<A> {
        match object::damage(&self.folder, &self.record.files) {
            None => A::load(&self.folder).ok(),
            Some(_) => None,
        }
    }
}
