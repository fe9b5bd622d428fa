//! How kept runs are listed: a line each, with the test accuracy where it is still there.

use std::collections::BTreeMap;

use clap::Parser;
use pipeline::error::Result;
use pipeline::fingerprint::Fingerprint;
use pipeline::store::{Peek, Store};

use crate::artifacts::evaluation::Evaluation;
use crate::cli::diff::aligned;
use crate::cli::record::{FinishedRun, RecordedBranch};
use crate::cli::{ChoiceArgs, Cli, Command, RunArgs};

/// What a run's words are cut to.
const WORDS: usize = 60;
/// The profile of whoever names none.
const PROFILE: &str = "quick";

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
pub(super) fn of_branches(listing: &mut Listing, run: &FinishedRun) -> Result<Vec<String>> {
    let mut lines = listing.of_runs(&[run])?;
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

    /// A headline, and a line for each run.
    ///
    /// # Errors
    /// A result that cannot be read.
    pub(super) fn of_runs(&mut self, runs: &[&FinishedRun]) -> Result<Vec<String>> {
        let head = ["run", "began (UTC)", "data set", "method", "asked for", "test accuracy", "seconds"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for run in runs {
            let (asked, accuracy) = match run.head() {
                Ok(head) => {
                    let accuracies = head.branches.iter().map(|branch| self.accuracy(run, branch));
                    let accuracies = accuracies.collect::<Result<Vec<_>>>()?;
                    let mut asked = asked_for(&head.command);
                    if head.branches.len() > 1 {
                        asked = format!("{} branches {asked}", head.branches.len());
                    }
                    (cut(asked.trim_end(), WORDS), range(&accuracies))
                }
                Err(_) => (String::new(), "other form".to_owned()),
            };
            rows.push(vec![
                run.id.clone(),
                run.at.chars().take("2026-01-01T00:00".len()).collect::<String>().replace('T', " "),
                run.data_set.clone(),
                run.method.clone(),
                asked,
                accuracy,
                format!("{:.1}", run.seconds),
            ]);
        }
        Ok(aligned(&rows, 5))
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

/// What a command asked for beyond data set and method, in few words.
fn asked_for(command: &[String]) -> String {
    let words = std::iter::once("coreg").chain(command.iter().map(String::as_str));
    // The command of a coreg that had other options.
    let Ok(Cli { command: asked, .. }) = Cli::try_parse_from(words) else { return command.join(" ") };
    let (choice, more) = match asked {
        Command::Run(RunArgs { choice, targets, .. }) => {
            (choice, (!targets.is_empty()).then(|| format!("only={}", targets.join(","))))
        }
        Command::Ablations { variants, choice, .. } => {
            (choice, variants.map(|file| format!("variants={}", file.display())))
        }
        _ => return command.join(" "),
    };
    let ChoiceArgs { profile, clip, votes, labels, budget, set, .. } = choice;
    let named = [
        ("profile", Some(profile).filter(|profile| profile != PROFILE)),
        ("clip", clip),
        ("votes", votes),
        ("labels", labels),
        ("budget", budget),
    ];
    let named = named.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
    named.chain(set).chain(more).collect::<Vec<_>>().join(" ")
}

/// A text of at most so many characters.
fn cut(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => text.chars().take(most - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(command: &str) -> String {
        asked_for(&command.split('|').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_command_is_told_without_what_the_other_columns_tell() {
        let plain = "--artifacts|a|run|--dataset|demo|--profile|quick|--device|auto|--method|rc";
        assert_eq!(asked(plain), "");
        assert_eq!(
            asked("run|--profile|paper|--budget|large|--set|rc.epochs=3 seed=1|--set|label.k=2|--only|label"),
            "profile=paper budget=large rc.epochs=3 seed=1 label.k=2 only=label"
        );
        assert_eq!(asked("ablations|--variants|my.toml|--set|seed=1"), "seed=1 variants=my.toml");
        assert_eq!(asked("run|--no-longer-known|x"), "run --no-longer-known x");
    }

    #[test]
    fn several_branches_are_told_by_their_range() {
        let known = Accuracy::Known;
        assert_eq!(range(&[known(0.75), Accuracy::Cleaned, known(0.5)]), "50.0–75.0 %");
        assert_eq!(range(&[known(0.75)]), "75.0 %");
        assert_eq!(range(&[Accuracy::Cleaned]), "cleaned");
        assert_eq!(range(&[]), "–");
    }

    #[test]
    fn long_words_are_cut() {
        assert_eq!(cut("äöüß", 4), "äöüß");
        assert_eq!(cut("äöüßx", 4), "äöü…");
    }
}
