//! Which classes a text says there are, and which it says there are not.
//!
//! A negation counts for what follows it, up to the end of the sentence or a "but"; where nothing follows, for what came
//! just before it. Where that is not clear, the class is taken for negated: a lost vote is better than a wrong one. It
//! knows nothing of files or images.

use super::negation_words::{
    AFFIRMED, AFFIRMED_SIGNS, AFTER, ASKING, AUXILIARIES, COMMON, DOUBLE_NEGATIONS, ENDERS, ENDING_SIGNS,
    KOREAN_AFTER, NAMING, NEGATING_PAIRS, NEGATING_SIGNS, NEGATORS, SIGNS_AFTER, STARTERS, STARTING_SIGNS,
    among,
};
use super::vocabulary::{Hit, Meaning};
use super::words::{Text, Word, is_hangul};

/// The classes of a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// Those that it says there are.
    pub(super) named: Vec<Meaning>,
    /// Those that it says there are not.
    pub(super) negated: Vec<Meaning>,
}

/// The classes that a text says there are and are not; `hits` is what stands where in it.
pub(super) fn read(text: &Text, hits: &[Hit]) -> Said {
    let hits: Vec<Hit> = hits.iter().filter(|hit| !is_common(text, hit)).copied().collect();
    if hits.is_empty() {
        return Said::default();
    }
    let mut reader = Reader {
        text,
        hits,
        said: Said::default(),
        clause: 0,
        sentence: 0,
        first: 0,
        negation: None,
        last: None,
    };
    let mut at = 0;
    while at < text.words.len() {
        reader.boundary(at);
        at += reader.word(at);
    }
    if text.before(at).contains('?') && among(ASKING, reader.word_at(reader.first)) {
        reader.said.named.truncate(reader.sentence);
    }
    reader.said
}

/// A text being read.
struct Reader<'a> {
    text: &'a Text,
    hits: Vec<Hit>,
    said: Said,
    /// How many classes were named before this clause.
    clause: usize,
    /// How many were named before this sentence.
    sentence: usize,
    /// The sentence's first word.
    first: usize,
    /// The negation that what comes now is under.
    negation: Option<Negation>,
    /// The end of the last class in this clause.
    last: Option<usize>,
}

struct Negation {
    /// The word.
    at: usize,
    /// Whether it stands in brackets, which end it.
    bracketed: bool,
}

