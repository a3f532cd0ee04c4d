//! Encoded sentences, each distinct one once for a whole data set.

use std::collections::HashMap;

use crate::dataset::{Finding, FindingKind, Video};
use crate::host::HostError;
use crate::host::tokenizer::TextTokenizer;
use crate::pipeline::{Pipeline, PipelineError, Values};

/// Sentences to tokens to text features; a sentence is encoded when it first comes.
pub struct Texts {
    tokenizer: TextTokenizer,
    max_tokens: usize,
    known: HashMap<String, Result<Values, String>>,
}

impl Texts {
    /// With the tokenizer and the text encoder's limit.
    pub fn new(tokenizer: TextTokenizer, max_tokens: usize) -> Self {
        Self {
            tokenizer,
            max_tokens,
            known: HashMap::new(),
        }
    }

    /// Features of a sentence; or why it cannot be encoded (it is blank, or too long).
    ///
    /// # Errors
    /// The pipeline fails.
    pub fn get(
        &mut self,
        text: &str,
        pipeline: &mut Pipeline,
    ) -> Result<Result<Values, String>, PipelineError> {
        if let Some(known) = self.known.get(text) {
            return Ok(known.clone());
        }
        let encoded = match self.tokens(text) {
            Ok(ids) => Ok(pipeline.encode_text(&ids)?),
            Err(e) => Err(e.to_string()),
        };
        self.known.insert(text.to_owned(), encoded.clone());
        Ok(encoded)
    }

    /// Features of a video's expressions, `None` where one cannot be encoded, which is noted.
    ///
    /// # Errors
    /// The pipeline fails.
    pub fn of(
        &mut self,
        video: &Video,
        pipeline: &mut Pipeline,
        findings: &mut Vec<Finding>,
    ) -> Result<Vec<Option<Values>>, PipelineError> {
        let mut all = Vec::with_capacity(video.expressions.len());
        for expression in &video.expressions {
            all.push(match self.get(&expression.text, pipeline)? {
                Ok(values) => Some(values),
                Err(reason) => {
                    let kind = FindingKind::UnusableExpression;
                    let finding = Finding::new(kind, &video.name, reason);
                    findings.push(finding.expression(&expression.id));
                    None
                }
            });
        }
        Ok(all)
    }

    /// Tokens of a sentence.
    ///
    /// # Errors
    /// It is blank or too long.
    pub fn tokens(&self, text: &str) -> Result<Vec<i64>, HostError> {
        self.tokenizer.encode(text, self.max_tokens)
    }

    /// Distinct sentences so far.
    pub fn distinct(&self) -> usize {
        self.known.len()
    }
}
