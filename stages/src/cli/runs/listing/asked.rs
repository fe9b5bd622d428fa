//! What a run was asked for beyond what else is listed of it, in few words: those first that tell it from the other runs
//! of its data set.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Parser;

use crate::cli::{ChoiceArgs, Cli, Command, RunArgs};

/// The profile of whoever names none.
const PROFILE: &str = "quick";

/// What a command asked for beyond data set and method, a setting a word. What was set twice is told as it was set last.
pub(super) fn asked_for(command: &[String]) -> Vec<String> {
    let words = std::iter::once("coreg").chain(command.iter().map(String::as_str));
    // The command of a coreg that had other options.
    let Ok(Cli { command: asked, .. }) = Cli::try_parse_from(words) else { return command.to_vec() };
    let (choice, more) = match asked {
        Command::Run(RunArgs { choice, targets, .. }) => {
            (choice, vec![("only", (!targets.is_empty()).then(|| targets.join(",")))])
        }
        Command::Ablations { variants, choice, seeds } => {
            let variants = variants.map(|file| file.display().to_string());
            (choice, vec![("variants", variants), ("seeds", (seeds > 1).then(|| seeds.to_string()))])
        }
        _ => return command.to_vec(),
    };
    let ChoiceArgs { images, classes, profile, clip, votes, labels, budget, set, .. } = choice;
    let path = |path: Option<PathBuf>| path.map(|path| path.display().to_string());
    let named = [
        ("images", path(images)),
        ("classes", path(classes)),
        ("profile", Some(profile).filter(|profile| profile != PROFILE)),
        ("clip", clip),
        ("votes", votes),
        ("labels", labels),
        ("budget", budget),
    ];
    let word = |(name, value): (&str, Option<String>)| Some(format!("{name}={}", value?));
    let mut all: Vec<String> = named.into_iter().filter_map(word).collect();
    all.extend(last_of_each(set.iter().flat_map(|set| settings(set))));
    all.extend(more.into_iter().filter_map(word));
    all
}

/// The settings in a text behind SET. A piece without `=` goes on with the value before it.
fn settings(text: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for piece in text.split_whitespace() {
        match all.last_mut().filter(|_| !piece.contains('=')) {
            Some(last) => *last += &format!(" {piece}"),
            None => all.push(piece.to_owned()),
        }
    }
    all
}

/// Settings without those that are set again later.
fn last_of_each(settings: impl Iterator<Item = String>) -> Vec<String> {
    let all: Vec<String> = settings.collect();
    let key = |setting: &str| setting.split('=').next().unwrap_or_default().to_owned();
    let mut seen = BTreeSet::new();
    let mut last: Vec<String> = all.into_iter().rev().filter(|setting| seen.insert(key(setting))).collect();
    last.reverse();
    last
}

/// The words of each run, given with its data set: those first that fewest runs of the data set have.
pub(super) fn rarest_first(runs: Vec<(&str, Vec<String>)>) -> Vec<Vec<String>> {
    let count = |data_set: &str, word: &String| {
        runs.iter().filter(|(other, words)| *other == data_set && words.contains(word)).count()
    };
    let ordered = |(data_set, words): &(&str, Vec<String>)| {
        let mut words: Vec<(usize, String)> =
            words.iter().map(|word| (count(data_set, word), word.clone())).collect();
        // The sort is stable: of as many runs, the order stays.
        words.sort_by_key(|(count, _)| *count);
        words.into_iter().map(|(_, word)| word).collect()
    };
    runs.iter().map(ordered).collect()
}

/// The words in lines of at most so many columns, or in one; a word that is longer has a line of its own.
pub(super) fn wrapped(words: &[String], width: Option<usize>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        let fits = |line: &String| {
            width.is_none_or(|width| line.chars().count() + 1 + word.chars().count() <= width)
        };
        match lines.last_mut().filter(|line| fits(line)) {
            Some(line) => *line += &format!(" {word}"),
            None => lines.push(word.clone()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(command: &str) -> String {
        asked_for(&command.split('|').map(str::to_owned).collect::<Vec<_>>()).join(" ")
    }

    #[test]
    fn a_command_is_told_without_what_the_other_columns_tell() {
        let plain = "--artifacts|a|run|--dataset|demo|--profile|quick|--device|auto|--method|rc";
        assert_eq!(asked(plain), "");
        assert_eq!(
            asked("run|--profile|paper|--budget|large|--set|rc.epochs=3 seed=1|--set|label.k=2|--only|label"),
            "profile=paper budget=large rc.epochs=3 seed=1 label.k=2 only=label"
        );
        assert_eq!(asked("run|--images|photos|--votes|v.csv"), "images=photos votes=v.csv");
        assert_eq!(
            asked("ablations|--variants|my.toml|--seeds|3|--set|seed=1"),
            "seed=1 variants=my.toml seeds=3"
        );
        assert_eq!(asked("run|--no-longer-known|x"), "run --no-longer-known x");
    }

    #[test]
    fn a_setting_is_told_with_the_blanks_in_it_and_as_it_was_set_last() {
        assert_eq!(
            asked_for(
                &["run", "--set", "seed=1 annotate.prompts=my prompts.txt", "--set", "seed=2"]
                    .map(str::to_owned)
            ),
            ["annotate.prompts=my prompts.txt", "seed=2"]
        );
    }

    #[test]
    fn what_tells_a_run_from_the_others_of_its_data_set_comes_first() {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let runs = vec![
            ("demo", words(&["budget=0", "epochs=2", "seed=1"])),
            ("demo", words(&["budget=0", "epochs=3", "seed=2"])),
            ("other", words(&["budget=0", "seed=2"])),
            ("demo", words(&["budget=0", "epochs=2"])),
        ];
        let expected = [
            words(&["seed=1", "epochs=2", "budget=0"]),
            words(&["epochs=3", "seed=2", "budget=0"]),
            words(&["budget=0", "seed=2"]),
            words(&["epochs=2", "budget=0"]),
        ];
        assert_eq!(rarest_first(runs), expected);
    }

    #[test]
    fn words_are_wrapped_and_never_cut() {
        let words = ["ä=1", "öü=22", "a-long-setting=3", "b=4"].map(str::to_owned);
        assert_eq!(wrapped(&words, Some(10)), ["ä=1 öü=22", "a-long-setting=3", "b=4"]);
        assert_eq!(wrapped(&words, None), ["ä=1 öü=22 a-long-setting=3 b=4"]);
        assert!(wrapped(&[], Some(10)).is_empty());
    }
}
