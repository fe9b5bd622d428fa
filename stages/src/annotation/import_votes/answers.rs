//! What a free-text answer says: one of the classes, none, or several.
//!
//! An answer is a class if it *is* its name, one of its texts or an alias of it, or a class's number, or if it holds
//! the words of exactly one class. It knows nothing of files or images.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use pipeline::error::{Error, Result};

use crate::dataset::catalog::wordings;
use crate::dataset::names::normalised;
use crate::runtime::suggest::unknown;

/// What an answer was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// The class by its name, text or number.
    Named(u16),
    /// The class by an alias.
    Alias(u16),
    /// The one class whose words are within the answer.
    Within(u16),
    /// No class.
    Nothing,
    /// Words of more than one class.
    Several,
}

impl Match {
    /// The class, if it is one.
    pub(super) fn class(self) -> Option<u16> {
        match self {
            Self::Named(class) | Self::Alias(class) | Self::Within(class) => Some(class),
            Self::Nothing | Self::Several => None,
        }
    }
}

/// Everything that the classes are called.
pub(crate) struct Vocabulary {
    classes: usize,
    /// Whether numerals are names of classes; then they are no places in the list of classes.
    numbered: bool,
    /// Whole answers, as [`normalised`] writes them.
    whole: BTreeMap<String, Match>,
    /// By the first of them, the words of a class in their order and what they mean, the longest first.
    phrases: HashMap<String, Vec<(Vec<String>, Match)>>,
}

impl Vocabulary {
    /// Of classes, by their names, their texts in all [`wordings`] and their aliases,
    /// by class name.
    ///
    /// # Errors
    /// An alias of an unknown class, or one that two classes have.
    pub(super) fn new(
        names: &[String],
        texts: &[String],
        aliases: &BTreeMap<String, Vec<String>>,
    ) -> Result<Self> {
        let numeral = |text: &str| text.trim().parse::<u64>().ok();
        let class_wordings =
            || (0u16..).zip(texts).flat_map(|(class, text)| wordings(text).map(move |w| (class, w)));
        let numbered = class_wordings().map(|(_, wording)| wording).chain(names.iter().map(String::as_str));
        let numbered = numbered.filter_map(numeral).next().is_some();
        let mut all =
            Self { classes: names.len(), numbered, whole: BTreeMap::new(), phrases: HashMap::new() };
        for (class, name) in (0u16..).zip(names) {
            all.add(name, Match::Named(class), names)?;
        }
        // What several classes are called, in part or whole, means none of them; a whole name means its class alone.
        // A letter or two are no name: the a of N/A is in every sentence.
        let parts = || {
            let all =
                (0u16..).zip(names).flat_map(|(class, name)| name.split('/').map(move |part| (class, part)));
            all.filter(|(_, part)| part.trim().chars().count() > 2)
        };
        let values =
            || (0u16..).zip(names).filter_map(|(class, name)| Some((class, numeral(name)?.to_string())));
        let called: Vec<(u16, String)> = class_wordings()
            .chain(parts())
            .map(|(class, text)| (class, text.to_owned()))
            .chain(values())
            .collect();
        let mut meant: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
        for (class, text) in &called {
            meant.entry(normalised(text)).or_default().insert(*class);
        }
        let named: HashSet<String> = names.iter().map(|name| normalised(name)).collect();
        for (class, text) in &called {
            match meant.get(&normalised(text)) {
                _ if named.contains(&normalised(text)) => {}
                Some(classes) if classes.len() > 1 => all.put(text, Match::Several),
                _ => all.put(text, Match::Named(*class)),
            }
        }
        for (name, words) in aliases {
            let class = names.iter().position(|known| normalised(known) == normalised(name));
            let class = class.ok_or_else(|| unknown("class", name, names.iter().cloned()))?;
            for alias in words {
                all.add(alias, Match::Alias(class as u16), names)?;
            }
        }
        for phrases in all.phrases.values_mut() {
            phrases.sort_by_key(|(words, _)| std::cmp::Reverse(words.len()));
        }
        Ok(all)
    }

    /// Adds what must mean one class alone.
    fn add(&mut self, text: &str, found: Match, names: &[String]) -> Result<()> {
        match self.whole.get(&normalised(text)) {
            Some(other) if other.class() != found.class() => {
                let name = |found: Match| found.class().map_or("several", |class| &names[usize::from(class)]);
                let (text, one, two) = (text.trim(), name(*other), name(found));
                Err(Error::new(format!("`{text}` stands for two classes: `{one}` and `{two}`"))
                    .help("leave it out of the aliases of one of them"))
            }
            _ => {
                self.put(text, found);
                Ok(())
            }
        }
    }

