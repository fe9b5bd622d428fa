//! The list of the files that an export wrote, which lies in its folder: by it an earlier export is told from the user's
//! own files, of which an export removes none.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pipeline::error::{Error, OrFail, Result};
use serde::{Deserialize, Serialize};

use super::destination::{put, write_json};

/// The file's name. It is hidden, so that no reader of images takes it for one of theirs.
pub(super) const MANIFEST: &str = ".coreg-export.json";
/// Which form the list has.
const VERSION: u32 = 1;

/// What an export wrote.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    version: u32,
    /// Files as paths in the folder, without this list itself.
    files: BTreeSet<String>,
}

/// What lies below a folder, as paths in it, sorted.
#[derive(Default)]
struct Contents {
    /// Files, links and whatever else is no folder.
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Manifest {
    /// Writes the list of all files that are in a folder.
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub(super) fn write(folder: &Path) -> Result<()> {
        let files = below(folder)?.files;
        let files: BTreeSet<String> = files.iter().map(|file| file.to_string_lossy().into_owned()).collect();
        put(&folder.join(MANIFEST), |out| write_json(out, &Self { version: VERSION, files }))
    }

    /// The list in a folder; none where there is none, or one that cannot be understood.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let text = fs::read(folder.join(MANIFEST)).ok()?;
        serde_json::from_slice(&text).ok().filter(|list: &Self| list.version == VERSION)
    }

    /// Refuses a folder in which anything is that is not of the list.
    ///
    /// # Errors
    /// There is something else, of which the first few are named; the folder cannot be read.
    pub(super) fn refuse_others(&self, folder: &Path) -> Result<()> {
        let Contents { files, folders } = below(folder)?;
        let around: BTreeSet<&Path> =
            self.files.iter().flat_map(|file| Path::new(file).ancestors().skip(1)).collect();
        let others = files.into_iter().filter(|file| !self.has(file));
        let others = others.chain(folders.into_iter().filter(|folder| !around.contains(folder.as_path())));
        let mut others: Vec<PathBuf> = others.collect();
        others.sort();
        if others.is_empty() {
            return Ok(());
        }
        Err(Error::new("the folder holds what no export of labels wrote, and stays as it is")
            .at(folder)
            .because(format!("beside an export's files there is {}", first_few(&others)))
            .help("move that elsewhere, or name another folder with --output"))
    }

    /// Removes a folder with the files of the list. Anything else stays, and the folder around it.
    ///
    /// # Errors
    /// Something else is there, or cannot be removed.
    pub(super) fn remove(&self, folder: &Path) -> Result<()> {
        let cannot = |at: &Path| {
            Error::new("the new export is in its place, but not all of the one before can be removed").at(at)
        };
        let Contents { files, folders } = below(folder)?;
        let list = Path::new(MANIFEST);
        for file in files.iter().filter(|file| *file != list && self.has(file)) {
            let file = folder.join(file);
            fs::remove_file(&file).or_fail(|| cannot(&file))?;
        }
        // Of sorted paths a folder comes before those in it.
        for folder in folders.iter().rev().map(|inner| folder.join(inner)) {
            fs::remove_dir(&folder).or_fail(|| cannot(&folder))?;
        }
        // By it what is left is known for what it is, up to here.
        if files.iter().any(|file| file == list) {
            fs::remove_file(folder.join(list)).or_fail(|| cannot(folder))?;
        }
        fs::remove_dir(folder).or_fail(|| cannot(folder))
    }

    fn has(&self, file: &Path) -> bool {
        file == Path::new(MANIFEST) || file.to_str().is_some_and(|file| self.files.contains(file))
    }
}

fn below(folder: &Path) -> Result<Contents> {
    let mut found = Contents::default();
    let mut open = vec![PathBuf::new()];
    while let Some(inner) = open.pop() {
        let cannot = || Error::new("cannot list the folder").at(folder.join(&inner));
        for entry in fs::read_dir(folder.join(&inner)).or_fail(cannot)? {
            let entry = entry.or_fail(cannot)?;
            let name = inner.join(entry.file_name());
            // A link is no folder here, wherever it leads.
            if entry.file_type().or_fail(cannot)?.is_dir() {
                open.push(name.clone());
                found.folders.push(name);
            } else {
                found.files.push(name);
            }
        }
    }
    found.files.sort();
    found.folders.sort();
    Ok(found)
}

/// The first three of these, and how many more there are.
pub(super) fn first_few(paths: &[PathBuf]) -> String {
    const FEW: usize = 3;
    let names: Vec<String> = paths.iter().take(FEW).map(|path| format!("`{}`", path.display())).collect();
    match paths.len().saturating_sub(FEW) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        folder
    }

    #[test]
    fn an_export_is_removed_whole_and_by_its_list_alone() {
        let export = folder(&["classes.json", "train/a.png", "train/metadata.csv"]);
        Manifest::write(export.path()).unwrap();
        let list = Manifest::read(export.path()).unwrap();
        list.refuse_others(export.path()).unwrap();
        fs::write(export.path().join("train/mine.png"), "mine").unwrap();
        list.remove(export.path()).unwrap_err();
        assert_eq!(below(export.path()).unwrap().files, [Path::new(MANIFEST), Path::new("train/mine.png")]);
        fs::remove_file(export.path().join("train/mine.png")).unwrap();
        list.remove(export.path()).unwrap();
        assert!(!export.path().exists());
    }

    #[test]
    fn whatever_is_not_of_the_list_is_named() {
        let export = folder(&["tasks.json", "images/a.png"]);
        Manifest::write(export.path()).unwrap();
        let list = Manifest::read(export.path()).unwrap();
        let refused = || list.refuse_others(export.path()).unwrap_err().to_string();
        fs::create_dir(export.path().join("empty")).unwrap();
        assert!(refused().contains("there is `empty`\n"), "{}", refused());
        std::os::unix::fs::symlink("nowhere", export.path().join("link")).unwrap();
        for file in ["images/z.png", "notes.txt", "tasks.json~"] {
            fs::write(export.path().join(file), "mine").unwrap();
        }
        let error = refused();
        assert!(error.contains("`empty`, `images/z.png`, `link` and 2 more"), "{error}");
        assert!(error.contains("help: ") && !error.contains("--force"), "{error}");
    }

    #[test]
    fn what_is_no_list_of_this_form_makes_no_export() {
        for text in ["", "[]", "{}", "{\"version\": 2, \"files\": []}", "{\"version\": 1}"] {
            let other = folder(&[]);
            fs::write(other.path().join(MANIFEST), text).unwrap();
            assert!(Manifest::read(other.path()).is_none(), "{text}");
        }
        assert!(Manifest::read(folder(&["classes.json"]).path()).is_none());
    }
}
