//! Writing so that a kill or a power cut leaves the old or the new, and failures in a user's words.
//!
//! What is written has the permissions that the user's umask leaves, as files of other programs have, so that a group
//! may share it. It knows nothing of stages.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::error::{Error, Result};

/// The help for a full disk.
pub(crate) const DISK_FULL: &str =
    "the disk is full: free some space on it and run again; results that are finished are kept";

/// ENOLCK of Linux: a network file system whose server keeps no locks.
const NO_LOCKS: i32 = 37;

/// What a new file may be at most; the umask takes from it.
const ANY_FILE: u32 = 0o666;

/// `fs::write(path, text).map_err(fail("write the record", path))`.
pub(crate) fn fail<'a>(what: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    failed(what, path, "write there")
}

/// As [`fail`], where something is only read.
pub(crate) fn unreadable<'a>(what: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    failed(what, path, "read it")
}

fn failed<'a>(what: &'a str, path: &'a Path, may_not: &'a str) -> impl FnOnce(io::Error) -> Error + 'a {
    move |cause| {
        use io::ErrorKind as Kind;
        let help = match cause.kind() {
            Kind::StorageFull | Kind::QuotaExceeded => Some(DISK_FULL.to_owned()),
            Kind::PermissionDenied => Some(denied(path, may_not)),
            Kind::ReadOnlyFilesystem => Some(
                "this user may not write there, for the disk is read-only: change that, or name another folder"
                    .to_owned(),
            ),
            Kind::NotADirectory | Kind::AlreadyExists => {
                Some("a file is where a folder is needed: move it away, or name another folder".to_owned())
            }
            _ if cause.raw_os_error() == Some(NO_LOCKS) || cause.kind() == Kind::Unsupported => Some(
                "the file system lacks what a store needs (locks, renames): keep it on a local disk".to_owned(),
            ),
            _ => None,
        };
        let error = Error::new(format!("cannot {what}")).at(path).because(cause);
        match help {
            Some(help) => error.help(help),
            None => error,
        }
    }
}

/// What to do where this user may not do something. In a store that another user made, that one alone can change the
/// permissions.
fn denied(path: &Path, may_not: &str) -> String {
    let in_a_store = path.ancestors().any(|folder| folder.join("FORMAT").is_file());
    let there = path.ancestors().find_map(|path| fs::metadata(path).ok()).filter(|_| in_a_store);
    let (owner, me) = (there.map(|there| there.uid()), fs::metadata("/proc/self").ok().map(|me| me.uid()));
    match (owner, me) {
        (Some(owner), Some(me)) if owner != me => format!(
            "this user may not {may_not}, for it belongs to another user (id {owner}): that user, or root, gives the folder \
             to this one with `chown -R`, or shares it with a group (`chgrp -R GROUP FOLDER`, `chmod -R g+rwX FOLDER`, \
             `find FOLDER -type d -exec chmod g+s {{}} +`) whose users all work with `umask 002`; or name another folder"
        ),
        _ => format!("this user may not {may_not}: change the permissions, or name another folder"),
    }
}

/// Makes the names in `folder` last.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail("write out the folder", folder))
}

/// Replaces `path` by `bytes`, whole or not at all. `scratch` is a folder on the same file system.
pub(crate) fn replace(path: &Path, bytes: &[u8], scratch: &Path) -> Result<()> {
    let write = || -> io::Result<()> {
        let permissions = fs::Permissions::from_mode(ANY_FILE);
        let mut file =
            tempfile::Builder::new().prefix("file-").permissions(permissions).tempfile_in(scratch)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(fail("write the file", path))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// The file's bytes, or none where there is no such file.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable("read the file", path)(error)),
    }
}

/// Removes a folder with all it holds; one that is not there is fine.
pub(crate) fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(fail("remove the folder", folder)(error))
        }
        _ => Ok(()),
    }
}

/// The names in a folder, sorted; none where there is no such folder.
pub(crate) fn names_in(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(unreadable("list the folder", folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(unreadable("list the folder", folder))?;
        names.extend(entry.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

/// This machine's name, as far as it can be known.
pub(crate) fn host() -> String {
    ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .iter()
        .find_map(|path| fs::read_to_string(path).ok())
        .map(|name| name.trim().to_owned())
        .or_else(|| std::env::var("HOSTNAME").ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "an unnamed machine".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_locks_is_told_apart_and_comes_with_help() {
        for code in [NO_LOCKS, 95] {
            let error = fail("lock the file", Path::new("/store/x"))(io::Error::from_raw_os_error(code));
            assert!(error.to_string().contains("help: the file system lacks what a store needs"), "{error}");
        }
    }

    #[test]
    fn a_full_disk_is_told_apart_and_comes_with_help() {
        let full = || io::Error::from_raw_os_error(28);
        let error = fail("write the file", Path::new("/store/x"))(full());
        assert!(error.is_disk_full() && error.to_string().contains(DISK_FULL), "{error}");
        let wrapped =
            Error::new("cannot save").because(Error::new("inner").because(io::Error::other(full())));
        assert!(wrapped.is_disk_full());
        assert!(!Error::new("cannot save").because(io::Error::other("else")).is_disk_full());
    }
}
