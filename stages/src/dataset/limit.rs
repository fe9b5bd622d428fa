//! Which rows are kept when a run is limited: so many whatever their class, or equally many of each.
//!
//! It sees only splits, labels and orders: nothing of images or files.

use std::collections::BTreeMap;

use pipeline::error::{Error, Result};

use super::split::{Shuffle, Split, permutation};

/// The rows that stay when at most `train` and `test` rows of the splits are wanted, ascending.
///
/// Rows are drawn at random, not by class. Under one seed a lower limit keeps a subset of what a
/// higher one keeps.
pub fn limit(splits: &[Split], train: Option<usize>, test: Option<usize>, shuffle: &Shuffle) -> Vec<usize> {
    let mut kept = Vec::new();
    for (split, most) in [(Split::Train, train), (Split::Test, test)] {
        let rows = rows_of(splits, split);
        match most {
            Some(most) if most < rows.len() => {
                kept.extend(shuffle.order(&rows, &format!("limit {split}")).into_iter().take(most));
            }
            _ => kept.extend(rows),
        }
    }
    kept.sort_unstable();
    kept
}

/// As [`limit`], and as many rows of each class as of every other: the classes give a row each in turn, in a random
/// order, until there are enough; a class that has no more is passed over. Under one seed a lower limit keeps a subset
/// of what a higher one keeps.
///
/// # Errors
/// A row without a label in a split that is limited.
pub fn limit_evenly(
    splits: &[Split],
    labels: &[Option<i32>],
    train: Option<usize>,
    test: Option<usize>,
    shuffle: &Shuffle,
) -> Result<Vec<usize>> {
    let mut kept = Vec::new();
    for (split, most) in [(Split::Train, train), (Split::Test, test)] {
        let rows = rows_of(splits, split);
        match most {
            Some(most) if most < rows.len() => kept.extend(evenly(&rows, labels, most, split, shuffle)?),
            _ => kept.extend(rows),
        }
    }
    kept.sort_unstable();
    Ok(kept)
}

/// The first `most` of `rows` when the classes take turns.
fn evenly(
    rows: &[usize],
    labels: &[Option<i32>],
    most: usize,
    split: Split,
    shuffle: &Shuffle,
) -> Result<Vec<usize>> {
    let mut classes: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    let mut unknown = 0;
    for row in shuffle.order(rows, &format!("limit {split}")) {
        match labels[row] {
            Some(label) => classes.entry(label).or_default().push(row),
            None => unknown += 1,
        }
    }
    if unknown > 0 {
        return Err(Error::new(format!(
            "a limit that takes equally many of each class needs the true labels, and {unknown} of {} {split} images \
             have none",
            rows.len()
        ))
        .help("SET=download.balanced=false takes images whatever their class"));
    }
    let count = classes.keys().next_back().map_or(0, |last| *last as usize + 1);
    let turns = permutation(count, shuffle.seed, &format!("limit {split}: classes"));
    let turns: Vec<&Vec<usize>> = turns.iter().filter_map(|class| classes.get(&(*class as i32))).collect();
    let longest = turns.iter().map(|rows| rows.len()).max().unwrap_or(0);
    let rounds = (0..longest).flat_map(|round| turns.iter().filter_map(move |rows| rows.get(round).copied()));
    Ok(rounds.take(most).collect())
}

