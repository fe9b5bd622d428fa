//! What a free-text answer says: a class, several of them, or none.
//!
//! An answer is a class if it *is* its name, one of its texts or an alias of it, or a class's number, or if it holds
//! the words of a class and does not say that this is what it is not. It knows nothing of files or images.

use serde_json::Value;

use super::clauses::{self, Said};
use super::negation_words::among;
use super::reasoning::{concluded, without_thoughts};
use super::rows::is_gap;
use super::vocabulary::{Hit, Meaning, Vocabulary};
use super::words::Text;
use crate::dataset::names::normalised;

/// What an answer was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// The class by its name, text or number.
    Named(u16),
    /// The class by an alias.
    Alias(u16),
    /// The one class whose words are within the answer.
    Within(u16),
    /// Each of these may be the one, ascending.
    AnyOf(Vec<u16>),
    /// No class.
    Nothing,
    /// No class but those that it is said not to be.
    Negated,
    /// A number and a name that are of different classes.
    Contradiction,
    /// Too many classes, or words that several classes are called by.
    Several,
}

impl Match {
    /// The classes that may be the one.
    pub(super) fn classes(&self) -> &[u16] {
        match self {
            Self::Named(class) | Self::Alias(class) | Self::Within(class) => std::slice::from_ref(class),
            Self::AnyOf(classes) => classes,
            Self::Nothing | Self::Negated | Self::Contradiction | Self::Several => &[],
        }
    }

    /// Why it is no vote.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Named(_) | Self::Alias(_) | Self::Within(_) | Self::AnyOf(_) => "",
            Self::Nothing => "no class",
            Self::Negated => "negation",
            Self::Contradiction => "number and name differ",
            Self::Several => "several classes",
        }
    }
}

/// The most classes that an answer may name.
const MOST: usize = 4;

/// Signs around an answer that are no part of it.
const WRAPPING: &str = " \t\r\n*_`\"'“”‘’«»「」『』()[]<>{}.,;:!。！，、•\u{feff}";

/// Keys under which an answer in JSON has its class, the first found counts.
const KEYS: &str = "\
    class classname label labelname finalanswer answer prediction predictedclass predictedlabel \
    category classes labels vote response result choice";

impl Vocabulary {
    /// The class that `answer` means.
    pub(super) fn find(&self, answer: &str) -> Match {
        if let Some(meaning) = self.bare(answer) {
            return whole(meaning);
        }
        let said = without_thoughts(answer);
        if let Some(meaning) = self.bare(&said) {
            return whole(meaning);
        }
        if let Some(found) = json(&said).and_then(|value| self.find_json(&value)) {
            return found;
        }
        let Some(conclusion) = concluded(&said) else { return self.within(&said) };
        let named = self.bare(conclusion);
        let core = conclusion.trim_matches(|c| WRAPPING.contains(c));
        if named.is_none() && !core.is_empty() && is_gap(core) {
            return Match::Nothing;
        }
        match (self.within(conclusion), named) {
            (Match::Nothing, Some(Meaning::Class(class))) => Match::Within(class),
            (Match::Nothing, Some(meaning)) => whole(meaning),
            (Match::Nothing, None) => self.within(&said),
            (found, _) => found,
        }
    }

    /// What a text means that is nothing but a name.
    fn bare(&self, text: &str) -> Option<Meaning> {
        let forms =
            [text, text.trim().trim_end_matches(['.', '!']), text.trim_matches(|c| WRAPPING.contains(c))];
        forms.into_iter().find_map(|form| self.whole(form))
    }

    /// The class that stands in a text.
    fn within(&self, answer: &str) -> Match {
        let text = Text::new(answer, false);
        let hits = self.hits(&text);
        let numbers = numbers(&text, &hits);
        if hits.is_empty() && !numbers.is_empty() {
            return self.of_numbers(&text, &numbers);
        }
        let found = self.said(clauses::read(&text, &hits));
        let explicit = numbers.iter().filter(|number| number.explicit && !self.has_numbers());
        let mut explicit: Vec<u64> = explicit.map(|number| number.value).collect();
        explicit.dedup();
        match (&explicit[..], found.classes()) {
            ([], _) | (_, []) => found,
            ([number], [class]) if self.number(*number) == Some(*class) => found,
            _ => Match::Contradiction,
        }
    }

    /// What the classes in a text amount to.
    fn said(&self, said: Said) -> Match {
        let mut named: Vec<Meaning> = said.named;
        if named.contains(&Meaning::Ambiguous) {
            return Match::Several;
        }
        named.retain(|meaning| !said.negated.iter().any(|negated| negated.class() == meaning.class()));
        let classes = named.iter().filter_map(|meaning| meaning.class()).collect();
        match (named.first(), self.any_of(classes)) {
            (None, _) if said.negated.is_empty() => Match::Nothing,
            (None, _) => Match::Negated,
            (Some(Meaning::Alias(_)), Match::Within(class)) => Match::Alias(class),
            (_, found) => found,
        }
    }

    /// Each of these classes may be the one; of too many, none.
    fn any_of(&self, mut classes: Vec<u16>) -> Match {
        classes.sort_unstable();
        classes.dedup();
        let all = self.class_count();
        match classes[..] {
            [] => Match::Nothing,
            [class] => Match::Within(class),
            _ if classes.len() > MOST || all > MOST && 2 * classes.len() > all => Match::Several,
            _ => Match::AnyOf(classes),
        }
    }

