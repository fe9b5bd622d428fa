//! Which format a store has, and what its folder begins with.

use std::fs;
use std::path::Path;

use super::disk::{fail, names_in, read_if_there, replace};
use crate::error::{Error, Result};

/// The first line of `FORMAT`. A store with another one is left alone.
const FORMAT: &str = "pipeline store 1\n";

/// With which `FORMAT` begins in a store of any format.
const FORMAT_NAME: &[u8] = b"pipeline store ";

/// The help where `FORMAT` is corrupt. Nothing guesses: of a store of another format all would be damage.
const WRITE_FORMAT: &str = "if this program made the store, write the line `pipeline store 1` into that file; all \
                            else is kept and is checked before use. If not, name another folder";

const FOLDERS: [&str; 7] = ["objects", "results", "checkpoints", "tmp", "locks", "heads", "damaged"];

/// Makes a store in the folder, or what of one is not there.
pub(super) fn make(root: &Path) -> Result<()> {
    fs::create_dir_all(root).map_err(fail("make the store's folder", root))?;
    if !is_in(root)? {
        replace(&root.join("FORMAT"), FORMAT.as_bytes(), root)?;
    }
    for name in FOLDERS {
        let folder = root.join(name);
        fs::create_dir_all(&folder).map_err(fail("make the store's folder", &folder))?;
    }
    Ok(())
}

/// Whether there is a store of whatever format.
pub(super) fn is_any(root: &Path) -> bool {
    read_if_there(&root.join("FORMAT"))
        .is_ok_and(|text| text.is_some_and(|text| text.starts_with(FORMAT_NAME)))
}

/// Whether the folder is a store of this format; false where it is empty, or not there.
pub(super) fn is_in(root: &Path) -> Result<bool> {
    let format = root.join("FORMAT");
    // Before FORMAT is read: who makes a store writes FORMAT first, so that where a folder of one was seen
    // FORMAT is there by now, however many processes open the new store at once.
    let names = names_in(root)?;
    match read_if_there(&format)? {
        Some(text) if text == FORMAT.as_bytes() => Ok(true),
        Some(text) if text.starts_with(FORMAT_NAME) => {
            let text = String::from_utf8_lossy(&text).trim().to_owned();
            Err(Error::new(format!("the store has format `{text}`"))
                .at(root)
                .help(format!("this program reads and writes `{}`: name another folder", FORMAT.trim())))
        }
        Some(_) => Err(Error::new("the store's file FORMAT is damaged").at(&format).help(WRITE_FORMAT)),
        None if FOLDERS.iter().all(|folder| names.iter().any(|name| name == folder)) => {
            Err(Error::new("the store's file FORMAT is gone").at(&format).help(WRITE_FORMAT))
        }
        // A process that was killed right here may have left its unnamed file.
        None if names.iter().any(|name| !name.starts_with("file-") && name != "FORMAT") => {
            Err(Error::new("the folder is not empty and not a store")
                .at(root)
                .help("name an empty or a new folder"))
        }
        None => Ok(false),
    }
}
