//! The content-addressed store: results under the fingerprint of what they were made from, files
//! under the digest of what they hold. The format is described in `STORE.md`.
//!
//! It knows nothing of graphs and schedules. [`Store::lookup`] gives a [`Hit`](Lookup::Hit) or a
//! [`Slot`] to fill, and committing a slot is the only way to write.

mod checksum;
mod collect;
mod damage;
mod disk;
mod earlier_results;
mod format;
mod lock;
mod object;
mod outside;
mod record;
mod session;
mod slot;
mod view;

use std::fs;
use std::path::{Path, PathBuf};

pub use collect::{Freed, Item, ItemKind, Policy};
pub use damage::Damage;
pub(crate) use disk::{DISK_FULL, fail, sync_folder};
pub(crate) use earlier_results::EarlierResults;
pub use object::FileEntry;
pub use record::{Made, Record, Twins};
pub use slot::{Slot, Spent};

use crate::artifact::Artifact;
use crate::cancel::Cancel;
use crate::error::{Error, OrFail, Result};
use crate::fingerprint::{Digest, Fingerprint, Manifest};
use crate::reads::Reads;
use disk::{read_if_there, replace, unreadable};
use lock::{Lock, SharedLock, Taken, pause};
use outside::Outside;
use session::Session;

/// A store of results, open in this process. Several processes may have it open.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    outside: Outside,
    /// None where the store is only looked at.
    session: Option<Session>,
}

/// What [`Store::lookup`] finds.
pub enum Lookup<'store> {
    /// The result is there, by its record and the sizes of its files.
    Hit(Record),
    /// It is not there, and it is this caller's to make.
    Miss(Slot<'store>),
}

/// What [`Store::peek`] finds.
#[derive(Clone, Debug)]
pub enum Peek {
    /// The result is there, by its record and the sizes of its files.
    Kept(Box<Record>),
    /// There is no such result.
    Nothing,
    /// There was one, but it is damaged: how.
    Damaged(String),
}

/// What may happen on the way to an answer.
#[derive(Clone, Debug)]
pub enum Incident {
    /// Another process is making the same result: who, as far as it is known.
    Waiting(String),
    /// What was there was damaged and has been set aside.
    Damaged(Damage),
}

/// Keeps garbage from being collected for as long as it lives.
#[derive(Debug)]
pub struct InUse {
    _lock: Option<SharedLock>,
}

