//! Sentences to token ids, as `RobertaTokenizerFast` makes them.

use std::path::Path;

use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::{AddedToken, Tokenizer};

use super::{HostError, Result};

/// RoBERTa's byte-level BPE tokenizer.
pub struct TextTokenizer(Tokenizer);

impl TextTokenizer {
    /// Loads `tokenizer.json`, or `vocab.json` and `merges.txt`, from a folder.
    ///
    /// # Errors
    /// The files are missing or damaged.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        let fail = |reason: String| HostError::Tokenizer {
            path: dir.to_owned(),
            reason,
        };
        let json = dir.join("tokenizer.json");
        if json.is_file() {
            let tokenizer = Tokenizer::from_file(&json).map_err(|e| fail(e.to_string()))?;
            return Ok(Self(plain(tokenizer)));
        }
        let (vocab, merges) = (dir.join("vocab.json"), dir.join("merges.txt"));
        if !vocab.is_file() || !merges.is_file() {
            return Err(fail("it has neither form".to_owned()));
        }
        let (vocab, merges) = (vocab.to_string_lossy(), merges.to_string_lossy());
        let bpe = BPE::from_file(&vocab, &merges)
            .build()
            .map_err(|e| fail(e.to_string()))?;
        let mut tokenizer = Tokenizer::new(bpe);
        let id = |t: &Tokenizer, token: &str| {
            t.token_to_id(token)
                .map(|id| (token.to_owned(), id))
                .ok_or_else(|| fail(format!("the vocabulary has no {token}")))
        };
        let (sep, cls) = (id(&tokenizer, "</s>")?, id(&tokenizer, "<s>")?);
        let special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"];
        let special: Vec<_> = special.map(|t| AddedToken::from(t, true)).into();
        let added = tokenizer.add_special_tokens(special);
        added.map_err(|e| fail(e.to_string()))?;
        let byte_level = ByteLevel::default().add_prefix_space(false);
        tokenizer.with_pre_tokenizer(Some(byte_level));
        tokenizer.with_decoder(Some(byte_level));
        let roberta = RobertaProcessing::new(sep, cls).add_prefix_space(false);
        tokenizer.with_post_processor(Some(roberta));
        Ok(Self(plain(tokenizer)))
    }

    /// Loads the text of a `tokenizer.json`.
    ///
    /// # Errors
    /// It is damaged.
    pub fn from_bytes(json: &[u8]) -> Result<Self> {
        let tokenizer = Tokenizer::from_bytes(json).map_err(|e| HostError::Tokenizer {
            path: "tokenizer.json".into(),
            reason: e.to_string(),
        })?;
        Ok(Self(plain(tokenizer)))
    }

    /// Token ids with start and end marks, at most `max_tokens`.
    ///
    /// # Errors
    /// The sentence is blank, or too long for the text encoder.
    pub fn encode(&self, text: &str, max_tokens: usize) -> Result<Vec<i64>> {
        let fail = |reason: String| HostError::Expression {
            text: shorten(text),
            reason,
        };
        if text.trim().is_empty() {
            return Err(fail("it is empty; describe an object".to_owned()));
        }
        let encoding = self.0.encode(text, true).map_err(|e| fail(e.to_string()))?;
        let ids: Vec<i64> = encoding.get_ids().iter().map(|id| i64::from(*id)).collect();
        if ids.len() > max_tokens {
            return Err(fail(format!(
                "it is {} tokens long and the text encoder takes {max_tokens}; shorten it",
                ids.len()
            )));
        }
        Ok(ids)
    }
}

/// Without truncation and padding, whatever the file says: the caller decides about length.
fn plain(mut tokenizer: Tokenizer) -> Tokenizer {
    tokenizer.with_padding(None);
    // Removing truncation cannot fail; the Result serves invalid strides.
    let _ = tokenizer.with_truncation(None);
    tokenizer
}

fn shorten(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
