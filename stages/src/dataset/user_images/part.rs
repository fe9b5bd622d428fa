//! Which parts of a data set train and which test, going by their names.

use pipeline::error::{Error, Result};

use super::{TEST_SHARE, first_few};
use crate::dataset::split::{Split, SplitRule};

/// What a part of the images is for, going by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SplitRole {
    Train,
    Validation,
    Test,
}

impl SplitRole {
    /// The role that a word names.
    pub(super) fn of_word(word: &str) -> Option<Self> {
        match word.to_lowercase().as_str() {
            "train" | "training" => Some(Self::Train),
            "val" | "valid" | "validation" => Some(Self::Validation),
            "test" | "testing" | "t10k" => Some(Self::Test),
            _ => None,
        }
    }

    /// The role that a word of the path names; words at its end count first: `train/0000.parquet`.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        let words = |part: &str| {
            let mut words = part.split(|c: char| !c.is_alphanumeric()).map(Self::of_word);
            words.find_map(|role| role)
        };
        path.rsplit('/').find_map(words)
    }
}

/// The split of each part, given its name and role, and the split rule. A part is left out (`None`) if it holds
/// validation images and another part holds test images. Where no part holds test or validation images, the rule is a
/// random split, and the parts' splits are open (`Some(None)`).
///
/// # Errors
/// Parts with a role beside parts without one.
pub(super) fn assign_splits(
    parts: &[(&str, Option<SplitRole>)],
) -> Result<(Vec<Option<Option<Split>>>, SplitRule)> {
    let has = |role| parts.iter().any(|(_, its)| *its == Some(role));
    let without: Vec<&str> = parts.iter().filter(|(_, role)| role.is_none()).map(|(name, _)| *name).collect();
    if !without.is_empty() && without.len() < parts.len() {
        return Err(Error::new(format!(
            "it is not clear whether {} is for training or for testing",
            first_few(without)
        ))
        .help("call the parts train and test, or give none of them such a name"));
    }
    let held_out = if has(SplitRole::Test) { SplitRole::Test } else { SplitRole::Validation };
    if !(has(SplitRole::Train) && has(held_out)) {
        return Ok((vec![Some(None); parts.len()], SplitRule::Random { test_share: TEST_SHARE }));
    }
    let split = |role: Option<SplitRole>| match role {
        Some(SplitRole::Train) => Some(Some(Split::Train)),
        role if role == Some(held_out) => Some(Some(Split::Test)),
        _ => None,
    };
    Ok((parts.iter().map(|(_, role)| split(*role)).collect(), SplitRule::Standard))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_path_says_its_role_in_a_whole_word() {
        let role = |path| SplitRole::of_path(path);
        assert_eq!(role("data/train-00000-of-00002.parquet"), Some(SplitRole::Train));
        assert_eq!(role("plain/Test/0000.parquet"), Some(SplitRole::Test));
        assert_eq!(role("t10k-images-idx3-ubyte.gz"), Some(SplitRole::Test));
        assert_eq!(role("trains/contest.parquet"), None);
    }

    #[test]
    fn validation_tests_where_nothing_else_does() {
        let assigned = |roles: &[SplitRole]| {
            let parts: Vec<_> = roles.iter().map(|role| ("part", Some(*role))).collect();
            assign_splits(&parts).unwrap()
        };
        let (train, test) = (Some(Some(Split::Train)), Some(Some(Split::Test)));
        assert_eq!(
            assigned(&[SplitRole::Train, SplitRole::Validation]),
            (vec![train, test], SplitRule::Standard)
        );
        let all = [SplitRole::Train, SplitRole::Validation, SplitRole::Test];
        assert_eq!(assigned(&all), (vec![train, None, test], SplitRule::Standard));
        assert_eq!(assigned(&[SplitRole::Train]), (vec![Some(None)], SplitRule::Random { test_share: 0.2 }));
    }

    #[test]
    fn a_part_without_a_role_among_others_is_refused() {
        let error =
            assign_splits(&[("train", Some(SplitRole::Train)), ("more", None)]).unwrap_err().to_string();
        assert!(error.contains("`more`"), "{error}");
    }
}
