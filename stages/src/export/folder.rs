//! The folder of an export: never half written, and never anything else than an earlier export replaced unasked.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use pipeline::error::{Error, OrFail, Result};

use super::readme::MARK;
use super::{CONFIG, ONNX, README, WEIGHTS};
use crate::runtime::text;

/// The names of all files that an export can have, in the order in which they are moved in: the README, by which an
/// export is known, is the last.
const NAMES: [&str; 4] = [ONNX, WEIGHTS, CONFIG, README];

/// What the names of folders begin with in which files wait until all of them are there.
const WAITING: &str = ".coreg-export-";

/// What is at the place of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing.
    Free,
    /// A folder, empty or of the user's.
    Folder,
    /// An earlier export, and nothing beside it.
    Export,
}

/// Writes files into `folder`, which is made if need be. All are written elsewhere first and then moved: a folder that
/// is not there yet appears with all of them, in one that is there each is replaced as a whole.
///
/// # Errors
/// A folder with something else in it, unless `force` is given; a disk that is full or not writable.
pub(super) fn write(folder: &Path, force: bool, files: &[(&str, Vec<u8>)]) -> Result<()> {
    let place = place(folder, force)?;
    let cannot = || Error::new("cannot write the export").at(folder);
    // In the folder itself if it is there: what is beside it may be another disk.
    let parent = match place {
        Place::Free => {
            folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
        }
        Place::Folder | Place::Export => folder,
    };
    fs::create_dir_all(parent).or_fail(cannot)?;
    let mut waiting = tempfile::Builder::new().prefix(WAITING).tempdir_in(parent).or_fail(cannot)?;
    for (name, bytes) in files {
        write_whole(&waiting.path().join(name), bytes).or_fail(cannot)?;
    }
    if place == Place::Free {
        fs::rename(waiting.path(), folder).or_fail(cannot)?;
        // There is nothing to remove any more.
        waiting.disable_cleanup(true);
        return Ok(());
    }
    for name in NAMES {
        let (from, to) = (waiting.path().join(name), folder.join(name));
        if from.exists() {
            fs::rename(from, to).or_fail(cannot)?;
        } else if place == Place::Export && to.exists() {
            // The earlier export had more files than this one.
            fs::remove_file(to).or_fail(cannot)?;
        }
    }
    Ok(())
}

/// Writes a file to the disk, so that one without room says so now.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// What is at `folder`.
fn place(folder: &Path, force: bool) -> Result<Place> {
    let cannot = || Error::new("cannot look into the folder of the export").at(folder);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Place::Free),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            return Err(Error::new("the place of the export is a file").at(folder).help(HELP));
        }
        Err(error) => return Err(cannot().because(error)),
    };
    let (mut own, mut other) = (0, None);
    for entry in entries {
        let entry = entry.or_fail(cannot)?.file_name();
        let name = entry.to_string_lossy();
        if NAMES.contains(&&*name) {
            own += 1;
        } else if !name.starts_with(WAITING) {
            other = other.max(Some(name.into_owned()));
        }
    }
    let marked = text::read(&folder.join(README)).is_ok_and(|text| text.starts_with(MARK));
    match other {
        None if marked => Ok(Place::Export),
        None if own == 0 => Ok(Place::Folder),
        _ if force => Ok(Place::Folder),
        Some(other) => {
            Err(Error::new(format!("the folder has something else in it: {other}")).at(folder).help(HELP))
        }
        None => Err(Error::new("the folder is not empty, and no earlier export").at(folder).help(HELP)),
    }
}

const HELP: &str = "name another with --output; with --force files of an export's names are replaced there, and \
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
    fn an_export_replaces_an_earlier_one_whole() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("exports/demo");
        write(&folder, false, &files(&NAMES)).unwrap();
        assert_eq!(names(&folder), [README, CONFIG, WEIGHTS, ONNX]);
        write(&folder, false, &files(&[ONNX, README])).unwrap();
        assert_eq!(names(&folder), [README, ONNX]);
        assert_eq!(names(&root.path().join("exports")), ["demo"]);
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
        assert_eq!(names(folder), [README, CONFIG, WEIGHTS, ONNX, "thesis.tex"]);
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
    fn the_place_of_a_file_is_refused() {
        let root = tempfile::tempdir().unwrap();
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
