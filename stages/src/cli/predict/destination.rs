//! Where a table of predictions is to be. Whether it can be written there is found out before anything is predicted; it
//! appears whole or not at all.

use std::fs::Permissions;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pipeline::error::{Error, OrFail, Result};
use pipeline::store::Store;
use tempfile::{Builder, NamedTempFile};

use crate::cli::output::refuse_within_artifacts;

/// A place that a file can be written to.
#[derive(Debug)]
pub(super) struct Destination {
    /// The file, with links followed.
    pub(super) target: PathBuf,
    /// The folder that it lies in.
    parent: PathBuf,
}

impl Destination {
    /// The place at `path`.
    ///
    /// # Errors
    /// A file that is there and, without `force`, not to be replaced; something else than a file; a link that leads
    /// nowhere; a folder that is not there or cannot be written.
    pub(super) fn at(path: &Path, force: bool) -> Result<Self> {
        let unusable =
            || Error::new("nothing can be written there").at(path).help("name a file with --output");
        let target = match path.symlink_metadata() {
            Ok(there) => {
                let real = path.canonicalize();
                let target = real.or_fail(|| match there.is_symlink() {
                    true => Error::new("a link that leads nowhere is there")
                        .at(path)
                        .help("remove that link, or name another place with --output"),
                    false => unusable(),
                })?;
                refuse_what_is_there(&target, force)?;
                target
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                path.to_owned()
            }
            Err(error) => return Err(unusable().because(error)),
        };
        let (Some(parent), Some(_)) = (target.parent(), target.file_name()) else { return Err(unusable()) };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        if !parent.is_dir() {
            return Err(Error::new("the folder that the table is to be in is not there")
                .at(parent)
                .help("make that folder first, or name another place with --output"));
        }
        let place = Self { parent: parent.to_owned(), target };
        // Here and now, and not after all images.
        place.new_file().or_fail(|| Error::new("cannot write there").at(path)).map_err(with_advice)?;
        Ok(place)
    }

    /// Has `fill` write the file, which is given empty and elsewhere.
    ///
    /// # Errors
    /// The disk is full or cannot be written; `fill` fails. What was there before stays then.
    pub(super) fn write(&self, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let cannot = || Error::new("cannot write the predictions").at(&self.target);
        let write_all = || -> Result<()> {
            let file = self.new_file().or_fail(cannot)?;
            fill(file.path()).map_err(|error| error.at(&self.target))?;
            file.as_file().sync_all().or_fail(cannot)?;
            file.persist(&self.target).map(drop).map_err(|failed| cannot().because(failed.error))
        };
        write_all().map_err(with_advice)
    }

    fn new_file(&self) -> io::Result<NamedTempFile> {
        // Whoever the umask lets read the file may read it; else it would be its owner's alone.
        let shared = Permissions::from_mode(0o666);
        Builder::new().prefix(".coreg-predictions-").permissions(shared).tempfile_in(&self.parent)
    }
}

/// Refuses an output within the artifacts of this command, or within any others: a student may be named by its path.
///
/// # Errors
/// The output lies there.
pub(in crate::cli) fn refuse_kept_results(output: &Path, artifacts: &Path) -> Result<()> {
    refuse_within_artifacts(output, artifacts)?;
    let whole =
        std::path::absolute(output).or_fail(|| Error::new("cannot tell where the output lies").at(output))?;
    let real = whole.ancestors().find_map(|there| there.canonicalize().ok());
    let mut around = real.as_deref().into_iter().flat_map(Path::ancestors);
    match around.find(|around| Store::is_at(around.join("store"))) {
        Some(others) => refuse_within_artifacts(output, others),
        None => Ok(()),
    }
}

fn refuse_what_is_there(target: &Path, force: bool) -> Result<()> {
    let there = target.metadata().or_fail(|| Error::new("cannot look at what is there").at(target))?;
    if !there.is_file() {
        let what = if there.is_dir() { "a folder is" } else { "something else than a file is" };
        return Err(Error::new(format!("{what} where the table is to be"))
            .at(target)
            .help("name a file with --output; `-` is standard output"));
    }
    // Of an empty file nothing is lost.
    if there.len() > 0 && !force {
        return Err(Error::new("the file is there already")
            .at(target)
            .help("name another place with --output, or replace it with --force"));
    }
    Ok(())
}

fn with_advice(error: Error) -> Error {
    match (error.is_disk_full(), error.is_denied()) {
        (true, _) => error.help("make room on that disk, or name a place on another one with --output"),
        (_, true) => error.help("name a place that you may write to with --output"),
        _ => error.help("name another place with --output"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn write(path: &Path, text: &str) -> Result<()> {
        fs::write(path, text).or_fail(|| Error::new("no"))
    }

    #[test]
    fn a_file_is_replaced_only_if_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.csv");
        Destination::at(&path, false).unwrap().write(|path| write(path, "one")).unwrap();
        let refused = Destination::at(&path, false).unwrap_err().to_string();
        assert!(refused.contains("--force"), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        Destination::at(&path, true).unwrap().write(|path| write(path, "two")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        fs::write(&path, "").unwrap();
        Destination::at(&path, false).unwrap();
        assert_eq!(names(folder.path()), ["p.csv"]);
    }

    #[test]
    fn what_fails_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.csv");
        fs::write(&path, "whole").unwrap();
        let place = Destination::at(&path, true).unwrap();
        let failed = place.write(|path| {
            write(path, "half")?;
            Err(Error::new("no more"))
        });
        assert!(failed.unwrap_err().to_string().contains("p.csv"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
        assert_eq!(names(folder.path()), ["p.csv"]);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("nowhere.csv", folder.path().join("link.csv")).unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        for (path, words) in [
            ("link.csv", "leads nowhere"),
            ("gone/p.csv", "is not there"),
            ("file/p.csv", "is not there"),
            (".", "a folder is where"),
        ] {
            let error = Destination::at(&folder.path().join(path), true).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("help: "), "{path}: {error}");
        }
        assert!(Destination::at(Path::new(""), true).is_err());
        assert!(
            Destination::at(Path::new("/dev/null"), true).unwrap_err().to_string().contains("something else")
        );
        assert_eq!(names(folder.path()), ["file", "link.csv"]);
    }

    #[test]
    fn other_artifacts_are_not_written_to_either() {
        let folder = tempfile::tempdir().unwrap();
        let others = folder.path().join("others");
        drop(Store::open(others.join("store")).unwrap());
        let kept = others.join("store/objects/a");
        fs::create_dir_all(&kept).unwrap();
        fs::create_dir(others.join("demo")).unwrap();
        std::os::unix::fs::symlink("../store/objects/a", others.join("demo/label")).unwrap();
        let refused =
            |place: &str| refuse_kept_results(&folder.path().join(place), Path::new("nowhere")).is_err();
        for place in
            ["others/demo/label/labels.parquet", "others/p.csv", "others/new/folder", "others/store/x"]
        {
            assert!(refused(place), "{place}");
        }
        assert!(!refused("p.csv") && !refused("exports/demo"));
    }

    #[test]
    fn a_link_to_a_file_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("p.csv"), folder.path().join("link.csv"));
        fs::write(&file, "one").unwrap();
        std::os::unix::fs::symlink("p.csv", &link).unwrap();
        Destination::at(&link, true).unwrap().write(|path| write(path, "two")).unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "two");
    }
}
