//! Collecting garbage: results that no node used last.
//!
//! It knows nothing of graphs; a head is a file that names a result.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::Store;
use super::disk::{fail, names_in, remove_folder};
use super::lock::Shared;
use crate::error::{Error, Result};
use crate::fingerprint::{Digest, Fingerprint};

/// What counts as garbage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Every result that no node of any graph used last. Checkpoints are unfinished work: they stay.
    Unreachable,
    /// As [`Unreachable`](Self::Unreachable), but only what is older than this; and checkpoints and
    /// damaged results that are.
    OlderThan(Duration),
    /// All of it, heads, checkpoints and damaged results included.
    Everything,
}

/// What was removed, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Freed {
    /// Records of results.
    pub results: u64,
    /// Objects.
    pub objects: u64,
    /// Checkpoints of unfinished results.
    pub checkpoints: u64,
    /// Damaged results that were set aside.
    pub damaged: u64,
    /// Size of all of it.
    pub bytes: u64,
}

impl Store {
    /// Removes garbage; with `dry_run` only counts it.
    ///
    /// # Errors
    /// A run that goes on at the same time; a store that cannot be read or written.
    pub fn collect(&self, policy: Policy, dry_run: bool) -> Result<Freed> {
        let lock = self.root.join("locks").join("in-use.lock");
        let Some(_alone) = Shared::alone(&lock)? else {
            return Err(Error::new("the store is in use")
                .at(&self.root)
                .help("wait until the runs that use it are over, then try again"));
        };
        let mut freed = Freed::default();
        let reachable = if policy == Policy::Everything { BTreeSet::new() } else { self.reachable()? };
        if policy == Policy::Everything && !dry_run {
            for graph in names_in(&self.root.join("heads"))? {
                remove_folder(&self.root.join("heads").join(graph))?;
            }
        }
        let live = self.collect_results(policy, dry_run, &reachable, &mut freed)?;
        let folders = |kind: &str| -> Result<Vec<PathBuf>> {
            let folder = self.root.join(kind);
            Ok(names_in(&folder)?.into_iter().map(|name| folder.join(name)).collect())
        };
        for object in folders("objects")? {
            let digest = object.file_name().and_then(|name| name.to_str()?.parse::<Digest>().ok());
            if digest.is_none_or(|digest| !live.contains(&digest)) {
                freed.objects += 1;
                self.discard(&object, dry_run, &mut freed)?;
            }
        }
        for checkpoint in folders("checkpoints")? {
            if policy.takes_aged(&checkpoint) {
                freed.checkpoints += 1;
                self.discard(&checkpoint, dry_run, &mut freed)?;
            }
        }
        for damaged in folders("damaged")? {
            if policy.takes_aged(&damaged) {
                freed.damaged += 1;
                self.discard(&damaged, dry_run, &mut freed)?;
            }
        }
        Ok(freed)
    }

    /// Removes records first: a kill in between leaves objects without a record, never a record
    /// without its object. Returns the objects of the records that stay.
    fn collect_results(
        &self,
        policy: Policy,
        dry_run: bool,
        reachable: &BTreeSet<Fingerprint>,
        freed: &mut Freed,
    ) -> Result<BTreeSet<Digest>> {
        let mut live = BTreeSet::new();
        let now = jiff::Timestamp::now().as_second();
        for name in names_in(&self.root.join("results"))? {
            let path = self.root.join("results").join(&name);
            let fingerprint = name.strip_suffix(".json").and_then(|name| name.parse::<Fingerprint>().ok());
            let record = fingerprint.and_then(|fingerprint| self.record(&fingerprint).ok().flatten());
            let made_at = record.as_ref().and_then(super::Record::made_at);
            let stays = match policy {
                _ if fingerprint.is_some_and(|fingerprint| reachable.contains(&fingerprint)) => true,
                Policy::Unreachable | Policy::Everything => false,
                Policy::OlderThan(age) => {
                    made_at.is_some_and(|at| u64::try_from(now - at).unwrap_or(0) < age.as_secs())
                }
            };
            match record {
                Some(record) if stays => {
                    live.insert(record.digest);
                }
                _ if stays => {}
                _ => {
                    freed.results += 1;
                    freed.bytes += size_of(&path)?;
                    if !dry_run {
                        fs::remove_file(&path).map_err(fail("remove the record", &path))?;
                    }
                }
            }
        }
        Ok(live)
    }

    /// Every result that a node used last.
    fn reachable(&self) -> Result<BTreeSet<Fingerprint>> {
        let mut reachable = BTreeSet::new();
        for graph in names_in(&self.root.join("heads"))? {
            for node in names_in(&self.root.join("heads").join(&graph))? {
                reachable.extend(self.head(&graph, &node)?);
            }
        }
        Ok(reachable)
    }

    /// Out of sight at once, then removed: a kill leaves no half object behind.
    fn discard(&self, folder: &Path, dry_run: bool, freed: &mut Freed) -> Result<()> {
        freed.bytes += size_of(folder)?;
        if dry_run {
            return Ok(());
        }
        let aside = self.session.free_path();
        fs::rename(folder, &aside).map_err(fail("remove", folder))?;
        let metadata = fs::symlink_metadata(&aside).map_err(fail("look at", &aside))?;
        if metadata.is_dir() {
            return remove_folder(&aside);
        }
        fs::remove_file(&aside).map_err(fail("remove the file", &aside))
    }
}

impl Policy {
    /// Whether a checkpoint or a damaged result goes, judged by the newest thing in it.
    fn takes_aged(self, folder: &Path) -> bool {
        match self {
            Self::Unreachable => false,
            Self::Everything => true,
            Self::OlderThan(age) => newest(folder)
                .is_none_or(|at| SystemTime::now().duration_since(at).is_ok_and(|passed| passed >= age)),
        }
    }
}

fn newest(path: &Path) -> Option<SystemTime> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let own = metadata.modified().ok();
    if !metadata.is_dir() {
        return own;
    }
    let inside = fs::read_dir(path).ok()?.filter_map(|entry| newest(&entry.ok()?.path()));
    inside.chain(own).max()
}

fn size_of(path: &Path) -> Result<u64> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        other => other.map_err(fail("look at the file", path))?,
    };
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    let mut bytes = 0;
    for entry in fs::read_dir(path).map_err(fail("list the folder", path))? {
        bytes += size_of(&entry.map_err(fail("list the folder", path))?.path())?;
    }
    Ok(bytes)
}
