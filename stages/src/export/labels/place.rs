//! A path at which something is to be written: links are followed, and missing folders around it are made.

use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use pipeline::error::{Error, OrFail, Result};

/// A place that may be written to.
#[derive(Debug)]
pub(super) struct Place {
    /// The path, with links followed where something is there.
    pub(super) target: PathBuf,
    /// The folder that it lies in.
    pub(super) parent: PathBuf,
    /// The folders around it that were made.
    pub(super) made: MadeFolders,
}

/// Folders that were made for an output. Dropped, they are removed again as far as nothing is in them.
#[derive(Debug, Default)]
pub(super) struct MadeFolders(Vec<PathBuf>);

impl Place {
    /// The place at a path.
    ///
    /// # Errors
    /// A path that names nothing that can be written, a link that leads nowhere, folders that cannot be made.
    pub(super) fn find(path: &Path) -> Result<Self> {
        let unusable = || unusable(path);
        // Without a slash at its end, which would stand for what a link leads to.
        let path = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => parent.join(name),
            _ => path.to_owned(),
        };
        match path.symlink_metadata() {
            Ok(there) => {
                let dangling = || {
                    Error::new("a link that leads nowhere is there")
                        .at(&path)
                        .help("remove that link, or name another place with --output")
                };
                let real = path.canonicalize();
                let target = real.or_fail(|| if there.is_symlink() { dangling() } else { unusable() })?;
                let parent = target.parent().ok_or_else(unusable)?.to_owned();
                Ok(Self { target, parent, made: MadeFolders::default() })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let (Some(parent), Some(_)) = (path.parent(), path.file_name()) else {
                    return Err(unusable());
                };
                let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
                let (made, parent) = (MadeFolders::make(parent)?, parent.to_owned());
                Ok(Self { target: path, parent, made })
            }
            Err(error) => Err(unusable().because(error)),
        }
    }
}

fn unusable(path: &Path) -> Error {
    Error::new("nothing can be written there").at(path).help("name a file or a folder with --output")
}

impl MadeFolders {
    fn make(folder: &Path) -> Result<Self> {
        let is_missing = |path: &Path| {
            let there = path.symlink_metadata();
            !path.as_os_str().is_empty() && there.is_err_and(|error| error.kind() == ErrorKind::NotFound)
        };
        let (mut missing, mut at) = (Vec::new(), folder);
        while is_missing(at) {
            // Of a folder that is not there, `..` means nothing.
            let (Some(Component::Normal(_)), Some(around)) = (at.components().next_back(), at.parent())
            else {
                return Err(unusable(folder));
            };
            missing.push(at);
            at = around;
        }
        let mut made = Self::default();
        for folder in missing.into_iter().rev() {
            match fs::create_dir(folder) {
                Ok(()) => made.0.push(folder.to_owned()),
                // Another program was quicker.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(Error::new("cannot make the folder")
                        .at(folder)
                        .because(error)
                        .help("name another place with --output"));
                }
            }
        }
        if !folder.is_dir() {
            return Err(Error::new("this is no folder, so that nothing can be written in it")
                .at(folder)
                .help("name another place with --output"));
        }
        Ok(made)
    }

    /// Lets the folders stay.
    pub(super) fn keep(&mut self) {
        self.0.clear();
    }
}

impl Drop for MadeFolders {
    fn drop(&mut self) {
        for folder in self.0.iter().rev() {
            // One in which something is stays.
            let _ = fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn folders_around_an_output_are_made_and_go_again_unless_they_are_used() {
        let around = tempfile::tempdir().unwrap();
        let path = around.path().join("a/b/out/");
        let place = Place::find(&path).unwrap();
        assert_eq!(place.target, around.path().join("a/b/out"));
        assert!(place.parent.is_dir() && place.parent.ends_with("a/b"));
        drop(place);
        assert!(!around.path().join("a").exists());
        let mut place = Place::find(&path).unwrap();
        place.made.keep();
        drop(place);
        assert!(around.path().join("a/b").is_dir());
    }

    #[test]
    fn what_is_no_place_is_refused_and_makes_nothing() {
        let around = tempfile::tempdir().unwrap();
        fs::write(around.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink("nowhere", around.path().join("link")).unwrap();
        for (path, words) in [
            ("gone/..", "nothing can be written there"),
            ("gone/../out", "nothing can be written there"),
            ("file/out", "nothing can be written there"),
            ("link", "leads nowhere"),
            ("link/", "leads nowhere"),
            ("link/out", "no folder"),
        ] {
            let error = Place::find(&around.path().join(path)).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("help: "), "{path}: {error}");
            assert!(!around.path().join("gone").exists());
        }
        assert!(Place::find(Path::new("")).is_err() && Place::find(Path::new("/")).is_err());
    }
}
