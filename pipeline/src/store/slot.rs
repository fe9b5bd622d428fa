//! A slot: the right to make one result, and the only way to put one in the store.
//!
//! The order of steps in [`Slot::commit`] is what makes a kill harmless: files, then their folder
//! under its digest, then the record that names it. What no record names does not exist.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::disk::{fail, host, remove_folder, replace, sync_folder};
use super::lock::Lock;
use super::record::{Made, Record};
use super::{InUse, Store, object};
use crate::cancel::Cancel;
use crate::error::Result;
use crate::fingerprint::{Digest, Fingerprint, Manifest};
use crate::machine::Machine;

/// The right to make one result. Dropped without a commit, it leaves nothing but the checkpoint.
#[derive(Debug)]
pub struct Slot<'store> {
    store: &'store Store,
    manifest: Manifest,
    fingerprint: Fingerprint,
    folder: PathBuf,
    _lock: Lock,
    _in_use: InUse,
}

/// What making a result took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// How long.
    pub time: Duration,
    /// Processor time that the process used meanwhile, on all cores together.
    pub processor: Duration,
    /// The most memory that the process held meanwhile, in bytes; 0 where it is not known.
    pub memory: u64,
    /// How much of the result was not made anew.
    pub taken_over: u64,
}

impl<'store> Slot<'store> {
    pub(crate) fn new(store: &'store Store, manifest: Manifest, lock: Lock) -> Result<Self> {
        let folder = store.session()?.free_path();
        fs::create_dir(&folder).map_err(fail("make the folder", &folder))?;
        let _in_use = store.in_use(&Cancel::default())?;
        Ok(Self { store, fingerprint: manifest.fingerprint(), manifest, folder, _lock: lock, _in_use })
    }

    /// The empty folder to write the result's files in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The key of the result to make.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Where a checkpoint may be kept. It outlives a killed process, not a commit.
    pub fn checkpoint(&self) -> PathBuf {
        self.store.checkpoint(&self.fingerprint)
    }

    /// Keeps what was written to the folder as the result. `spent` is what that took, `machine` what it
    /// was made on (see [`Made`]).
    ///
    /// # Errors
    /// Anything but plain files and folders; a store that cannot be written.
    pub fn commit(self, spent: Spent, machine: &Machine) -> Result<Record> {
        let files = object::list(&self.folder)?;
        let digest = object::digest(&files);
        object::freeze(&self.folder)?;
        self.place(&digest)?;
        let record = Record {
            manifest: self.manifest.clone(),
            digest,
            files,
            made: Made {
                at: jiff::Timestamp::from_second(jiff::Timestamp::now().as_second())
                    .unwrap_or_default()
                    .to_string(),
                host: host(),
                seconds: milliseconds(spent.time),
                processor: milliseconds(spent.processor),
                memory: spent.memory,
                taken_over: spent.taken_over,
                machine: machine.labels().clone(),
            },
        };
        let path = self.store.record_path(&self.fingerprint);
        replace(&path, &record.write()?, self.store.session()?.folder())?;
        // The result is kept: a checkpoint that cannot be removed is no reason to fail.
        let _ = remove_folder(&self.checkpoint());
        Ok(record)
    }

    /// Moves the folder to its place, unless the same object is there already, and whole.
    fn place(&self, digest: &Digest) -> Result<()> {
        let place = self.store.object(digest);
        loop {
            match fs::rename(&self.folder, &place) {
                Ok(()) => return sync_folder(&self.store.root.join("objects")),
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists | ErrorKind::NotADirectory
                    ) =>
                {
                    // Gone again after this only if somebody else set damage aside just now.
                    if self.store.set_object_aside(digest)?.is_none() && place.is_dir() {
                        return Ok(());
                    }
                }
                Err(error) => return Err(fail("move the result into the store", &place)(error)),
            }
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let _ = remove_folder(&self.folder);
    }
}

/// Seconds, rounded to milliseconds.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e3).round() / 1e3
}
