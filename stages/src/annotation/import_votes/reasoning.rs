//! What of an answer is the answer, and what is thinking aloud before it.
//!
//! Models that reason write their thoughts between tags, or before words such as "Final answer:". It knows nothing of
//! files or images.

use std::borrow::Cow;

use super::negation_words::{NEGATING_SIGNS, NEGATORS, among};
use super::words::Text;

/// Tags between which models think.
const TAGS: [&str; 5] = ["think", "thinking", "thought", "reasoning", "scratchpad"];

/// An answer without its thoughts: those between tags, those before a closing tag that nothing opened, and those after
/// an opening one that nothing closes.
pub(super) fn without_thoughts(answer: &str) -> Cow<'_, str> {
    if !answer.contains('<') {
        return Cow::Borrowed(answer);
    }
    let (mut said, mut from, mut thought) = (String::new(), 0, false);
    while let Some(tag) = next_tag(answer, from, |_| true) {
        if tag.closes {
            // Some programs cut off the tag that opened the thoughts.
            said.clear();
            from = tag.end;
        } else {
            said.push_str(&answer[from..tag.start]);
            said.push(' ');
            let closing = next_tag(answer, tag.end, |other| other.closes && other.name == tag.name)
                .or_else(|| next_tag(answer, tag.end, |other| other.closes));
            from = closing.map_or(answer.len(), |closing| closing.end);
        }
        thought = true;
    }
    if !thought {
        return Cow::Borrowed(answer);
    }
    said.push_str(&answer[from..]);
    Cow::Owned(said.trim().to_owned())
}

/// A tag of thoughts in a text.
struct Tag {
    start: usize,
    end: usize,
    name: &'static str,
    closes: bool,
}

/// The first tag of thoughts from here that is wanted.
fn next_tag(text: &str, from: usize, wanted: impl Fn(&Tag) -> bool) -> Option<Tag> {
    let tag = |(at, _): (usize, &str)| {
        let (start, rest) = (from + at, &text[from + at + 1..]);
        let (inner, _) = rest.split_once('>')?;
        let closes = inner.starts_with('/');
        let word = inner.trim_start_matches('/').trim();
        let name = TAGS.into_iter().find(|name| word.eq_ignore_ascii_case(name))?;
        let tag = Tag { start, end: start + 1 + inner.len() + 1, name, closes };
        wanted(&tag).then_some(tag)
    };
    text[from..].match_indices('<').find_map(tag)
}

/// Words that the answer follows after a colon or an "is".
const ANSWERS: [&str; 6] = ["answer", "antwort", "réponse", "respuesta", "risposta", "resposta"];

/// Such words of scripts without blanks between words.
const ANSWER_SIGNS: [&str; 3] = ["答案", "答え", "回答"];

/// Words that the answer follows after a colon, at the beginning of a sentence.
const HEADINGS: [&str; 7] =
    ["prediction", "label", "class", "category", "classification", "conclusion", "verdict"];

/// Words that may stand before such a heading.
const BEFORE_HEADINGS: &str = "the my final predicted best most likely image";

/// What stands between the word and the answer.
const VERBS: [&str; 12] =
    ["is", "would be", "should be", "must be", "will be", "ist", "est", "es", "应该是", "是", "为", "為"];

/// Signs that end a sentence or a clause.
const ENDS: [char; 10] = ['.', '!', '?', ';', ':', '\n', ',', '。', '，', '？'];

