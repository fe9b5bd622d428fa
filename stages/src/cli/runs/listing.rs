//! How kept runs are listed: a line each, with the test accuracy where it is still there, and with what was asked for.

mod asked;

use std::collections::BTreeMap;

use pipeline::error::Result;
use pipeline::fingerprint::Fingerprint;
use pipeline::store::{Peek, Store};

use crate::artifacts::evaluation::Evaluation;
use crate::cli::diff::aligned;
use crate::cli::record::{FinishedRun, RecordedBranch};
use asked::{asked_for, rarest_first, wrapped};

/// What is asked for stands beside the other columns if there are so many columns left for it, and else below them.
const BESIDE: usize = 30;
/// By how much it is then indented.
const INDENTED: usize = 4;

/// Looks up what is told of runs.
pub(super) struct Listing<'a> {
    store: &'a Store,
    /// Accuracies that were looked up: runs share results.
    seen: BTreeMap<Fingerprint, Accuracy>,
}

/// What is known of a test accuracy.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Accuracy {
    Known(f64),
    /// Nothing was tested, or no truth is known.
    None,
    /// The result was cleaned away.
    Cleaned,
    Damaged,
}

/// The lines of a run and its branches.
///
/// # Errors
/// A record of another form; a result that cannot be read.
pub(super) fn of_branches(
    listing: &mut Listing,
    run: &FinishedRun,
    width: Option<usize>,
) -> Result<Vec<String>> {
    let mut lines = listing.of_runs(&[run], width)?;
    lines.push(String::new());
    let mut rows = vec![["branch", "variant", "test accuracy"].map(str::to_owned).to_vec()];
    for branch in &run.head()?.branches {
        let accuracy = listing.accuracy(run, branch)?.told();
        let name = if branch.name.is_empty() { "–".to_owned() } else { format!(":{}", branch.name) };
        rows.push(vec![name, branch.variant.clone(), accuracy]);
    }
    lines.extend(aligned(&rows, 2));
    Ok(lines)
}

impl<'a> Listing<'a> {
    /// Looks results up in `store`.
    pub(super) fn new(store: &'a Store) -> Self {
        Self { store, seen: BTreeMap::new() }
    }

    /// A headline, and a line for each run; where it is wider than `width` columns, several.
    ///
    /// # Errors
    /// A result that cannot be read.
    pub(super) fn of_runs(&mut self, runs: &[&FinishedRun], width: Option<usize>) -> Result<Vec<String>> {
        let head = ["run", "began (UTC)", "data set", "method", "test accuracy", "seconds"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        let mut all = Vec::new();
        for run in runs {
            let (asked, accuracy) = match run.head() {
                Ok(head) => {
                    let accuracies = head.branches.iter().map(|branch| self.accuracy(run, branch));
                    let accuracies = accuracies.collect::<Result<Vec<_>>>()?;
                    let mut asked = asked_for(&head.command);
                    if head.branches.len() > 1 {
                        asked.insert(0, format!("{} branches", head.branches.len()));
                    }
                    (asked, range(&accuracies))
                }
                Err(_) => (Vec::new(), "other form".to_owned()),
            };
            all.push((run.data_set.as_str(), asked));
            rows.push(vec![
                run.id.clone(),
                run.at.chars().take("2026-01-01T00:00".len()).collect::<String>().replace('T', " "),
                run.data_set.clone(),
                run.method.clone(),
                accuracy,
                format!("{:.1}", run.seconds),
            ]);
        }
        let asked = std::iter::once(vec!["asked for".to_owned()]).chain(rarest_first(all));
        Ok(beside(&aligned(&rows, 4), asked, width))
    }

    fn accuracy(&mut self, run: &FinishedRun, branch: &RecordedBranch) -> Result<Accuracy> {
        let Some(fingerprint) = run.result(&branch.evaluation) else { return Ok(Accuracy::None) };
        if let Some(&seen) = self.seen.get(fingerprint) {
            return Ok(seen);
        }
        let accuracy = match self.store.peek(fingerprint)? {
            Peek::Nothing => Accuracy::Cleaned,
            Peek::Damaged(_) => Accuracy::Damaged,
            Peek::Kept(record) => match self.store.load::<Evaluation>(&record) {
                Ok(evaluation) => evaluation.get("accuracy").map_or(Accuracy::None, Accuracy::Known),
                Err(_) => Accuracy::Damaged,
            },
        };
        self.seen.insert(*fingerprint, accuracy);
        Ok(accuracy)
    }
}

impl Accuracy {
    fn told(self) -> String {
        match self {
            Self::Known(share) => format!("{:.1} %", 100.0 * share),
            Self::None => "–".to_owned(),
            Self::Cleaned => "cleaned".to_owned(),
            Self::Damaged => "damaged".to_owned(),
        }
    }
}

/// The accuracies of all branches: from the lowest to the highest of those that are known.
fn range(accuracies: &[Accuracy]) -> String {
    let known = accuracies.iter().filter_map(|accuracy| match accuracy {
        Accuracy::Known(share) => Some(*share),
        _ => None,
    });
    let (low, high) = known
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), share| (low.min(share), high.max(share)));
    if low < high {
        format!("{:.1}–{:.1} %", 100.0 * low, 100.0 * high)
    } else if low == high {
        Accuracy::Known(low).told()
    } else {
        accuracies.first().copied().unwrap_or(Accuracy::None).told()
    }
}

