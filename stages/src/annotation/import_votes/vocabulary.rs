//! Everything that the classes are called, and where that stands in a text.
//!
//! A class is called by its name, its texts, its aliases, and the plurals of all these. It knows nothing of files or
//! images.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use pipeline::error::{Error, Result};

use super::negation_words::among;
use super::neighbours;
use super::words::{Text, is_hangul, is_katakana, is_unspaced, plurals, singulars};
use crate::dataset::catalog::wordings;
use crate::dataset::names::{Found, NameIndex, normalised};
use crate::runtime::suggest::unknown;

/// What some words mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A class, by its name or text.
    Class(u16),
    /// A class, by an alias.
    Alias(u16),
    /// Several classes are called so; none is meant.
    Ambiguous,
}

impl Meaning {
    /// The class, if it is one.
    pub(super) fn class(self) -> Option<u16> {
        match self {
            Self::Class(class) | Self::Alias(class) => Some(class),
            Self::Ambiguous => None,
        }
    }
}

/// Words that mean something, in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    /// The first word.
    pub(super) from: usize,
    /// How many words.
    pub(super) count: usize,
    pub(super) meaning: Meaning,
}

/// Words that a class is called by.
struct Phrase {
    words: Vec<String>,
    /// As it was written.
    written: String,
    meaning: Meaning,
    /// Whether it is a plural that was made here.
    plural: bool,
}

/// Everything that the classes are called.
pub(crate) struct Vocabulary {
    names: NameIndex,
    classes: usize,
    /// Where classes are called by numbers, or all by one word and a number: the classes by them. Then numbers are no
    /// places in the list of classes.
    numbers: Option<HashMap<u64, Meaning>>,
    /// Whether a name or text is a number and nothing else.
    has_bare_numbers: bool,
    /// Whole answers, as [`normalised`] writes them; the names are apart.
    whole: BTreeMap<String, Meaning>,
    /// By the first word of each.
    phrases: HashMap<String, Vec<Phrase>>,
}

impl Vocabulary {
    /// Of classes, by their names, their texts in all [`wordings`] and their aliases, by class name.
    ///
    /// # Errors
    /// An alias of an unknown class, or one that two classes have.
    pub(super) fn new(
        names: &[String],
        texts: &[String],
        aliases: &BTreeMap<String, Vec<String>>,
    ) -> Result<Self> {
        let mut all = Self {
            names: NameIndex::new(names),
            classes: names.len(),
            numbers: numbers(names, texts),
            has_bare_numbers: bare_numbers(names, texts).next().is_some(),
            whole: BTreeMap::new(),
            phrases: HashMap::new(),
        };
        let by_name = || (0u16..).zip(names);
        for (class, name) in by_name() {
            all.phrase(name, Meaning::Class(class), false);
        }
        // What several classes are called, in part or whole, means none of them; a whole name means its class alone.
        // A letter or two are no name: the a of N/A is in every sentence.
        let parts = by_name().flat_map(|(class, name)| name.split('/').map(move |part| (class, part)));
        let parts = parts.filter(|(_, part)| {
            let signs = part.trim().chars().count();
            signs > 2 || signs > 0 && part.chars().any(is_unspaced)
        });
        let texts = (0u16..).zip(texts).flat_map(|(class, text)| wordings(text).map(move |w| (class, w)));
        let values = by_name().filter_map(|(class, name)| Some((class, numeral(name)?.to_string())));
        let called: Vec<(u16, String)> =
            texts.chain(parts).map(|(class, text)| (class, text.to_owned())).chain(values).collect();
        let mut meant: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
        for (class, text) in &called {
            meant.entry(normalised(text)).or_default().insert(*class);
        }
        let named: HashSet<String> = names.iter().map(|name| normalised(name)).collect();
        for (class, text) in &called {
            match meant.get(&normalised(text)) {
                _ if named.contains(&normalised(text)) => {}
                Some(classes) if classes.len() > 1 => all.put(text, Meaning::Ambiguous),
                _ => all.put(text, Meaning::Class(*class)),
            }
        }
        for (name, words) in aliases {
            let class = match all.names.find(name) {
                Found::One(class) => class as u16,
                Found::Nothing => return Err(unknown("class", name, names.iter().cloned())),
                Found::Several(like) => {
                    let like: Vec<String> = like.iter().map(|class| format!("`{}`", names[*class])).collect();
                    return Err(Error::new(format!("`{name}` may be {}", like.join(" or ")))
                        .help("write the name of the class as the list of classes has it"));
                }
            };
            for alias in words {
                all.alias(alias, class, names)?;
            }
        }
        let aliases = aliases.iter().filter_map(|(name, words)| {
            let class = all.names.find(name).one()? as u16;
            Some(words.iter().map(move |word| (word.clone(), Meaning::Alias(class))))
        });
        let mut sources: Vec<(String, Meaning)> =
            by_name().map(|(class, name)| (name.clone(), Meaning::Class(class))).collect();
        sources.extend(called.into_iter().map(|(class, text)| (text, Meaning::Class(class))));
        sources.extend(aliases.flatten());
        all.inflect(&sources);
        for phrases in all.phrases.values_mut() {
            phrases.sort_by_key(|phrase| std::cmp::Reverse(phrase.words.len()));
        }
        Ok(all)
    }

