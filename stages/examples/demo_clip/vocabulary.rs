//! The words that the miniature CLIP knows, as a `tokenizer.json`: whole words, lower-cased, between a start and
//! an end mark. It knows nothing of images or models.

use std::collections::BTreeSet;
use std::path::Path;

use pipeline::error::{Error, OrFail, Result};
use serde_json::json;

use super::captions;

/// Marks, in front of and behind the words.
const PADDING: &str = "<|padding|>";
const UNKNOWN: &str = "<|unknown|>";
const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";

/// The words in the order of their ids.
pub struct Vocabulary(Vec<String>);

impl Vocabulary {
    /// All words of the captions, of the class texts, and of the prompt templates that come with coreg: those that no
    /// caption has are known but mean nothing.
    pub fn new<'a>(more: impl Iterator<Item = &'a str>) -> Self {
        let own = captions::all_parts().map(str::to_lowercase);
        let texts: Vec<String> = own.chain(more.map(str::to_lowercase)).collect();
        let words: BTreeSet<String> = texts.iter().flat_map(|text| pieces(text)).collect();
        let marks = |list: [&str; 2]| list.map(str::to_owned);
        let all = marks([PADDING, UNKNOWN]).into_iter().chain(words).chain(marks([START, END]));
        Self(all.collect())
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Ids of the padding, the start and the end mark.
    pub fn marks(&self) -> [usize; 3] {
        [0, self.len() - 2, self.len() - 1]
    }

    /// Writes `tokenizer.json`, after checking that the library reads it, and `tokenizer_config.json`, without which
    /// `transformers` takes every CLIP's tokenizer for one of byte pairs.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let [padding, start, end] = self.marks();
        let special = |id: usize| {
            json!({"id": id, "content": self.0[id], "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        };
        let mark = |id: usize| json!({"id": self.0[id], "ids": [id], "tokens": [self.0[id]]});
        let (first, last) = (
            json!({"SpecialToken": {"id": START, "type_id": 0}}),
            json!({"SpecialToken": {"id": END, "type_id": 0}}),
        );
        let sequence = |id: &str| json!({"Sequence": {"id": id, "type_id": 0}});
        let words: serde_json::Map<String, serde_json::Value> =
            self.0.iter().enumerate().map(|(id, word)| (word.clone(), json!(id))).collect();
        let file = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": [special(padding), special(1), special(start), special(end)],
            "normalizer": {"type": "Lowercase"},
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [first, sequence("A"), last],
                "pair": [first, sequence("A"), sequence("B"), last],
                "special_tokens": {START: mark(start), END: mark(end)},
            },
            "decoder": null,
            "model": {"type": "WordLevel", "vocab": words, "unk_token": UNKNOWN},
        });
        let text = format!("{file:#}\n");
        tokenizers::Tokenizer::from_bytes(text.as_bytes())
            .or_fail(|| Error::new("the tokenizer is not valid"))?;
        let config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": START,
            "eos_token": END,
            "pad_token": self.0[padding],
            "unk_token": UNKNOWN,
        });
        let files = [("tokenizer.json", text), ("tokenizer_config.json", format!("{config:#}\n"))];
        files.into_iter().try_for_each(|(name, text)| {
            let path = folder.join(name);
            std::fs::write(&path, text).or_fail(|| Error::new("cannot write the tokenizer").at(&path))
        })
    }
}

/// Words and runs of marks, as the pre-tokenizer `Whitespace` finds them.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut before = ' ';
    for letter in text.chars() {
        let kind = |c: char| (c.is_whitespace(), c.is_alphanumeric() || c == '_');
        match pieces.last_mut() {
            _ if letter.is_whitespace() => {}
            Some(piece) if kind(before) == kind(letter) => piece.push(letter),
            _ => pieces.push(letter.to_string()),
        }
        before = letter;
    }
    pieces
}