/// Lines, all of one width, with words beside or below them, in no more than `width` columns if that is known.
fn beside(lines: &[String], words: impl Iterator<Item = Vec<String>>, width: Option<usize>) -> Vec<String> {
    let indented = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0) + 2;
    let room = width.map(|width| width.saturating_sub(indented));
    let below = room.is_some_and(|room| room < BESIDE);
    let (indented, room) = match width {
        Some(width) if below => (INDENTED, Some(width.saturating_sub(INDENTED))),
        _ => (indented, room),
    };
    let mut all = Vec::new();
    for (line, words) in lines.iter().zip(words) {
        let mut told = wrapped(&words, room);
        let first = (!below && !told.is_empty()).then(|| told.remove(0));
        all.push(first.map_or_else(|| line.clone(), |first| format!("{line}  {first}")));
        all.extend(told.into_iter().map(|more| format!("{:indented$}{more}", "")));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_branches_are_told_by_their_range() {
        let known = Accuracy::Known;
        assert_eq!(range(&[known(0.75), Accuracy::Cleaned, known(0.5)]), "50.0–75.0 %");
        assert_eq!(range(&[known(0.75)]), "75.0 %");
        assert_eq!(range(&[Accuracy::Cleaned]), "cleaned");
        assert_eq!(range(&[]), "–");
    }

    fn told(width: Option<usize>) -> Vec<String> {
        let lines = ["run   accuracy", "first   75.0 %", "other   50.0 %"].map(str::to_owned);
        let asked = [vec!["asked for"], vec!["seed=1", "co-reg.epochs=400", "network.width=8"], vec![]];
        let asked = asked.map(|words| words.into_iter().map(str::to_owned).collect());
        beside(&lines, asked.into_iter(), width)
    }

    #[test]
    fn what_was_asked_for_is_told_in_full_where_there_is_no_terminal() {
        let expected = [
            "run   accuracy  asked for",
            "first   75.0 %  seed=1 co-reg.epochs=400 network.width=8",
            "other   50.0 %",
        ];
        assert_eq!(told(None), expected);
        assert_eq!(told(Some(100)), expected);
    }

    #[test]
    fn on_a_terminal_it_goes_on_in_further_lines_and_below_where_it_is_narrow() {
        let expected = [
            "run   accuracy  asked for",
            "first   75.0 %  seed=1 co-reg.epochs=400",
            "                network.width=8",
            "other   50.0 %",
        ];
        assert_eq!(told(Some(46)), expected);
        let expected = [
            "run   accuracy",
            "    asked for",
            "first   75.0 %",
            "    seed=1 co-reg.epochs=400",
            "    network.width=8",
            "other   50.0 %",
        ];
        assert_eq!(told(Some(40)), expected);
    }
}
