//! The learning rate over epochs, and the ramps of loss terms (method §§7 and 9).

/// Cosine from `start` towards `end` over `horizon` epochs, whatever the run's length (method §9).
/// `epoch` counts from 0; past the horizon the rate stays at `end`.
pub fn cosine(start: f64, end: f64, epoch: usize, horizon: usize) -> f64 {
    let progress = (epoch as f64 / horizon.max(1) as f64).min(1.0);
    end + (start - end) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
}

/// A value that goes linearly from `start` to `end` while `progress` goes from 0 to 1, and stays there.
pub fn linear(start: f64, end: f64, progress: f64) -> f64 {
    start + (end - start) * progress.clamp(0.0, 1.0)
}

/// A weight that grows linearly from 0 to 1 over `length` epochs; `epoch` counts from 0.
pub fn linear_ramp(epoch: f64, length: usize) -> f64 {
    if length == 0 { 1.0 } else { (epoch / length as f64).clamp(0.0, 1.0) }
}

/// Whose turn it is in an epoch that sees `most` of `all` images: the place of each in the random order of a round. Every
/// image has its turn in a round before any has one in the next; `epoch` counts from 0.
pub fn turns(epoch: usize, most: usize, all: usize) -> impl Iterator<Item = (usize, usize)> {
    (epoch * most..(epoch + 1) * most).map(move |turn| (turn / all.max(1), turn % all.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cosine_begins_at_the_start_and_ends_at_the_end() {
        assert!((cosine(0.01, 1e-5, 0, 800) - 0.01).abs() < 1e-15);
        assert!((cosine(0.01, 1e-5, 400, 800) - (0.01 + 1e-5) / 2.0).abs() < 1e-15);
        assert!((cosine(0.01, 1e-5, 900, 800) - 1e-5).abs() < 1e-15);
    }

    #[test]
    fn every_image_has_its_turn_before_any_has_another() {
        let all: Vec<(usize, usize)> = (0..7).flat_map(|epoch| turns(epoch, 4, 10)).collect();
        let expected = (0..3).flat_map(|round| (0..10).map(move |place| (round, place)));
        assert!(all.iter().copied().eq(expected.take(28)), "{all:?}");
    }

    #[test]
    fn the_ramp_is_linear_and_stays_at_one() {
        assert_eq!([0.0, 8.0, 16.0, 30.0].map(|epoch| linear_ramp(epoch, 16)), [0.0, 0.5, 1.0, 1.0]);
        assert_eq!(linear_ramp(0.0, 0), 1.0);
    }
}