    /// An answer of numbers and words that say nothing: "Class 2", "2)", "1 or 2".
    fn of_numbers(&self, text: &Text, numbers: &[Number]) -> Match {
        let others =
            text.words.iter().enumerate().filter(|(at, _)| !numbers.iter().any(|number| number.at == *at));
        let fillers = others.into_iter().all(|(_, word)| among(FILLERS, &word.text));
        let classes: Option<Vec<u16>> = numbers.iter().map(|number| self.number(number.value)).collect();
        // A number with a hyphen, a sign or a point is a part of something else.
        let whole =
            text.words.iter().filter(|word| word.text.starts_with(|c: char| c.is_ascii_digit())).count()
                == numbers.len();
        match classes {
            Some(classes) if fillers && whole => match self.any_of(classes) {
                Match::Within(class) => Match::Named(class),
                found => found,
            },
            _ => Match::Nothing,
        }
    }

    /// The class that an answer in JSON holds, if it can be told where.
    fn find_json(&self, value: &Value) -> Option<Match> {
        match value {
            Value::String(text) => Some(self.find(text)),
            Value::Number(number) => Some(self.find(&number.to_string())),
            Value::Array(list) if list.iter().all(|value| value.is_string() || value.is_number()) => {
                let found: Vec<Match> = list.iter().filter_map(|value| self.find_json(value)).collect();
                match &found[..] {
                    [] => Some(Match::Nothing),
                    [one] => Some(one.clone()),
                    _ if found.contains(&Match::Several) => Some(Match::Several),
                    _ => Some(self.any_of(found.iter().flat_map(|found| found.classes().to_vec()).collect())),
                }
            }
            Value::Object(object) => {
                let by_key = KEYS.split(' ').find_map(|key| {
                    object.iter().find(|(name, _)| normalised(name) == key).map(|(_, value)| value)
                });
                match by_key {
                    Some(Value::Null) => Some(Match::Nothing),
                    Some(value) => self.find_json(value),
                    None if object.len() == 1 => {
                        object.values().next().and_then(|value| self.find_json(value))
                    }
                    // Classes and their scores, or more than can be told apart.
                    None => Some(Match::Nothing),
                }
            }
            Value::Null => Some(Match::Nothing),
            Value::Array(_) | Value::Bool(_) => Some(Match::Nothing),
        }
    }
}

fn whole(meaning: Meaning) -> Match {
    match meaning {
        Meaning::Class(class) => Match::Named(class),
        Meaning::Alias(class) => Match::Alias(class),
        Meaning::Ambiguous => Match::Several,
    }
}

/// The JSON that an answer is, or has within other words or marks of code.
fn json(answer: &str) -> Option<Value> {
    let (from, to) = match (answer.find('{'), answer.rfind('}')) {
        (Some(from), Some(to)) if from < to => (from, to),
        _ => {
            let bare = answer.trim().trim_matches('`').trim();
            let bare = bare.strip_prefix("json").unwrap_or(bare).trim();
            return bare.starts_with('[').then(|| parsed(bare)).flatten();
        }
    };
    parsed(&answer[from..=to])
}

/// JSON, or what Python prints in its place.
fn parsed(text: &str) -> Option<Value> {
    serde_json::from_str(text).or_else(|_| serde_json::from_str(&text.replace('\'', "\""))).ok()
}

/// A number in an answer.
struct Number {
    /// Which word.
    at: usize,
    value: u64,
    /// Whether it is written as one of a list is: "2.", "(2)", "class 2". Two dogs are not.
    explicit: bool,
}

/// Words before a number that make it one of a list.
const LISTS: &str = "\
    class option label category choice number index id nr answer";

/// Words that say nothing beside a number.
const FILLERS: &str = "\
    class option label category choice number index id nr answer the is it its this that my i would \
    choose pick select say think believe be to of final correct best prediction image picture photo \
    belongs in shows object or and predicted as boxed";

/// The numbers outside of what was found.
fn numbers(text: &Text, hits: &[Hit]) -> Vec<Number> {
    let free = |at: &usize| !hits.iter().any(|hit| (hit.from..hit.from + hit.count).contains(at));
    let number = |at: usize| {
        let word = &text.words[at];
        let before = text.before(at);
        let signed = before.ends_with(['-', '−']);
        let next_hyphened = text.words.get(at + 1).is_some_and(|next| next.hyphened);
        let digits = word.text.bytes().all(|b| b.is_ascii_digit());
        let value =
            word.text.parse().ok().filter(|_| digits && !signed && !word.hyphened && !next_hyphened)?;
        let after = text.before(at + 1).trim_start();
        let listed = at.checked_sub(1).is_some_and(|before| among(LISTS, &text.words[before].text));
        let marked = at == 0 && after.starts_with(['.', ')', ':', '-', '–', '—', ']', '、']);
        let wrapped = before.ends_with(['(', '[']) && after.starts_with([')', ']']);
        Some(Number { at, value, explicit: listed || marked || wrapped || before.ends_with('#') })
    };
    (0..text.words.len()).filter(free).filter_map(number).collect()
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
