//! Whether two classifiers differ on the same images by more than chance.

/// McNemar's exact test, two-sided: how likely it is that counts so unlike or more come about where either run is as
/// often the only one that is right as the other. `only_first` images are right in the first run alone, `only_second` in
/// the second alone; the images on which both are right or wrong say nothing.
pub fn mcnemar(only_first: usize, only_second: usize) -> f64 {
    let (count, fewer) = (only_first + only_second, only_first.min(only_second));
    // Logarithms: 2 to the power of some thousand is no f64.
    let of_all = count as f64 * std::f64::consts::LN_2;
    let (mut ways, mut tail) = (0f64, 0f64);
    for right in 0..=fewer {
        if right > 0 {
            ways += ((count - right + 1) as f64 / right as f64).ln();
        }
        tail += (ways - of_all).exp();
    }
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_p_value_is_scipys() {
        // from scipy.stats import binomtest
        // [binomtest(a, a + b, 0.5).pvalue for a, b in [(12, 31), (12, 3), (0, 6), (7, 7), (400, 520), (5000, 5300)]]
        let golden = [
            (12, 31, 0.005_401_572_654_591_291),
            (12, 3, 0.035_156_25),
            (0, 6, 0.031_25),
            (7, 7, 1.0),
            (400, 520, 8.549_170_923_883_781e-5),
            (5000, 5300, 0.003_215_819_673_645_259),
        ];
        for (a, b, expected) in golden {
            let p = mcnemar(a, b);
            assert!((p - expected).abs() <= 1e-9 * expected, "{a}, {b}: {p} instead of {expected}");
        }
    }

    #[test]
    fn no_image_tells_nothing_apart() {
        assert_eq!(mcnemar(0, 0), 1.0);
    }
}
