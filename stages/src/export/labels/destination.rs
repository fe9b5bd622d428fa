//! Where a file or a folder of files is to be: it appears there whole or not at all, and takes the place of nothing but
//! an earlier export.
//!
//! `place` finds the path, `scratch` is where all is written first, and `manifest` tells an earlier export.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use pipeline::error::{Error, OrFail, Result};
use serde::Serialize;

use super::manifest::{Manifest, first_few};
use super::place::Place;
use super::scratch::{self, Scratch};
use super::standard_output;

/// A place to write to.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// The file or the folder; for a file, `-` is standard output.
    pub path: &'a Path,
    /// Whether what is there may be replaced: a file, or a folder that an export wrote.
    pub force: bool,
}

/// What is where a folder is to be.
enum There {
    Nothing,
    EmptyFolder,
    /// An export, to be replaced, and nothing else.
    Export(Manifest),
}

impl Destination<'_> {
    /// Whether this is standard output.
    pub fn is_standard_output(&self) -> bool {
        self.path == Path::new("-")
    }

    /// Writes a file. Folders around it are made.
    ///
    /// # Errors
    /// Something is there already, and is not to be replaced; the disk is full or cannot be written; the writer fails.
    pub(super) fn file(&self, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
        if self.is_standard_output() {
            return standard_output::write(write);
        }
        self.write_file(write).map_err(with_advice)
    }

    fn write_file(&self, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
        // Dropped last: folders that were made go when nothing is in them any more.
        let Place { target, parent, mut made } = Place::find(self.path)?;
        scratch::clear(&parent, &target);
        self.check_file(&target)?;
        let cannot = || Error::new("cannot write the file").at(&target);
        let file = scratch::file(&parent, &target)?;
        let mut out = BufWriter::new(file.as_file());
        write(&mut out).map_err(|error| error.at(&target))?;
        out.flush().or_fail(cannot)?;
        drop(out);
        file.as_file().sync_all().or_fail(cannot)?;
        file.persist(&target).map(drop).map_err(|failed| cannot().because(failed.error))?;
        made.keep();
        Ok(())
    }

    /// Checks that nothing is there that is not to be replaced.
    fn check_file(&self, target: &Path) -> Result<()> {
        let there = match fs::metadata(target) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            there => there.or_fail(|| Error::new("cannot look at what is there").at(target))?,
        };
        if !there.is_file() {
            let what = if there.is_dir() { "a folder is" } else { "something else than a file is" };
            return Err(Error::new(format!("{what} where the file is to be"))
                .at(target)
                .help("name a file with --output, or `-` for standard output"));
        }
        if there.len() > 0 && !self.force {
            return Err(self.refusal("the file is there already"));
        }
        Ok(())
    }

    /// Writes a folder, which `fill` is given empty, and into it the list of what `fill` wrote. Folders around it are
    /// made.
    ///
    /// # Errors
    /// As [`file`](Self::file); what is to be replaced is no export, or holds more than one, or the program runs in it.
    pub(super) fn folder(&self, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        self.write_folder(fill).map_err(with_advice)
    }

    fn write_folder(&self, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let Place { target, parent, mut made } = Place::find(self.path)?;
        scratch::clear(&parent, &target);
        // What was to come into an empty folder was written in it.
        scratch::clear(&target, &target);
        let there = self.look(&target)?;
        let around = if matches!(there, There::EmptyFolder) { &target } else { &parent };
        let scratch = Scratch::new(around, &target)?;
        let new = scratch.new_folder();
        fill(&new)?;
        Manifest::write(&new)?;
        match there {
            There::Nothing => scratch.put(&target)?,
            There::EmptyFolder => scratch.fill(&target)?,
            There::Export(earlier) => scratch.replace(&target, &earlier)?,
        }
        made.keep();
        Ok(())
    }

    /// What is there, if the folder may be.
    fn look(&self, target: &Path) -> Result<There> {
        if target.symlink_metadata().is_err() {
            return Ok(There::Nothing);
        }
        if !target.is_dir() {
            return Err(Error::new("a file is where the folder is to be")
                .at(target)
                .help("name another place with --output"));
        }
        let names = names(target)?;
        if names.is_empty() {
            return Ok(There::EmptyFolder);
        }
        let Some(earlier) = Manifest::read(target) else {
            let names: Vec<PathBuf> = names.into_iter().map(PathBuf::from).collect();
            return Err(Error::new(
                "the folder is there already and no export of labels, and stays as it is",
            )
            .at(self.path)
            .because(format!("in it there is {}", first_few(&names)))
            .help("name another folder with --output"));
        };
        earlier.refuse_others(target)?;
        if std::env::current_dir().is_ok_and(|here| here.starts_with(target)) {
            return Err(Error::new("the folder is there already, and the program runs in it")
                .at(target)
                .help("run it from elsewhere, or name a new folder with --output"));
        }
        if !self.force {
            return Err(self.refusal("the folder is there already, and not empty"));
        }
        Ok(There::Export(earlier))
    }

    fn refusal(&self, what: &str) -> Error {
        Error::new(what).at(self.path).help("name another place with --output, or replace it with --force")
    }
}

