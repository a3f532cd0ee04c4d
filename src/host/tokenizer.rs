//! Sentences to token ids, as `RobertaTokenizerFast` makes them.

use std::path::Path;

use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::{AddedToken, Tokenizer};

use super::{HostError, Result};

/// RoBERTa's byte-level BPE tokenizer.
pub struct TextTokenizer(Tokenizer);

const WHOLE: &str = "tokenizer.json";
const PARTS: [&str; 2] = ["vocab.json", "merges.txt"];

impl TextTokenizer {
    /// Whether a folder has the files that [`Self::from_dir`] needs.
    pub fn is_in(dir: &Path) -> bool {
        dir.join(WHOLE).is_file() || PARTS.iter().all(|name| dir.join(name).is_file())
    }

    /// Loads `tokenizer.json`, or `vocab.json` and `merges.txt`, from a folder.
    ///
    /// # Errors
    /// The files are missing or damaged.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        let fail = |reason: String| HostError::Tokenizer {
            path: dir.to_owned(),
            reason,
        };
        if !Self::is_in(dir) {
            return Err(fail("it has neither form".to_owned()));
        }
        let json = dir.join(WHOLE);
        if json.is_file() {
            let tokenizer = Tokenizer::from_file(&json).map_err(|e| fail(e.to_string()))?;
            return Ok(Self(plain(tokenizer)));
        }
        let [vocab, merges] = PARTS.map(|name| dir.join(name).to_string_lossy().into_owned());
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

    /// Token ids with start and end marks, at most `max_tokens`. The sentence is taken as it is, as the
    /// official `infer_*.py` scripts take it, and nothing is cut off: a longer one fails there as well.
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

/// The sentence as the official datasets clean it for training and for the A2D and JHMDB
/// evaluation: lower case, words one space apart (`" ".join(text.lower().split())`). The official
/// `infer_*.py` scripts do not: they hand the sentence to the tokenizer as it is.
pub fn normalise_expression(text: &str) -> String {
    // Python's split also parts words at the four ASCII separators that Unicode does not call blank.
    let blank = |c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c);
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower.split(blank).filter(|w| !w.is_empty()).collect();
    words.join(" ")
}
