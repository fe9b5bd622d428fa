//! Files outside the store that stages read: their digests, and a memory of them, so that a file
//! that was not touched is not read again.
//!
//! It knows nothing of stages.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::checksum;
use super::disk::{replace, unreadable};
use super::object::{self, FileEntry};
use crate::error::{Error, Result};
use crate::fingerprint::Digest;

/// A file that changed less than this before it was read may change again within the same tick of
/// the file system's clock, unseen: such a digest is not remembered. FAT ticks every two seconds.
const SETTLED_NS: i128 = 3_000_000_000;

/// `stat-cache.json`.
#[derive(Debug)]
pub(crate) struct Outside {
    path: PathBuf,
    known: Mutex<KnownFiles>,
    settled_ns: i128,
}

#[derive(Debug, Default)]
struct KnownFiles {
    files: BTreeMap<String, Seen>,
    changed: bool,
    /// How many files were read, for tests.
    reads: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Seen {
    identity: Identity,
    digest: Digest,
}

/// What changes when a file does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    size: u64,
    mtime_ns: i64,
    /// Unlike the time of modification it cannot be set back.
    ctime_ns: i64,
    inode: u64,
    device: u64,
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        let ns = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            size: metadata.len(),
            mtime_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
            device: metadata.dev(),
        }
    }

    /// Nanoseconds since the last change.
    fn age_ns(&self) -> i128 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as i128);
        now - i128::from(self.mtime_ns.max(self.ctime_ns))
    }
}

impl Outside {
    /// Reads the memory; one that cannot be read is begun anew, for it can be made again.
    pub(crate) fn open(path: PathBuf) -> Self {
        // A wrong digest in it would become part of keys: hence the checksum.
        let whole = fs::read(&path).ok().and_then(|text| checksum::open(&text));
        let files = whole.and_then(|text| serde_json::from_slice(&text).ok());
        let known = KnownFiles { files: files.unwrap_or_default(), ..KnownFiles::default() };
        Self { path, known: Mutex::new(known), settled_ns: SETTLED_NS }
    }

    /// The digest of a file's bytes, or of the list of a folder's files.
    pub(crate) fn digest(&self, path: &Path) -> Result<Digest> {
        let metadata = look(path)?;
        if !metadata.is_dir() {
            return self.file(path, &metadata);
        }
        let mut files = Vec::new();
        self.folder(path, "", &mut files)?;
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(object::digest(&files))
    }

    /// The digest of a folder that would hold these files alone.
    pub(crate) fn digest_chosen(&self, folder: &Path, chosen: &[String]) -> Result<Digest> {
        let mut files = Vec::with_capacity(chosen.len());
        for name in chosen {
            let path = folder.join(name);
            let metadata = look(&path)?;
            let blake3 = self.file(&path, &metadata)?;
            files.push(FileEntry { path: name.clone(), size: metadata.len(), blake3 });
        }
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(object::digest(&files))
    }

    fn folder(&self, folder: &Path, prefix: &str, files: &mut Vec<FileEntry>) -> Result<()> {
        for entry in fs::read_dir(folder).map_err(unreadable("list the folder", folder))? {
            let entry = entry.map_err(unreadable("list the folder", folder))?;
            let path = entry.path();
            let name = entry.file_name().into_string();
            let name = name.map_err(|_| Error::new("a file's name is not UTF-8").at(&path))?;
            let linked = entry.file_type().map_err(unreadable("look at the file", &path))?.is_symlink();
            let metadata = look(&path)?;
            match (metadata.is_dir(), linked) {
                (true, true) => {
                    return Err(Error::new("a folder that a stage reads holds a link to a folder").at(&path));
                }
                (true, false) => self.folder(&path, &format!("{prefix}{name}/"), files)?,
                (false, _) => {
                    let (path, blake3) = (format!("{prefix}{name}"), self.file(&path, &metadata)?);
                    files.push(FileEntry { path, size: metadata.len(), blake3 });
                }
            }
        }
        Ok(())
    }

    fn file(&self, path: &Path, metadata: &Metadata) -> Result<Digest> {
        let absolute = std::path::absolute(path).map_err(unreadable("find the file", path))?;
        let key = absolute.to_string_lossy().into_owned();
        let identity = Identity::of(metadata);
        if let Ok(known) = self.known.lock()
            && let Some(seen) = known.files.get(&key)
            && seen.identity == identity
        {
            return Ok(seen.digest);
        }
        let settled = identity.age_ns() > self.settled_ns;
        let (_, digest) = object::hash_file(path)?;
        if Identity::of(&look(path)?) != identity {
            return Err(Error::new("the file changed while it was read")
                .at(path)
                .help("run again once whatever writes it is done"));
        }
        if let Ok(mut known) = self.known.lock() {
            known.reads += 1;
            if settled && absolute.to_str().is_some() {
                known.files.insert(key, Seen { identity, digest });
                known.changed = true;
            }
        }
        Ok(digest)
    }