    /// Adds an alias, which must mean one class alone.
    fn alias(&mut self, alias: &str, class: u16, names: &[String]) -> Result<()> {
        let known = self.whole(alias);
        if let Some(other) = known.filter(|other| other.class() != Some(class)) {
            let name = |class: u16| names[usize::from(class)].as_str();
            let (word, here) = (alias.trim(), name(class));
            return Err(match other {
                Meaning::Alias(other) => {
                    Error::new(format!("`{word}` is an alias of two classes, `{}` and `{here}`", name(other)))
                        .help("leave it out of the aliases of one of them")
                }
                Meaning::Class(other) => {
                    Error::new(format!("`{word}` stands for two classes: `{}` and `{here}`", name(other)))
                        .help(format!("leave it out of the aliases of `{here}`"))
                }
                Meaning::Ambiguous => {
                    Error::new(format!("`{word}` stands for several classes, and not for `{here}` alone"))
                        .help(format!("leave it out of the aliases of `{here}`"))
                }
            });
        }
        self.put(alias, Meaning::Alias(class));
        Ok(())
    }

    fn put(&mut self, text: &str, meaning: Meaning) {
        self.whole.entry(normalised(text)).or_insert(meaning);
        self.phrase(text, meaning, false);
    }

    fn phrase(&mut self, text: &str, meaning: Meaning, plural: bool) {
        for humps in [false, true] {
            let text = Text::new(text, humps);
            let words: Vec<String> = text.words.iter().map(|word| word.text.clone()).collect();
            let Some(first) = words.first() else { continue };
            let written = text.slice(0, words.len()).to_owned();
            let phrases = self.phrases.entry(first.clone()).or_default();
            let known = |phrase: &Phrase| phrase.words == words && (plural || phrase.written == written);
            if !phrases.iter().any(known) {
                phrases.push(Phrase { words, written, meaning, plural });
            }
        }
    }

    /// Adds what the last words of these texts are in the plural, and in whole answers in the singular, where that means
    /// one class and nothing else.
    fn inflect(&mut self, sources: &[(String, Meaning)]) {
        type Forms = BTreeMap<String, (String, BTreeSet<u16>, Meaning)>;
        let collect = |inflected: fn(&str) -> Vec<String>| {
            let mut forms = Forms::new();
            for (text, meaning) in sources {
                let Some(class) =
                    self.whole(text).and_then(Meaning::class).filter(|c| meaning.class() == Some(*c))
                else {
                    continue;
                };
                let start = text.trim_end().rfind(|c: char| !c.is_ascii_alphabetic());
                let start = start.map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
                let last = text[start..].trim_end().to_lowercase();
                // One letter or two have no plural that a reader knows.
                for form in inflected(&last).into_iter().filter(|_| last.len() > 2) {
                    let form = format!("{}{form}", &text[..start]);
                    let entry = forms.entry(normalised(&form)).or_insert((form, BTreeSet::new(), *meaning));
                    entry.1.insert(class);
                }
            }
            forms
        };
        let (many, one) = (collect(plurals), collect(singulars));
        for (form, (text, classes, meaning)) in many {
            if self.whole(&text).is_none() {
                let meaning = if classes.len() > 1 { Meaning::Ambiguous } else { meaning };
                self.whole.insert(form, meaning);
                self.phrase(&text, meaning, true);
            }
        }
        // Shorts are no short: within a sentence only the plural means such a class.
        for (form, (text, classes, meaning)) in one {
            if classes.len() == 1 && self.whole(&text).is_none() {
                self.whole.insert(form, meaning);
            }
        }
    }