    fn put(&mut self, text: &str, found: Match) {
        self.whole.entry(normalised(text)).or_insert(found);
        for words in [words(text, false), words(text, true)] {
            let words: Vec<String> = words.into_iter().map(|word| word.text).collect();
            let Some(first) = words.first() else { continue };
            let phrases = self.phrases.entry(first.clone()).or_default();
            if !phrases.iter().any(|(known, _)| *known == words) {
                phrases.push((words, found));
            }
        }
    }

    /// The class that `answer` means.
    pub(super) fn find(&self, answer: &str) -> Match {
        let trimmed = answer.trim().trim_end_matches(['.', '!']);
        if let Some(found) = self.whole.get(&normalised(trimmed)) {
            return *found;
        }
        if let Ok(number) = trimmed.parse::<usize>() {
            let value = self.whole.get(&number.to_string()).copied();
            let place = (!self.numbered && number < self.classes).then_some(Match::Named(number as u16));
            return value.or(place).unwrap_or(Match::Nothing);
        }
        // From the left, the longest phrase at each word; what it covers is not looked at again. A part of a word with
        // a hyphen is no word: a T-shirt is no shirt.
        let words = words(answer, false);
        let (mut at, mut classes) = (0, Vec::new());
        while let Some(word) = words.get(at) {
            let phrases = self.phrases.get(&word.text).map_or(&[][..], Vec::as_slice);
            let fits = |(phrase, _): &&(Vec<String>, Match)| {
                let there = words.get(at..at + phrase.len());
                there.is_some_and(|there| there.iter().map(|word| &word.text).eq(phrase))
                    && words.get(at + phrase.len()).is_none_or(|next| !next.hyphened)
            };
            at += match phrases.iter().filter(|_| !word.hyphened).find(fits) {
                Some((phrase, found)) => {
                    classes.push(*found);
                    phrase.len()
                }
                None => 1,
            };
        }
        match classes.split_first() {
            None => Match::Nothing,
            Some((first, others)) if others.iter().any(|other| other.class() != first.class()) => {
                Match::Several
            }
            Some((&Match::Named(class), _)) => Match::Within(class),
            Some((first, _)) => *first,
        }
    }
}

/// A word of a text.
struct Word {
    /// In lower case.
    text: String,
    /// Whether a hyphen ties it to the word before.
    hyphened: bool,
}

