//! Collecting garbage: results that no node used last, and what was left behind.
//!
//! It knows nothing of graphs; a head is a file that names a result.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::Store;
use super::disk::{fail, names_in, remove_folder, unreadable};
use super::lock::SharedLock;
use crate::error::{Error, Result};
use crate::fingerprint::{Digest, Fingerprint};

/// What counts as garbage. What a node of any graph used last stays, unless `in_use` says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Results, and objects that no result names.
    pub results: bool,
    /// Among the results also those that a node used last.
    pub in_use: bool,
    /// Checkpoints, which are unfinished work.
    pub checkpoints: bool,
    /// Damaged results that were set aside.
    pub damaged: bool,
    /// Only what nobody used for so long.
    pub older_than: Option<Duration>,
    /// Only so much that the store has at most so many bytes, what was used least recently first and
    /// what is in use last.
    pub keep_under: Option<u64>,
}

impl Policy {
    /// Every result that no node of any graph used last. Checkpoints and damaged results stay.
    pub const UNREACHABLE: Self = Self {
        results: true,
        in_use: false,
        checkpoints: false,
        damaged: false,
        older_than: None,
        keep_under: None,
    };
    /// All of it, heads included.
    pub const EVERYTHING: Self = Self { in_use: true, checkpoints: true, damaged: true, ..Self::UNREACHABLE };

    /// What nobody used for so long: results that no node used last, checkpoints and damaged results.
    pub fn older_than(age: Duration) -> Self {
        Self { checkpoints: true, damaged: true, older_than: Some(age), ..Self::UNREACHABLE }
    }

    /// As many results that no node used last as have to go for the store to have at most `bytes`.
    pub fn keep_under(bytes: u64) -> Self {
        Self { keep_under: Some(bytes), ..Self::UNREACHABLE }
    }
}

/// What was removed, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Freed {
    /// Each thing, in the order in which they go.
    pub items: Vec<Item>,
    /// Bytes that stay.
    pub stays: u64,
    /// How many of them belong to results that a node used last.
    pub in_use: u64,
}

/// One thing that goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What it is.
    pub kind: ItemKind,
    /// The first digits of its fingerprint or digest.
    pub name: String,
    /// The stage that made it, as far as it is known.
    pub stage: Option<String>,
    /// When it was used last.
    pub used: SystemTime,
    /// What removing it frees. An object that several results share counts for the last of them to go.
    pub bytes: u64,
}

/// What a thing in the store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemKind {
    /// A result, with its object if no other result has the same.
    Result,
    /// An object that no result names.
    Object,
    /// A checkpoint of an unfinished result.
    Checkpoint,
    /// A damaged result that was set aside.
    Damaged,
}

impl Freed {
    /// How many things of one kind.
    pub fn count(&self, kind: ItemKind) -> usize {
        self.items.iter().filter(|item| item.kind == kind).count()
    }

    /// The size of all of them.
    pub fn bytes(&self) -> u64 {
        self.items.iter().map(|item| item.bytes).sum()
    }
}

/// A thing in the store that may go.
struct Candidate {
    /// Its bytes are its own alone: those of a result's object come on top.
    item: Item,
    path: PathBuf,
    in_use: bool,
    object: Option<Digest>,
}

/// An object and the number of results that name it.
#[derive(Default)]
struct Object {
    bytes: u64,
    results: usize,
}

impl Store {
    /// Removes garbage; with `dry_run` only says what would go.
    ///
    /// # Errors
    /// A run that goes on at the same time; a store that cannot be read or written.
    pub fn collect(&self, policy: Policy, dry_run: bool) -> Result<Freed> {
        let lock = self.root.join("locks").join("in-use.lock");
        let Some(_alone) = SharedLock::alone(&lock)? else {
            return Err(Error::new("the store is in use")
                .at(&self.root)
                .help("wait until the runs that use it are over, then try again"));
        };
        let mut objects = BTreeMap::new();
        let mut all = self.results(&mut objects)?;
        all.extend(self.objects_of_nobody(&mut objects)?);
        for (kind, folder) in [(ItemKind::Checkpoint, "checkpoints"), (ItemKind::Damaged, "damaged")] {
            for name in names_in(&self.root.join(folder))? {
                all.push(left_behind(kind, self.root.join(folder).join(name))?);
            }
        }
        let mut stays = objects.values().map(|object| object.bytes).sum::<u64>()
            + all.iter().map(|candidate| candidate.item.bytes).sum::<u64>();
        all.sort_by(|a, b| (a.in_use, a.item.used, &a.item.name).cmp(&(b.in_use, b.item.used, &b.item.name)));
        let now = SystemTime::now();
        let (mut items, mut in_use) = (Vec::new(), 0);
        for Candidate { mut item, path, in_use: used, object } in all {
            let enough = policy.keep_under.is_some_and(|limit| stays <= limit);
            if enough || !policy.takes(&item, used, now) {
                let of_object = object.and_then(|digest| objects.get(&digest)).map_or(0, |o| o.bytes);
                in_use += if used { item.bytes + of_object } else { 0 };
                continue;
            }
            // A record goes before its object: a kill in between leaves an object without a record,
            // never a record without its object.
            self.discard(&path, dry_run)?;
            if let Some(digest) = object
                && let Some(object) = objects.get_mut(&digest)
            {
                object.results -= 1;
                if object.results == 0 {
                    item.bytes += object.bytes;
                    self.discard(&self.object(&digest), dry_run)?;
                }
            }
            stays -= item.bytes;
            items.push(item);
        }
        if policy == Policy::EVERYTHING && !dry_run {
            for graph in names_in(&self.root.join("heads"))? {
                remove_folder(&self.root.join("heads").join(graph))?;
            }
        }
        Ok(Freed { items, stays, in_use })
    }

