//! How far a variant is from another over the seeds that both have.

/// The 97.5 % quantile of Student's t with 1, 2, … degrees of freedom; beyond them the normal distribution's is within 3 %
/// of it.
const T: [f64; 20] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086,
];

/// The difference of a variant to the first one, in points, seed by seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The variant's title.
    pub name: String,
    /// The mean over the seeds.
    pub points: f64,
    /// Half the interval in which the mean lies with a probability of 95 %, by Student's t on the differences.
    pub margin: f64,
    /// How many seeds both have.
    pub seeds: usize,
}

impl Difference {
    /// The difference of the variant `name`, of which these are those of single seeds, in points; none of fewer than two.
    pub fn of(name: &str, points: &[f64]) -> Option<Self> {
        let count = points.len() as f64;
        let t = T.get(points.len().checked_sub(2)?).copied().unwrap_or(2.02);
        let mean = points.iter().sum::<f64>() / count;
        let variance = points.iter().map(|of| (of - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let margin = t * (variance / count).sqrt();
        Some(Self { name: name.to_owned(), points: mean, margin, seeds: points.len() })
    }

    /// Whether the interval leaves out that there is no difference.
    pub fn can_be_told_apart(&self) -> bool {
        self.points.abs() > self.margin
    }

    /// The mean and half its interval for people: `+1.67 ± 14.34`.
    pub fn shown(&self) -> String {
        format!("{:+.2} ± {:.2}", self.points, self.margin)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_difference_has_the_interval_of_students_t() {
        // scipy: t.interval(0.95, 2, loc=mean, scale=sem) of [5, -5, 5] is 1.667 ± 14.342.
        let scattered = Difference::of("a", &[5.0, -5.0, 5.0]).unwrap();
        assert_eq!((scattered.shown().as_str(), scattered.can_be_told_apart()), ("+1.67 ± 14.34", false));
        let steady = Difference::of("b", &[2.0, 2.0, 2.5]).unwrap();
        assert_eq!((steady.can_be_told_apart(), steady.seeds), (true, 3));
        assert_eq!(Difference::of("c", &[2.0]), None);
        assert_eq!(Difference::of("c", &[]), None);
    }

    #[test]
    fn what_never_differs_cannot_be_told_apart() {
        assert!(!Difference::of("a", &[0.0, 0.0]).unwrap().can_be_told_apart());
    }
}