    /// Writes the memory, if it changed. Of two processes the last one's counts: what the other
    /// learned is learned again.
    pub(crate) fn keep(&self, scratch: &Path) -> Result<()> {
        let Ok(mut known) = self.known.lock() else { return Ok(()) };
        if std::mem::take(&mut known.changed) {
            let text = serde_json::to_vec_pretty(&known.files).unwrap_or_default();
            replace(&self.path, &checksum::seal(text), scratch)?;
        }
        Ok(())
    }
}

fn look(path: &Path) -> Result<Metadata> {
    fs::metadata(path).map_err(|error| {
        let help = match error.kind() {
            std::io::ErrorKind::NotFound => "put the file there, or change the setting that names it",
            _ => "make the file readable for this user",
        };
        Error::new("a file that the stage reads cannot be used").at(path).because(error).help(help)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn file(folder: &Path) -> PathBuf {
        let path = folder.join("prompts.txt");
        fs::write(&path, "a photo of a {}").unwrap();
        path
    }

    /// A memory that takes every file for settled.
    fn trusting(memory: PathBuf) -> Outside {
        Outside { settled_ns: i128::MIN, ..Outside::open(memory) }
    }

    fn reads(outside: &Outside) -> usize {
        outside.known.lock().unwrap().reads
    }

    #[test]
    fn a_fresh_file_is_read_each_time_for_it_may_change_within_the_same_tick() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path());
        let outside = Outside::open(folder.path().join("stat-cache.json"));
        assert_eq!(outside.digest(&path).unwrap(), outside.digest(&path).unwrap());
        assert_eq!(reads(&outside), 2);
    }

    #[test]
    fn a_settled_file_is_read_once_and_not_again_by_later_processes() {
        let folder = tempfile::tempdir().unwrap();
        let (path, memory) = (file(folder.path()), folder.path().join("stat-cache.json"));
        let outside = trusting(memory.clone());
        let first = outside.digest(&path).unwrap();
        assert_eq!(outside.digest(&path).unwrap(), first);
        assert_eq!(reads(&outside), 1);
        outside.keep(folder.path()).unwrap();
        let later = trusting(memory);
        assert_eq!(later.digest(&path).unwrap(), first);
        assert_eq!(reads(&later), 0);
    }

    #[test]
    fn a_changed_file_of_the_same_size_and_time_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path());
        let outside = trusting(folder.path().join("stat-cache.json"));
        let first = outside.digest(&path).unwrap();
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(&path, "a photo of A {}").unwrap();
        fs::File::open(&path).unwrap().set_modified(written).unwrap();
        assert_ne!(outside.digest(&path).unwrap(), first);
    }

    #[test]
    fn a_broken_memory_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path());
        let memory = folder.path().join("stat-cache.json");
        fs::write(&memory, "{\"half a").unwrap();
        assert_eq!(Outside::open(memory).digest(&path).unwrap(), blake3::hash(b"a photo of a {}").into());
    }

    #[test]
    fn a_memory_with_any_other_byte_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, memory) = (file(folder.path()), folder.path().join("stat-cache.json"));
        let outside = trusting(memory.clone());
        let right = outside.digest(&path).unwrap();
        outside.keep(folder.path()).unwrap();
        let whole = fs::read(&memory).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            fs::write(&memory, flipped).unwrap();
            let later = trusting(memory.clone());
            assert_eq!((later.digest(&path).unwrap(), reads(&later)), (right, 1), "byte {at}");
        }
    }

    #[test]
    fn a_folder_has_the_digest_of_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner/deep");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("a"), "1").unwrap();
        let outside = Outside::open(folder.path().join("stat-cache.json"));
        let before = outside.digest(&folder.path().join("inner")).unwrap();
        fs::write(inner.join("b"), "2").unwrap();
        assert_ne!(before, outside.digest(&folder.path().join("inner")).unwrap());
    }

    #[test]
    fn chosen_files_count_as_a_folder_that_holds_them_alone() {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in [("few/in/a", "1"), ("few/b", "2"), ("many/in/a", "1"), ("many/b", "2")] {
            fs::create_dir_all(folder.path().join(path).parent().unwrap()).unwrap();
            fs::write(folder.path().join(path), text).unwrap();
        }
        fs::write(folder.path().join("many/Thumbs.db"), "3").unwrap();
        let outside = Outside::open(folder.path().join("stat-cache.json"));
        let chosen = ["in/a".to_owned(), "b".to_owned()];
        let digest = outside.digest_chosen(&folder.path().join("many"), &chosen).unwrap();
        assert_eq!(digest, outside.digest(&folder.path().join("few")).unwrap());
        assert_ne!(digest, outside.digest_chosen(&folder.path().join("many"), &chosen[..1]).unwrap());
        fs::remove_file(folder.path().join("many/b")).unwrap();
        let error = outside.digest_chosen(&folder.path().join("many"), &chosen).unwrap_err().to_string();
        assert!(error.contains("many/b"), "{error}");
    }
}
