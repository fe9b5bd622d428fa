//! The words of an answer, in any script, and what stands between them.
//!
//! In scripts without blanks between words every sign is a word of its own. It knows nothing of files or images.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// A word of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// In lower case.
    pub(super) text: String,
    /// Where it stands in [`Text::written`].
    pub(super) start: usize,
    /// Where it ends.
    pub(super) end: usize,
    /// Whether a hyphen ties it to the word before.
    pub(super) hyphened: bool,
    /// Whether it ends in an apostrophe and s: a dog's.
    pub(super) possessive: bool,
    /// Whether it is a sign of a script without blanks between words.
    pub(super) unspaced: bool,
}

/// A text and its words.
#[derive(Clone, Debug)]
pub(super) struct Text {
    /// The text, composed in one way and of one width.
    pub(super) written: String,
    /// Its words.
    pub(super) words: Vec<Word>,
}

impl Text {
    /// Of a text; with `humps`, a capital after a small letter begins a new word: `SeaLake`.
    pub(super) fn new(text: &str, humps: bool) -> Self {
        // The sign for a number would become the word "No".
        let written: String = text.replace('№', "#").nfkc().collect();
        let mut words: Vec<Word> = Vec::new();
        let (mut before, mut open) = (' ', false);
        let mut signs = written.char_indices().peekable();
        while let Some((at, c)) = signs.next() {
            let next = signs.peek().map_or(' ', |(_, next)| *next);
            let end = at + c.len_utf8();
            let adjacent = words.last().is_some_and(|word| word.end == at);
            // Part of a word: don't, 0.5, C#, C++, 5%.
            let silent = open && matches!(c, '\'' | '’');
            let point = open && c == '.' && before.is_ascii_digit() && next.is_ascii_digit();
            let joined = adjacent && (is_combining_mark(c) || open && matches!(c, '#' | '+' | '%') || point);
            let alone = is_unspaced(c) && !is_combining_mark(c);
            let part = c.is_alphanumeric() || joined;
            if part && !joined && (!open || alone || humps && c.is_uppercase() && before.is_lowercase()) {
                words.push(Word {
                    text: String::new(),
                    start: at,
                    end,
                    hyphened: matches!(before, '-' | '‐' | '‑') && !words.is_empty(),
                    possessive: false,
                    unspaced: alone,
                });
            }
            if let (true, Some(word)) = (part, words.last_mut()) {
                word.text.extend(c.to_lowercase());
                word.end = end;
                word.possessive =
                    matches!(before, '\'' | '’') && matches!(c, 's' | 'S') && word.text.len() > 1;
            }
            // After a sign that is a word of its own, a new word begins.
            open = part && !words.last().is_some_and(|word| word.unspaced) || silent;
            before = c;
        }
        Self { written, words }
    }

    /// What stands before a word: between it and the one before it, or from the beginning. After the last word, what
    /// follows it.
    pub(super) fn before(&self, word: usize) -> &str {
        let from = word.checked_sub(1).and_then(|word| self.words.get(word)).map_or(0, |word| word.end);
        let to = self.words.get(word).map_or(self.written.len(), |word| word.start);
        self.written.get(from..to).unwrap_or_default()
    }

    /// How these words are written.
    pub(super) fn slice(&self, from: usize, count: usize) -> &str {
        let ends = (self.words.get(from), self.words.get((from + count).wrapping_sub(1)));
        let (Some(first), Some(last)) = ends else { return "" };
        self.written.get(first.start..last.end).unwrap_or_default()
    }

    /// Whether these signs stand here, each a word of its own.
    pub(super) fn has_signs(&self, at: usize, signs: &str) -> bool {
        let words = self.words.get(at..).unwrap_or_default();
        let mut words = words.iter().take_while(|word| word.unspaced).map(|word| word.text.as_str());
        let mut rest: &str = signs;
        while !rest.is_empty() {
            match words.next().and_then(|word| rest.strip_prefix(word)) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        true
    }
}

/// Whether a sign belongs to a script without blanks between words: Chinese, Japanese, Thai, Lao, Burmese, Khmer.
pub(super) fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
        || matches!(c, '\u{3005}' | '\u{3007}' | '\u{3041}'..='\u{309f}')
        || is_katakana(c)
        || matches!(c, '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}')
}