    /// How many classes there are.
    pub(super) fn class_count(&self) -> usize {
        self.classes
    }

    /// What a whole text means.
    pub(super) fn whole(&self, text: &str) -> Option<Meaning> {
        match self.names.find(text) {
            Found::One(class) => Some(Meaning::Class(class as u16)),
            Found::Several(_) => Some(Meaning::Ambiguous),
            Found::Nothing => {
                let form = normalised(text);
                self.whole.get(&form).copied().filter(|_| !form.is_empty())
            }
        }
    }

    /// The class of a number: the one that is called by it, or the one at this place in the list.
    pub(super) fn number(&self, number: u64) -> Option<u16> {
        match &self.numbers {
            Some(numbers) => numbers.get(&number).copied().and_then(Meaning::class),
            None => u16::try_from(number).ok().filter(|class| usize::from(*class) < self.classes),
        }
    }

    /// The class of a number in a column of numbers: the one that is called by it, where classes are called by numbers and
    /// nothing else; otherwise the one at this place in the list, as in a file that knows numbers from words. What are
    /// `class0` to `class59` are numbered by their places.
    pub(super) fn numeral(&self, number: u64) -> Option<u16> {
        match self.has_bare_numbers {
            true => self.number(number),
            false => u16::try_from(number).ok().filter(|class| usize::from(*class) < self.classes),
        }
    }

    /// Whether classes are called by numbers.
    pub(super) fn has_numbers(&self) -> bool {
        self.numbers.is_some()
    }

    /// What stands in a text, from left to right: the longest first, and what that covers is not looked at again. A part
    /// of a word with a hyphen is no word: a T-shirt is no shirt.
    pub(super) fn hits(&self, text: &Text) -> Vec<Hit> {
        let mut found: Vec<Hit> = (0..text.words.len()).flat_map(|from| self.hits_at(text, from)).collect();
        found.sort_by_key(|hit| (std::cmp::Reverse(hit.count), hit.from));
        let mut free = vec![true; text.words.len()];
        found.retain(|hit| {
            let covered = &mut free[hit.from..hit.from + hit.count];
            let fits = covered.iter().all(|free| *free);
            if fits {
                covered.fill(false);
            }
            fits
        });
        found.sort_by_key(|hit| hit.from);
        found
    }

    /// What may begin at a word, in each length.
    fn hits_at(&self, text: &Text, from: usize) -> Vec<Hit> {
        let Some(word) = text.words.get(from).filter(|word| !word.hyphened) else { return Vec::new() };
        let phrases = self.phrases.get(&word.text).map_or(&[][..], Vec::as_slice);
        let fitting: Vec<&Phrase> = phrases.iter().filter(|phrase| fits(phrase, text, from)).collect();
        let mut hits: Vec<Hit> = fitting
            .chunk_by(|a, b| a.words.len() == b.words.len())
            .map(|alike| {
                let count = alike[0].words.len();
                Hit { from, count, meaning: choose(alike, text.slice(from, count)) }
            })
            .collect();
        // A Korean word carries its particle: 고양이가.
        if hits.is_empty() && word.text.chars().all(is_hangul) {
            let splits: Vec<usize> = word.text.char_indices().skip(1).map(|(at, _)| at).collect();
            let stem = splits.into_iter().rev().find_map(|at| {
                let (stem, particle) = word.text.split_at(at);
                let known = self.phrases.get(stem)?.iter().find(|phrase| phrase.words.len() == 1)?;
                among(PARTICLES, particle).then_some(known.meaning)
            });
            hits.extend(stem.map(|meaning| Hit { from, count: 1, meaning }));
        }
        hits
    }
}

