//! How likely counts are by chance. It knows nothing of images.

/// The probability of `most` hits or fewer in `count` independent tries, each of which is a hit with probability `share`:
/// the lower tail of the binomial distribution.
pub fn at_most(most: usize, count: usize, share: f64) -> f64 {
    if most >= count || share <= 0.0 {
        return 1.0;
    }
    if share >= 1.0 {
        return 0.0;
    }
    // Logarithms: a share to the power of some thousand is no f64.
    let (hit, miss) = (share.ln(), (-share).ln_1p());
    let (mut ways, mut tail) = (0.0f64, 0.0f64);
    for hits in 0..=most {
        if hits > 0 {
            ways += ((count - hits + 1) as f64 / hits as f64).ln();
        }
        tail += (ways + hits as f64 * hit + (count - hits) as f64 * miss).exp();
    }
    tail.min(1.0)
}

/// McNemar's exact test, two-sided: how likely it is that counts so unlike or more come about where either of two
/// classifiers is as often the only one that is right on an image as the other; images on which both are right or wrong say
/// nothing.
pub fn mcnemar(one: usize, other: usize) -> f64 {
    (2.0 * at_most(one.min(other), one + other, 0.5)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, expected: f64) {
        assert!((value - expected).abs() <= 1e-9 * expected, "{value} instead of {expected}");
    }

    #[test]
    fn the_tail_is_scipys() {
        // from scipy.stats import binom
        // binom.cdf([0, 2, 3, 12, 5000, 40], [60, 60, 1000, 43, 10300, 1000], [1 / 6, 1 / 6, 0.012, 0.5, 0.5, 0.1])
        near(at_most(0, 60, 1.0 / 6.0), 1.774_701_176_226_416_5e-5);
        near(at_most(2, 60, 1.0 / 6.0), 0.001_487_199_585_677_741_1);
        near(at_most(3, 1000, 0.012), 0.002_197_387_743_171_452);
        near(at_most(12, 43, 0.5), 0.002_700_786_327_295_645_6);
        near(at_most(5000, 10_300, 0.5), 0.001_607_909_836_822_629_5);
        near(at_most(40, 1000, 0.1), 1.041_995_032_640_392e-12);
    }

    #[test]
    fn at_the_ends_nothing_or_everything_is_certain() {
        let ends = [at_most(3, 3, 0.5), at_most(0, 3, 0.0), at_most(2, 3, 1.0), at_most(0, 0, 0.5)];
        assert_eq!(ends, [1.0, 1.0, 0.0, 1.0]);
    }

    #[test]
    fn mcnemars_test_is_scipys() {
        // from scipy.stats import binomtest
        // [binomtest(a, a + b, 0.5).pvalue for a, b in [(12, 31), (12, 3), (0, 6), (400, 520)]]
        near(mcnemar(12, 31), 0.005_401_572_654_591_291);
        near(mcnemar(12, 3), 0.035_156_25);
        near(mcnemar(0, 6), 0.031_25);
        near(mcnemar(400, 520), 8.549_170_923_883_781e-5);
        assert_eq!((mcnemar(7, 7), mcnemar(0, 0)), (1.0, 1.0));
    }
}
