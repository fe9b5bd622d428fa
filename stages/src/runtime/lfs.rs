//! Git LFS pointers: the few lines of text that a clone has in place of a large file until `git lfs pull` brings it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use pipeline::error::{Error, Result};

/// How a pointer begins (git-lfs, "docs/spec.md").
const BEGINNING: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Whether these are the first bytes of a pointer.
pub fn is_pointer(bytes: &[u8]) -> bool {
    bytes.starts_with(BEGINNING)
}

/// What is wrong with a pointer in place of a file, and what to do.
pub fn error() -> Error {
    Error::new("this is a Git LFS pointer, not the file itself")
        .help("run `git lfs pull` in the clone that it lies in, and then this again")
}

/// Refuses a file that is a pointer. What cannot be read is for its reader to say.
///
/// # Errors
/// A pointer: says what to do.
pub fn refuse(path: &Path) -> Result<()> {
    let mut first = [0; BEGINNING.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut first));
    if read.is_ok() && is_pointer(&first) { Err(error().at(path)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_pointer_is_refused_and_everything_else_passes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
        for (content, refused) in [
            (pointer, true),
            ("version", false),
            ("", false),
            ("a longer text than that: version https://git-lfs.github.com/spec/v1", false),
        ] {
            std::fs::write(&path, content).unwrap();
            let error = refuse(&path).err().map(|error| error.to_string());
            assert_eq!(error.is_some(), refused, "{content}");
            assert!(error.is_none_or(|error| error.contains("git lfs pull") && error.contains("model.safetensors")));
        }
        assert!(refuse(&folder.path().join("none")).is_ok());
    }
}