    /// All results; counts in `objects` how many of them name each object that is there.
    fn results(&self, objects: &mut BTreeMap<Digest, Object>) -> Result<Vec<Candidate>> {
        let reachable = self.reachable()?;
        let mut found = Vec::new();
        for name in names_in(&self.root.join("results"))? {
            let path = self.root.join("results").join(&name);
            let fingerprint = name.strip_suffix(".json").and_then(|name| name.parse::<Fingerprint>().ok());
            // A record that cannot be read keeps no object.
            let record = fingerprint.and_then(|fingerprint| self.record(&fingerprint).ok().flatten());
            let object = record.as_ref().map(|record| record.digest);
            if let Some(digest) = object {
                let bytes = size_of(&self.object(&digest))?;
                objects.entry(digest).or_insert(Object { bytes, results: 0 }).results += 1;
            }
            found.push(Candidate {
                item: Item {
                    kind: ItemKind::Result,
                    name: fingerprint.map_or(name, |fingerprint| fingerprint.short()),
                    stage: record.map(|record| record.manifest.stage),
                    used: newest(&path),
                    bytes: size_of(&path)?,
                },
                path,
                in_use: fingerprint.is_some_and(|fingerprint| reachable.contains(&fingerprint)),
                object,
            });
        }
        Ok(found)
    }

    /// The objects that no result names: a kill left them, or their record is gone.
    fn objects_of_nobody(&self, objects: &mut BTreeMap<Digest, Object>) -> Result<Vec<Candidate>> {
        let mut found = Vec::new();
        for name in names_in(&self.root.join("objects"))? {
            let digest = name.parse::<Digest>().ok();
            if digest.is_none_or(|digest| !objects.contains_key(&digest)) {
                found.push(left_behind(ItemKind::Object, self.root.join("objects").join(name))?);
            }
        }
        Ok(found)
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
    fn discard(&self, path: &Path, dry_run: bool) -> Result<()> {
        if dry_run {
            return Ok(());
        }
        let aside = self.session()?.free_path();
        match fs::rename(path, &aside) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other.map_err(fail("remove", path))?,
        }
        let metadata = fs::symlink_metadata(&aside).map_err(fail("look at", &aside))?;
        if metadata.is_dir() {
            return remove_folder(&aside);
        }
        fs::remove_file(&aside).map_err(fail("remove the file", &aside))
    }
}

impl Policy {
    fn takes(&self, item: &Item, in_use: bool, now: SystemTime) -> bool {
        let kind = match item.kind {
            ItemKind::Result => self.results && (self.in_use || !in_use),
            // Nobody uses it, whatever its age: it is not even a cache.
            ItemKind::Object => return self.results,
            ItemKind::Checkpoint => self.checkpoints,
            ItemKind::Damaged => self.damaged,
        };
        // What was used in the future was used just now.
        let unused = now.duration_since(item.used).unwrap_or_default();
        kind && self.older_than.is_none_or(|age| unused >= age)
    }
}

/// A folder that no record describes.
fn left_behind(kind: ItemKind, path: PathBuf) -> Result<Candidate> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = name.parse::<Digest>().map_or(name, |digest| digest.short());
    let stage = || -> Option<String> {
        let record = fs::read(path.join("result.json")).ok()?;
        let record: serde_json::Value = serde_json::from_slice(&record).ok()?;
        Some(record["manifest"]["stage"].as_str()?.to_owned())
    };
    let item = Item { kind, name, stage: stage(), used: newest(&path), bytes: size_of(&path)? };
    Ok(Candidate { item, path, in_use: false, object: None })
}

/// When the newest thing in it was written; long ago where that cannot be told.
fn newest(path: &Path) -> SystemTime {
    let of = |path: &Path| fs::symlink_metadata(path).ok()?.modified().ok();
    let own = of(path).unwrap_or(SystemTime::UNIX_EPOCH);
    let folder = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    let inside = folder.then(|| fs::read_dir(path).ok()).flatten();
    let inside = inside.into_iter().flatten().filter_map(|entry| Some(newest(&entry.ok()?.path())));
    inside.fold(own, SystemTime::max)
}

fn size_of(path: &Path) -> Result<u64> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        other => other.map_err(unreadable("look at the file", path))?,
    };
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    let mut bytes = 0;
    for entry in fs::read_dir(path).map_err(unreadable("list the folder", path))? {
        bytes += size_of(&entry.map_err(unreadable("list the folder", path))?.path())?;
    }
    Ok(bytes)
}
