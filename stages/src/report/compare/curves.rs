//! What the epochs of a run were like, as curves that can be laid over those of another run.

use super::figures::ACCURACY;
use crate::artifacts::history::{Epoch, History};

/// A figure over the epochs.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Whether it is a share.
    pub share: bool,
    /// Epoch and value; epochs that do not have the figure are left out.
    pub points: Vec<(u32, f64)>,
}

/// The columns of the test accuracy: of all networks together where there are several.
const TOGETHER: &str = "accuracy_test_both";
const ALONE: &str = "accuracy_test";

/// Test accuracy, losses, purities and accuracies of pseudo-labels over the epochs of `trainings`, of which each goes on
/// from the one before; of several networks the mean.
pub fn curves(trainings: &[&History]) -> Vec<(String, Curve)> {
    let mut columns: Vec<&str> = Vec::new();
    for column in trainings.iter().flat_map(|history| &history.columns) {
        let told = column == "loss"
            || ["loss_", "purity", "pseudo_label_accuracy"].iter().any(|begin| column.starts_with(begin));
        if told && !columns.contains(&column.as_str()) {
            columns.push(column);
        }
    }
    let of_columns = columns.into_iter().map(|column| (column.replace('_', " "), vec![column]));
    let all = std::iter::once((ACCURACY.to_owned(), vec![TOGETHER, ALONE])).chain(of_columns);
    let curve = |(title, columns): (String, Vec<&str>)| {
        let share = !title.starts_with("loss");
        (title, Curve { share, points: points(trainings, &columns) })
    };
    all.map(curve).filter(|(_, curve)| !curve.points.is_empty()).collect()
}

/// The first of `columns` that an epoch has.
fn points(trainings: &[&History], columns: &[&str]) -> Vec<(u32, f64)> {
    let (mut before, mut points) = (0, Vec::new());
    for history in trainings {
        let epochs = history.rows.chunk_by(|a, b| a.epoch == b.epoch);
        points.extend(epochs.filter_map(|rows| {
            let value = columns.iter().find_map(|column| mean(rows, column))?;
            Some((before + rows.first()?.epoch, value))
        }));
        before += history.rows.last().map_or(0, |row| row.epoch);
    }
    points
}

/// The mean of a figure over the networks that have it.
fn mean(rows: &[Epoch], column: &str) -> Option<f64> {
    let values: Vec<f64> = rows.iter().filter_map(|row| row.values.get(column).copied()).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A history of two networks; each epoch has these figures of both.
    fn history(columns: &[&str], epochs: &[&[(&str, [f64; 2])]]) -> History {
        let row = |epoch: usize, network: usize| Epoch {
            epoch: epoch as u32 + 1,
            network: network as u8 + 1,
            values: epochs[epoch]
                .iter()
                .map(|(name, values)| ((*name).to_owned(), values[network]))
                .collect(),
        };
        let rows = (0..epochs.len()).flat_map(|epoch| [row(epoch, 0), row(epoch, 1)]).collect();
        History { columns: columns.iter().map(|&column| column.to_owned()).collect(), rows }
    }

    #[test]
    fn a_training_goes_on_where_the_one_before_ended_and_networks_are_averaged() {
        let warm_up = history(
            &["loss", "accuracy_test"],
            &[&[("loss", [3.0, 1.0]), ("accuracy_test", [0.25, 0.75])], &[("loss", [1.0, 1.0])]],
        );
        let method = history(
            &["learning_rate", "loss", "purity_partial", "accuracy_test_both"],
            &[&[("loss", [0.5, 0.5]), ("purity_partial", [0.75, 0.75]), ("accuracy_test_both", [1.0, 1.0])]],
        );
        let curve = |title: &str, share, points: &[(u32, f64)]| {
            (title.to_owned(), Curve { share, points: points.to_vec() })
        };
        let expected = [
            curve("test accuracy", true, &[(1, 0.5), (3, 1.0)]),
            curve("loss", false, &[(1, 2.0), (2, 1.0), (3, 0.5)]),
            curve("purity partial", true, &[(3, 0.75)]),
        ];
        assert_eq!(curves(&[&warm_up, &method]), expected);
        assert!(curves(&[]).is_empty());
    }
}
