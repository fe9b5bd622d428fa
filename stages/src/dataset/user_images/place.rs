//! What lies at the place that IMAGES names: a folder, a file, or whatever a pattern with `*` matches.

use std::path::{Path, PathBuf};

use pipeline::error::{Error, OrFail, Result};
use pipeline::store::Store;

use super::walk::{FileKind, Tree, Walk, kind};

/// The folder from which all paths count, and what lies there.
pub(super) struct Place {
    pub(super) root: PathBuf,
    pub(super) tree: Tree,
}

/// Looks at the place; folders whose names `keep` knows are looked into whatever systems call so.
///
/// # Errors
/// Nothing there, a file of no kind that holds images, a pattern that matches nothing.
pub(super) fn look(images: &Path, skip_unusable: bool, keep: &dyn Fn(&str) -> bool) -> Result<Place> {
    let walk = Walk { excluded: &holds_artifacts, keep, skip_unusable };
    let metadata = match std::fs::metadata(images) {
        Ok(metadata) => metadata,
        Err(_) if is_pattern(images) => return matched(images, &walk),
        Err(error) => {
            return Err(Error::new("cannot find the images")
                .at(images)
                .because(error)
                .help("IMAGES names a folder of images, a Parquet, Arrow or tar file, or a pattern such as 'photos/*.jpg'"));
        }
    };
    if metadata.is_dir() {
        return Ok(Place { root: images.to_owned(), tree: walk.all(images)? });
    }
    let name = images.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut tree = Tree::default();
    match kind(&name) {
        Some(FileKind::Image) => tree.images.push(name),
        Some(FileKind::Tar) => tree.tars.push(name),
        Some(FileKind::Table | FileKind::Metadata) if !name.ends_with("csv") => tree.tables.push(name),
        _ => {
            return Err(Error::new("this is neither a folder nor a Parquet, Arrow or tar file")
                .at(images)
                .help("name the folder that the images are in; a packed archive is to be unpacked first"));
        }
    }
    Ok(Place { root: images.parent().unwrap_or(Path::new("")).to_owned(), tree })
}

/// Whether a path has the signs of a pattern.
fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '['])
}

/// Everything that a pattern matches, and what is below the folders among it. Paths count from the last folder that the
/// pattern names in full.
fn matched(pattern: &Path, walk: &Walk) -> Result<Place> {
    let root: PathBuf = pattern.components().take_while(|part| !is_pattern(Path::new(part))).collect();
    let wrong = |error: String| Error::new("the pattern cannot be used").at(pattern).because(error);
    let text = pattern.to_str().ok_or_else(|| wrong("it is not UTF-8".to_owned()))?;
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    let paths = glob::glob_with(text, options).map_err(|error| wrong(error.to_string()))?;
    let mut tree = Tree::default();
    for path in paths {
        let path = path.map_err(|error| wrong(error.to_string()))?;
        let cannot = || Error::new("a name is not UTF-8").at(&path).help("rename the file");
        let place = path.strip_prefix(&root).or_fail(cannot)?;
        let place = place.to_str().ok_or_else(cannot)?.to_owned();
        let (prefix, name) =
            place.rsplit_once('/').map_or(("", place.as_str()), |(prefix, name)| (prefix, name));
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        walk.add(name, &path, &prefix, &mut Vec::new(), &mut tree)?;
    }
    tree.sort();
    if tree.images.is_empty() && tree.tables.is_empty() && tree.idx.is_empty() && tree.tars.is_empty() {
        return Err(Error::new("nothing that the pattern matches holds images")
            .at(pattern)
            .help("quote it, so that no shell takes it apart, and check it with ls"));
    }
    Ok(Place { root, tree })
}

/// Whether a folder is where results are kept, with their readable view: it would count as images, and change with each
/// run.
pub(super) fn holds_artifacts(folder: &Path) -> bool {
    Store::is_at(folder.join("store"))
}
