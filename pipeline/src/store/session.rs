//! A process's own corner of `tmp/`, and the collection of what dead processes left in theirs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::disk::{fail, names_in, remove_folder};
use super::lock::{Lock, Taken};
use crate::cancel::Cancel;
use crate::error::{Error, Result};

/// `tmp/<name>/`, alive for as long as `tmp/<name>.lock` is held.
#[derive(Debug)]
pub(crate) struct Session {
    folder: PathBuf,
    next: AtomicU64,
    lock: Option<Lock>,
}

impl Session {
    /// Removes what dead sessions left, then begins one. Both under one lock: nobody can take a
    /// session that is being born for a dead one.
    pub(crate) fn begin(tmp: &Path, locks: &Path) -> Result<Self> {
        let _opening = Lock::take(&locks.join("open.lock"), &Cancel::default())?;
        let names = names_in(tmp)?;
        for name in &names {
            let session = name.strip_suffix(".lock").unwrap_or(name);
            if let Taken::Ours(_dead) = Lock::try_take(&tmp.join(format!("{session}.lock")))? {
                remove_folder(&tmp.join(session))?;
            }
        }
        let taken = |name: &String| tmp.join(name).exists() || tmp.join(format!("{name}.lock")).exists();
        let name = (0..u32::MAX)
            .map(|n| format!("{}-{n}", std::process::id()))
            .find(|name| !taken(name))
            .ok_or_else(|| Error::new("cannot find a free name for a folder").at(tmp))?;
        let folder = tmp.join(&name);
        let Taken::Ours(lock) = Lock::try_take(&tmp.join(format!("{name}.lock")))? else {
            return Err(Error::new("cannot lock a new folder").at(folder));
        };
        fs::create_dir(&folder).map_err(fail("create the folder", &folder))?;
        Ok(Self { folder, next: AtomicU64::new(0), lock: Some(lock) })
    }

    /// The folder for short-lived files.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A path below the folder that nothing has yet.
    pub(crate) fn free_path(&self) -> PathBuf {
        self.folder.join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = remove_folder(&self.folder);
        self.lock = None;
    }
}