/// What follows the last words that say that the answer follows. A negation before them in the same clause makes them
/// none: "I doubt that the answer is a dog".
pub(super) fn concluded(answer: &str) -> Option<&str> {
    let text = answer.to_ascii_lowercase();
    let mut last: Option<usize> = None;
    let mut take = |from: usize| last = last.max(Some(from));
    let ends = |at: usize, word: &str| {
        !text[..at].ends_with(char::is_alphanumeric)
            && !text[at + word.len()..].starts_with(char::is_alphanumeric)
    };
    for word in ANSWERS {
        for (at, _) in text.match_indices(word).filter(|(at, _)| ends(*at, word)) {
            let after = at + word.len();
            let tag = text[..at].ends_with('<') && text[after..].starts_with('>');
            match after_marker(&text[after..], true) {
                _ if negated(clause(&text, at)) => {}
                _ if tag => take(after + 1),
                Some(length) => take(after + length),
                None => {}
            }
        }
    }
    for word in ANSWER_SIGNS {
        for (at, _) in text.match_indices(word) {
            let after = at + word.len();
            let length = after_marker(&text[after..], true)
                .or_else(|| text[after..].starts_with('は').then_some('は'.len_utf8()));
            if let Some(length) = length.filter(|_| !negated(clause(&text, at))) {
                take(after + length);
            }
        }
    }
    for word in HEADINGS {
        for (at, _) in text.match_indices(word).filter(|(at, _)| ends(*at, word)) {
            let after = at + word.len();
            let heads = Text::new(clause(&text, at), false)
                .words
                .iter()
                .all(|word| among(BEFORE_HEADINGS, &word.text))
                && !clause(&text, at).contains(['(', '[', '{']);
            if let Some(length) = after_marker(&text[after..], false).filter(|_| heads) {
                take(after + length);
            }
        }
    }
    for (at, sign) in text.match_indices("\\boxed{") {
        take(at + sign.len());
    }
    last.map(|from| &answer[from..]).filter(|rest| !rest.trim().is_empty())
}

/// What stands before here in the same clause.
fn clause(text: &str, at: usize) -> &str {
    let before = &text[..at];
    let start =
        before.rfind(ENDS).map_or(0, |end| end + before[end..].chars().next().map_or(1, char::len_utf8));
    &before[start..]
}

fn negated(clause: &str) -> bool {
    let text = Text::new(clause, false);
    let nots = |at: usize, word: &str| {
        among(NEGATORS, word)
            || word.len() > 3 && word.ends_with("nt") && text.slice(at, 1).contains(['\'', '’'])
    };
    text.words.iter().enumerate().any(|(at, word)| nots(at, &word.text))
        || NEGATING_SIGNS.split(' ').any(|signs| clause.contains(signs))
}

/// How long what makes a word a marker is: a colon or, with `verbs`, a verb.
fn after_marker(rest: &str, verbs: bool) -> Option<usize> {
    let bare = rest.trim_start_matches([' ', '\t', '*', '_', '"', '\'', '`']);
    let skipped = rest.len() - bare.len();
    if let Some(sign) = bare.chars().next().filter(|sign| matches!(sign, ':' | '=' | '：')) {
        return Some(skipped + sign.len_utf8());
    }
    let verb = VERBS.iter().filter(|_| verbs).find(|verb| {
        bare.strip_prefix(**verb).is_some_and(|after| {
            !verb.is_ascii() || !after.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '\'' | '’'))
        })
    })?;
    Some(skipped + verb.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_thought_aloud_is_no_answer() {
        for (answer, said) in [
            ("<think>It may be a cat.</think> dog", "dog"),
            ("<THINK>\na cat\n</THINK>\n\ndog\n", "dog"),
            ("<thinking>cat</thinking>dog", "dog"),
            ("<reasoning>cat</reasoning><scratchpad>cow</scratchpad> dog", "dog"),
            ("It may be a cat.</think> dog", "dog"),
            ("<think>a cat</reasoning> dog", "dog"),
            ("dog <think>or a cat", "dog"),
            ("<think>It may be a cat", ""),
            ("a < b", "a < b"),
            ("<b>dog</b>", "<b>dog</b>"),
        ] {
            assert_eq!(without_thoughts(answer), said, "{answer}");
        }
    }

    #[test]
    fn the_answer_is_what_follows_the_last_marker() {
        for (answer, concluded_to) in [
            ("Reasoning: a cat has whiskers. Answer: dog", Some(" dog")),
            ("**Final answer:** dog", Some("** dog")),
            ("Answer: cat. No: the answer is dog", Some(" dog")),
            ("A cat has whiskers.\nPredicted class: dog", Some(" dog")),
            ("有胡须的是猫。答案是狗", Some("狗")),
            ("so \\boxed{dog}", Some("dog}")),
            ("No, the answer is dog", Some(" dog")),
            ("<answer>dog</answer>", Some("dog</answer>")),
            ("I don't think that the answer is dog", None),
            ("Wrong answer: dog", None),
            ("The answer isn't dog", None),
            ("答案不是狗", None),
            ("It is not of the class: dog", None),
            ("Answers: many", None),
            ("dog. Answer:", None),
        ] {
            assert_eq!(concluded(answer), concluded_to, "{answer}");
        }
    }
}