/// The rows of a split, ascending.
fn rows_of(splits: &[Split], split: Split) -> Vec<usize> {
    (0..splits.len()).filter(|row| splits[*row] == split).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::super::split::{SplitRule, split};
    use super::*;

    const FIFTH: SplitRule = SplitRule::Random { test_share: 0.2 };

    #[test]
    fn a_limit_keeps_order_and_a_lower_one_keeps_a_subset() {
        let splits = split(&FIFTH, &vec![None; 500], &Shuffle::by_place(5)).unwrap();
        let many = limit(&splits, Some(100), Some(30), &Shuffle::by_place(5));
        let few = limit(&splits, Some(40), Some(10), &Shuffle::by_place(5));
        assert!(many.is_sorted() && few.is_sorted());
        let of = |rows: &[usize], split| rows.iter().filter(|row| splits[**row] == split).count();
        assert_eq!((of(&many, Split::Train), of(&many, Split::Test)), (100, 30));
        assert_eq!((of(&few, Split::Train), of(&few, Split::Test)), (40, 10));
        assert!(few.iter().all(|row| many.contains(row)));
        assert_ne!(limit(&splits, Some(40), Some(10), &Shuffle::by_place(6)), few);
    }

    #[test]
    fn no_limit_and_a_limit_beyond_the_rows_keep_everything() {
        let splits = split(&FIFTH, &[None; 50], &Shuffle::by_place(5)).unwrap();
        assert_eq!(limit(&splits, None, None, &Shuffle::by_place(1)), (0..50).collect::<Vec<_>>());
        assert_eq!(limit(&splits, Some(1000), Some(10), &Shuffle::by_place(1)), (0..50).collect::<Vec<_>>());
    }

    /// How many rows of each of three classes a balanced limit keeps, out of `having` of each.
    fn balanced(having: [usize; 3], most: usize, seed: u64) -> [usize; 3] {
        let labels = labels(having);
        let splits = vec![Split::Train; labels.len()];
        let kept = limit_evenly(&splits, &labels, Some(most), None, &Shuffle::by_place(seed)).unwrap();
        assert!(kept.is_sorted());
        [0, 1, 2].map(|class| kept.iter().filter(|row| labels[**row] == Some(class)).count())
    }

    fn labels(having: [usize; 3]) -> Vec<Option<i32>> {
        let of = |class: usize| std::iter::repeat_n(Some(class as i32), having[class]);
        (0..3).flat_map(of).collect()
    }

    #[test]
    fn a_balanced_limit_takes_equally_many_of_each_class_and_the_rest_by_chance() {
        assert_eq!(balanced([50, 500, 100], 60, 1), [20, 20, 20]);
        let firsts: BTreeSet<usize> = (0..20)
            .map(|seed| {
                let kept = balanced([50, 500, 100], 61, seed);
                assert_eq!(kept.iter().sum::<usize>(), 61);
                kept.iter().position(|count| *count == 21).unwrap()
            })
            .collect();
        assert_eq!(firsts.len(), 3, "the odd one is always of the same classes");
        assert_eq!(balanced([50, 500, 100], 61, 7), balanced([50, 500, 100], 61, 7));
    }

    #[test]
    fn a_class_that_has_fewer_gives_all_and_the_others_fill_up() {
        assert_eq!(balanced([5, 500, 500], 45, 1), [5, 20, 20]);
        assert_eq!(balanced([5, 0, 500], 45, 1), [5, 0, 40]);
        assert_eq!(balanced([5, 10, 500], 515, 1), [5, 10, 500]);
    }

    #[test]
    fn a_lower_balanced_limit_keeps_a_subset() {
        let labels = labels([5, 70, 300]);
        let splits = split(&FIFTH, &vec![None; labels.len()], &Shuffle::by_place(5)).unwrap();
        let kept = |train, test| {
            limit_evenly(&splits, &labels, Some(train), Some(test), &Shuffle::by_place(5)).unwrap()
        };
        let of = |rows: &[usize], split| rows.iter().filter(|row| splits[**row] == split).count();
        for (few, many) in [(10, 100), (99, 100), (100, 101), (3, 4)] {
            let (few, many) = (kept(few, few / 5), kept(many, many / 5));
            assert!(few.iter().all(|row| many.contains(row)));
        }
        assert_eq!((of(&kept(100, 20), Split::Train), of(&kept(100, 20), Split::Test)), (100, 20));
    }

    #[test]
    fn a_balanced_limit_without_all_labels_is_refused_where_it_limits() {
        let mut labels = labels([10, 10, 10]);
        labels[3] = None;
        let splits = [[Split::Train; 20].as_slice(), &[Split::Test; 10]].concat();
        let limited = |train, test| limit_evenly(&splits, &labels, train, test, &Shuffle::by_place(1));
        let error = limited(Some(6), None).unwrap_err().to_string();
        assert!(
            error.contains("1 of 20 train images") && error.contains("download.balanced=false"),
            "{error}"
        );
        assert_eq!(limited(Some(20), Some(3)).unwrap().len(), 23);
    }
}
