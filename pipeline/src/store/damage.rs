//! Finding damage and setting it aside. Nothing is deleted: a damaged file may be all that is left.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use super::disk::{fail, names_in, sync_folder};
use super::lock::Lock;
use super::record::Record;
use super::{Peek, Store, object};
use crate::cancel::Cancel;
use crate::error::{OrFail, Result};
use crate::fingerprint::{Digest, Fingerprint};
use crate::machine::MachineLabels;

/// A damaged result or object.
#[derive(Clone, Debug)]
pub struct Damage {
    /// What is wrong with it.
    pub what: String,
    /// Where it was put.
    pub moved_to: PathBuf,
}

impl Store {
    /// Reads the whole store and sets aside all that is damaged. `progress` is called with the number
    /// of results done and the number in all.
    ///
    /// # Errors
    /// A store that cannot be read or written, a stop asked for.
    pub fn verify(&self, cancel: &Cancel, progress: &mut dyn FnMut(u64, u64)) -> Result<Vec<Damage>> {
        let _in_use = self.in_use(cancel)?;
        let (objects, results) = (self.objects()?, self.fingerprints()?);
        let total = (results.len() + objects.len()) as u64;
        let mut done = 0;
        let mut found = Vec::new();
        for digest in &objects {
            cancel_point(cancel)?;
            found.extend(self.set_object_aside(digest)?);
            done += 1;
            progress(done, total);
        }
        // After the objects: a record whose object was set aside goes with it.
        for fingerprint in &results {
            cancel_point(cancel)?;
            if let Peek::Damaged(what) = self.peek(fingerprint)? {
                found.extend(self.set_result_aside(fingerprint, &what)?);
            }
            done += 1;
            progress(done, total);
        }
        Ok(found)
    }

    /// Reads the whole store and says what is damaged; leaves all of it where it is.
    ///
    /// # Errors
    /// A store that this user cannot read, a stop asked for.
    pub fn inspect(&self, cancel: &Cancel, progress: &mut dyn FnMut(u64, u64)) -> Result<Vec<String>> {
        let _in_use = self.in_use(cancel)?;
        let (objects, results) = (self.objects()?, self.fingerprints()?);
        let total = (results.len() + objects.len()) as u64;
        let mut found = Vec::new();
        for (done, digest) in (1..).zip(&objects) {
            cancel_point(cancel)?;
            found.extend(self.object_damage(digest)?);
            progress(done, total);
        }
        for (done, fingerprint) in (objects.len() as u64 + 1..).zip(&results) {
            cancel_point(cancel)?;
            if let Peek::Damaged(what) = self.peek(fingerprint)? {
                found.push(format!("result {}: {what}", fingerprint.short()));
            }
            progress(done, total);
        }
        Ok(found)
    }

