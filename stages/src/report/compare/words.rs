//! How two runs fare on the same images, in the words that terminal and page have in common.

use super::{Changes, Outcome};
use crate::learn::chance::mcnemar;

/// The p-value below which only that is told.
const SMALLEST: f64 = 1e-4;

/// A line and its number for each way in which images come out, and McNemar's test where any truth is known. `first` and
/// `second` are what the runs are called.
pub fn tally(first: &str, second: &str, changes: &Changes) -> Vec<(String, String)> {
    let known = [
        ("both are right".to_owned(), Outcome::BothRight),
        (format!("only {first} is right"), Outcome::OnlyFirst),
        (format!("only {second} is right"), Outcome::OnlySecond),
        ("both are wrong, with one class".to_owned(), Outcome::WrongAlike),
        ("both are wrong, each with another class".to_owned(), Outcome::WrongOtherwise),
    ];
    let unknown = [
        ("truth not known, one class".to_owned(), Outcome::UnknownAlike),
        ("truth not known, another class each".to_owned(), Outcome::UnknownOtherwise),
    ];
    let any_truth = changes.any_truth();
    let known = known.into_iter().filter(|_| any_truth);
    let unknown = unknown.into_iter().filter(|(_, outcome)| changes.count(*outcome) > 0);
    let line = |(words, outcome): (String, Outcome)| (words, changes.count(outcome).to_string());
    let mut lines: Vec<(String, String)> = known.chain(unknown).map(line).collect();
    if any_truth {
        let p = mcnemar(changes.count(Outcome::OnlyFirst), changes.count(Outcome::OnlySecond));
        let p = if p < SMALLEST { format!("p < {SMALLEST}") } else { format!("p = {p:.4}") };
        lines.push(("McNemar's exact test".to_owned(), p));
    }
    lines
}

/// How many of the test images are in both runs; nothing where all are.
pub fn in_both(first: &str, second: &str, changes: &Changes) -> Option<String> {
    let both = changes.images();
    match changes.tested {
        [one, other] if both == one && both == other => None,
        [one, other] if one == other => Some(format!("{both} of {one} test images are in both")),
        [one, other] => Some(format!(
            "{both} of the {one} test images of {first} and the {other} of {second} are in both"
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::report::compare::{Prediction, RunFacts};

    /// A run that says these classes of images whose true class is 0, if any.
    fn run(classes: &[usize], truth: Option<usize>) -> RunFacts {
        let predictions = classes.iter().enumerate().map(|(at, &class)| Prediction {
            id: at.to_string(),
            truth,
            class,
            probs: vec![1.0 / 3.0; 3],
            content: None,
        });
        RunFacts { predictions: predictions.collect(), ..RunFacts::default() }
    }

    fn told(a: &[usize], b: &[usize], truth: Option<usize>) -> Vec<String> {
        let (a, b) = (run(a, truth), run(b, truth));
        let lines = tally("A", "B", &Changes::between(&a, &b).unwrap());
        lines.into_iter().map(|(words, number)| format!("{words}: {number}")).collect()
    }

    #[test]
    fn where_the_truth_is_known_it_is_told_who_is_right_and_whether_by_chance() {
        let expected = [
            "both are right: 1",
            "only A is right: 7",
            "only B is right: 0",
            "both are wrong, with one class: 0",
            "both are wrong, each with another class: 1",
            "McNemar's exact test: p = 0.0156",
        ];
        assert_eq!(told(&[0, 0, 0, 0, 0, 0, 0, 0, 1], &[0, 1, 1, 1, 1, 1, 2, 2, 2], Some(0)), expected);
        let many = told(&[0; 40], &[1; 40], Some(0));
        assert_eq!(many.last().map(String::as_str), Some("McNemar's exact test: p < 0.0001"));
    }

    #[test]
    fn where_no_truth_is_known_it_is_told_how_many_changed() {
        let expected = ["truth not known, one class: 1", "truth not known, another class each: 2"];
        assert_eq!(told(&[0, 1, 2], &[0, 2, 1], None), expected);
    }

    #[test]
    fn how_many_images_are_in_both_is_told_unless_all_are() {
        let told = |a: usize, b: usize| {
            let (a, b) = (run(&vec![0; a], None), run(&vec![0; b], None));
            in_both("A", "B", &Changes::between(&a, &b).unwrap())
        };
        assert_eq!(told(3, 3), None);
        let expected = "2 of the 2 test images of A and the 3 of B are in both";
        assert_eq!(told(2, 3).as_deref(), Some(expected));
        let (a, mut b) = (run(&[0; 3], None), run(&[0; 3], None));
        b.predictions[2].id = "another".to_owned();
        let told = in_both("A", "B", &Changes::between(&a, &b).unwrap());
        assert_eq!(told.as_deref(), Some("2 of 3 test images are in both"));
    }
}
