//! An object: a folder of files under the digest of its file list.
//!
//! It knows nothing of stages, records or locks.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::disk::{fail, sync_folder, unreadable};
use crate::error::{Error, Result};
use crate::fingerprint::Digest;

/// One file of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Path inside the object, parts joined by `/`.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// BLAKE3 of the bytes.
    pub blake3: Digest,
}

/// The files below `folder` with their sizes, sorted by path. Reads no contents. Folders are only
/// part of their files' paths: an empty one does not count.
///
/// # Errors
/// A symbolic link or anything else that is neither a file nor a folder, a name that is not UTF-8.
pub(crate) fn scan(folder: &Path) -> Result<Vec<(String, u64)>> {
    let mut files = Vec::new();
    scan_into(folder, "", &mut files)?;
    files.sort_unstable();
    Ok(files)
}

fn scan_into(folder: &Path, prefix: &str, files: &mut Vec<(String, u64)>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(unreadable("list the folder", folder))? {
        let entry = entry.map_err(unreadable("list the folder", folder))?;
        let path = entry.path();
        let name = entry.file_name().into_string();
        let name = name.map_err(|_| Error::new("a file's name is not UTF-8").at(&path))?;
        // Does not follow links.
        let metadata = entry.metadata().map_err(unreadable("look at the file", &path))?;
        if metadata.is_dir() {
            scan_into(&path, &format!("{prefix}{name}/"), files)?;
        } else if metadata.is_file() {
            files.push((format!("{prefix}{name}"), metadata.len()));
        } else {
            return Err(Error::new("an artifact may hold plain files and folders only")
                .at(&path)
                .help("write a copy instead of a link"));
        }
    }
    Ok(())
}

/// The files below `folder` with sizes and digests, sorted by path. Reads everything.
pub(crate) fn list(folder: &Path) -> Result<Vec<FileEntry>> {
    scan(folder)?
        .into_iter()
        .map(|(path, size)| {
            let (read, blake3) = hash_file(&folder.join(&path))?;
            if read != size {
                return Err(Error::new("the file changed while it was read").at(folder.join(path)));
            }
            Ok(FileEntry { path, size, blake3 })
        })
        .collect()
}

/// The digest of an object with these files.
pub(crate) fn digest(files: &[FileEntry]) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key("pipeline object 1");
    for file in files {
        hasher.update(&(file.path.len() as u64).to_le_bytes());
        hasher.update(file.path.as_bytes());
        hasher.update(&file.size.to_le_bytes());
        hasher.update(file.blake3.to_string().as_bytes());
    }
    hasher.finalize().into()
}

/// Size and digest of a file's bytes.
pub(crate) fn hash_file(path: &Path) -> Result<(u64, Digest)> {
    /// Large enough for all threads to have work, small enough to stay in cache.
    const BLOCK: usize = 4 << 20;
    let mut file = File::open(path).map_err(unreadable("open the file", path))?;
    let size = file.metadata().map_err(unreadable("look at the file", path))?.len();
    let mut block = vec![0; usize::try_from(size).unwrap_or(BLOCK).clamp(1, BLOCK)];
    let (mut hasher, mut read) = (blake3::Hasher::new(), 0);
    loop {
        let filled = fill(&mut file, &mut block).map_err(unreadable("read the file", path))?;
        if filled == 0 {
            return Ok((read, hasher.finalize().into()));
        }
        read += filled as u64;
        hasher.update_rayon(&block[..filled]);
    }
}

/// Reads until the block is full or the file is at its end.
fn fill(file: &mut File, block: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match file.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Makes all files below `folder` read-only and, with their folders, last.
pub(crate) fn freeze(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(unreadable("list the folder", folder))? {
        let entry = entry.map_err(unreadable("list the folder", folder))?;
        let path = entry.path();
        let metadata = entry.metadata().map_err(unreadable("look at the file", &path))?;
        if metadata.is_dir() {
            freeze(&path)?;
            continue;
        }
        let mut permissions = metadata.permissions();
        permissions.set_readonly(true);
        let file = File::open(&path).map_err(unreadable("open the file", &path))?;
        file.set_permissions(permissions)
            .and_then(|()| file.sync_all())
            .map_err(fail("write out the file", &path))?;
    }
    sync_folder(folder)
}

/// How the names and sizes of the files below `folder` differ from what they should be; reads no contents.
pub(crate) fn sizes_differ(folder: &Path, expected: &[FileEntry]) -> Option<String> {
    match fs::symlink_metadata(folder) {
        Err(_) => return Some("its files are gone".to_owned()),
        Ok(metadata) if !metadata.is_dir() => return Some("what should be its folder is none".to_owned()),
        Ok(_) => {}
    }
    match scan(folder) {
        Ok(found) => difference(expected, &found),
        Err(error) => Some(error.to_string()),
    }
}

/// What is wrong with the files below `folder`, after reading all of them.
pub(crate) fn damage(folder: &Path, expected: &[FileEntry]) -> Option<String> {
    if let Some(what) = sizes_differ(folder, expected) {
        return Some(what);
    }
    expected.iter().find_map(|file| match hash_file(&folder.join(&file.path)) {
        Ok((_, digest)) if digest == file.blake3 => None,
        Ok(_) => Some(format!("file {} does not have the bytes it had", file.path)),
        Err(error) => Some(format!("file {} cannot be read: {error}", file.path)),
    })
}

/// The first difference between what should be there and what is, in words.
pub(crate) fn difference(expected: &[FileEntry], found: &[(String, u64)]) -> Option<String> {
    for file in expected {
        match found.iter().find(|(path, _)| *path == file.path) {
            None => return Some(format!("file {} is missing", file.path)),
            Some((_, size)) if *size != file.size => {
                return Some(format!("file {} has {size} bytes instead of {}", file.path, file.size));
            }
            Some(_) => {}
        }
    }
    let extra = found.iter().find(|(path, _)| expected.iter().all(|file| file.path != *path));
    extra.map(|(path, _)| format!("file {path} does not belong to it"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_digest_depends_on_names_and_bytes_and_on_nothing_else() {
        let digest_of = |files: &[(&str, &str)]| {
            let folder = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let path = folder.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            digest(&list(folder.path()).unwrap())
        };
        let base = digest_of(&[("a", "1"), ("sub/b", "2")]);
        assert_eq!(base, digest_of(&[("sub/b", "2"), ("a", "1")]));
        assert_ne!(base, digest_of(&[("a", "1"), ("sub/c", "2")]));
        assert_ne!(base, digest_of(&[("a", "1"), ("sub/b", "3")]));
        assert_ne!(base, digest_of(&[("a", "1")]));
    }

    #[test]
    fn a_file_larger_than_a_block_has_the_digest_of_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..9_000_001_u32).map(|i| (i % 251) as u8).collect();
        let path = folder.path().join("large");
        fs::write(&path, &bytes).unwrap();
        assert_eq!(hash_file(&path).unwrap(), (9_000_001, blake3::hash(&bytes).into()));
    }
}
