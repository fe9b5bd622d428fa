//! An axis: a round range around values, with its ticks and what is written beside them; and how a figure is written in a
//! table. It does not know where on a page it lies.

use crate::report::page::{count, percent};

/// A range from the first tick to the last. Every tick is a whole multiple of 1, 2 or 5 times a power of ten.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    /// Values that get a tick, ascending; two at least.
    pub ticks: Vec<f64>,
    /// Digits after the point in what is written beside a tick.
    decimals: usize,
    /// Whether values are shares, written in percent.
    shares: bool,
}

/// Most steps of an axis: more would be a mistake of rounding.
const MOST_STEPS: f64 = 50.0;

impl Axis {
    /// An axis around these finite values, of about as many steps as `wanted`; none around nothing.
    pub(super) fn around(values: &[f64], shares: bool, wanted: usize) -> Option<Self> {
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if !least.is_finite() || !most.is_finite() {
            return None;
        }
        let whole = !shares && values.iter().all(|value| value.fract() == 0.0);
        let (low, high) = widened(least, most, shares, whole);
        let (mut factor, mut exponent) = round_step((high - low) / wanted.max(1) as f64)?;
        if whole && exponent < 0 {
            (factor, exponent) = (1.0, 0);
        }
        let step = factor * 10f64.powi(exponent);
        // A hair beside a multiple is that multiple.
        let first = (low / step + 1e-9).floor();
        let last = (high / step - 1e-9).ceil();
        let steps = (last - first).clamp(1.0, MOST_STEPS) as usize;
        let ticks: Vec<f64> = (0..=steps).map(|at| (first + at as f64) * step).collect();
        let digits = if shares { exponent + 2 } else { exponent };
        let axis = Self { ticks, decimals: usize::try_from(-digits).unwrap_or(0), shares };
        (axis.low() < axis.high()).then_some(axis)
    }

    /// Where the axis begins.
    pub(super) fn low(&self) -> f64 {
        self.ticks.first().copied().unwrap_or(0.0)
    }

    /// Where it ends.
    pub(super) fn high(&self) -> f64 {
        self.ticks.last().copied().unwrap_or(1.0)
    }

    /// Where a value lies: 0 at the beginning, 1 at the end.
    pub(super) fn share(&self, value: f64) -> f64 {
        (value - self.low()) / (self.high() - self.low())
    }

    /// What is written beside a tick.
    pub(super) fn label(&self, tick: f64) -> String {
        // − 0 is 0.
        let tick = tick + 0.0;
        match self.decimals {
            _ if self.shares => format!("{:.*} %", self.decimals, 100.0 * tick),
            0 if tick.abs() < 1e15 => whole_number(tick),
            1..=6 => format!("{:.*}", self.decimals, tick),
            _ => format!("{tick:.1e}"),
        }
    }
}

/// The range of an axis around these values. One value alone gets some room.
fn widened(least: f64, most: f64, shares: bool, whole: bool) -> (f64, f64) {
    if most - least > 1e-9 * least.abs().max(most.abs()) {
        return (least, most);
    }
    let room = match least.abs() {
        _ if shares => 0.05,
        _ if whole => 1.0,
        0.0 => 1.0,
        size => 0.1 * size,
    };
    let (mut low, mut high) = (least - room, most + room);
    if (shares || whole) && least >= 0.0 {
        low = low.max(0.0);
    }
    if shares && most <= 1.0 {
        high = high.min(1.0);
    }
    (low, high)
}

/// The least of 1, 2 and 5 times a power of ten that is no less than this: the factor and the power. None for what is no
/// step.
fn round_step(least: f64) -> Option<(f64, i32)> {
    if !least.is_normal() || least < 0.0 {
        return None;
    }
    let exponent = least.log10().floor() as i32;
    let factor = least / 10f64.powi(exponent);
    let round = [1.0, 2.0, 5.0].into_iter().find(|round| factor <= round * (1.0 + 1e-9));
    Some(round.map_or((1.0, exponent + 1), |round| (round, exponent)))
}

fn whole_number(value: f64) -> String {
    let sign = if value < 0.0 { "-" } else { "" };
    format!("{sign}{}", count(value.abs() as usize))
}

/// A figure in a table: in percent, as a whole number, or to four digits.
pub(super) fn figure(value: f64, shares: bool) -> String {
    let size = value.abs();
    if shares {
        percent(value)
    } else if value.fract() == 0.0 && size < 1e15 {
        whole_number(value)
    } else if (1e-4..1e6).contains(&size) {
        let digits = 3 - size.log10().floor() as i32;
        format!("{:.*}", usize::try_from(digits).unwrap_or(0), value)
    } else {
        format!("{value:.3e}")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn labels(values: &[f64], shares: bool) -> Vec<String> {
        let axis = Axis::around(values, shares, 5).unwrap();
        axis.ticks.iter().map(|&tick| axis.label(tick)).collect()
    }

    #[test]
    fn ticks_are_round_and_enclose_the_values() {
        assert_eq!(labels(&[0.254, 0.77], true), ["20 %", "40 %", "60 %", "80 %"]);
        assert_eq!(labels(&[0.9, 0.913], true), ["90.0 %", "90.5 %", "91.0 %", "91.5 %"]);
        assert_eq!(labels(&[-1.13, 1.57], false), ["-2", "-1", "0", "1", "2"]);
        assert_eq!(labels(&[0.0132, 0.0461], false), ["0.01", "0.02", "0.03", "0.04", "0.05"]);
        assert_eq!(labels(&[334.0, 1718.0], false), ["0", "500", "1,000", "1,500", "2,000"]);
    }

    #[test]
    fn a_value_on_a_tick_gets_no_further_tick() {
        assert_eq!(labels(&[0.3, 0.7], true), ["30 %", "40 %", "50 %", "60 %", "70 %"]);
        assert_eq!(labels(&[0.0, 1.0], true), ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]);
    }

    #[test]
    fn whole_numbers_have_ticks_at_whole_numbers() {
        assert_eq!(labels(&[1.0, 2.0, 3.0], false), ["1", "2", "3"]);
        assert_eq!(labels(&[1.0], false), ["0", "1", "2"]);
    }

    #[test]
    fn a_value_alone_has_room_and_shares_stay_shares() {
        assert_eq!(labels(&[1.0, 1.0], true), ["95 %", "96 %", "97 %", "98 %", "99 %", "100 %"]);
        let axis = Axis::around(&[2.5], false, 5).unwrap();
        assert!(axis.low() < 2.5 && axis.high() > 2.5, "{axis:?}");
    }

    #[test]
    fn around_nothing_and_around_what_is_infinite_there_is_no_axis() {
        assert_eq!(Axis::around(&[], false, 5), None);
        assert_eq!(Axis::around(&[f64::INFINITY], false, 5), None);
        assert_eq!(Axis::around(&[-f64::MAX, f64::MAX], false, 5), None);
    }

    #[test]
    fn figures_have_four_digits_or_are_whole() {
        let all = [1.57482, -0.75091, 0.013211, 1385.0, 0.0, 12345.67, 1.5e-7];
        let written = all.map(|value| figure(value, false));
        assert_eq!(written, ["1.575", "-0.7509", "0.01321", "1,385", "0", "12346", "1.500e-7"]);
        assert_eq!(figure(0.567, true), "56.7 %");
    }
}
