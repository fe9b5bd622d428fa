//! An order of classes in which those that are taken for each other stand side by side. It knows nothing of images.

/// The rows of `shares` in such an order, where `shares[i][j]` says how often `i` is taken for `j`: the groups that are
/// most alike on average are joined, until there is one. Where nothing is alike, the order stays.
pub(super) fn side_by_side(shares: &[Vec<f64>]) -> Vec<usize> {
    let likeness = |i: usize, j: usize| shares[i][j] + shares[j][i];
    let mut groups: Vec<Vec<usize>> = (0..shares.len()).map(|class| vec![class]).collect();
    while let Some((first, second)) = most_alike(&groups, &likeness) {
        let second = groups.remove(second);
        let group = std::mem::take(&mut groups[first]);
        groups[first] = joined(&group, &second, &likeness);
    }
    groups.concat()
}

/// The two groups whose classes are most alike on average, of equals the first; none where there is but one.
fn most_alike(groups: &[Vec<usize>], likeness: &impl Fn(usize, usize) -> f64) -> Option<(usize, usize)> {
    let mean = |(first, second): (usize, usize)| {
        let (first, second) = (&groups[first], &groups[second]);
        let pairs = first.iter().flat_map(|&i| second.iter().map(move |&j| likeness(i, j)));
        pairs.sum::<f64>() / (first.len() * second.len()) as f64
    };
    let pairs =
        (0..groups.len()).flat_map(|first| (first + 1..groups.len()).map(move |second| (first, second)));
    let rated = pairs.map(|pair| (mean(pair), pair));
    rated.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, pair)| pair)
}

/// Both groups in one row, either of them turned round if classes that are more alike then touch.
fn joined(first: &[usize], second: &[usize], likeness: &impl Fn(usize, usize) -> f64) -> Vec<usize> {
    let turned = |group: &[usize]| -> Vec<usize> { group.iter().rev().copied().collect() };
    let ways = [
        (first.to_vec(), second.to_vec()),
        (turned(first), second.to_vec()),
        (first.to_vec(), turned(second)),
        (turned(first), turned(second)),
    ];
    let touch = |(left, right): &(Vec<usize>, Vec<usize>)| {
        left.last().zip(right.first()).map_or(0.0, |(&i, &j)| likeness(i, j))
    };
    let best = ways.into_iter().reduce(|best, next| if touch(&next) > touch(&best) { next } else { best });
    best.map(|(left, right)| [left, right].concat()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shares of so many classes, of which these pairs are taken for each other.
    fn shares(classes: usize, pairs: &[(usize, usize, f64)]) -> Vec<Vec<f64>> {
        let mut shares = vec![vec![0.0; classes]; classes];
        for &(i, j, share) in pairs {
            shares[i][j] = share;
        }
        shares
    }

    #[test]
    fn classes_that_are_taken_for_each_other_stand_side_by_side() {
        let strong = [(0, 3, 0.3), (5, 0, 0.2), (3, 5, 0.25), (1, 6, 0.2), (4, 1, 0.3), (6, 4, 0.2)];
        let weak = [(0, 1, 0.01), (2, 6, 0.02), (5, 6, 0.03)];
        let order = side_by_side(&shares(7, &[&strong[..], &weak[..]].concat()));
        let mut all = order.clone();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4, 5, 6]);
        for block in [[0, 3, 5], [1, 4, 6]] {
            let at: Vec<usize> = (0..7).filter(|&at| block.contains(&order[at])).collect();
            assert_eq!(at[2] - at[0], 2, "{block:?} is torn apart in {order:?}");
        }
    }

    #[test]
    fn groups_are_turned_so_that_like_ends_touch() {
        let order = side_by_side(&shares(4, &[(0, 1, 0.5), (2, 3, 0.5), (0, 3, 0.2)]));
        assert_eq!(order, [1, 0, 3, 2]);
    }

    #[test]
    fn where_nothing_is_alike_the_order_stays() {
        assert_eq!(side_by_side(&shares(5, &[])), [0, 1, 2, 3, 4]);
        assert!(side_by_side(&[]).is_empty());
    }
}