/// What may follow a noun in a Korean word.
const PARTICLES: &str = "\
    이 가 은 는 을 를 와 과 도 의 에 로 으로 나 이나 랑 이랑 만 야 이야 다 이다 요 이요 예요 이에요 에요 입니다 이고 고 인 라고 이라고 네요 이네요 들 들이 들은 들을 \
    들입니다";

/// Whether a phrase stands in a text at a word.
fn fits(phrase: &Phrase, text: &Text, from: usize) -> bool {
    let count = phrase.words.len();
    let Some(there) = text.words.get(from..from + count) else { return false };
    let last = &there[count - 1];
    let next = text.words.get(from + count);
    // A word in katakana is a run of them: ドレス is not in アドレス.
    let katakana =
        |side: Option<char>, own: Option<char>| side.is_some_and(is_katakana) && own.is_some_and(is_katakana);
    let own = text.slice(from, count);
    let before = text.written[..there[0].start].chars().next_back();
    let after = text.written[last.end..].chars().next();
    // Nor is シャツ in Tシャツ.
    let letter_before =
        before.is_some_and(|c| c.is_ascii_alphabetic()) && own.chars().next().is_some_and(is_katakana);
    let cut = next.is_some_and(|next| next.hyphened)
        || phrase.plural && last.possessive
        || katakana(before, own.chars().next())
        || katakana(after, own.chars().next_back())
        || letter_before
        || count == 1 && joined(text, there[0].start, own, last.end);
    !cut && there.iter().map(|word| &word.text).eq(&phrase.words)
}

/// Whether a name of one sign is but a part of a longer word: there is no cat (猫) in a panda (熊猫).
fn joined(text: &Text, start: usize, own: &str, end: usize) -> bool {
    let mut signs = own.chars();
    match (signs.next(), signs.next()) {
        (Some(sign), None) if is_unspaced(sign) => {
            !neighbours::is_word(&text.written[..start], sign, &text.written[end..])
        }
        _ => false,
    }
}

/// What phrases of the same words mean together: where it is not one thing, the one that is written so.
fn choose(alike: &[&Phrase], written: &str) -> Meaning {
    let meaning = alike[0].meaning;
    if alike.iter().all(|phrase| phrase.meaning.class() == meaning.class()) {
        return meaning;
    }
    let mut same = alike.iter().filter(|phrase| phrase.written == written);
    match (same.next(), same.next()) {
        (Some(one), None) => one.meaning,
        _ => Meaning::Ambiguous,
    }
}

fn numeral(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The classes that are called by a number and nothing else, by name or text.
fn bare_numbers<'a>(names: &'a [String], texts: &'a [String]) -> impl Iterator<Item = (u16, u64)> + 'a {
    let texts = (0u16..).zip(texts).flat_map(|(class, text)| wordings(text).map(move |w| (class, w)));
    let named = (0u16..).zip(names).filter_map(|(class, name)| Some((class, numeral(name)?)));
    named.chain(texts.filter_map(|(class, text)| Some((class, numeral(text)?))))
}

/// The classes by number, where some are called by numbers, or all by the same words and a number.
fn numbers(names: &[String], texts: &[String]) -> Option<HashMap<u64, Meaning>> {
    let mut pairs: Vec<(u16, u64)> = bare_numbers(names, texts).collect();
    if pairs.is_empty() {
        let split = |name: &String| {
            let digits = name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
            let (words, number) = name.split_at(digits);
            Some((normalised(words), number.parse().ok()?))
        };
        let split: Vec<(String, u64)> = names.iter().map(split).collect::<Option<_>>()?;
        if split.windows(2).any(|pair| pair[0].0 != pair[1].0) {
            return None;
        }
        pairs = (0u16..).zip(split).map(|(class, (_, number))| (class, number)).collect();
    }
    let mut numbers: HashMap<u64, Meaning> = HashMap::new();
    for (class, number) in pairs {
        let meaning = numbers.entry(number).or_insert(Meaning::Class(class));
        if meaning.class() != Some(class) {
            *meaning = Meaning::Ambiguous;
        }
    }
    (!numbers.is_empty()).then_some(numbers)
}