/// The words of a text; with `humps`, a capital after a small letter begins a new one: `SeaLake`.
fn words(text: &str, humps: bool) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let (mut before, mut open) = (' ', false);
    for c in text.chars() {
        // Part of a word: don't, C#, C++.
        let silent = matches!(c, '\'' | '’');
        let part = c.is_alphanumeric() || matches!(c, '#' | '+');
        if part && (!open || humps && c.is_uppercase() && before.is_lowercase()) {
            words.push(Word {
                text: String::new(),
                hyphened: matches!(before, '-' | '‐' | '‑') && !words.is_empty(),
            });
        }
        if let (true, Some(word)) = (part, words.last_mut()) {
            word.text.extend(c.to_lowercase());
        }
        open = part || silent && open;
        before = c;
    }
    words
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::Match::{Alias, Named, Nothing, Several, Within};
    use super::*;

    fn vocabulary() -> Vocabulary {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let names = texts(&["AnnualCrop", "SeaLake", "dress", "dress_shoe", "T-shirt/top", "C#"]);
        let told =
            texts(&["annual crop land", "sea or lake", "dress", "shoe for dances", "t-shirt | top", "C#"]);
        let aliases = BTreeMap::from([
            ("sealake".to_owned(), texts(&["water", "open sea"])),
            ("dress shoe".to_owned(), texts(&["pumps"])),
        ]);
        Vocabulary::new(&names, &told, &aliases).unwrap()
    }

    #[test]
    fn a_class_is_known_by_its_name_text_or_number_however_it_is_written() {
        let all = vocabulary();
        for (answer, class) in [
            ("annual crop", 0),
            (" SEA-LAKE. ", 1),
            ("sea or lake", 1),
            ("top", 4),
            ("t shirt/top", 4),
            ("c#", 5),
            ("3", 3),
        ] {
            assert_eq!(all.find(answer), Named(class), "{answer}");
        }
    }

    #[test]
    fn an_alias_is_known_alone_and_within_a_sentence() {
        let all = vocabulary();
        assert_eq!(all.find("Water"), Alias(1));
        assert_eq!(all.find("I see the open sea here"), Alias(1));
        assert_eq!(all.find("shiny pumps"), Alias(3));
    }

    #[test]
    fn a_sentence_means_the_one_class_whose_words_it_holds() {
        let all = vocabulary();
        assert_eq!(all.find("The image shows an annual crop."), Within(0));
        assert_eq!(all.find("AnnualCrop, I think"), Within(0));
        assert_eq!(all.find("This is a dress shoe!"), Within(3));
        assert_eq!(all.find("a red dress, a long dress"), Within(2));
        assert_eq!(all.find("a dress and a dress shoe"), Several);
        assert_eq!(all.find("an annual cropping"), Nothing);
        assert_eq!(all.find("annual"), Nothing);
        assert_eq!(all.find(""), Nothing);
        assert_eq!(all.find("6"), Nothing);
        assert_eq!(all.find("-1"), Nothing);
    }

    #[test]
    fn an_alias_of_two_classes_or_of_none_is_refused() {
        let names = ["cat", "dog"].map(str::to_owned);
        let aliases = |class: &str, alias: &str| BTreeMap::from([(class.to_owned(), vec![alias.to_owned()])]);
        let refused = |class, alias| {
            let made = Vocabulary::new(&names, &names, &aliases(class, alias));
            made.err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert!(refused("cat", "dog").contains("`dog` stands for two classes: `dog` and `cat`"));
        assert!(refused("cow", "calf").contains("there is no class `cow`"));
        assert_eq!(refused("cat", "kitten"), "");
    }

    #[test]
    fn a_wording_that_two_classes_share_means_neither() {
        let names = ["bird", "machine", "crane"].map(str::to_owned);
        let texts = ["crane bird | lifting", "crane | lifting", "crane"].map(str::to_owned);
        let all = Vocabulary::new(&names, &texts, &BTreeMap::new()).unwrap();
        assert_eq!(all.find("lifting"), Several);
        assert_eq!(all.find("it is lifting"), Several);
        assert_eq!(all.find("crane"), Named(2));
        assert_eq!(all.find("a crane bird"), Within(0));
        assert_eq!(all.find("a small bird"), Within(0));
    }

    /// Fashion-MNIST's own names, without a text or an alias.
    #[test]
    fn a_t_shirt_is_no_shirt() {
        let names = ["T-shirt/top", "Trouser", "Dress", "Coat", "Shirt", "Ankle boot"].map(str::to_owned);
        let all = Vocabulary::new(&names, &names, &BTreeMap::new()).unwrap();
        for answer in ["T-shirt", "t shirt", "top", "T-SHIRT / TOP."] {
            assert_eq!(all.find(answer), Named(0), "{answer}");
        }
        for answer in ["This is a t-shirt.", "a T‑shirt or top", "a white T-shirt"] {
            assert_eq!(all.find(answer), Within(0), "{answer}");
        }
        assert_eq!(all.find("a shirt"), Within(4));
        assert_eq!(all.find("a dress-like thing"), Nothing);
        assert_eq!(all.find("a sweat-shirt"), Nothing);
        assert_eq!(all.find("ankle-boot"), Named(5));
        let names = ["N/A", "dog"].map(str::to_owned);
        let all = Vocabulary::new(&names, &names, &BTreeMap::new()).unwrap();
        assert_eq!([all.find("a dog"), all.find("n/a")], [Within(1), Named(0)]);
    }

    #[test]
    fn where_numerals_are_names_they_are_no_places_in_the_list() {
        let of = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            Vocabulary::new(&names, &names, &BTreeMap::new()).unwrap()
        };
        let padded = of(&["01", "02", "03"]);
        assert_eq!(
            [padded.find("1"), padded.find("03"), padded.find("0"), padded.find("4")],
            [Named(0), Named(2), Nothing, Nothing]
        );
        let from_one = of(&["1", "2", "3"]);
        assert_eq!(
            [from_one.find("1"), from_one.find("0"), from_one.find("it is a 3")],
            [Named(0), Nothing, Within(2)]
        );
        assert_eq!(of(&["number 0", "number 1"]).find("1"), Named(1));
    }
}
