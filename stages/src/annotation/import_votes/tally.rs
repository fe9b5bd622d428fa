//! How many answers were understood in which way, and the class probabilities that votes amount to.
//!
//! It knows nothing of files or images.

use std::collections::HashSet;

use super::answers::Match;
use super::counted::counted;
use crate::artifacts::annotation::{Unmatched, Votes};
use crate::dataset::first_few;

/// How many answers were matched to a class in which way, and how many were not.
#[derive(Default)]
pub(super) struct AnswerCounts {
    named: usize,
    within: usize,
    alias: usize,
    any_of: usize,
    nothing: usize,
    negated: usize,
    contradicted: usize,
    several: usize,
    pub(super) unsure: usize,
    pub(super) silent: usize,
}

impl AnswerCounts {
    /// Counts an answer in words.
    pub(super) fn add(&mut self, found: &Match) {
        *match found {
            Match::Named(_) => &mut self.named,
            Match::Alias(_) => &mut self.alias,
            Match::Within(_) => &mut self.within,
            Match::AnyOf(_) => &mut self.any_of,
            Match::Nothing => &mut self.nothing,
            Match::Negated => &mut self.negated,
            Match::Contradiction => &mut self.contradicted,
            Match::Several => &mut self.several,
        } += 1;
    }

    /// How many answers there are; each is counted once.
    pub(super) fn all(&self) -> usize {
        let Self { named, within, alias, any_of, nothing, negated, contradicted, several, unsure, silent } =
            *self;
        named + within + alias + any_of + nothing + negated + contradicted + several + unsure + silent
    }

    /// The counts as a note.
    pub(super) fn to_words(&self, annotators: &[String], unmatched: &[Unmatched]) -> String {
        let Self { named, within, alias, any_of, nothing, negated, contradicted, several, unsure, silent } =
            *self;
        let all = counted(self.all(), "answer", "answers");
        let named = counted(named, "is a class", "are a class");
        let mut words = format!("{all} of {}: {named}", first_few(annotators));
        for (count, one, many) in [
            (within, "holds the words of one class", "hold the words of one class"),
            (
                any_of,
                "names several classes, each of which is a candidate",
                "name several classes, each of which is a candidate",
            ),
            (alias, "is or holds an alias", "are or hold an alias"),
            (nothing, "holds no class", "hold no class"),
            (negated, "says what it is not, which is no vote", "say what it is not, which is no vote"),
            (
                contradicted,
                "has a number and a name of different classes",
                "have a number and a name of different classes",
            ),
            (
                several,
                "holds too many classes, or words that several are called by",
                "hold too many classes, or words that several are called by",
            ),
            (silent, "is empty", "are empty"),
            (unsure, "is not sure enough", "are not sure enough"),
        ] {
            if count > 0 {
                words += &format!(", {}", counted(count, one, many));
            }
        }
        if !unmatched.is_empty() {
            let answers = first_few(distinct(unmatched));
            words += &format!("; not understood, see unmatched.parquet: {answers}");
        }
        words
    }
}

/// The answers, each once.
pub(super) fn distinct(unmatched: &[Unmatched]) -> Vec<&String> {
    let mut seen = HashSet::new();
    unmatched.iter().map(|answer| &answer.answer).filter(|answer| seen.insert(*answer)).collect()
}

/// Mean class probabilities of image `row` over the annotators who voted, of whom each has a confidence. The classes that
/// an annotator names share its confidence equally, and the other classes the rest. Without votes all classes are equally
/// probable.
pub(super) fn mean(votes: &Votes, row: usize, confidences: &[f64]) -> Vec<f32> {
    let classes = votes.names.classes.len();
    let further = votes.further_on(row);
    let mut sum = vec![0.0f64; classes];
    let mut count = 0.0;
    for (annotator, (vote, confidence)) in votes.on(row).iter().zip(confidences).enumerate() {
        let Some(vote) = *vote else { continue };
        let others = further.iter().filter(|further| further.annotator == annotator);
        let named: Vec<u16> = std::iter::once(vote).chain(others.map(|further| further.class)).collect();
        // Whoever names every class says nothing of them, however sure.
        let confidence = if named.len() == classes { 1.0 } else { *confidence };
        let rest = (1.0 - confidence) / classes.saturating_sub(named.len()).max(1) as f64;
        let share = confidence / named.len() as f64;
        for (class, p) in (0u16..).zip(&mut sum) {
            *p += if named.contains(&class) { share } else { rest };
        }
        count += 1.0;
    }
    let mean = |p: f64| if count > 0.0 { p / count } else { 1.0 / classes as f64 };
    sum.into_iter().map(|p| mean(p) as f32).collect()
}
