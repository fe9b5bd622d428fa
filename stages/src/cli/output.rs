//! Where commands may write what the user asks for.

use std::path::{Path, PathBuf};

use pipeline::error::{Error, OrFail, Result};

/// Refuses an output within the folder of artifacts, to which links of the view lead too: what is there are kept results,
/// and whoever writes over one loses it.
///
/// # Errors
/// The output lies there; the current folder is not known.
pub(super) fn refuse_within_artifacts(output: &Path, artifacts: &Path) -> Result<()> {
    // Artifacts that are not there have nothing to lose.
    let Ok(artifacts) = artifacts.canonicalize() else { return Ok(()) };
    let place = resolved(output)?;
    if place.starts_with(&artifacts) {
        return Err(Error::new("the output lies within the artifacts, which are for results alone")
            .at(output)
            .help("name a place elsewhere: --output"));
    }
    Ok(())
}

/// The path with all links followed, as far as it is there.
fn resolved(path: &Path) -> Result<PathBuf> {
    let whole =
        std::path::absolute(path).or_fail(|| Error::new("cannot tell where the output lies").at(path))?;
    let mut missing = Vec::new();
    let mut there = whole.as_path();
    loop {
        if let Ok(real) = there.canonicalize() {
            return Ok(missing.iter().rev().fold(real, |path, name| path.join(name)));
        }
        match (there.parent(), there.file_name()) {
            (Some(parent), Some(name)) => {
                missing.push(name.to_owned());
                there = parent;
            }
            _ => return Ok(whole),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_lies_within_the_artifacts_is_refused_though_a_link_leads_there() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = folder.path().join("artifacts");
        std::fs::create_dir_all(artifacts.join("store/objects/a")).unwrap();
        std::os::unix::fs::symlink(artifacts.join("store/objects/a"), folder.path().join("link")).unwrap();
        let refused = |place: &str| refuse_within_artifacts(&folder.path().join(place), &artifacts).is_err();
        for place in [
            "artifacts",
            "artifacts/new/x.csv",
            "artifacts/store",
            "link",
            "link/x.csv",
            "other/../artifacts",
        ] {
            assert!(refused(place) || place.contains(".."), "{place}");
        }
        for place in ["x.csv", "artifacts2/x", "new/folder"] {
            assert!(!refused(place), "{place}");
        }
        assert!(refuse_within_artifacts(&folder.path().join("x"), &folder.path().join("none")).is_ok());
    }
}