/// Whether a sign is of the script in which Japanese writes foreign words; such a word is a run of them.
pub(super) fn is_katakana(c: char) -> bool {
    matches!(c, '\u{30a1}'..='\u{30fa}' | '\u{30fc}'..='\u{30ff}')
}

/// Whether a sign is of the Korean script, in which words carry their particles.
pub(super) fn is_hangul(c: char) -> bool {
    matches!(c, '\u{ac00}'..='\u{d7a3}')
}

/// The plurals that a word may have in English.
pub(super) fn plurals(word: &str) -> Vec<String> {
    const IRREGULAR: [(&str, &str); 10] = [
        ("man", "men"),
        ("woman", "women"),
        ("child", "children"),
        ("person", "people"),
        ("mouse", "mice"),
        ("goose", "geese"),
        ("foot", "feet"),
        ("tooth", "teeth"),
        ("ox", "oxen"),
        ("cactus", "cacti"),
    ];
    if word.len() < 2 || !word.bytes().all(|b| b.is_ascii_alphabetic()) {
        return Vec::new();
    }
    let mut all: Vec<String> = IRREGULAR
        .iter()
        .filter_map(|(one, many)| Some(format!("{}{many}", word.strip_suffix(one)?)))
        .collect();
    let hissing = ["s", "x", "z", "ch", "sh"].iter().any(|end| word.ends_with(end));
    let before_last = word.bytes().rev().nth(1).unwrap_or(b' ');
    match word.bytes().last() {
        _ if hissing => all.push(format!("{word}es")),
        Some(b'y') if !b"aeiou".contains(&before_last) => all.push(format!("{}ies", &word[..word.len() - 1])),
        Some(b'f') => all.extend([format!("{word}s"), format!("{}ves", &word[..word.len() - 1])]),
        Some(b'e') if before_last == b'f' => {
            all.extend([format!("{word}s"), format!("{}ves", &word[..word.len() - 2])]);
        }
        Some(b'o') => all.extend([format!("{word}s"), format!("{word}es")]),
        _ => all.push(format!("{word}s")),
    }
    all
}

/// The singulars that a word may have in English.
pub(super) fn singulars(word: &str) -> Vec<String> {
    let stems = [
        ("ies", "y"),
        ("ves", "f"),
        ("ves", "fe"),
        ("es", ""),
        ("s", ""),
        ("men", "man"),
        ("children", "child"),
    ];
    let stems = stems.iter().filter_map(|(end, one)| Some(format!("{}{one}", word.strip_suffix(end)?)));
    stems.filter(|stem| stem.len() > 2 && plurals(stem).iter().any(|many| many == word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        Text::new(text, false).words.into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn words_end_where_readers_see_their_ends() {
        assert_eq!(
            words("I don't see 0.5 C# or C++, A-B."),
            ["i", "dont", "see", "0.5", "c#", "or", "c++", "a", "b"]
        );
        assert_eq!(words("这是T恤。"), ["这", "是", "t", "恤"]);
        assert_eq!(words("เสื้อ"), ["เ", "สื้", "อ"]);
        assert_eq!(words("ＣＡＴ　１"), ["cat", "1"]);
        assert_eq!(words("# №2 ** _x_"), ["2", "x"]);
        let text = Text::new("the dog's tail — a", false);
        assert!(text.words[1].possessive && !text.words[2].possessive);
        assert_eq!((text.before(3), text.before(4), text.slice(1, 2)), (" — ", "", "dog's tail"));
    }

    #[test]
    fn plurals_are_those_of_plain_english() {
        for (one, many) in [
            ("sandal", "sandals"),
            ("box", "boxes"),
            ("berry", "berries"),
            ("dress", "dresses"),
            ("leaf", "leaves"),
            ("knife", "knives"),
            ("tomato", "tomatoes"),
            ("toy", "toys"),
            ("woman", "women"),
        ] {
            assert!(plurals(one).iter().any(|found| found == many), "{one}");
            assert!(singulars(many).iter().any(|found| found == one), "{many}");
        }
        assert_eq!((plurals("3"), plurals("猫")), (Vec::<String>::new(), Vec::new()));
        assert_eq!(singulars("dress"), [""; 0]);
    }
}