    /// How many results were made on which kind of machine, by its labels: another kind might have made other bytes under
    /// the same keys. A record that cannot be read counts as none.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn count_by_machine(&self) -> Result<BTreeMap<MachineLabels, usize>> {
        let mut count = BTreeMap::new();
        for fingerprint in self.fingerprints()? {
            if let Ok(Some(record)) = self.record(&fingerprint) {
                *count.entry(record.made.machine).or_default() += 1;
            }
        }
        Ok(count)
    }

    /// The digests of all objects, whole or not.
    fn objects(&self) -> Result<Vec<Digest>> {
        let names = names_in(&self.root.join("objects"))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// The keys of all results, whole or not.
    fn fingerprints(&self) -> Result<Vec<Fingerprint>> {
        let names = names_in(&self.root.join("results"))?;
        Ok(names.iter().filter_map(|name| name.strip_suffix(".json")?.parse().ok()).collect())
    }

    /// What is wrong with a result, after reading all of it.
    pub(crate) fn damage_of(&self, record: &Record) -> Option<String> {
        object::damage(&self.object(&record.digest), &record.files)
    }

    /// Sets a result aside: its record, and its files unless they are whole. None if there is nothing
    /// to set aside any more, or it is whole again.
    pub(crate) fn set_result_aside(&self, fingerprint: &Fingerprint, what: &str) -> Result<Option<Damage>> {
        let _repairing = self.repairing()?;
        let path = self.record_path(fingerprint);
        let record = match self.record(fingerprint) {
            Ok(Some(record)) if self.damage_of(&record).is_none() => return Ok(None),
            Ok(None) => return Ok(None),
            record => record.ok().flatten(),
        };
        // Before a folder is made: what this user may not read is nobody's damage.
        let object_damage =
            record.as_ref().map(|record| self.object_damage(&record.digest)).transpose()?.flatten();
        let moved_to = self.damaged_folder(&fingerprint.short())?;
        if let Some(record) = record
            && object_damage.is_some()
        {
            self.move_if_there(&self.object(&record.digest), &moved_to.join("object"))?;
        }
        self.move_if_there(&path, &moved_to.join("result.json"))?;
        Ok(Some(Damage { what: what.to_owned(), moved_to }))
    }

    /// Sets the record of a result aside that is whole, but does not hold any more. None if it was set aside before,
    /// or made again since.
    pub(crate) fn withdraw(&self, record: &Record, what: &str) -> Result<Option<Damage>> {
        let _repairing = self.repairing()?;
        let fingerprint = record.fingerprint();
        if self.record(&fingerprint).ok().flatten().as_ref() != Some(record) {
            return Ok(None);
        }
        let moved_to = self.damaged_folder(&fingerprint.short())?;
        self.move_if_there(&self.record_path(&fingerprint), &moved_to.join("result.json"))?;
        Ok(Some(Damage { what: what.to_owned(), moved_to }))
    }

    /// Sets an object aside if its files do not give its digest.
    pub(crate) fn set_object_aside(&self, digest: &Digest) -> Result<Option<Damage>> {
        let _repairing = self.repairing()?;
        let Some(what) = self.object_damage(digest)? else { return Ok(None) };
        let moved_to = self.damaged_folder(&digest.short())?;
        self.move_if_there(&self.object(digest), &moved_to.join("object"))?;
        Ok(Some(Damage { what, moved_to }))
    }

    /// Of two who find the same damage, the second must not move away what was made anew since.
    fn repairing(&self) -> Result<Lock> {
        Lock::take(&self.root.join("locks").join("repair.lock"), &Cancel::default())
    }

    /// What is wrong with an object, by its digest alone; none if it is whole or not there.
    ///
    /// # Errors
    /// An object that this user may not read: it may be whole.
    fn object_damage(&self, digest: &Digest) -> Result<Option<String>> {
        let place = self.object(digest);
        let Ok(metadata) = fs::symlink_metadata(&place) else { return Ok(None) };
        // A link to a folder is none: what it leads to is nobody's to keep.
        if !metadata.is_dir() {
            return Ok(Some(format!("object {} is no folder", digest.short())));
        }
        match object::list(&place) {
            Ok(files) if object::digest(&files) == *digest => Ok(None),
            Ok(_) => Ok(Some(format!("object {} does not hold what it held", digest.short()))),
            Err(error) if error.is_denied() => Err(error),
            Err(error) => Ok(Some(format!("object {} cannot be read: {error}", digest.short()))),
        }
    }

    fn damaged_folder(&self, name: &str) -> Result<PathBuf> {
        let damaged = self.root.join("damaged");
        for n in 1_u64.. {
            let folder = damaged.join(format!("{name}-{n}"));
            match fs::create_dir(&folder) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                other => return other.map(|()| folder.clone()).map_err(fail("make the folder", &folder)),
            }
        }
        Err("no name is free").or_fail(|| crate::error::Error::new("cannot set damage aside").at(&damaged))
    }

    fn move_if_there(&self, from: &PathBuf, to: &PathBuf) -> Result<()> {
        match fs::rename(from, to) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => {
                other.map_err(fail("set damage aside", from))?;
                from.parent().map_or(Ok(()), sync_folder)
            }
        }
    }
}

fn cancel_point(cancel: &Cancel) -> Result<()> {
    if cancel.is_requested() { Err(crate::error::Error::cancelled()) } else { Ok(()) }
}
