//! Which parts of a data set train and which test, going by their names.

use pipeline::error::{Error, Result};

use super::{TEST_SHARE, first_few};
use crate::dataset::split::{Split, SplitRule};

/// What a part of the images is for, going by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SplitRole {
    Train,
    Validation,
    Test,
    /// Images whose labels are to be predicted, or which have none.
    Unlabeled,
}

/// Words that say nothing of what is in the images: `train_images` is `train`.
const SAYS_NOTHING: [&str; 28] = [
    "image", "images", "img", "imgs", "pic", "pics", "picture", "pictures", "photo", "photos", "data",
    "dataset", "datasets", "set", "sets", "split", "splits", "subset", "part", "folder", "folders", "dir",
    "files", "jpg", "jpeg", "png", "samples", "batch",
];

/// Words of roles that others are joined to without a sign between: `trainset`, `imgtest`.
const JOINED: [&str; 14] = [
    "training",
    "train",
    "testing",
    "test",
    "validation",
    "valid",
    "val",
    "dev",
    "eval",
    "holdout",
    "predict",
    "pred",
    "unlabeled",
    "unlabelled",
];

/// What the words of a name say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spoken {
    /// The role that it names; none if it names two.
    pub role: Option<SplitRole>,
    /// What it says besides, words that say nothing and numbers apart: `seg` of `seg_train`.
    pub rest: String,
    /// Its numbers: `2017` of `train2017`.
    pub number: String,
}

impl Spoken {
    /// Of a name.
    pub(super) fn of(name: &str) -> Self {
        let words = words(name);
        let mut roles: Vec<SplitRole> = words.iter().filter_map(|word| SplitRole::of_word(word)).collect();
        roles.dedup();
        let besides = |number: bool| {
            let is_number = |word: &str| word.chars().all(char::is_numeric);
            let besides = words.iter().map(String::as_str).filter(|word| {
                SplitRole::of_word(word).is_none()
                    && !SAYS_NOTHING.contains(word)
                    && is_number(word) == number
            });
            besides.collect::<Vec<_>>().join(" ")
        };
        let role = if let [one] = roles[..] { Some(one) } else { None };
        Self { role, rest: besides(false), number: besides(true) }
    }

    /// Whether it names a role, and nothing else but a number.
    pub(super) fn is_plain(&self) -> bool {
        self.role.is_some() && self.rest.is_empty()
    }
}

/// Whether all words of a name say nothing: `images`.
pub(super) fn says_nothing(name: &str) -> bool {
    let words = words(name);
    !words.is_empty() && words.iter().all(|word| SAYS_NOTHING.contains(&word.as_str()))
}

/// The words of a name in lower case. They end at every other sign, at a number, and where a small letter comes before a
/// capital one.
fn words(name: &str) -> Vec<String> {
    let mut all = Vec::new();
    for token in name.split(|c: char| !c.is_alphanumeric()).filter(|token| !token.is_empty()) {
        // `t10k` is one word.
        if SplitRole::of_word(token).is_some() {
            all.push(token.to_lowercase());
            continue;
        }
        let (mut word, mut before) = (String::new(), None::<char>);
        for c in token.chars() {
            let ends = before.is_some_and(|before| {
                before.is_numeric() != c.is_numeric() || (before.is_lowercase() && c.is_uppercase())
            });
            if ends {
                all.extend(parted(&std::mem::take(&mut word)));
            }
            word.push(c);
            before = Some(c);
        }
        all.extend(parted(&word));
    }
    all
}

/// `trainset` as `train` and `set`.
fn parted(word: &str) -> Vec<String> {
    let word = word.to_lowercase();
    if SplitRole::of_word(&word).is_some() {
        return vec![word];
    }
    for role in JOINED {
        for rest in [word.strip_prefix(role), word.strip_suffix(role)].into_iter().flatten() {
            if SAYS_NOTHING.contains(&rest) {
                return vec![role.to_owned(), rest.to_owned()];
            }
        }
    }
    vec![word]
}

impl SplitRole {
    /// The role that a word names.
    pub(super) fn of_word(word: &str) -> Option<Self> {
        match word.to_lowercase().as_str() {
            "train" | "training" | "trn" => Some(Self::Train),
            "val" | "valid" | "validation" | "dev" => Some(Self::Validation),
            "test" | "testing" | "tst" | "eval" | "evaluation" | "holdout" | "t10k" => Some(Self::Test),
            "predict" | "pred" | "unlabeled" | "unlabelled" | "inference" => Some(Self::Unlabeled),
            _ => None,
        }
    }

    /// The role that a word of the path names; words at its end count first: `train/0000.parquet`.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        path.rsplit('/').find_map(|part| words(part).iter().find_map(|word| Self::of_word(word)))
    }
}

/// The split of each part, given its name and role, and the split rule. A part is left out (`None`) if it holds
/// validation images and another part holds test images, or if its images have no labels and others train. Where no part
/// holds test or validation images, the rule is a random split, and the parts' splits are open (`Some(None)`).
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
        let left_out = |role| has(SplitRole::Train) && role == Some(SplitRole::Unlabeled);
        let splits = parts.iter().map(|(_, role)| (!left_out(*role)).then_some(None)).collect();
        return Ok((splits, SplitRule::Random { test_share: TEST_SHARE }));
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
        assert_eq!(role("testset.parquet"), Some(SplitRole::Test));
        assert_eq!(role("train2017.parquet"), Some(SplitRole::Train));
        assert_eq!(role("images/holdout-0.parquet"), Some(SplitRole::Test));
    }

    #[test]
    fn a_name_says_a_role_and_what_else_it_says_is_told_apart() {
        let train = Some(SplitRole::Train);
        for (name, role, rest, number) in [
            ("train", train, "", ""),
            ("seg_train", train, "seg", ""),
            ("Training_Set", train, "", ""),
            ("trainset", train, "", ""),
            ("TrainImages", train, "", ""),
            ("train2017", train, "", "2017"),
            ("cifar10-train", train, "cifar", "10"),
            ("train_station", train, "station", ""),
            ("test1", Some(SplitRole::Test), "", "1"),
            ("T10K", Some(SplitRole::Test), "", ""),
            ("train_test_split", None, "", ""),
            ("contest", None, "contest", ""),
            ("\u{732b}", None, "\u{732b}", ""),
        ] {
            let expected = Spoken { role, rest: rest.to_owned(), number: number.to_owned() };
            assert_eq!(Spoken::of(name), expected, "{name}");
        }
        assert!(
            says_nothing("jpeg_images") && !says_nothing("2") && !says_nothing("") && !says_nothing("cat")
        );
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
        let with_open = assigned(&[SplitRole::Train, SplitRole::Unlabeled]);
        assert_eq!(with_open, (vec![Some(None), None], SplitRule::Random { test_share: 0.2 }));
    }

    #[test]
    fn a_part_without_a_role_among_others_is_refused() {
        let error =
            assign_splits(&[("train", Some(SplitRole::Train)), ("more", None)]).unwrap_err().to_string();
        assert!(error.contains("`more`"), "{error}");
    }
}
