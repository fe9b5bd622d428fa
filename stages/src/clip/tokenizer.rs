//! CLIP's tokenizer: texts to token ids, and which token of each carries the text's feature.
//!
//! Of the model it needs the longest sequence, the vocabulary's size and the pooling rule.

use pipeline::error::{Error, OrFail, Result};
use tokenizers::{TruncationDirection, TruncationParams, TruncationStrategy};

use super::config::{Pooling, TextConfig};
use super::tokenizer_files::TokenizerFiles;
use crate::runtime::panics::guarded;

/// One text as the text tower takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenizedText {
    /// Token ids with the start and end marks, at most `positions` of them.
    pub ids: Vec<u32>,
    /// Index into `ids` of the token that carries the feature.
    pub pooled: usize,
}

/// The tokenizer of a CLIP, cut to the model's longest sequence.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    vocabulary: usize,
    positions: usize,
    pooling: Pooling,
}

impl Tokenizer {
    /// Reads the files. Whatever padding they ask for is dropped; truncation keeps the end mark last.
    pub fn read(files: &TokenizerFiles, config: &TextConfig) -> Result<Self> {
        let cannot = || {
            let names: Vec<&str> = files.contents().into_iter().map(|file| file.name()).collect();
            Error::new("cannot read CLIP's tokenizer")
                .at(files)
                .help(format!("{} must be of the same repository as the config", names.join(" and ")))
        };
        let bytes = files.read()?;
        let inner = guarded(|| tokenizers::Tokenizer::from_bytes(bytes)).or_fail(cannot)?;
        let mut inner = inner.or_fail(cannot)?;
        inner.with_padding(None);
        let truncation = TruncationParams {
            direction: TruncationDirection::Right,
            max_length: config.positions,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        };
        inner.with_truncation(Some(truncation)).or_fail(cannot)?;
        let tokenizer = Self {
            inner,
            vocabulary: config.vocabulary,
            positions: config.positions,
            pooling: config.pooling,
        };
        // A file that does not fit is refused here, before any work.
        guarded(|| tokenizer.tokenize(&["a"])).or_fail(cannot)?.or_fail(cannot)?;
        Ok(tokenizer)
    }

    /// The ids of each text, in order.
    pub fn tokenize<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<Vec<TokenizedText>> {
        let inputs: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        let encodings =
            self.inner.encode_batch_fast(inputs, true).or_fail(|| Error::new("cannot tokenize the texts"))?;
        encodings
            .iter()
            .zip(texts)
            .map(|(encoding, text)| self.pool(encoding.get_ids(), text.as_ref()))
            .collect()
    }

    /// Whether the text is longer than the model takes, so that its end is cut off.
    pub fn cuts(&self, text: &str) -> bool {
        // Start and end marks apart, every token stands for a byte or more.
        text.len() + 2 > self.positions
            && self.inner.encode_fast(text, true).is_ok_and(|encoding| !encoding.get_overflowing().is_empty())
    }

    fn pool(&self, ids: &[u32], text: &str) -> Result<TokenizedText> {
        if let Some(id) = ids.iter().find(|id| **id as usize >= self.vocabulary) {
            let size = self.vocabulary;
            return Err(Error::new(format!("the tokenizer gives id {id}, the model knows {size} tokens"))
                .help("the tokenizer and the config are not of the same model"));
        }
        let pooled = match self.pooling {
            Pooling::FirstOf(eos) => ids.iter().position(|id| *id == eos),
            Pooling::FirstHighestId => ids.iter().max().and_then(|top| ids.iter().position(|id| id == top)),
        };
        let pooled = pooled.ok_or_else(|| {
            Error::new(format!("the tokenizer does not end the text {text:?} with the model's end mark"))
                .help("the tokenizer and the config (eos_token_id) are not of the same model")
        })?;
        Ok(TokenizedText { ids: ids.to_vec(), pooled })
    }
}
