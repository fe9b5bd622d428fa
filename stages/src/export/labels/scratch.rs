//! Where an output is written before it is moved to its place, and what becomes of that if the program ends before.
//!
//! Its name says for which output it is. Its lock, which the system lets go of however the program ends, says whether
//! somebody still writes there: what a program that is gone left is removed by the next export to the same place.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pipeline::error::{Error, OrFail, Result};
use tempfile::{Builder, NamedTempFile, TempDir};

use super::manifest::Manifest;

/// How names of what is half-written begin; the output's name follows, then letters drawn at random.
const UNFINISHED: &str = ".coreg-export-";
/// How many letters.
const RANDOM: usize = 6;
/// Longest name of an output in bytes that is written out there.
const LONGEST: usize = 150;

/// In a folder for an output: what is written, what it replaces, and the file that is locked.
const NEW: &str = "new";
const OLD: &str = "old";
const LOCK: &str = "lock";

/// A half-written file for an output, in the folder `parent`; removed when dropped.
///
/// # Errors
/// It cannot be made.
pub(super) fn file(parent: &Path, output: &Path) -> Result<NamedTempFile> {
    let prefix = prefix(output);
    let mut builder = Builder::new();
    // Whoever the umask lets read the file may read it; else it would be its owner's alone.
    builder.prefix(&prefix).rand_bytes(RANDOM).permissions(Permissions::from_mode(0o666));
    let file = builder.tempfile_in(parent).or_fail(|| Error::new("cannot write the file").at(output))?;
    lock(file.as_file(), output)?;
    Ok(file)
}

/// A half-written folder for an output; removed when dropped.
pub(super) struct Scratch {
    folder: TempDir,
    _lock: File,
}

impl Scratch {
    /// One in the folder `parent`.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn new(parent: &Path, output: &Path) -> Result<Self> {
        let cannot = || cannot(output);
        let prefix = prefix(output);
        let folder = Builder::new().prefix(&prefix).rand_bytes(RANDOM).tempdir_in(parent).or_fail(cannot)?;
        let file = File::create_new(folder.path().join(LOCK)).or_fail(cannot)?;
        lock(&file, output)?;
        fs::create_dir(folder.path().join(NEW)).or_fail(cannot)?;
        Ok(Self { folder, _lock: file })
    }

    /// The folder to write into.
    pub(super) fn new_folder(&self) -> PathBuf {
        self.folder.path().join(NEW)
    }

    /// Moves what was written to where nothing is.
    ///
    /// # Errors
    /// Something is there by now, or the place cannot be written.
    pub(super) fn put(&self, target: &Path) -> Result<()> {
        fs::rename(self.new_folder(), target).or_fail(|| cannot(target))
    }

    /// Moves what was written into an empty folder, which may be a program's current one or a disk of its own.
    ///
    /// # Errors
    /// Something else is there by now, or the folder cannot be written; nothing is moved then.
    pub(super) fn fill(&self, target: &Path) -> Result<()> {
        let new = self.new_folder();
        let entries = fs::read_dir(&new).or_fail(|| cannot(target))?;
        let mut names: Vec<OsString> = entries.flatten().map(|entry| entry.file_name()).collect();
        // The list of files is the first of them: an export that ends here is known for one.
        names.sort();
        for (at, name) in names.iter().enumerate() {
            let to = target.join(name);
            let moved = match to.symlink_metadata() {
                Ok(_) => Err(io::Error::from(ErrorKind::AlreadyExists)),
                Err(_) => fs::rename(new.join(name), &to),
            };
            if let Err(error) = moved {
                for moved in &names[..at] {
                    let _ = fs::rename(target.join(moved), new.join(moved));
                }
                return Err(cannot(target).because(error));
            }
        }
        Ok(())
    }

    /// Puts what was written in the place of an earlier export, which is removed as its list says.
    ///
    /// # Errors
    /// By now there is something beside the earlier export, or the place cannot be written: what was there stays. Or
    /// not all of it can be removed, and lies beside the place then.
    pub(super) fn replace(mut self, target: &Path, earlier: &Manifest) -> Result<()> {
        let old = self.folder.path().join(OLD);
        fs::rename(target, &old).or_fail(|| cannot(target))?;
        // Now something lies in it that is not to go with it.
        self.folder.disable_cleanup(true);
        // Nobody puts anything into it by its name any more; somebody may have before.
        let alone = earlier.refuse_others(&old).map_err(|error| error.at(target));
        let moved = alone.and_then(|()| self.put(target));
        if let Err(error) = moved {
            if fs::rename(&old, target).is_err() {
                return Err(error.help(format!("what was there is now at {}", old.display())));
            }
            self.folder.disable_cleanup(false);
            return Err(error);
        }
        earlier.remove(&old).map_err(|error| error.help(format!("look at {}", old.display())))?;
        self.folder.disable_cleanup(false);
        Ok(())
    }
}

fn cannot(output: &Path) -> Error {
    Error::new("cannot write the folder").at(output)
}

fn prefix(output: &Path) -> String {
    let name = output.file_name().unwrap_or_default();
    match name.to_str().filter(|name| name.len() <= LONGEST) {
        Some(name) => format!("{UNFINISHED}{name}-"),
        None => format!("{UNFINISHED}{}-", blake3::hash(name.as_encoded_bytes()).to_hex()),
    }
}

fn lock(file: &File, output: &Path) -> Result<()> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Error::new("another export to this place is under way")
            .at(output)
            .help("wait until it ends, or name another place with --output")),
        // Without locks, which some network disks lack, what is left after a kill stays there.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

