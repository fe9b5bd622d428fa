//! What may have been meant where there is no table.

use std::fs;
use std::path::{Component, Path};

use pipeline::error::Error;

use crate::runtime::suggest::unknown;

/// The page of a stage that makes one.
const PAGE: &str = "index.html";
/// The folder among the artifacts whose folders are no stages of a data set.
const STORE: &str = "store";

/// The error for what names no table, looked for at `path`: with the page that is there instead, or the data set or stage
/// whose name is nearest.
pub(super) fn instead_of(what: &Path, path: &Path, artifacts: &Path) -> Error {
    let page = path.join(PAGE);
    if page.is_file() {
        return Error::new("there is no table but a page").at(page).help("open it in a browser");
    }
    misspelt(what, artifacts).unwrap_or_else(|| {
        Error::new("there is no table")
            .at(path)
            .help("name DATASET/STAGE as under `artifacts`, such as eurosat/label, or a Parquet file")
    })
}

/// The data set or the stage that is not there, where others are.
fn misspelt(what: &Path, artifacts: &Path) -> Option<Error> {
    let mut names = what.components().map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    let (set, stage, more) = (names.next()??, names.next().flatten(), names.next());
    if more.is_some() {
        return None;
    }
    let mut sets = folders(artifacts);
    sets.retain(|set| set != STORE && !folders(&artifacts.join(set)).is_empty());
    if sets.is_empty() {
        return None;
    }
    if !sets.iter().any(|known| known == set) {
        return Some(unknown("data set", set, sets));
    }
    let stages = folders(&artifacts.join(set));
    let stage = stage.filter(|&stage| !stages.iter().any(|known| known == stage))?;
    Some(unknown(&format!("stage of {set}"), stage, stages))
}

/// The names of the folders in a folder, hidden ones left out.
fn folders(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    let names = folders.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| !name.starts_with('.')).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Artifacts with two data sets, of which one has a report.
    fn artifacts() -> tempfile::TempDir {
        let artifacts = tempfile::tempdir().unwrap();
        for folder in ["mono/label", "mono/report", "mono-rc/label", "store/objects", "runs"] {
            fs::create_dir_all(artifacts.path().join(folder)).unwrap();
        }
        fs::write(artifacts.path().join("mono/report/index.html"), "").unwrap();
        artifacts
    }

    #[test]
    fn a_misspelt_data_set_or_stage_is_told_with_the_nearest_and_a_page_with_its_place() {
        let artifacts = artifacts();
        let told = |what: &str| {
            let path = artifacts.path().join(what);
            instead_of(Path::new(what), &path, artifacts.path()).to_string()
        };
        for (what, words) in [
            ("mono_rc/label", ["no data set `mono_rc`", "did you mean `mono-rc`?"]),
            ("monu", ["no data set `monu`", "did you mean `mono`?"]),
            ("mono/labels", ["no stage of mono `labels`", "did you mean `label`?"]),
            ("mono/report", ["no table but a page", "mono/report/index.html"]),
            ("mono/label", ["there is no table", "DATASET/STAGE"]),
            ("mono/label/x.parquet", ["there is no table", "DATASET/STAGE"]),
            ("../mono", ["there is no table", "DATASET/STAGE"]),
        ] {
            let error = told(what);
            assert!(words.iter().all(|word| error.contains(word)), "{what}: {error}");
        }
        let (nothing, what) = (tempfile::tempdir().unwrap(), Path::new("demo/label"));
        let error = instead_of(what, &nothing.path().join(what), nothing.path()).to_string();
        assert!(error.contains("DATASET/STAGE"), "{error}");
    }
}
