//! Which rows train and which test, and which are kept when a run is limited.
//!
//! It sees only counts and orders: nothing of images or files.

use pipeline::error::{Error, Result};
use pipeline::random;
use rand::Rng;
use serde::{Deserialize, Serialize};

pub use crate::artifacts::images::Split;

/// How rows are divided (method §3).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "lowercase", deny_unknown_fields)]
pub enum SplitRule {
    /// As the source divides them.
    Standard,
    /// All rows pooled, then a share of them drawn for testing.
    Random {
        /// Share of rows that test; their number is rounded to the nearest, halves up.
        test_share: f64,
    },
}

/// What each row is for, given what its source says of it, in the order of the sources.
///
/// # Errors
/// A row without a split under the rule `standard`; either split empty.
pub fn split(rule: &SplitRule, given: &[Option<Split>], seed: u64) -> Result<Vec<Split>> {
    let splits: Vec<Split> = match *rule {
        SplitRule::Standard => given
            .iter()
            .enumerate()
            .map(|(row, split)| {
                split.ok_or_else(|| Error::new(format!("row {row} belongs to neither train nor test")))
            })
            .collect::<Result<_>>()?,
        SplitRule::Random { test_share } => {
            let test = (given.len() as f64 * test_share + 0.5).floor() as usize;
            let mut splits = vec![Split::Train; given.len()];
            for row in permutation(given.len(), seed, "split").into_iter().take(test) {
                splits[row] = Split::Test;
            }
            splits
        }
    };
    for wanted in [Split::Train, Split::Test] {
        if !splits.contains(&wanted) {
            return Err(Error::new(format!("none of {} rows is for {wanted}", splits.len()))
                .help("both splits need rows: check the data set's files and its split rule"));
        }
    }
    Ok(splits)
}

/// The rows that stay when at most `train` and `test` rows of the splits are wanted, ascending.
///
/// Rows are drawn at random, not by class. Under one seed a lower limit keeps a subset of what a
/// higher one keeps.
pub fn limit(splits: &[Split], train: Option<usize>, test: Option<usize>, seed: u64) -> Vec<usize> {
    let mut kept = Vec::new();
    for (wanted, most) in [(Split::Train, train), (Split::Test, test)] {
        let rows: Vec<usize> = (0..splits.len()).filter(|row| splits[*row] == wanted).collect();
        match most {
            Some(most) if most < rows.len() => {
                let order = permutation(rows.len(), seed, &format!("limit {wanted}"));
                kept.extend(order.into_iter().take(most).map(|at| rows[at]));
            }
            _ => kept.extend(rows),
        }
    }
    kept.sort_unstable();
    kept
}

/// A name for each source file that starts the ids of its rows: the file's name without `.parquet`
/// and `-of-00001`, or, should two files share that, the whole path without `.parquet`.
pub fn prefixes(files: &[&str]) -> Vec<String> {
    let whole: Vec<String> =
        files.iter().map(|path| path.strip_suffix(".parquet").unwrap_or(path).to_owned()).collect();
    let short: Vec<String> = whole
        .iter()
        .map(|path| {
            let name = path.rsplit('/').next().unwrap_or(path);
            match name.rsplit_once("-of-") {
                Some((name, count)) if count.bytes().all(|b| b.is_ascii_digit()) => name.to_owned(),
                _ => name.to_owned(),
            }
        })
        .collect();
    let distinct = short.iter().enumerate().all(|(at, name)| !short[..at].contains(name));
    if distinct { short } else { whole }
}

/// The id of a row: unique in the data set, the same in every run, `train-00000/000123` for row 123
/// (from 0) of `data/train-00000-of-00001.parquet`. `prefix` comes from [`prefixes`].
pub fn id(prefix: &str, row: usize) -> String {
    format!("{prefix}/{row:06}")
}