impl Reader<'_> {
    fn word_at(&self, at: usize) -> &str {
        self.text.words.get(at).map_or("", |word| word.text.as_str())
    }

    fn hit_at(&self, at: usize) -> Option<Hit> {
        self.hits.iter().find(|hit| hit.from == at).copied()
    }

    /// Whether a sentence ends before a word.
    fn ends_before(&self, at: usize) -> bool {
        let before = self.text.before(at);
        // The point of an abbreviation ends none: e.g. a dog.
        let short = at > 0 && matches!(self.word_at(at - 1), "e" | "g" | "i.e" | "eg");
        before.contains(['!', '?', ';', '\n', '。']) || before.contains('.') && !short
    }

    /// What the signs before a word end.
    fn boundary(&mut self, at: usize) {
        let before = self.text.before(at);
        if at > 0 && self.ends_before(at) {
            // A question names what may be; what follows it is the answer.
            if before.contains('?') {
                self.said.named.truncate(self.sentence);
            }
            (self.negation, self.last, self.first) = (None, None, at);
            (self.clause, self.sentence) = (self.said.named.len(), self.said.named.len());
        } else if before.contains([',', '、', '(', ')', ':', '–', '—']) {
            (self.clause, self.last) = (self.said.named.len(), None);
            let over = match &self.negation {
                None => false,
                Some(negation) => {
                    negation.bracketed && before.contains(')')
                        || before.contains([',', '–', '—'])
                            && (self.starts(at) || self.corrects(negation, at))
                }
            };
            if over {
                self.negation = None;
            }
        }
    }

    /// Whether a new clause begins at a word.
    fn starts(&self, at: usize) -> bool {
        among(STARTERS, self.word_at(at))
            || STARTING_SIGNS.split(' ').any(|signs| self.text.has_signs(at, signs))
    }

    /// Whether a comma at a word is followed by what it is instead, and by nothing else: "not a dog, a cat."
    fn corrects(&self, negation: &Negation, at: usize) -> bool {
        let article = |at: usize| matches!(self.word_at(at), "a" | "an" | "the");
        let directly = article(negation.at + 1) && self.hit_at(negation.at + 2).is_some();
        let follows = self.hit_at(at + 1).filter(|_| article(at));
        directly
            && matches!(self.word_at(negation.at), "not" | "isnt" | "arent" | "wasnt")
            && follows.is_some_and(|hit| {
                let next = hit.from + hit.count;
                next == self.text.words.len() || self.ends_before(next)
            })
    }

    /// Reads what begins at a word; gives how many words that is.
    fn word(&mut self, at: usize) -> usize {
        if let Some(hit) = self.hit_at(at) {
            match self.negation {
                Some(_) => self.said.negated.push(hit.meaning),
                None => self.said.named.push(hit.meaning),
            }
            self.last = Some(at + hit.count);
            return hit.count;
        }
        if self.text.words[at].unspaced {
            return self.signs(at);
        }
        let text = self.text;
        let word = text.words[at].text.as_str();
        let next = self.word_at(at + 1);
        let stands = |words: &&str| (at..).zip(words.split(' ')).all(|(at, word)| self.word_at(at) == word);
        if let Some(affirmed) = AFFIRMED.split(", ").find(stands) {
            // The "but" of "nothing but" has no further meaning.
            return affirmed.split(' ').count();
        }
        if word.chars().all(is_hangul) && KOREAN_AFTER.split(' ').any(|negation| word.starts_with(negation)) {
            self.negate_since(self.sentence);
            return 1;
        }
        if NEGATING_PAIRS.split(", ").any(|pair| pair.split_once(' ') == Some((word, next))) {
            self.negate(at);
            return 2;
        }
        if among(ENDERS, word) {
            (self.negation, self.last) = (None, None);
            (self.clause, self.sentence) = (self.said.named.len(), self.said.named.len());
            return 1;
        }
        if word == "and" && self.starts(at + 1) && self.hit_at(at + 1).is_none() {
            self.negation = None;
            return 1;
        }
        if matches!(word, "no" | "nope" | "nein" | "non" | "nee" | "false") && self.stands_alone(at) {
            // "Dog: no"; else the answer to a question, and what follows is what there is.
            let before = self.text.before(at);
            if before.contains([':', '=']) || at > self.first && self.ends_at(at + 1) {
                let since = if before.contains([':', '=']) { self.before_colon() } else { self.sentence };
                self.negate_since(since);
            }
            return 1;
        }
        if self.just_before(at) && among(AFTER, word) {
            self.negate_since(self.clause);
        } else if among(NEGATORS, word)
            || word.len() > 3 && word.ends_with("nt") && text.slice(at, 1).contains(['\'', '’'])
        {
            if self.just_before(at) && !self.follows(at + 1) {
                self.negate_since(self.clause);
            }
            self.negate(at);
        }
        1
    }

    /// Reads a sign of a script without blanks; gives how many signs that is.
    fn signs(&mut self, at: usize) -> usize {
        let found = |all: &str| {
            let signs = all.split(' ').find(|signs| self.text.has_signs(at, signs))?;
            let mut length = 0;
            let within = |word: &&Word| {
                let before = length;
                length += word.text.len();
                before < signs.len()
            };
            Some(self.text.words[at..].iter().take_while(within).count())
        };
        if let Some(count) = found(AFFIRMED_SIGNS) {
            return count;
        }
        if let Some(count) = found(ENDING_SIGNS) {
            (self.negation, self.last, self.clause) = (None, None, self.said.named.len());
            return count;
        }
        if let Some(count) = found(SIGNS_AFTER) {
            let from = self.text.words.get(self.first).map_or(0, |word| word.start);
            let before = &self.text.written[from..self.text.words[at].start];
            let double = DOUBLE_NEGATIONS.split(' ').any(|signs| before.ends_with(signs));
            // "Only" is said with a negation that comes later.
            if !double && !before.contains("しか") {
                self.negate_since(self.sentence);
            }
            return count;
        }
        if let Some(count) = found(NEGATING_SIGNS) {
            if self.just_before(at) && !self.follows(at + count) {
                self.negate_since(self.clause);
            }
            self.negate(at);
            return count;
        }
        1
    }

    fn negate(&mut self, at: usize) {
        let (opened, closed) = (0..=at).fold((0, 0), |(opened, closed), word| {
            let before = self.text.before(word);
            (opened + before.matches('(').count(), closed + before.matches(')').count())
        });
        self.negation = Some(Negation { at, bracketed: opened > closed });
    }

    /// Takes back what was named since.
    fn negate_since(&mut self, since: usize) {
        let taken = self.said.named.drain(since.min(self.said.named.len())..);
        self.said.negated.extend(taken);
        self.last = None;
    }

    /// How many classes were named before the one that a colon follows here.
    fn before_colon(&self) -> usize {
        self.said.named.len().saturating_sub(1).max(self.sentence)
    }

    /// Whether a class stands just before a word, with auxiliaries between at most.
    fn just_before(&self, at: usize) -> bool {
        self.last.is_some_and(|last| (last..at).all(|between| among(AUXILIARIES, self.word_at(between))))
    }

    /// Whether a class follows in the same clause.
    fn follows(&self, from: usize) -> bool {
        let clause = (from..self.text.words.len()).take_while(|at| {
            !self.ends_before(*at)
                && !self.text.before(*at).contains(',')
                && !among(ENDERS, self.word_at(*at))
        });
        clause.into_iter().any(|at| self.hit_at(at).is_some())
    }

    /// Whether a word stands between signs: "No, …".
    fn stands_alone(&self, at: usize) -> bool {
        self.ends_at(at + 1)
            || self.text.before(at + 1).contains([',', ':', '–', '—', ')'])
            || self.text.before(at + 1).contains(" - ")
    }

    /// Whether the sentence ends before this word.
    fn ends_at(&self, at: usize) -> bool {
        at >= self.text.words.len() || self.ends_before(at)
    }
}

/// Whether a word that classes may be called by is but a word here. It is a name in quotes, at the end, before a sign at
/// the beginning, and after a word such as "letter".
fn is_common(text: &Text, hit: &Hit) -> bool {
    let word = text.words.get(hit.from).map_or("", |word| word.text.as_str());
    if hit.count > 1 || !among(COMMON, word) {
        return false;
    }
    const QUOTES: [char; 10] = ['"', '\'', '`', '*', '“', '”', '‘', '’', '«', '»'];
    let (before, after) = (text.before(hit.from), text.before(hit.from + 1));
    let quoted = before.ends_with(QUOTES) && after.starts_with(QUOTES);
    let first = hit.from == 0 && after.trim_start().starts_with([',', '.', ':', ';', '!', '-', '–', '—']);
    let last = hit.from + 1 == text.words.len();
    let named = hit.from.checked_sub(1).and_then(|at| text.words.get(at));
    !(quoted || first || last || named.is_some_and(|word| among(NAMING, &word.text)))
}
