//! Which files train and which test: those that the user names, or as their own names say.

use pipeline::error::{Error, Result};

use super::TEST_SHARE;
use super::part::{SplitRole, assign_splits};
use super::reading::Reading;
use crate::dataset::first_few;
use crate::dataset::split::{Split, SplitRule};
use crate::runtime::suggest::unknown;

/// The split of each file: left out (`None`), open until a random split (`Some(None)`), or known.
pub(super) struct AssignedFiles {
    pub(super) splits: Vec<Option<Option<Split>>>,
    pub(super) rule: SplitRule,
    /// What is assumed or left out.
    pub(super) notes: Vec<String>,
}

/// Assigns files, given by their paths.
///
/// # Errors
/// A name that no file has; files of which it is not clear what they are for.
pub(super) fn assign_files(paths: &[&str], reading: &Reading) -> Result<AssignedFiles> {
    let mut assigned = if reading.train.is_empty() && reading.test.is_empty() {
        let parts: Vec<_> = paths.iter().map(|path| (*path, SplitRole::of_path(path))).collect();
        let (splits, rule) = assign_splits(&parts)?;
        AssignedFiles { splits, rule, notes: Vec::new() }
    } else {
        named(paths, reading)?
    };
    let left_out: Vec<&str> = paths
        .iter()
        .zip(&assigned.splits)
        .filter(|(_, split)| split.is_none())
        .map(|(path, _)| *path)
        .collect();
    if !left_out.is_empty() {
        assigned.notes.push(format!(
            "{} left out; download.train=… and download.test=… name the files that count",
            first_few(left_out)
        ));
    }
    Ok(assigned)
}

fn named(paths: &[&str], reading: &Reading) -> Result<AssignedFiles> {
    let mut splits = vec![None; paths.len()];
    let both = !reading.train.is_empty() && !reading.test.is_empty();
    for (list, split) in [(&reading.train, Split::Train), (&reading.test, Split::Test)] {
        for name in list.split(',').map(|name| name.trim().trim_matches('/')).filter(|name| !name.is_empty())
        {
            let mut found = false;
            for (path, its) in paths.iter().zip(&mut splits).filter(|(path, _)| is_called(path, name)) {
                found = true;
                if its.is_some_and(|its| its != Some(split)) {
                    return Err(Error::new(format!(
                        "`{path}` is named by download.train and by download.test"
                    ))
                    .help("an image either trains or tests: name the files apart"));
                }
                *its = Some(Some(split));
            }
            if !found {
                return Err(unknown("file", name, paths.iter().map(|path| (*path).to_owned())));
            }
        }
    }
    if both {
        return Ok(AssignedFiles { splits, rule: SplitRule::Standard, notes: Vec::new() });
    }
    if reading.train.is_empty() {
        // The files that test are named: the others train.
        let splits = splits.into_iter().map(|split| Some(split.unwrap_or(Some(Split::Train)))).collect();
        return Ok(AssignedFiles { splits, rule: SplitRule::Standard, notes: Vec::new() });
    }
    let splits = splits.into_iter().map(|split| split.map(|_| None)).collect();
    Ok(AssignedFiles { splits, rule: SplitRule::Random { test_share: TEST_SHARE }, notes: Vec::new() })
}

/// Whether a file is meant by a name: its path, its name with or without ending, or a folder that it lies in.
fn is_called(path: &str, name: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.split('.').next().unwrap_or(file);
    path == name
        || file == name
        || stem == name
        || path.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const FILES: [&str; 3] = ["a/one.parquet", "a/two.parquet", "b/three.parquet"];

    fn assigned(train: &str, test: &str) -> Result<(Vec<Option<Option<Split>>>, SplitRule)> {
        let reading = Reading { train: train.to_owned(), test: test.to_owned(), ..Reading::default() };
        assign_files(&FILES, &reading).map(|assigned| (assigned.splits, assigned.rule))
    }

    #[test]
    fn the_users_names_decide_and_what_is_not_named_is_left_out() {
        let (train, test) = (Some(Some(Split::Train)), Some(Some(Split::Test)));
        assert_eq!(assigned("one", "b").unwrap(), (vec![train, None, test], SplitRule::Standard));
        assert_eq!(assigned("", "three.parquet").unwrap(), (vec![train, train, test], SplitRule::Standard));
        let (splits, rule) = assigned("a", "").unwrap();
        assert_eq!(splits, [Some(None), Some(None), None]);
        assert_eq!(rule, SplitRule::Random { test_share: TEST_SHARE });
        assert!(assigned("onne", "").unwrap_err().to_string().contains("a/one.parquet"));
        assert!(
            assigned("a", "one").unwrap_err().to_string().contains("by download.train and by download.test")
        );
    }
}
