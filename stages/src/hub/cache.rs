//! The hub's cache folder: where a file's bytes lie, and whether they are the right ones.
//!
//! The layout is the one of the Hugging Face tools, which share the folder: content in
//! `blobs/<hash>`, `snapshots/<commit>/<file>` as links to it, `refs/<revision>` naming the commit.
//! A blob is named by its SHA-256 (large files) or by its git blob SHA-1, so its name can be checked.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use hf_hub::{Cache, CacheRepo, Repo};
use pipeline::error::{Error, OrFail, Result};
use sha1::Digest;

use super::client::FileRequest;
use super::environment::HubSettings;
use super::monitor::{ProgressMonitor, TICK};
use crate::runtime::digest::hex;

/// One repository's part of the cache, at one revision.
pub(crate) struct RepoCache {
    paths: CacheRepo,
    folder: PathBuf,
    locks: PathBuf,
    revision: String,
}

/// Size and hashes of a file's content, in lower-case hex.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FileDigests {
    pub size: u64,
    pub sha256: String,
    pub git_sha1: String,
}

/// Where the cache has the file of a commit, or would have it. Nobody is asked for it.
pub(crate) fn path_of(settings: &HubSettings, request: &FileRequest) -> PathBuf {
    RepoCache::new(&settings.cache, request).snapshot(request.revision).join(request.file)
}

impl RepoCache {
    pub fn new(cache: &Path, request: &FileRequest) -> Self {
        let repo: Repo = request.repository();
        let name = repo.folder_name();
        Self {
            locks: cache.join(".locks").join(&name),
            folder: cache.join(name),
            revision: request.revision.to_owned(),
            paths: Cache::new(cache.to_owned()).repo(repo),
        }
    }

    pub fn blob(&self, hash: &str) -> PathBuf {
        self.paths.blob_path(hash)
    }

    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.paths.pointer_path(commit)
    }

    /// The commit that the revision stood for when the hub was last asked.
    pub fn commit(&self) -> Option<String> {
        if is_commit(&self.revision) {
            return Some(self.revision.clone());
        }
        let commit = fs::read_to_string(self.folder.join("refs").join(&self.revision)).ok()?;
        Some(commit.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// The file at a commit, if it is here.
    pub fn find(&self, commit: &str, file: &str) -> Option<PathBuf> {
        let path = self.snapshot(commit).join(file);
        path.is_file().then_some(path)
    }

    /// Whether the hub once said that the commit has no such file.
    pub fn is_known_missing(&self, commit: &str, file: &str) -> bool {
        self.folder.join(".no_exist").join(commit).join(file).exists()
    }

    /// Remembers that the commit has no such file. Losing the note costs one request, so it may fail.
    pub fn note_missing(&self, commit: &str, file: &str) {
        let marker = self.folder.join(".no_exist").join(commit).join(file);
        if let Some(parent) = marker.parent()
            && fs::create_dir_all(parent).is_ok()
        {
            let _ = File::create(marker);
        }
    }

    /// Links a finished blob into its snapshot and, where the revision is a name, notes its commit.
    pub fn link(&self, hash: &str, commit: &str, file: &str) -> Result<PathBuf> {
        if !is_commit(&self.revision) {
            let reference = self.folder.join("refs").join(&self.revision);
            self.paths.create_ref(commit).map_err(|e| write_error(&reference, e))?;
        }
        let path = self.snapshot(commit).join(file);
        make_parent(&path)?;
        if path.symlink_metadata().is_ok() {
            fs::remove_file(&path).map_err(|e| write_error(&path, e))?;
        }
        #[cfg(unix)]
        {
            // Relative, so that the cache may be moved: out of the file's folders, the commit, `snapshots`.
            let up = "../".repeat(file.split('/').count() + 1);
            std::os::unix::fs::symlink(format!("{up}blobs/{hash}"), &path)
                .map_err(|e| write_error(&path, e))?;
        }
        #[cfg(not(unix))]
        fs::copy(self.blob(hash), &path).map_err(|e| write_error(&path, e))?;
        Ok(path)
    }

    /// Removes a file whose content is wrong, with the blob behind it.
    pub fn remove(&self, path: &Path) -> Result<()> {
        if let Ok(blob) = fs::canonicalize(path) {
            fs::remove_file(&blob).map_err(|e| write_error(&blob, e))?;
        }
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(write_error(path, e)),
            _ => Ok(()),
        }
    }

    /// Waits until no other process fetches the same content; released when the file is dropped.
    pub fn lock(&self, hash: &str, monitor: &ProgressMonitor) -> Result<File> {
        let path = self.locks.join(format!("{hash}.lock"));
        make_parent(&path)?;
        let file = File::create(&path).map_err(|e| write_error(&path, e))?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {
                    if !std::mem::replace(&mut told, true) {
                        monitor.progress.note("waits for another process that fetches the same file");
                    }
                    monitor.pause(TICK)?;
                }
                Err(TryLockError::Error(e)) => return Err(write_error(&path, e)),
            }
        }
    }
}