/// The numbers below `count` in random order (Fisher–Yates). Draws are scaled by multiplication, here
/// and not in a library, so that the order stays the same whatever the library's version does.
fn permutation(count: usize, seed: u64, name: &str) -> Vec<usize> {
    let mut random = random::stream(seed, name);
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        let drawn = (u128::from(random.next_u64()) * (last as u128 + 1)) >> 64;
        order.swap(last, drawn as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const FIFTH: SplitRule = SplitRule::Random { test_share: 0.2 };

    fn count(splits: &[Split], of: Split) -> usize {
        splits.iter().filter(|split| **split == of).count()
    }

    #[test]
    fn a_random_split_has_the_share_it_was_asked_for_rounded_half_up() {
        let tests = |rows| count(&split(&FIFTH, &vec![None; rows], 1).unwrap(), Split::Test);
        assert_eq!([tests(27_000), tests(28_709), tests(12), tests(13), tests(3)], [5_400, 5_742, 2, 3, 1]);
        let half = split(&SplitRule::Random { test_share: 0.5 }, &[None; 5], 1).unwrap();
        assert_eq!(count(&half, Split::Test), 3);
    }

    #[test]
    fn a_random_split_depends_on_its_seed_alone() {
        let rows = vec![None; 1000];
        assert_eq!(split(&FIFTH, &rows, 7).unwrap(), split(&FIFTH, &rows, 7).unwrap());
        assert_ne!(split(&FIFTH, &rows, 7).unwrap(), split(&FIFTH, &rows, 8).unwrap());
        let given = vec![Some(Split::Test); 1000];
        assert_eq!(split(&FIFTH, &given, 7).unwrap(), split(&FIFTH, &rows, 7).unwrap());
    }

    /// Written down from the first version: which rows test in every published result depends on it.
    #[test]
    fn the_random_order_never_changes() {
        assert_eq!(permutation(10, 0, "split"), [8, 0, 1, 2, 7, 5, 4, 9, 3, 6]);
    }

    #[test]
    fn a_random_split_takes_from_everywhere() {
        let splits = split(&FIFTH, &vec![None; 10_000], 3).unwrap();
        for part in splits.chunks(1000) {
            let tests = count(part, Split::Test);
            assert!((140..=260).contains(&tests), "{tests} of 1000");
        }
    }

    #[test]
    fn the_standard_split_is_what_the_source_says() {
        let given = [Some(Split::Test), Some(Split::Train), Some(Split::Train)];
        let splits = split(&SplitRule::Standard, &given, 1).unwrap();
        assert_eq!(splits, [Split::Test, Split::Train, Split::Train]);
        assert!(split(&SplitRule::Standard, &[Some(Split::Test), None], 1).is_err());
    }

    #[test]
    fn a_split_without_test_rows_is_refused() {
        let error = split(&FIFTH, &[None; 2], 1).unwrap_err().to_string();
        assert!(error.contains("none of 2 rows is for test"), "{error}");
    }

    #[test]
    fn a_limit_keeps_order_and_a_lower_one_keeps_a_subset() {
        let splits = split(&FIFTH, &vec![None; 500], 5).unwrap();
        let many = limit(&splits, Some(100), Some(30), 5);
        let few = limit(&splits, Some(40), Some(10), 5);
        assert!(many.is_sorted() && few.is_sorted());
        let of = |rows: &[usize], split| rows.iter().filter(|row| splits[**row] == split).count();
        assert_eq!((of(&many, Split::Train), of(&many, Split::Test)), (100, 30));
        assert_eq!((of(&few, Split::Train), of(&few, Split::Test)), (40, 10));
        assert!(few.iter().all(|row| many.contains(row)));
        assert_ne!(limit(&splits, Some(40), Some(10), 6), few);
    }

    #[test]
    fn no_limit_and_a_limit_beyond_the_rows_keep_everything() {
        let splits = split(&FIFTH, &[None; 50], 5).unwrap();
        assert_eq!(limit(&splits, None, None, 1), (0..50).collect::<Vec<_>>());
        assert_eq!(limit(&splits, Some(1000), Some(10), 1), (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn ids_are_short_where_files_differ_in_name_and_whole_where_not() {
        let shards = ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"];
        assert_eq!(prefixes(&shards), ["train-00000", "train-00001"]);
        assert_eq!(
            prefixes(&["plain/train/0000.parquet", "plain/test/0000.parquet"]),
            ["plain/train/0000", "plain/test/0000"]
        );
        assert_eq!(id("train-00000", 123), "train-00000/000123");
    }
}