/// Removes from `parent` what programs that are gone left there of an output at `target`.
pub(super) fn clear(parent: &Path, target: &Path) {
    let prefix = prefix(target);
    let is_of_it = |name: &OsStr| {
        let random = name.to_str().and_then(|name| name.strip_prefix(prefix.as_str()));
        random.is_some_and(|random| {
            random.len() == RANDOM && random.bytes().all(|letter| letter.is_ascii_alphanumeric())
        })
    };
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && is_of_it(&entry.file_name()) => clear_folder(&path, target),
            Ok(kind) if kind.is_file() && is_of_it(&entry.file_name()) => {
                if let Some(_lock) = abandoned(&path) {
                    let _ = fs::remove_file(&path);
                }
            }
            _ => {}
        }
    }
}

/// The file, locked, if nobody else holds its lock.
fn abandoned(path: &Path) -> Option<File> {
    let file = OpenOptions::new().read(true).write(true).open(path).ok()?;
    file.try_lock().is_ok().then_some(file)
}

fn clear_folder(folder: &Path, target: &Path) {
    let Some(_lock) = abandoned(&folder.join(LOCK)) else { return };
    let (new, old) = (folder.join(NEW), folder.join(OLD));
    if new.is_dir() && target.symlink_metadata().is_err() {
        // It ended between two moves: what was there before comes back.
        let _ = fs::rename(&old, target);
    } else if let Some(list) = Manifest::read(&old) {
        // Files that are not of the list stay, and the folder around them.
        let _ = list.remove(&old);
    }
    if old.symlink_metadata().is_err() {
        let _ = fs::remove_dir_all(folder);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// What a program leaves that is killed.
    fn killed(mut scratch: Scratch) -> PathBuf {
        scratch.folder.disable_cleanup(true);
        scratch.folder.path().to_owned()
    }

    /// An export with one file.
    fn export(folder: &Path, text: &str) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("tasks.json"), text).unwrap();
        Manifest::write(folder).unwrap();
    }

    fn text(folder: &Path) -> String {
        fs::read_to_string(folder.join("tasks.json")).unwrap()
    }

    #[test]
    fn what_a_killed_export_left_goes_and_what_a_living_one_writes_stays() {
        let around = tempfile::tempdir().unwrap();
        let long = "x".repeat(200);
        for name in ["out", long.as_str()] {
            let target = around.path().join(name);
            let left = killed(Scratch::new(around.path(), &target).unwrap());
            fs::write(left.join(NEW).join("half"), "half").unwrap();
            let (open, left_file) = file(around.path(), &target).unwrap().keep().unwrap();
            drop(open);
            let alive = Scratch::new(around.path(), &target).unwrap();
            let alive_file = file(around.path(), &target).unwrap();
            let other = killed(Scratch::new(around.path(), &around.path().join("out-other")).unwrap());
            assert!(left.is_dir() && left_file.is_file());
            clear(around.path(), &target);
            assert!(!left.exists() && !left_file.exists(), "{name}");
            assert!(alive.new_folder().is_dir() && alive_file.path().is_file() && other.is_dir());
        }
    }

    #[test]
    fn what_is_only_called_so_stays() {
        let around = tempfile::tempdir().unwrap();
        let target = around.path().join("out");
        let mine = [".coreg-export-out-notes.txt", ".coreg-export-out-"];
        mine.iter().for_each(|name| fs::write(around.path().join(name), "mine").unwrap());
        let folder = around.path().join(".coreg-export-out-abcdef");
        fs::create_dir(&folder).unwrap();
        clear(around.path(), &target);
        assert!(mine.iter().all(|name| around.path().join(name).is_file()) && folder.is_dir());
    }

    #[test]
    fn an_export_that_was_killed_between_two_moves_did_not_cost_the_one_before() {
        let around = tempfile::tempdir().unwrap();
        let target = around.path().join("out");
        export(&target, "before");
        let scratch = Scratch::new(around.path(), &target).unwrap();
        fs::rename(&target, scratch.folder.path().join(OLD)).unwrap();
        let left = killed(scratch);
        clear(around.path(), &target);
        assert_eq!((text(&target), left.exists()), ("before".to_owned(), false));
        // Killed while it removed the one before.
        let scratch = Scratch::new(around.path(), &target).unwrap();
        export(&scratch.folder.path().join(OLD), "old");
        fs::remove_dir(scratch.new_folder()).unwrap();
        let left = killed(scratch);
        clear(around.path(), &target);
        assert_eq!((text(&target), left.exists()), ("before".to_owned(), false));
    }

    #[test]
    fn what_was_put_beside_an_export_in_the_last_moment_brings_that_back() {
        let around = tempfile::tempdir().unwrap();
        let target = around.path().join("out");
        export(&target, "before");
        let earlier = Manifest::read(&target).unwrap();
        let scratch = || {
            let scratch = Scratch::new(around.path(), &target).unwrap();
            export(&scratch.new_folder(), "after");
            scratch
        };
        fs::write(target.join("mine.txt"), "mine").unwrap();
        let refused = scratch().replace(&target, &earlier).unwrap_err().to_string();
        assert!(refused.contains("`mine.txt`"), "{refused}");
        assert_eq!((text(&target), fs::read_dir(around.path()).unwrap().count()), ("before".to_owned(), 1));
        fs::remove_file(target.join("mine.txt")).unwrap();
        scratch().replace(&target, &earlier).unwrap();
        assert_eq!((text(&target), fs::read_dir(around.path()).unwrap().count()), ("after".to_owned(), 1));
    }
}