impl FileDigests {
    /// Reads a file once and hashes it.
    pub fn of(path: &Path, monitor: &ProgressMonitor) -> Result<Self> {
        let unreadable = || Error::new("cannot read a file of the hub's cache").at(path);
        let mut file = File::open(path).or_fail(unreadable)?;
        let size = file.metadata().or_fail(unreadable)?.len();
        let mut sha256 = sha2::Sha256::new();
        let mut sha1 = sha1::Sha1::new();
        sha1.update(format!("blob {size}\0"));
        let mut buffer = vec![0; 1 << 20];
        loop {
            monitor.safe_point()?;
            let read = file.read(&mut buffer).or_fail(unreadable)?;
            if read == 0 {
                break;
            }
            sha256.update(&buffer[..read]);
            sha1.update(&buffer[..read]);
        }
        Ok(Self { size, sha256: hex(&sha256.finalize()), git_sha1: hex(&sha1.finalize()) })
    }

    /// Says what is wrong with the content, if anything: against the hash that names it at the hub
    /// (where that is a hash), its size and the catalog's checksum, as far as each is known.
    pub fn fault(&self, name: Option<&str>, size: Option<u64>, sha256: Option<&str>) -> Option<String> {
        if let Some(size) = size.filter(|size| *size != self.size) {
            return Some(format!("it has {} bytes instead of {size}", self.size));
        }
        let named = match name.filter(|name| is_hash(name)) {
            Some(name) if name.len() == 64 => Some(("SHA-256", name, &self.sha256)),
            Some(name) => Some(("git blob SHA-1", name, &self.git_sha1)),
            None => None,
        };
        [named, sha256.map(|expected| ("SHA-256", expected, &self.sha256))]
            .into_iter()
            .flatten()
            .find(|(_, expected, found)| !expected.eq_ignore_ascii_case(found))
            .map(|(kind, expected, found)| format!("its {kind} is {found} instead of {expected}"))
    }
}

/// The name of the blob behind a file of a snapshot, where the snapshot links to blobs.
pub(crate) fn blob_name(path: &Path) -> Option<String> {
    Some(fs::read_link(path).ok()?.file_name()?.to_str()?.to_owned())
}

/// Whether a revision is a full commit hash, which stands for the same content for ever.
pub(crate) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && is_hash(revision)
}

/// Whether a name is a SHA-256 or a SHA-1 in hex.
pub(crate) fn is_hash(name: &str) -> bool {
    matches!(name.len(), 40 | 64) && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Makes the folder a file is to lie in.
pub(crate) fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(|e| write_error(parent, e))
}

/// A failed write to the cache, with what can be done about it.
pub(crate) fn write_error(path: &Path, cause: io::Error) -> Error {
    let help = match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full: free space there, or set HF_HUB_CACHE to a folder on another disk"
        }
        _ => "set HF_HOME or HF_HUB_CACHE to a folder that can be written to",
    };
    Error::new("cannot write to the hub's cache").at(path).because(cause).help(help)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn content_is_named_as_sha256sum_and_git_name_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "hello\n").unwrap();
        let progress = pipeline::event::Progress::silent();
        let digests = FileDigests::of(&path, &ProgressMonitor::unstoppable(&progress)).unwrap();
        // printf 'hello\n' | sha256sum; printf 'hello\n' | git hash-object --stdin
        assert_eq!(digests.sha256, "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03");
        assert_eq!(digests.git_sha1, "ce013625030ba8dba906f756967f9e9ca394464a");
        assert_eq!(digests.fault(Some("ce013625030ba8dba906f756967f9e9ca394464a"), Some(6), None), None);
        assert_eq!(digests.fault(Some("not-a-hash"), None, None), None);
        assert!(digests.fault(None, Some(7), None).unwrap().contains("6 bytes instead of 7"));
        assert!(digests.fault(None, None, Some(&"0".repeat(64))).unwrap().contains("SHA-256"));
        assert!(digests.fault(Some(&"0".repeat(40)), None, None).unwrap().contains("git blob SHA-1"));
    }

    #[test]
    fn a_full_disk_is_named_as_such() {
        let error = write_error(Path::new("/cache"), io::Error::from(io::ErrorKind::StorageFull)).to_string();
        assert!(error.contains("disk is full") && error.contains("HF_HUB_CACHE"), "{error}");
    }
}