/// What a folder holds, sorted.
fn names(folder: &Path) -> Result<Vec<OsString>> {
    let cannot = || Error::new("cannot list the folder").at(folder);
    let entries = fs::read_dir(folder).or_fail(cannot)?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
    let mut names = names.collect::<io::Result<Vec<OsString>>>().or_fail(cannot)?;
    names.sort();
    Ok(names)
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
    use crate::export::labels::manifest::MANIFEST;

    fn all(folder: &Path) -> Vec<OsString> {
        names(folder).unwrap()
    }

    fn fill(path: &Path, force: bool, text: &str) -> Result<()> {
        Destination { path, force }.folder(|folder| {
            put(&folder.join("tasks.json"), |out| out.write_all(text.as_bytes()).or_fail(|| Error::new("no")))
        })
    }

    fn text(folder: &Path) -> String {
        fs::read_to_string(folder.join("tasks.json")).unwrap()
    }

    #[test]
    fn a_folder_is_replaced_whole_only_if_that_is_asked_for_and_it_is_an_export() {
        let around = tempfile::tempdir().unwrap();
        let path = around.path().join("out");
        fill(&path, false, "one").unwrap();
        let refused = fill(&path, false, "two").unwrap_err().to_string();
        assert!(refused.contains("--force") && refused.contains("not empty"), "{refused}");
        fill(&path, true, "three").unwrap();
        assert_eq!((text(&path).as_str(), all(&path)), ("three", vec![MANIFEST.into(), "tasks.json".into()]));
        fs::write(path.join("thesis.tex"), "").unwrap();
        for force in [false, true] {
            let refused = fill(&path, force, "four").unwrap_err().to_string();
            assert!(refused.contains("thesis.tex") && !refused.contains("--force"), "{refused}");
        }
        assert_eq!(text(&path), "three");
        let file = path.join("thesis.tex");
        assert!(fill(&file, true, "six").unwrap_err().to_string().contains("a file is where"));
        assert_eq!(all(around.path()), ["out"]);
    }

    #[test]
    fn a_folder_of_the_users_is_never_replaced_whatever_its_files_are_called() {
        let around = tempfile::tempdir().unwrap();
        let path = around.path().join("mine");
        let files = ["train/cat/1.png", "test/cat/2.png", "images/3.png", "classes.json", "tasks.json"];
        for file in files.map(|file| path.join(file)) {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "mine").unwrap();
        }
        for force in [false, true] {
            let refused = fill(&path, force, "ours").unwrap_err().to_string();
            assert!(refused.contains("no export") && refused.contains("`classes.json`"), "{refused}");
            assert!(refused.contains("help: ") && !refused.contains("--force"), "{refused}");
        }
        assert!(files.iter().all(|file| fs::read_to_string(path.join(file)).unwrap() == "mine"));
        assert_eq!(all(around.path()), ["mine"]);
    }

    #[test]
    fn an_empty_folder_is_filled_and_stays_the_same_folder() {
        use std::os::unix::fs::MetadataExt;
        let around = tempfile::tempdir().unwrap();
        let path = around.path().join("empty");
        fs::create_dir(&path).unwrap();
        let number = || fs::metadata(&path).unwrap().ino();
        let before = number();
        let failed = Destination { path: &path, force: false }.folder(|_| Err(Error::cancelled()));
        assert!(failed.unwrap_err().is_cancelled() && all(&path).is_empty());
        fill(&path, false, "five").unwrap();
        assert_eq!((number(), text(&path).as_str()), (before, "five"));
        assert_eq!(all(&path), [MANIFEST, "tasks.json"]);
        fill(&around.path().join("a/b/new"), false, "six").unwrap();
        assert_eq!(text(&around.path().join("a/b/new")), "six");
    }

    #[test]
    fn what_fails_or_is_stopped_leaves_nothing_and_what_was_there_stays() {
        let around = tempfile::tempdir().unwrap();
        let [folder, file, deep] =
            ["out", "labels.csv", "a/b/labels.csv"].map(|name| around.path().join(name));
        let stopped = |result: Result<()>| assert!(result.unwrap_err().is_cancelled());
        for force in [false, true] {
            let before = all(around.path());
            stopped(Destination { path: &folder, force }.folder(|new| {
                fs::write(new.join("half"), "half").unwrap();
                Err(Error::cancelled())
            }));
            for path in [&file, &deep] {
                stopped(Destination { path, force }.file(|out| {
                    out.write_all(b"half").unwrap();
                    Err(Error::cancelled())
                }));
            }
            assert_eq!(all(around.path()), before);
            if !force {
                fill(&folder, false, "whole").unwrap();
                fs::write(&file, "whole").unwrap();
            }
        }
        assert_eq!(text(&folder), "whole");
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
        for nowhere in ["", "gone/..", "labels.csv/x.csv"] {
            let error = write(&around.path().join(nowhere), true).unwrap_err().to_string();
            assert!(error.contains("help:"), "{error}");
        }
        write(&around.path().join("new/labels.csv"), false).unwrap();
        assert_eq!(all(around.path()), ["labels.csv", "link.csv", "new"]);
    }
}
