//! Trainings of which one goes on from the other, as one course of epochs.

use std::collections::BTreeMap;

use crate::report::facts::Training;

/// Epochs and the figure in each.
pub(crate) type Points = Vec<(f64, f64)>;
/// The same of each network; of no network by number where all have the same.
pub(crate) type Networks = Vec<(Option<u8>, Points)>;

/// Trainings one after another, each of which goes on from the one before.
pub(crate) struct Course<'a> {
    parts: Vec<Part<'a>>,
}

struct Part<'a> {
    training: &'a Training<'a>,
    /// Epochs before its own.
    before: u32,
}

/// The courses of these trainings, that of the last training first.
pub(crate) fn courses<'a>(trainings: &'a [Training<'a>]) -> Vec<Course<'a>> {
    let mut courses: Vec<Course> = Vec::new();
    for training in trainings {
        let goes_on = |course: &Course| course.parts.last()?.epochs_to(training);
        match courses.last_mut().and_then(|course| Some((goes_on(course)?, course))) {
            Some((before, course)) => course.parts.push(Part { training, before }),
            None => courses.push(Course { parts: vec![Part { training, before: 0 }] }),
        }
    }
    courses.reverse();
    courses
}

/// How many trainings stand before the last one that it goes on from.
pub(crate) fn before_the_last(trainings: &[Training]) -> usize {
    courses(trainings).first().map_or(0, |course| course.parts.len() - 1)
}

impl Part<'_> {
    /// The epochs before those of the next training, if it goes on from this one.
    fn epochs_to(&self, next: &Training) -> Option<u32> {
        let (last, first) = (self.training.history.rows.last()?, next.history.rows.first()?);
        // Where it counts on, the epochs before are in its own numbers.
        let counts_on = first.epoch > last.epoch;
        next.goes_on.then_some(if counts_on { self.before } else { self.before + last.epoch })
    }
}

impl<'a> Course<'a> {
    /// What the trainings are called that others of the course go on from.
    pub(crate) fn earlier(&self) -> Vec<&'a str> {
        let earlier = self.parts.len().saturating_sub(1);
        self.parts.iter().take(earlier).map(|part| part.training.title).collect()
    }

    /// Where each training but the first begins, and what it is called.
    pub(crate) fn beginnings(&self) -> Vec<(f64, &'a str)> {
        let begins = |part: &Part<'a>| {
            let first = part.training.history.rows.first()?.epoch;
            Some((f64::from(part.before + first) - 0.5, part.training.title))
        };
        self.parts.iter().skip(1).filter_map(begins).collect()
    }

    /// A column over the epochs, by what the training is called: the last one if it goes `through` all of them, else each.
    pub(crate) fn series(&self, column: &str, through: bool) -> Vec<(&'a str, Networks)> {
        let length = if through { self.parts.len() } else { 1 };
        let of = |parts: &[Part<'a>]| {
            let networks = by_network(parts, column);
            let title = parts.last()?.training.title;
            (!networks.is_empty()).then_some((title, networks))
        };
        self.parts.chunks(length.max(1)).filter_map(of).collect()
    }
}

fn by_network(parts: &[Part], column: &str) -> Networks {
    let mut networks: BTreeMap<u8, Points> = BTreeMap::new();
    for part in parts {
        for row in &part.training.history.rows {
            if let Some(&value) = row.values.get(column) {
                networks.entry(row.network).or_default().push((f64::from(part.before + row.epoch), value));
            }
        }
    }
    let first = networks.values().next().cloned();
    match first {
        Some(points) if networks.values().all(|other| *other == points) => vec![(None, points)],
        _ => networks.into_iter().map(|(network, points)| (Some(network), points)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifacts::history::{Epoch, History};

    /// Epochs of as many networks.
    fn history(epochs: std::ops::RangeInclusive<u32>, networks: u8) -> History {
        let rows = epochs.flat_map(move |epoch| {
            let values = move |network: u8| {
                let figures = [("loss", f64::from(network)), ("agreement", 0.5)];
                figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            };
            (1..=networks).map(move |network| Epoch { epoch, network, values: values(network) })
        });
        History { columns: ["loss", "agreement"].map(str::to_owned).to_vec(), rows: rows.collect() }
    }

    /// Trainings of which the last goes on from the one before.
    fn trainings<'a>(histories: &[(&'a str, &'a History)]) -> Vec<Training<'a>> {
        let last = histories.len().saturating_sub(1);
        let named = histories.iter().enumerate();
        named
            .map(|(at, &(title, history))| Training { title, goes_on: at > 0 && at == last, history })
            .collect()
    }

    #[test]
    fn a_training_goes_on_from_the_one_before_it_where_that_is_said() {
        let (student, warm_up) = (history(1..=4, 1), history(1..=2, 2));
        let method = history(1..=2, 2);
        let trainings = trainings(&[("student", &student), ("warm-up", &warm_up), ("Co-Reg", &method)]);
        let courses = courses(&trainings);
        let earlier: Vec<_> = courses.iter().map(Course::earlier).collect();
        assert_eq!(earlier, [vec!["warm-up"], vec![]]);
        assert_eq!(courses[0].beginnings(), [(2.5, "Co-Reg")]);
        assert_eq!(before_the_last(&trainings), 1);
    }

    #[test]
    fn a_training_that_begins_anew_goes_on_from_none() {
        let (other, method) = (history(1..=4, 1), history(1..=4, 1));
        let trainings = [("CC", &other), ("RC", &method)].map(|(title, history)| Training {
            title,
            goes_on: false,
            history,
        });
        assert_eq!(before_the_last(&trainings), 0);
        assert_eq!(before_the_last(&[]), 0);
    }

    #[test]
    fn epochs_are_counted_on_whether_or_not_the_history_does() {
        let warm_up = history(1..=2, 1);
        for epochs in [1..=2, 3..=4] {
            let method = history(epochs, 1);
            let trainings = trainings(&[("warm-up", &warm_up), ("Co-Reg", &method)]);
            let points: Vec<_> = (1..=4).map(|epoch| (f64::from(epoch), 1.0)).collect();
            let courses = courses(&trainings);
            assert_eq!(courses[0].series("loss", true), [("Co-Reg", vec![(None, points.clone())])]);
            let [before, after] = [points[..2].to_vec(), points[2..].to_vec()];
            let each = [("warm-up", vec![(None, before)]), ("Co-Reg", vec![(None, after)])];
            assert_eq!(courses[0].series("loss", false), each);
        }
    }

    #[test]
    fn networks_are_apart_only_where_they_differ() {
        let history = history(1..=1, 2);
        let trainings = trainings(&[("warm-up", &history)]);
        let courses = courses(&trainings);
        let networks = |column| -> Vec<Option<u8>> {
            courses[0]
                .series(column, true)
                .into_iter()
                .flat_map(|(_, of)| of)
                .map(|(network, _)| network)
                .collect()
        };
        assert_eq!((networks("loss"), networks("agreement")), (vec![Some(1), Some(2)], vec![None]));
        assert!(networks("purity").is_empty());
    }
}
