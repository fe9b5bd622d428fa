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

/// Index of the largest value; of equals the first.
pub fn largest(values: &[f32]) -> usize {
    (0..values.len()).fold(0, |best, j| if values[j] > values[best] { j } else { best })
}

/// Index of the largest value of every row of `classes` values; of equals the first.
pub fn argmax_rows(values: &[f32], classes: usize) -> Vec<u32> {
    (values.chunks(classes)).map(|row| largest(row) as u32).collect()
}

/// The softmax of every row of `classes` logits.
pub fn softmax_rows(logits: &[f32], classes: usize) -> Vec<f32> {
    let row = |row: &[f32]| {
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f32> = row.iter().map(|logit| (logit - most).exp()).collect();
        let sum: f32 = powers.iter().sum();
        powers.into_iter().map(move |power| power / sum).collect::<Vec<_>>()
    };
    logits.chunks(classes.max(1)).flat_map(row).collect()
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

/// Mean over classes of the share that is right, as scikit-learn's `balanced_accuracy_score`, over the classes that occur
/// in the truth; none without truth.
pub fn macro_recall(predictions: &[u32], truth: &[Option<u32>], classes: usize) -> Option<f64> {
    let (mut right, mut there) = (vec![0u64; classes], vec![0u64; classes]);
    for (&given, truth) in predictions.iter().zip(truth) {
        if let Some(truth) = *truth {
            there[truth as usize] += 1;
            right[truth as usize] += u64::from(given == truth);
        }
    }
    let recalls = right.iter().zip(&there).filter(|&(_, &there)| there > 0);
    let recalls: Vec<f64> = recalls.map(|(&right, &there)| right as f64 / there as f64).collect();
    (!recalls.is_empty()).then(|| recalls.iter().sum::<f64>() / recalls.len() as f64)
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

    #[test]
    fn every_class_counts_alike_in_macro_recall() {
        // balanced_accuracy_score([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0]) = (3/4 + 1/2) / 2.
        let truth = [0, 0, 0, 0, 1, 1].map(Some);
        assert_eq!(macro_recall(&[0, 0, 0, 1, 1, 0], &truth, 3), Some(0.625));
        assert_eq!(macro_recall(&[0, 1], &[None, None], 2), None);
    }

    #[test]
    fn a_softmax_sums_to_one_whatever_the_logits() {
        let rows = softmax_rows(&[1000.0, 1000.0, -1000.0, 0.0, 2f32.ln(), 0.0], 3);
        let expected = [0.5, 0.5, 0.0, 0.25, 0.5, 0.25];
        assert!(rows.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{rows:?}");
    }
}
