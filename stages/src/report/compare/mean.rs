//! Several runs of one variant, which differ in their seeds, as one.

use std::collections::BTreeMap;

use super::{Curve, Figure, RunFacts, side_by_side};

/// The runs as one that is called `name`: figures with mean and deviation, mean curves, and of each setting all values that
/// it had. Predictions and stages are left out.
pub fn mean(name: &str, runs: &[RunFacts]) -> RunFacts {
    let settings = side_by_side(runs, |run| &run.settings[..]).into_iter().map(|row| {
        let mut values: Vec<&str> = Vec::new();
        for value in row.values.into_iter().flatten() {
            if !values.contains(&value.as_str()) {
                values.push(value);
            }
        }
        (row.name.to_owned(), values.join(", "))
    });
    let figures = side_by_side(runs, |run| &run.figures[..])
        .into_iter()
        .filter_map(|row| Some((row.name.to_owned(), mean_figure(row.values.into_iter().flatten())?)));
    let curves = side_by_side(runs, |run| &run.curves[..])
        .into_iter()
        .map(|row| (row.name.to_owned(), mean_curve(row.values.into_iter().flatten())));
    RunFacts {
        name: name.to_owned(),
        data_set: runs.first().map(|run| run.data_set.clone()).unwrap_or_default(),
        settings: settings.collect(),
        figures: figures.collect(),
        curves: curves.collect(),
        ..RunFacts::default()
    }
}

/// Mean, and the deviation of a sample from two values on.
fn mean_figure<'a>(figures: impl Iterator<Item = &'a Figure>) -> Option<Figure> {
    let figures: Vec<&Figure> = figures.collect();
    let count = figures.len() as f64;
    let value = figures.iter().map(|figure| figure.value).sum::<f64>() / count;
    let deviation = (figures.len() > 1).then(|| {
        let squares = figures.iter().map(|figure| (figure.value - value).powi(2));
        (squares.sum::<f64>() / (count - 1.0)).sqrt()
    });
    Some(Figure { value, deviation, share: figures.first()?.share })
}

/// At each epoch the mean over the curves that have it.
fn mean_curve<'a>(curves: impl Iterator<Item = &'a Curve>) -> Curve {
    let mut share = false;
    let mut values: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    for curve in curves {
        share = curve.share;
        for &(epoch, value) in &curve.points {
            let (sum, count) = values.entry(epoch).or_default();
            *sum += value;
            *count += 1.0;
        }
    }
    Curve { share, points: values.into_iter().map(|(epoch, (sum, count))| (epoch, sum / count)).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::compare::accuracy;

    #[test]
    fn seeds_become_mean_and_deviation() {
        let run = |seed: &str, value, points: &[(u32, f64)]| RunFacts {
            settings: vec![("seed".to_owned(), seed.to_owned()), ("method".to_owned(), "rc".to_owned())],
            figures: vec![("a".to_owned(), accuracy(value))],
            curves: vec![("c".to_owned(), Curve { share: true, points: points.to_vec() })],
            ..RunFacts::default()
        };
        let of = mean("RC", &[run("0", 0.5, &[(1, 0.25), (2, 0.5)]), run("1", 0.6, &[(1, 0.75)])]);
        assert_eq!(of.name, "RC");
        assert_eq!(of.settings[0].1, "0, 1");
        assert_eq!(of.settings[1].1, "rc");
        assert_eq!(of.figures[0].1.shown(), "55.00 ± 7.07 %");
        assert_eq!(of.curves[0].1.points, [(1, 0.5), (2, 0.5)]);
        let single = mean("RC", &[run("0", 0.5, &[])]);
        assert_eq!(single.figures[0].1.deviation, None);
    }
}