impl Store {
    /// Opens the store in the folder `root`, which is made if it is not there, and removes what dead
    /// processes left half done.
    ///
    /// # Errors
    /// A folder that cannot be written to, that holds something else than a store, or a store of
    /// another format.
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        let root = root.as_ref();
        let root = std::path::absolute(root).map_err(fail("find the folder", root))?;
        format::make(&root)?;
        let session = Some(Session::begin(&root.join("tmp"), &root.join("locks"))?);
        let store = Self { outside: Outside::open(root.join("stat-cache.json")), session, root };
        store.forget_finished_checkpoints()?;
        Ok(store)
    }

    /// Opens the store in the folder `root` to be read: nothing is made, changed or removed there, so that it may be
    /// another user's or on a read-only disk. Where nothing is, it is a store without results. What would write is an
    /// error.
    ///
    /// # Errors
    /// A folder that cannot be read, that holds something else than a store, or a store of another format.
    pub fn look(root: impl AsRef<Path>) -> Result<Self> {
        let root = root.as_ref();
        let root = std::path::absolute(root).map_err(unreadable("find the folder", root))?;
        format::is_in(&root)?;
        Ok(Self { outside: Outside::open(root.join("stat-cache.json")), session: None, root })
    }

    /// Whether it was [opened](Self::open), and not only [looked at](Self::look).
    pub fn is_writable(&self) -> bool {
        self.session.is_some()
    }

    /// This process's own folder for unfinished files.
    fn session(&self) -> Result<&Session> {
        self.session.as_ref().ok_or_else(|| {
            Error::new("the store is open to be read only")
                .at(&self.root)
                .help("this is a defect of the program: please report it with the lines above")
        })
    }

    /// Whether there is a store, of whatever format, at `root`. Changes nothing.
    pub fn is_at(root: impl AsRef<Path>) -> bool {
        format::is_any(root.as_ref())
    }

    /// A kill between the last two steps of a commit leaves the checkpoint of a result that is kept.
    fn forget_finished_checkpoints(&self) -> Result<()> {
        for name in disk::names_in(&self.root.join("checkpoints"))? {
            let Ok(fingerprint) = name.parse::<Fingerprint>() else { continue };
            if let Peek::Kept(_) = self.peek(&fingerprint)?
                && let Taken::Ours(_alone) = Lock::try_take(&self.lock_path(&fingerprint))?
                && let Peek::Kept(_) = self.peek(&fingerprint)?
            {
                disk::remove_folder(&self.checkpoint(&fingerprint))?;
            }
        }
        Ok(())
    }

    fn lock_path(&self, fingerprint: &Fingerprint) -> PathBuf {
        self.root.join("locks").join(format!("{fingerprint}.lock"))
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the object of this digest is, if it is kept. Not verified: see [`load`](Self::load).
    pub fn object(&self, digest: &Digest) -> PathBuf {
        self.root.join("objects").join(digest.to_string())
    }

    /// Where the checkpoint of an unfinished result is, if it has one.
    pub fn checkpoint(&self, fingerprint: &Fingerprint) -> PathBuf {
        self.root.join("checkpoints").join(fingerprint.to_string())
    }

    fn record_path(&self, fingerprint: &Fingerprint) -> PathBuf {
        self.root.join("results").join(format!("{fingerprint}.json"))
    }

    /// The record of a result, whether or not its files are still there; none if there is no record.
    ///
    /// # Errors
    /// A record that cannot be read.
    pub fn record(&self, fingerprint: &Fingerprint) -> Result<Option<Record>> {
        let path = self.record_path(fingerprint);
        let text = read_if_there(&path)?;
        text.map(|text| Record::read(&text, fingerprint)).transpose().or_fail(|| {
            Error::new("a result's record is damaged").at(&path).help("run again: it is made anew")
        })
    }

    /// Looks for a result. Reads its record and the names and sizes of its files, no contents;
    /// changes nothing, waits for nobody.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn peek(&self, fingerprint: &Fingerprint) -> Result<Peek> {
        let record = match fs::read(self.record_path(fingerprint)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Peek::Nothing),
            Err(error) if error.kind() == std::io::ErrorKind::IsADirectory => {
                return Ok(Peek::Damaged("a folder is in the place of its record".to_owned()));
            }
            Err(error) => return Err(unreadable("read the record", &self.record_path(fingerprint))(error)),
            Ok(text) => Record::read(&text, fingerprint),
        };
        let record = match record {
            Ok(record) => record,
            Err(error) => return Ok(Peek::Damaged(error.to_string())),
        };
        Ok(match self.sizes_differ(&record) {
            None => Peek::Kept(Box::new(record)),
            Some(what) => Peek::Damaged(what),
        })
    }

    /// How the names and sizes of a result's files differ from its record.
    fn sizes_differ(&self, record: &Record) -> Option<String> {
        object::sizes_differ(&self.object(&record.digest), &record.files)
    }

    /// Finds the result of `manifest`, or gets it to make: of all processes that ask, one gets the
    /// slot and the others wait for it, or take over if it dies or gives up. Damage is set aside.
    ///
    /// # Errors
    /// A stop asked for while waiting; a store that cannot be read or written.
    pub fn lookup(
        &self,
        manifest: &Manifest,
        cancel: &Cancel,
        report: &mut dyn FnMut(Incident),
    ) -> Result<Lookup<'_>> {
        let fingerprint = manifest.fingerprint();
        let path = self.lock_path(&fingerprint);
        let mut told = false;
        loop {
            if let Peek::Kept(record) = self.peek(&fingerprint)? {
                return Ok(Lookup::Hit(*record));
            }
            self.session()?;
            let lock = match Lock::try_take(&path)? {
                Taken::Ours(lock) => lock,
                Taken::Theirs(holder) => {
                    if !std::mem::replace(&mut told, true) {
                        report(Incident::Waiting(holder));
                    }
                    pause(cancel)?;
                    continue;
                }
            };
            // Whoever had the lock until now may have finished.
            match self.peek(&fingerprint)? {
                Peek::Kept(record) => return Ok(Lookup::Hit(*record)),
                Peek::Damaged(what) => {
                    if let Some(damage) = self.set_result_aside(&fingerprint, &what)? {
                        report(Incident::Damaged(damage));
                    }
                }
                Peek::Nothing => {}
            }
            return Ok(Lookup::Miss(Slot::new(self, manifest.clone(), lock)?));
        }
    }

    /// The folder of a result, after reading all of it and finding it whole.
    ///
    /// # Errors
    /// Damage (see [`Store::verify`]), or a folder that cannot be read.
    pub fn verified(&self, record: &Record) -> Result<PathBuf> {
        match self.damage_of(record) {
            None => Ok(self.object(&record.digest)),
            Some(what) => Err(Error::new("a kept result is damaged")
                .at(self.object(&record.digest))
                .because(what)
                .help("run again: it will be set aside and made anew")),
        }
    }

    /// Loads a result, verified.
    ///
    /// # Errors
    /// As [`verified`](Self::verified), and whatever keeps the artifact from being read.
    pub fn load<A: Artifact>(&self, record: &Record) -> Result<A> {
        A::load(&self.verified(record)?)
    }

    /// The digest of a file, or of all or chosen files of a folder, outside the store. A file that was
    /// not touched since its digest was taken is not read again.
    ///
    /// # Errors
    /// A file that cannot be read, or changes while it is.
    pub fn digest_outside(&self, reads: &Reads) -> Result<Digest> {
        match reads {
            Reads::All(path) => self.outside.digest(path),
            Reads::Chosen { folder, files } => self.outside.digest_chosen(folder, files),
        }
    }

    /// Writes down what [`digest_outside`](Self::digest_outside) learned.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub fn keep_outside(&self) -> Result<()> {
        self.outside.keep(self.session()?.folder())
    }

    /// The result that a node of a graph used last.
    ///
    /// # Errors
    /// A store that cannot be read. A head that is no fingerprint counts as none.
    pub fn head(&self, graph: &str, node: &str) -> Result<Option<Fingerprint>> {
        let text = read_if_there(&self.root.join("heads").join(graph).join(node))?;
        Ok(text.and_then(|text| std::str::from_utf8(&text).ok()?.trim().parse().ok()))
    }

    /// Remembers the result that a node of a graph used, and when.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub fn set_head(&self, graph: &str, node: &str, fingerprint: &Fingerprint) -> Result<()> {
        self.note_use(fingerprint);
        if self.head(graph, node)?.as_ref() == Some(fingerprint) {
            return Ok(());
        }
        let folder = self.root.join("heads").join(graph);
        fs::create_dir_all(&folder).map_err(fail("make the folder", &folder))?;
        replace(&folder.join(node), format!("{fingerprint}\n").as_bytes(), self.session()?.folder())
    }

    /// The age of a result counts from its last use. Where that cannot be written down it counts from an earlier one: no
    /// reason to fail.
    fn note_use(&self, fingerprint: &Fingerprint) {
        let path = self.record_path(fingerprint);
        let noted =
            fs::File::open(&path).and_then(|record| record.set_modified(std::time::SystemTime::now()));
        // The time of another user's file is that user's to set, but a copy of it is new.
        if noted.is_err()
            && let (Ok(Some(text)), Ok(session)) = (read_if_there(&path), self.session())
        {
            let _ = replace(&path, &text, session.folder());
        }
    }

    /// Keeps garbage from being collected until it is dropped; waits while some is. Of a store that is only looked at
    /// and has no file for the lock it keeps nothing, for there is nobody who could collect.
    ///
    /// # Errors
    /// A stop asked for while waiting; a lock file that cannot be used.
    pub fn in_use(&self, cancel: &Cancel) -> Result<InUse> {
        let path = self.root.join("locks").join("in-use.lock");
        let lock = match self.session {
            Some(_) => Some(SharedLock::share(&path, cancel)?),
            None => SharedLock::share_if_there(&path, cancel)?,
        };
        Ok(InUse { _lock: lock })
    }
}
