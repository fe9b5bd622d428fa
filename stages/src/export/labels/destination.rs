//! Where a file or a folder of files is to be: it appears there whole or not at all.
//!
//! All is written beside its place first and moved there at the end. What is half-written goes when the writer fails or
//! is stopped.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pipeline::error::{Error, OrFail, Result};
use serde::Serialize;
use tempfile::Builder;

/// How names of what is half-written begin.
const UNFINISHED: &str = ".coreg-export-";
/// What folders of labels hold. A folder with anything else is never replaced.
const OURS: [&str; 7] =
    ["annotations.json", "classes.json", "config.xml", "images", "tasks.json", "test", "train"];

/// A place to write to.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// The file or the folder.
    pub path: &'a Path,
    /// Whether what is there may be replaced.
    pub force: bool,
}

/// A place that can be written to.
struct Place {
    /// The path, with links followed.
    target: PathBuf,
    /// The folder that it lies in.
    parent: PathBuf,
    /// Whether something is there.
    taken: bool,
}

impl Destination<'_> {
    /// Writes a file.
    ///
    /// # Errors
    /// Something is there already, and is not to be replaced; the disk is full or cannot be written; the writer fails.
    pub(super) fn file(&self, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
        let Place { target, parent, taken } = self.resolve()?;
        if taken {
            let cannot = || Error::new("cannot look at what is there").at(&target);
            let there = fs::metadata(&target).or_fail(cannot)?;
            if !there.is_file() {
                let what = if there.is_dir() { "a folder is" } else { "something else than a file is" };
                return Err(Error::new(format!("{what} where the file is to be"))
                    .at(&target)
                    .help("name a file with --output"));
            }
            if there.len() > 0 && !self.force {
                return Err(self.refusal("the file is there already"));
            }
        }
        let cannot = || Error::new("cannot write the file").at(&target);
        let mut builder = Builder::new();
        // Whoever the umask lets read the file may read it; else it would be its owner's alone.
        builder.prefix(UNFINISHED).permissions(Permissions::from_mode(0o666));
        let write_all = || -> Result<()> {
            let file = builder.tempfile_in(&parent).or_fail(cannot)?;
            let mut out = BufWriter::new(file.as_file());
            write(&mut out).map_err(|error| error.at(&target))?;
            out.flush().or_fail(cannot)?;
            drop(out);
            file.as_file().sync_all().or_fail(cannot)?;
            file.persist(&target).map(drop).map_err(|failed| cannot().because(failed.error))
        };
        write_all().map_err(with_advice)
    }

    /// Writes a folder, which `fill` is given empty.
    ///
    /// # Errors
    /// As [`file`](Self::file); to be replaced is a folder that holds what no export writes, or the one that the program
    /// runs in.
    pub(super) fn folder(&self, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let Place { target, parent, taken } = self.resolve()?;
        let replaces = taken && self.is_to_be_replaced(&target)?;
        let cannot = || Error::new("cannot write the folder").at(&target);
        let write_all = || -> Result<()> {
            let scratch = Builder::new().prefix(UNFINISHED).tempdir_in(&parent).or_fail(cannot)?;
            let (new, old) = (scratch.path().join("new"), scratch.path().join("old"));
            fs::create_dir(&new).or_fail(cannot)?;
            fill(&new)?;
            if replaces {
                fs::rename(&target, &old).or_fail(cannot)?;
            }
            if let Err(error) = fs::rename(&new, &target) {
                if replaces {
                    // What was there comes back.
                    let _ = fs::rename(&old, &target);
                }
                return Err(cannot().because(error));
            }
            let left = scratch.path().to_owned();
            scratch.close().or_fail(|| Error::new("cannot remove what was replaced").at(left))
        };
        write_all().map_err(with_advice)
    }

    /// Whether a folder that is there holds anything, which is then ours and may be replaced.
    fn is_to_be_replaced(&self, target: &Path) -> Result<bool> {
        if !target.is_dir() {
            return Err(Error::new("a file is where the folder is to be")
                .at(target)
                .help("name another place with --output"));
        }
        if std::env::current_dir().is_ok_and(|here| here.starts_with(target)) {
            return Err(Error::new("the program runs in the folder that is to be written")
                .at(target)
                .help("name a new folder with --output"));
        }
        let entries = fs::read_dir(target).or_fail(|| Error::new("cannot list the folder").at(target))?;
        let mut names: Vec<String> =
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        if names.is_empty() {
            return Ok(false);
        }
        if !self.force {
            return Err(self.refusal("the folder is there already, and not empty"));
        }
        match names.iter().find(|name| !OURS.contains(&name.as_str())) {
            None => Ok(true),
            Some(other) => {
                Err(Error::new("the folder holds what is no export of labels, and stays as it is")
                    .at(target)
                    .because(format!("`{other}` is in it"))
                    .help("name another folder with --output"))
            }
        }
    }

    fn refusal(&self, what: &str) -> Error {
        Error::new(what).at(self.path).help("name another place with --output, or replace it with --force")
    }

    fn resolve(&self) -> Result<Place> {
        let path = self.path;
        let unusable = || {
            Error::new("nothing can be written there").at(path).help("name a file or a folder with --output")
        };
        if path.symlink_metadata().is_ok() {
            let target = path.canonicalize().or_fail(unusable)?;
            let parent = target.parent().ok_or_else(unusable)?.to_owned();
            return Ok(Place { target, parent, taken: true });
        }
        let (Some(parent), Some(_)) = (path.parent(), path.file_name()) else { return Err(unusable()) };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        if !parent.is_dir() {
            return Err(Error::new("the folder around it is not there")
                .at(path)
                .help("make that folder first"));
        }
        Ok(Place { target: path.to_owned(), parent: parent.to_owned(), taken: false })
    }
}

