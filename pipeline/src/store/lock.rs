//! Locks between processes, on files. The kernel lets go of them when a process dies, however it dies.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::disk::{fail, host, unreadable};
use crate::cancel::Cancel;
use crate::error::{Error, Result};

/// How long a waiter sleeps between two tries.
pub(crate) const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// An exclusive lock; its file says who holds it, and goes with it.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    _file: File,
}

/// What came of trying to take a lock.
pub(crate) enum Taken {
    /// It is ours.
    Ours(Lock),
    /// Somebody else has it: who, as far as it is known.
    Theirs(String),
}

impl Lock {
    /// Takes the lock at `path`, if nobody has it.
    pub(crate) fn try_take(path: &Path) -> Result<Taken> {
        loop {
            if let Some(taken) = Self::claim(open(path)?, path)? {
                return Ok(taken);
            }
        }
    }

    /// Locks an open file; none if it is no longer the one at `path`. A holder removes the file before
    /// it lets go, and a lock on a removed file locks nothing.
    fn claim(mut file: File, path: &Path) -> Result<Option<Taken>> {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The holder may be about to write its name, or be letting go.
                let _ = file.read_to_string(&mut holder);
                let known = !holder.trim().is_empty();
                let holder = if known { holder.trim().to_owned() } else { "another process".to_owned() };
                return Ok(Some(Taken::Theirs(holder)));
            }
            Err(TryLockError::Error(error)) => return Err(fail("lock the file", path)(error)),
            Ok(()) => {}
        }
        if !same_file(&file, path) {
            return Ok(None);
        }
        let name = format!("process {} on {}", std::process::id(), host());
        file.set_len(0)
            .and_then(|()| file.write_all(name.as_bytes()))
            .map_err(fail("write the lock file", path))?;
        Ok(Some(Taken::Ours(Self { path: path.to_owned(), _file: file })))
    }

    /// Takes the lock at `path` as soon as it is free, unless a stop is asked for before.
    pub(crate) fn take(path: &Path, cancel: &Cancel) -> Result<Self> {
        loop {
            if let Taken::Ours(lock) = Self::try_take(path)? {
                return Ok(lock);
            }
            pause(cancel)?;
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While the lock is still held, so that nobody can have locked this very file by then.
        let _ = fs::remove_file(&self.path);
    }
}

/// Sleeps a little, or says that a stop was asked for.
pub(crate) fn pause(cancel: &Cancel) -> Result<()> {
    if cancel.is_requested() {
        return Err(Error::cancelled());
    }
    std::thread::sleep(BETWEEN_TRIES);
    Ok(())
}

/// A lock that many may share or one may have alone. Its file stays.
#[derive(Debug)]
pub(crate) struct SharedLock {
    _file: File,
}

impl SharedLock {
    /// Shares the lock, waiting for one who has it alone.
    pub(crate) fn share(path: &Path, cancel: &Cancel) -> Result<Self> {
        Self::share_file(open_to_share(path)?, path, cancel)
    }

    /// As [`share`](Self::share), and makes no file; none where there is none to lock.
    pub(crate) fn share_if_there(path: &Path, cancel: &Cancel) -> Result<Option<Self>> {
        match File::open(path) {
            Ok(file) => Self::share_file(file, path, cancel).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable("open the lock file", path)(error)),
        }
    }

    fn share_file(file: File, path: &Path, cancel: &Cancel) -> Result<Self> {
        loop {
            match file.try_lock_shared() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) => pause(cancel)?,
                Err(TryLockError::Error(error)) => return Err(fail("lock the file", path)(error)),
            }
        }
    }

    /// Has the lock alone; none if it is shared at the moment.
    pub(crate) fn alone(path: &Path) -> Result<Option<Self>> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(fail("lock the file", path)(error)),
        }
    }
}

fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(fail("open the lock file", path))
}

/// A lock that is shared asks for no more than reading: its file may be another user's.
fn open_to_share(path: &Path) -> Result<File> {
    match open(path) {
        Err(error) if error.is_denied() => File::open(path).map_err(|_| error),
        other => other,
    }
}

fn same_file(file: &File, path: &Path) -> bool {
    let ids = |metadata: io::Result<fs::Metadata>| metadata.map(|m| (m.dev(), m.ino())).ok();
    ids(file.metadata()).is_some_and(|open| Some(open) == ids(fs::metadata(path)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    #[test]
    fn a_second_taker_learns_who_holds_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        let Taken::Ours(lock) = Lock::try_take(&path).unwrap() else { panic!("nobody has it") };
        let Taken::Theirs(holder) = Lock::try_take(&path).unwrap() else { panic!("it is held") };
        assert!(holder.starts_with(&format!("process {} on ", std::process::id())), "{holder}");
        drop(lock);
        assert!(!path.exists());
        assert!(matches!(Lock::try_take(&path).unwrap(), Taken::Ours(_)));
    }

    #[test]
    fn a_lock_on_a_file_that_was_removed_meanwhile_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        let Taken::Ours(lock) = Lock::try_take(&path).unwrap() else { panic!("nobody has it") };
        let opened = open(&path).unwrap();
        drop(lock);
        let Taken::Ours(_newer) = Lock::try_take(&path).unwrap() else { panic!("it was let go") };
        assert!(Lock::claim(opened, &path).unwrap().is_none());
    }

    #[test]
    fn only_one_holds_the_lock_though_its_file_comes_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        let (held, taken) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while taken.load(Ordering::SeqCst) < 2000 {
                        if let Taken::Ours(lock) = Lock::try_take(&path).unwrap() {
                            assert!(!held.swap(true, Ordering::SeqCst), "two hold it");
                            taken.fetch_add(1, Ordering::SeqCst);
                            held.store(false, Ordering::SeqCst);
                            drop(lock);
                        }
                    }
                });
            }
        });
    }

    #[test]
    fn waiting_for_a_lock_ends_when_a_stop_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        let Taken::Ours(_held) = Lock::try_take(&path).unwrap() else { panic!("nobody has it") };
        let cancel = Cancel::default();
        cancel.request();
        assert!(Lock::take(&path, &cancel).unwrap_err().is_cancelled());
    }
}
