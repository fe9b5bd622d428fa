//! Figures of predictions: accuracy, macro F1, agreement.

/// Share of `true` among the given; none of nothing.
pub fn share(of: impl IntoIterator<Item = bool>) -> Option<f64> {
    let (hits, count) = of.into_iter().fold((0u64, 0u64), |(h, n), hit| (h + u64::from(hit), n + 1));
    (count > 0).then(|| hits as f64 / count as f64)
}

/// Share of `predictions` that agree with the truth, among those whose truth is known.
pub fn accuracy(predictions: impl IntoIterator<Item = u32>, truth: &[Option<u32>]) -> Option<f64> {
    let known = predictions.into_iter().zip(truth).filter_map(|(p, truth)| truth.map(|t| p == t));
    share(known)
}

/// Index of the largest value of every row of `classes` values; of equals the first.
pub fn argmax_rows(values: &[f32], classes: usize) -> Vec<u32> {
    (values.chunks(classes))
        .map(|row| (0..row.len()).fold(0, |best, j| if row[j] > row[best] { j } else { best }) as u32)
        .collect()
}

/// Mean over classes of the F1 score, as scikit-learn's `f1_score(average="macro")` over the classes that
/// occur in truth or prediction; none without truth.
pub fn macro_f1(predictions: &[u32], truth: &[Option<u32>], classes: usize) -> Option<f64> {
    let known: Vec<(u32, u32)> =
        predictions.iter().zip(truth).filter_map(|(&p, truth)| Some((p, (*truth)?))).collect();
    let scores = (0..classes as u32).filter_map(|class| {
        let hits = known.iter().filter(|&&(p, t)| p == class && t == class).count();
        let given = known.iter().filter(|&&(p, _)| p == class).count();
        let there = known.iter().filter(|&&(_, t)| t == class).count();
        (given + there > 0).then(|| 2.0 * hits as f64 / (given + there) as f64)
    });
    let scores: Vec<f64> = scores.collect();
    (!known.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macro_f1_is_scikit_learns() {
        // sklearn.metrics.f1_score([0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1], average="macro") == 0.26666…
        let truth = [0, 1, 2, 0, 1, 2].map(Some);
        let score = macro_f1(&[0, 2, 1, 0, 0, 1], &truth, 3);
        assert!((score.unwrap_or(0.0) - 0.266_666_666_666_666_7).abs() < 1e-12);
        assert_eq!(macro_f1(&[0], &[None], 3), None);
    }

    #[test]
    fn the_first_of_equals_is_the_largest() {
        assert_eq!(argmax_rows(&[1.0, 3.0, 3.0, 2.0, 2.0, 0.0], 3), [1, 0]);
    }

    #[test]
    fn what_is_not_known_does_not_count() {
        assert_eq!(accuracy([0, 1, 1], &[Some(0), Some(0), None]), Some(0.5));
        assert_eq!(accuracy([0], &[None]), None);
    }
}
