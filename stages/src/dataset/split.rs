//! Which rows train and which test, how rows are drawn at random, and what they are called.
//!
//! It sees only counts, orders and names: nothing of images or files.

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

/// A random order of rows.
#[derive(Clone, Copy, Debug)]
pub struct Shuffle<'a> {
    pub(super) seed: u64,
    ids: Option<&'a [String]>,
}

impl<'a> Shuffle<'a> {
    /// The order depends on the rows' places: for sources whose rows never change. Published results depend on it.
    pub fn by_place(seed: u64) -> Self {
        Self { seed, ids: None }
    }

    /// The order depends on the rows' ids, for sources that grow: one row more moves at most one other, the last one
    /// within a share or a limit.
    pub fn by_id(seed: u64, ids: &'a [String]) -> Self {
        Self { seed, ids: Some(ids) }
    }

    /// The rows in the random order called `name`; each name has another one.
    pub(super) fn order(&self, rows: &[usize], name: &str) -> Vec<usize> {
        let Some(ids) = self.ids else {
            return permutation(rows.len(), self.seed, name).into_iter().map(|at| rows[at]).collect();
        };
        let mut rows = rows.to_vec();
        let hash = |id: &str| *blake3::hash(format!("{}/{name}/{id}", self.seed).as_bytes()).as_bytes();
        rows.sort_by_cached_key(|row| (hash(&ids[*row]), *row));
        rows
    }
}

/// What each row is for, given what its source says of it, in the order of the sources.
///
/// # Errors
/// A row without a split under the rule `standard`; either split empty.
pub fn split(rule: &SplitRule, given: &[Option<Split>], shuffle: &Shuffle) -> Result<Vec<Split>> {
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
            let rows: Vec<usize> = (0..given.len()).collect();
            for row in shuffle.order(&rows, "split").into_iter().take(test) {
                splits[row] = Split::Test;
            }
            splits
        }
    };
    for part in [Split::Train, Split::Test] {
        if !splits.contains(&part) {
            let count = splits.len();
            let drawn = matches!(rule, SplitRule::Random { .. });
            let why =
                if drawn { format!("{count} images are too few to draw some from") } else { String::new() };
            let error = Error::new(format!("none of {count} rows is for {part}"));
            let error = if drawn { error.because(why) } else { error };
            return Err(error.help(
                "both training and testing need images: add some, or say which test (a folder `test`, SET=download.test=…)",
            ));
        }
    }
    Ok(splits)
}

