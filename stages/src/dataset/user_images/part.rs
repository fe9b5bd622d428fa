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
        let role = match roles[..] {
            [one] => Some(one),
            // What some call `trainval`.
            [SplitRole::Train, SplitRole::Validation] => Some(SplitRole::Train),
            [] if is_extra(&words) => {
                return Self { role: Some(SplitRole::Unlabeled), rest: String::new(), number: besides(true) };
            }
            _ => None,
        };
        Self { role, rest: besides(false), number: besides(true) }
    }

    /// Whether it names a role, and nothing else but a number.
    pub(super) fn is_plain(&self) -> bool {
        self.role.is_some() && self.rest.is_empty()
    }
}

/// Whether a name says `extra` and nothing else: `extra_images`. With other words it says what kind of thing it is.
fn is_extra(words: &[String]) -> bool {
    let is_number = |word: &str| word.chars().all(char::is_numeric);
    let mut told = words.iter().filter(|word| !(is_number(word) || SAYS_NOTHING.contains(&word.as_str())));
    told.next().is_some_and(|word| word == "extra") && told.next().is_none()
}

/// The same of the name of a file: `extra-00000-of-00001.parquet`.
fn is_extra_file(name: &str) -> bool {
    const OF_FILES: [&str; 6] = ["of", "parquet", "arrow", "feather", "tar", "gz"];
    let words: Vec<String> =
        words(name).into_iter().filter(|word| !OF_FILES.contains(&word.as_str())).collect();
    is_extra(&words)
}

/// Whether a name says that what trains and what validates is together: `trainval`.
pub(super) fn holds_validation(name: &str) -> bool {
    let words = words(name);
    let has = |role| words.iter().any(|word| SplitRole::of_word(word) == Some(role));
    words.iter().any(|word| word == "trainval") || (has(SplitRole::Train) && has(SplitRole::Validation))
}

/// The class and the role in a name that says both, the role at one end: `cats` and training in `cats_train`. `behind`
/// says at which.
pub(super) fn class_and_role(name: &str, behind: bool) -> Option<(&str, SplitRole)> {
    let is_joint = |c: char| matches!(c, '_' | '-' | ' ' | '.');
    let (class, word) = if behind {
        name.rsplit_once(is_joint)?
    } else {
        name.split_once(is_joint).map(|(word, class)| (class, word))?
    };
    let role = SplitRole::of_word(word)?;
    let class = class.trim_matches(is_joint);
    let says_role = words(class).iter().any(|word| SplitRole::of_word(word).is_some());
    (!says_role && !Spoken::of(class).rest.is_empty()).then_some((class, role))
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
            "train" | "training" | "trn" | "trainval" => Some(Self::Train),
            "val" | "valid" | "validation" | "dev" => Some(Self::Validation),
            "test" | "testing" | "tst" | "eval" | "evaluation" | "holdout" | "t10k" => Some(Self::Test),
            "predict" | "pred" | "unlabeled" | "unlabelled" | "unsupervised" | "inference" => {
                Some(Self::Unlabeled)
            }
            _ => None,
        }
    }

    /// The role that a word of the path names; words at its end count first: `train/0000.parquet`.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        let role = path.rsplit('/').find_map(|part| words(part).iter().find_map(|word| Self::of_word(word)));
        role.or_else(|| path.rsplit('/').any(is_extra_file).then_some(Self::Unlabeled))
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
        assert_eq!(role("digits/extra-00000-of-00002.parquet"), Some(SplitRole::Unlabeled));
        assert_eq!(role("train/extra.parquet"), Some(SplitRole::Train));
        assert_eq!(role("extra_large.parquet"), None);
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
            ("trainval", train, "", ""),
            ("train_val", train, "", ""),
            ("unsupervised", Some(SplitRole::Unlabeled), "", ""),
            ("unlabelled_data", Some(SplitRole::Unlabeled), "", ""),
            ("extra", Some(SplitRole::Unlabeled), "", ""),
            ("extra_images", Some(SplitRole::Unlabeled), "", ""),
            ("extra_large", None, "extra large", ""),
            ("extra_train", train, "extra", ""),
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
    fn a_name_may_say_a_class_and_a_role() {
        let (train, test) = (SplitRole::Train, SplitRole::Test);
        for (name, behind, said) in [
            ("cats_train", true, Some(("cats", train))),
            ("cats_train", false, None),
            ("Test-Sea Lake", false, Some(("Sea Lake", test))),
            ("sea_lake.test", true, Some(("sea_lake", test))),
            ("train", true, None),
            ("train_images", false, None),
            ("1_train", true, None),
            ("train_test_cat", false, None),
            ("cats", true, None),
        ] {
            assert_eq!(class_and_role(name, behind), said, "{name}");
        }
        assert!(holds_validation("trainval") && holds_validation("Train-Val") && !holds_validation("train"));
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
