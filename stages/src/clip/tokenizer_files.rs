//! The files that make up the tokenizer of a CLIP: `tokenizer.json`, or `vocab.json` and `merges.txt`, from which
//! `transformers`' `CLIPTokenizer` makes the same.
//!
//! It knows nothing of tensors.

use std::path::{Path, PathBuf};

use pipeline::error::{Error, OrFail, Result};
use serde_json::{Map, Value, json};

use super::content::Content;

/// The files of a tokenizer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenizerFiles {
    /// `tokenizer.json`.
    Whole(Content),
    /// What CLIP's tokenizers differ in; all else is CLIP's own.
    Parts {
        /// `vocab.json`: each token's number.
        vocabulary: Content,
        /// `merges.txt`: which two tokens become one, the first ones first.
        merges: Content,
    },
}

/// The marks at the beginning and the end of a text: those of OpenAI, and those that open_clip writes.
const MARKS: [[&str; 2]; 2] = [["<|startoftext|>", "<|endoftext|>"], ["<start_of_text>", "<end_of_text>"]];

impl TokenizerFiles {
    /// All of them.
    pub fn contents(&self) -> Vec<&Content> {
        match self {
            Self::Whole(whole) => vec![whole],
            Self::Parts { vocabulary, merges } => vec![vocabulary, merges],
        }
    }

    /// `tokenizer.json` as it is, or made of the parts.
    pub(super) fn read(&self) -> Result<Vec<u8>> {
        self.contents().into_iter().try_for_each(Content::refuse_pointer)?;
        match self {
            Self::Whole(file) => {
                let bytes = file.read().or_fail(|| Error::new("cannot read CLIP's tokenizer").at(file))?;
                Ok(bytes.into_owned())
            }
            Self::Parts { vocabulary, merges } => compose(vocabulary, merges),
        }
    }
}

/// The file that stands for all, in messages.
impl AsRef<Path> for TokenizerFiles {
    fn as_ref(&self) -> &Path {
        match self {
            Self::Whole(file) | Self::Parts { vocabulary: file, .. } => file.as_ref(),
        }
    }
}

impl From<PathBuf> for TokenizerFiles {
    fn from(path: PathBuf) -> Self {
        Self::Whole(path.into())
    }
}

/// The `tokenizer.json` that `transformers` makes of both files.
fn compose(vocabulary: &Content, merges: &Content) -> Result<Vec<u8>> {
    let cannot = || Error::new("cannot read CLIP's vocabulary").at(vocabulary);
    let text = vocabulary.text().or_fail(cannot)?;
    let tokens: Map<String, Value> = serde_json::from_str(&text)
        .or_fail(|| cannot().help("vocab.json must be one JSON object: each token and its number"))?;
    let number = |token: &str| tokens.get(token).and_then(Value::as_u64);
    let marks = MARKS.into_iter().find(|marks| marks.iter().all(|mark| number(mark).is_some()));
    let [start, end] = marks.ok_or_else(|| {
        let all = MARKS.map(|[start, end]| format!("{start} and {end}"));
        Error::new(format!(
            "the vocabulary has no marks for the start and the end of a text: {}",
            all.join(", or ")
        ))
        .at(vocabulary)
        .help("vocab.json is not that of a CLIP; put its tokenizer.json beside it")
    })?;
    let pairs = pairs(merges)?;
    let special = |mark: &str| {
        json!({"id": number(mark), "content": mark, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    };
    let mut added = [start, end];
    added.sort_by_key(|mark| number(mark));
    let escaped = [start, end].map(|mark| mark.replace('|', r"\|"));
    let words = format!(
        r"{}|{}|'s|'t|'re|'ve|'m|'ll|'d|[\p{{L}}]+|[\p{{N}}]|[^\s\p{{L}}\p{{N}}]+",
        escaped[0], escaped[1]
    );
    let whole = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added.map(special),
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
            {"type": "Lowercase"},
        ]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": words}, "behavior": "Removed", "invert": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        ]},
        "post_processor": {"type": "RobertaProcessing", "sep": [end, number(end)], "cls": [start, number(start)],
            "trim_offsets": false, "add_prefix_space": false},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": end, "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": tokens, "merges": pairs},
    });
    serde_json::to_vec(&whole).or_fail(cannot)
}

/// The pairs of `merges.txt`, one a line, after a line with the format's version. A pair may begin with `#`.
fn pairs(merges: &Content) -> Result<Vec<[String; 2]>> {
    let text =
        merges.text().or_fail(|| Error::new("cannot read the merges of CLIP's tokenizer").at(merges))?;
    let lines = (1..).zip(text.split('\n').map(|line| line.trim_end_matches('\r')));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with("#version"));
    let pair = |(number, line): (usize, &str)| match line.split(' ').collect::<Vec<_>>()[..] {
        [left, right] if !left.is_empty() && !right.is_empty() => Ok([left.to_owned(), right.to_owned()]),
        _ => Err(Error::new(format!("line {number} of the merges is not two tokens: `{line}`"))
            .at(merges)
            .help("merges.txt must be that of the same repository as vocab.json")),
    };
    lines.map(pair).collect()
}