/// A name for each source file that starts the ids of its rows: the file's name without its ending
/// and `-of-00001`, or, should two files share that, the whole path without the ending.
pub fn prefixes(files: &[&str]) -> Vec<String> {
    let endings = [".parquet", ".arrow", ".feather"];
    let without =
        |path: &str| endings.iter().find_map(|ending| path.strip_suffix(ending)).unwrap_or(path).to_owned();
    let whole: Vec<String> = files.iter().map(|path| without(path)).collect();
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
/// (from 0) of `data/train-00000-of-00001.parquet`, and of the shards that a hub has in that file's place, counted
/// through. `prefix` comes from [`prefixes`].
pub fn id(prefix: &str, row: usize) -> String {
    format!("{prefix}/{row:06}")
}

/// The numbers below `count` in random order (Fisher–Yates). Draws are scaled by multiplication, here
/// and not in a library, so that the order stays the same whatever the library's version does.
pub(super) fn permutation(count: usize, seed: u64, name: &str) -> Vec<usize> {
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
    use std::collections::BTreeSet;

    use super::*;

    const FIFTH: SplitRule = SplitRule::Random { test_share: 0.2 };

    fn count(splits: &[Split], of: Split) -> usize {
        splits.iter().filter(|split| **split == of).count()
    }

    #[test]
    fn a_random_split_has_the_share_it_was_asked_for_rounded_half_up() {
        let tests =
            |rows| count(&split(&FIFTH, &vec![None; rows], &Shuffle::by_place(1)).unwrap(), Split::Test);
        assert_eq!([tests(27_000), tests(28_709), tests(12), tests(13), tests(3)], [5_400, 5_742, 2, 3, 1]);
        let half = split(&SplitRule::Random { test_share: 0.5 }, &[None; 5], &Shuffle::by_place(1)).unwrap();
        assert_eq!(count(&half, Split::Test), 3);
    }

    #[test]
    fn a_random_split_depends_on_its_seed_alone() {
        let rows = vec![None; 1000];
        assert_eq!(
            split(&FIFTH, &rows, &Shuffle::by_place(7)).unwrap(),
            split(&FIFTH, &rows, &Shuffle::by_place(7)).unwrap()
        );
        assert_ne!(
            split(&FIFTH, &rows, &Shuffle::by_place(7)).unwrap(),
            split(&FIFTH, &rows, &Shuffle::by_place(8)).unwrap()
        );
        let given = vec![Some(Split::Test); 1000];
        assert_eq!(
            split(&FIFTH, &given, &Shuffle::by_place(7)).unwrap(),
            split(&FIFTH, &rows, &Shuffle::by_place(7)).unwrap()
        );
    }

    /// The orders that golden/make_orders.py prints. They never change: the test images of every published result
    /// depend on them.
    #[test]
    fn the_random_order_never_changes() {
        assert_eq!(permutation(10, 0, "split"), [8, 0, 1, 2, 7, 5, 4, 9, 3, 6]);
        let rows: Vec<usize> = (10..20).collect();
        assert_eq!(Shuffle::by_place(0).order(&rows, "split"), [18, 10, 11, 12, 17, 15, 14, 19, 13, 16]);
    }

    #[test]
    fn a_random_split_takes_from_everywhere() {
        let splits = split(&FIFTH, &vec![None; 10_000], &Shuffle::by_place(3)).unwrap();
        for part in splits.chunks(1000) {
            let tests = count(part, Split::Test);
            assert!((140..=260).contains(&tests), "{tests} of 1000");
        }
    }

    #[test]
    fn the_standard_split_is_what_the_source_says() {
        let given = [Some(Split::Test), Some(Split::Train), Some(Split::Train)];
        let splits = split(&SplitRule::Standard, &given, &Shuffle::by_place(1)).unwrap();
        assert_eq!(splits, [Split::Test, Split::Train, Split::Train]);
        assert!(split(&SplitRule::Standard, &[Some(Split::Test), None], &Shuffle::by_place(1)).is_err());
    }

    #[test]
    fn a_split_without_test_rows_is_refused() {
        let error = split(&FIFTH, &[None; 2], &Shuffle::by_place(1)).unwrap_err().to_string();
        assert!(error.contains("none of 2 rows is for test"), "{error}");
    }

    fn ids(count: usize) -> Vec<String> {
        (0..count).map(|row| format!("class/{row}.png")).collect()
    }

    /// The ids of the rows that test.
    fn testing(ids: &[String]) -> BTreeSet<&String> {
        let splits = split(&FIFTH, &vec![None; ids.len()], &Shuffle::by_id(3, ids)).unwrap();
        (0..ids.len()).filter(|row| splits[*row] == Split::Test).map(|row| &ids[row]).collect()
    }

    #[test]
    fn drawn_by_id_one_image_more_moves_at_most_one_other() {
        let all = ids(200);
        let mut moved = 0;
        for without in 0..all.len() {
            let mut fewer = all.clone();
            fewer.remove(without);
            let (before, after) = (testing(&fewer), testing(&all));
            let others = before.symmetric_difference(&after).filter(|id| ***id != all[without]).count();
            assert!(others <= 1, "{others} moved without {}", all[without]);
            moved += others;
        }
        assert_eq!(testing(&all).len(), 40);
        // Without one of the 40 that test there are still 40 of 199; without another one they stay.
        assert_eq!(moved, 40);
    }

    #[test]
    fn drawn_by_id_neither_order_nor_place_matters_and_the_seed_does() {
        let all = ids(100);
        let reversed: Vec<String> = all.iter().rev().cloned().collect();
        assert_eq!(testing(&all), testing(&reversed));
        let rows: Vec<usize> = (0..10).collect();
        assert_ne!(
            Shuffle::by_id(3, &all).order(&rows, "split"),
            Shuffle::by_id(4, &all).order(&rows, "split")
        );
        assert_ne!(
            Shuffle::by_id(3, &all).order(&rows, "split"),
            Shuffle::by_id(3, &all).order(&rows, "limit")
        );
        // From golden/make_orders.py too: the test images among the user's depend on it.
        assert_eq!(Shuffle::by_id(0, &all).order(&rows, "split"), [6, 9, 2, 3, 8, 4, 0, 5, 1, 7]);
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
