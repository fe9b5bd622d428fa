//! The folder of an export: never half written, and never anything else than an earlier export replaced unasked.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use pipeline::error::{Error, OrFail, Result};

use super::readme::MARK;
use super::{CONFIG, MODEL, ONNX, README, WEIGHTS};
use crate::runtime::text;

/// The names of all files that an export can have, in the order in which they are moved in: the README, by which an
/// export is known, is the last.
const NAMES: [&str; 5] = [ONNX, WEIGHTS, CONFIG, MODEL, README];

/// What the names of folders begin with in which files wait until all of them are there.
const WAITING: &str = ".coreg-export-";

/// What is at the place of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing.
    Free,
    /// A folder, with these files of an earlier export that this one does not replace.
    Folder { left: Vec<&'static str> },
}

/// Writes files into `folder`, which is made if need be. All are written elsewhere first and then moved: a folder that
/// is not there yet appears with all of them, in one that is there each is replaced as a whole. Gives the names of files
/// of an earlier export that stay.
///
/// # Errors
/// A folder with something else in it, unless `force` is given; a disk that is full or not writable.
pub(super) fn write(folder: &Path, force: bool, files: &[(&str, Vec<u8>)]) -> Result<Vec<&'static str>> {
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    let place = place(folder, force, &names)?;
    let cannot = || Error::new("cannot write the export").at(folder);
    // In the folder itself if it is there: what is beside it may be another disk.
    let parent = match place {
        Place::Free => {
            folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
        }
        Place::Folder { .. } => folder,
    };
    fs::create_dir_all(parent).or_fail(cannot)?;
    let mut waiting = tempfile::Builder::new().prefix(WAITING).tempdir_in(parent).or_fail(cannot)?;
    for (name, bytes) in files {
        write_whole(&waiting.path().join(name), bytes).or_fail(cannot)?;
    }
    let left = match place {
        Place::Free => {
            fs::rename(waiting.path(), folder).or_fail(cannot)?;
            // There is nothing to remove any more.
            waiting.disable_cleanup(true);
            return Ok(Vec::new());
        }
        Place::Folder { left } => left,
    };
    for name in NAMES {
        let (from, to) = (waiting.path().join(name), folder.join(name));
        if from.exists() {
            fs::rename(from, to).or_fail(cannot)?;
        }
    }
    Ok(left)
}

/// Writes a file to the disk, so that one without room says so now.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// What is at `folder`, into which files of these names are to be written.
fn place(folder: &Path, force: bool, names: &[&str]) -> Result<Place> {
    let cannot = || Error::new("cannot look into the folder of the export").at(folder);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound && folder.is_symlink() => {
            return Err(Error::new("a link that leads nowhere is in the place of the export")
                .at(folder)
                .help("remove that link, or name another folder with --output"));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Place::Free),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            return Err(Error::new("the place of the export is a file").at(folder).help(HELP));
        }
        Err(error) => return Err(cannot().because(error)),
    };
    let (mut there, mut other) = (Vec::new(), None);
    for entry in entries {
        let entry = entry.or_fail(cannot)?.file_name();
        let name = entry.to_string_lossy();
        match NAMES.into_iter().find(|own| *own == name) {
            Some(own) => there.push(own),
            None if name.starts_with(WAITING) => {}
            None => other = other.max(Some(name.into_owned())),
        }
    }
    let marked = text::read(&folder.join(README)).is_ok_and(|text| text.starts_with(MARK));
    let left: Vec<&'static str> =
        NAMES.into_iter().filter(|own| there.contains(own) && !names.contains(own)).collect();
    let refused = |what: String| Err(Error::new(what).at(folder).help(HELP));
    match (force, other) {
        (true, _) => Ok(Place::Folder { left }),
        (false, Some(other)) => refused(format!("the folder has something else in it: {other}")),
        (false, None) if !there.is_empty() && !marked => {
            refused("the folder is not empty, and no earlier export".to_owned())
        }
        (false, None) if !left.is_empty() => refused(format!(
            "an earlier export has files that this one does not replace: {}",
            left.join(", ")
        )),
        (false, None) => Ok(Place::Folder { left }),
    }
}

const HELP: &str = "name another with --output; with --force files that this export writes are replaced there, and \
                    everything else stays";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn files(names: &[&'static str]) -> Vec<(&'static str, Vec<u8>)> {
        names.iter().map(|name| (*name, format!("{MARK}{name}").into_bytes())).collect()
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_export_replaces_an_earlier_one_that_has_no_other_files() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("exports/demo");
        write(&folder, false, &files(&[ONNX, README])).unwrap();
        assert_eq!(names(&folder), [README, ONNX]);
        assert_eq!(write(&folder, false, &files(&NAMES)).unwrap(), [""; 0]);
        assert_eq!(names(&folder), [README, CONFIG, MODEL, WEIGHTS, ONNX]);
        assert_eq!(names(&root.path().join("exports")), ["demo"]);
    }

    #[test]
    fn files_of_an_earlier_export_that_would_not_fit_any_more_are_named_and_never_removed() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path();
        write(folder, false, &files(&NAMES)).unwrap();
        let error = write(folder, false, &files(&[ONNX, README])).unwrap_err().to_string();
        assert!(error.contains("model.safetensors, config.json, model.py"), "{error}");
        let left = write(folder, true, &files(&[ONNX, README])).unwrap();
        assert_eq!(left, [WEIGHTS, CONFIG, MODEL]);
        assert_eq!(names(folder), [README, CONFIG, MODEL, WEIGHTS, ONNX]);
    }

    #[test]
    fn a_folder_with_something_else_is_refused_and_forced_it_keeps_that() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path();
        write(folder, false, &files(&NAMES)).unwrap();
        fs::write(folder.join("thesis.tex"), "mine").unwrap();
        let error = write(folder, false, &files(&[ONNX, README])).unwrap_err().to_string();
        assert!(error.contains("thesis.tex") && error.contains("--force"), "{error}");
        write(folder, true, &files(&[ONNX, README])).unwrap();
        assert_eq!(fs::read_to_string(folder.join("thesis.tex")).unwrap(), "mine");
        // Nor is anything removed there.
        assert_eq!(names(folder), [README, CONFIG, MODEL, WEIGHTS, ONNX, "thesis.tex"]);
    }

    #[test]
    fn a_readme_of_the_users_is_not_replaced_unasked() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(README), "# My project").unwrap();
        let error = write(root.path(), false, &files(&NAMES)).unwrap_err().to_string();
        assert!(error.contains("no earlier export"), "{error}");
        assert_eq!(names(root.path()), [README]);
    }

    #[test]
    fn the_place_of_a_file_or_of_a_dangling_link_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let link = root.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        let error = write(&link, true, &files(&NAMES)).unwrap_err().to_string();
        assert!(error.contains("leads nowhere"), "{error}");
        let place = root.path().join("demo.onnx");
        fs::write(&place, "mine").unwrap();
        let error = write(&place, false, &files(&NAMES)).unwrap_err().to_string();
        assert!(error.contains("is a file"), "{error}");
        assert_eq!(fs::read_to_string(place).unwrap(), "mine");
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("demo");
        // No file can have this name.
        let mut files = files(&NAMES);
        files.push(("a/b", Vec::new()));
        write(&folder, false, &files).unwrap_err();
        assert_eq!(names(root.path()), [""; 0]);
    }
}