fn with_advice(error: Error) -> Error {
    match (error.is_disk_full(), error.is_denied()) {
        (true, _) => error.help("make room on that disk, or name a place on another one with --output"),
        (_, true) => error.help("name a place that you may write to with --output"),
        _ => error,
    }
}

/// Writes a new file into a folder that is being filled.
///
/// # Errors
/// A file is there already; the disk is full or cannot be written; the writer fails.
pub(super) fn put(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let cannot = || Error::new("cannot write a file").at(path);
    let mut out = BufWriter::new(File::create_new(path).or_fail(cannot)?);
    write(&mut out).map_err(|error| error.at(path))?;
    out.flush().or_fail(cannot)
}

/// Writes a value as JSON on one line.
///
/// # Errors
/// It cannot be written.
pub(super) fn write_json(out: &mut dyn Write, value: &impl Serialize) -> Result<()> {
    // As an error of the system, which says whether the disk is full.
    let written = serde_json::to_writer(out, value).map_err(io::Error::from);
    written.or_fail(|| Error::new("cannot write a file"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn fill(path: &Path, force: bool, text: &str) -> Result<()> {
        Destination { path, force }.folder(|folder| {
            put(&folder.join("tasks.json"), |out| out.write_all(text.as_bytes()).or_fail(|| Error::new("no")))
        })
    }

    #[test]
    fn a_folder_is_replaced_whole_only_if_that_is_asked_for_and_it_is_an_export() {
        let around = tempfile::tempdir().unwrap();
        let path = around.path().join("out");
        fill(&path, false, "one").unwrap();
        let refused = fill(&path, false, "two").unwrap_err().to_string();
        assert!(refused.contains("--force") && refused.contains("not empty"), "{refused}");
        fill(&path, true, "three").unwrap();
        assert_eq!(fs::read_to_string(path.join("tasks.json")).unwrap(), "three");
        fs::write(path.join("thesis.tex"), "").unwrap();
        let refused = fill(&path, true, "four").unwrap_err().to_string();
        assert!(refused.contains("thesis.tex"), "{refused}");
        assert_eq!(fs::read_to_string(path.join("tasks.json")).unwrap(), "three");
        let empty = around.path().join("empty");
        fs::create_dir(&empty).unwrap();
        fill(&empty, false, "five").unwrap();
        let file = around.path().join("out/thesis.tex");
        assert!(fill(&file, true, "six").unwrap_err().to_string().contains("a file is where"));
        assert_eq!(names(around.path()), ["empty", "out"]);
    }

    #[test]
    fn what_fails_or_is_stopped_leaves_nothing_and_what_was_there_stays() {
        let around = tempfile::tempdir().unwrap();
        let [folder, file] = ["out", "labels.csv"].map(|name| around.path().join(name));
        let stopped = |result: Result<()>| assert!(result.unwrap_err().is_cancelled());
        for force in [false, true] {
            let before = names(around.path());
            stopped(Destination { path: &folder, force }.folder(|new| {
                fs::write(new.join("half"), "half").unwrap();
                Err(Error::cancelled())
            }));
            stopped(Destination { path: &file, force }.file(|out| {
                out.write_all(b"half").unwrap();
                Err(Error::cancelled())
            }));
            assert_eq!(names(around.path()), before);
            if !force {
                fill(&folder, false, "whole").unwrap();
                fs::write(&file, "whole").unwrap();
            }
        }
        assert_eq!(fs::read_to_string(folder.join("tasks.json")).unwrap(), "whole");
        assert_eq!(fs::read_to_string(&file).unwrap(), "whole");
    }

    #[test]
    fn a_file_is_written_through_a_link_and_not_over_another_or_over_a_folder() {
        let around = tempfile::tempdir().unwrap();
        let path = around.path().join("labels.csv");
        let write = |path: &Path, force: bool| {
            Destination { path, force }.file(|out| out.write_all(b"id\n").or_fail(|| Error::new("no")))
        };
        write(&path, false).unwrap();
        assert!(write(&path, false).unwrap_err().to_string().contains("--force"));
        let link = around.path().join("link.csv");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        fs::write(&path, "old").unwrap();
        write(&link, true).unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&path).unwrap(), "id\n");
        for nowhere in ["", "gone/labels.csv", "gone/.."] {
            let error = write(&around.path().join(nowhere), true).unwrap_err().to_string();
            assert!(error.contains("help:"), "{error}");
        }
    }
}
