//! What is wrong or odd in a data set, collected rather than fatal.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DatasetError, Result};

/// Kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A frame's picture is missing; the nearest one before it, or else after it, stands in.
    MissingFrame,
    /// A frame's picture cannot be decoded; another stands in as for a missing one.
    UnreadableFrame,
    /// A frame has another size than the video's first; it was resized to that.
    FrameSize,
    /// A frame is grey, has transparency or CMYK colours; it was converted to RGB.
    FrameColours,
    /// A frame has no annotation; it does not count.
    MissingAnnotation,
    /// An annotation cannot be read; its frame does not count.
    UnreadableAnnotation,
    /// An annotation has another size than the frames; it was resized to theirs by nearest neighbour.
    AnnotationSize,
    /// An expression occurs more than once in a video.
    DuplicatedExpression,
    /// An expression has letters beyond ASCII.
    NonAsciiExpression,
    /// An expression cannot be encoded: blank, or too long for the text encoder. Its masks are empty.
    UnusableExpression,
    /// No annotation shows an expression's object.
    EmptyMask,
    /// A video cannot be used at all; it is left out.
    UnusableVideo,
    /// A key occurs twice in a JSON object; the last one counts, as in Python.
    DuplicatedKey,
}

impl FindingKind {
    /// Whether the data differ from what the authors of the set meant, rather than being merely odd.
    pub fn is_defect(self) -> bool {
        !matches!(
            self,
            Self::FrameColours
                | Self::DuplicatedExpression
                | Self::NonAsciiExpression
                | Self::EmptyMask
        )
    }
}

impl std::fmt::Display for FindingKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::MissingFrame => "missing frames",
            Self::UnreadableFrame => "unreadable frames",
            Self::FrameSize => "frames of another size",
            Self::FrameColours => "frames with other colours than RGB",
            Self::MissingAnnotation => "missing annotations",
            Self::UnreadableAnnotation => "unreadable annotations",
            Self::AnnotationSize => "annotations of another size",
            Self::DuplicatedExpression => "duplicated expressions",
            Self::NonAsciiExpression => "expressions beyond ASCII",
            Self::UnusableExpression => "unusable expressions",
            Self::EmptyMask => "expressions with empty masks",
            Self::UnusableVideo => "unusable videos",
            Self::DuplicatedKey => "duplicated keys",
        })
    }
}

/// Something wrong or odd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// The video.
    pub video: String,
    /// The expression's id, if it concerns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// The frame's name, if it concerns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<String>,
    /// What was seen.
    pub detail: String,
}

impl Finding {
    /// A finding about a video.
    pub fn new(kind: FindingKind, video: &str, detail: impl Into<String>) -> Self {
        Self {
            kind,
            video: video.to_owned(),
            expression: None,
            frame: None,
            detail: detail.into(),
        }
    }

    /// The same about one frame.
    pub fn frame(mut self, name: &str) -> Self {
        self.frame = Some(name.to_owned());
        self
    }

    /// The same about one expression.
    pub fn expression(mut self, id: &str) -> Self {
        self.expression = Some(id.to_owned());
        self
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "video {}", self.video)?;
        if let Some(id) = &self.expression {
            write!(f, ", expression {id}")?;
        }
        if let Some(frame) = &self.frame {
            write!(f, ", frame {frame}")?;
        }
        write!(f, ": {}", self.detail)
    }
}

/// Collects findings, or turns the first into an error.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    strict: bool,
    list: Vec<Finding>,
}

impl Findings {
    /// Collects, or with `strict` refuses the first.
    pub fn new(strict: bool) -> Self {
        Self {
            strict,
            list: Vec::new(),
        }
    }

    /// Notes one.
    ///
    /// # Errors
    /// Findings are refused.
    pub fn note(&mut self, finding: Finding) -> Result<()> {
        if self.strict {
            return Err(DatasetError::Refused(Box::new(finding)));
        }
        self.list.push(finding);
        Ok(())
    }

    /// Those so far.
    pub fn list(&self) -> &[Finding] {
        &self.list
    }

    /// Takes those so far out.
    pub fn take(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.list)
    }

    /// The first defect as an error.
    pub(super) fn refuse_defects(self) -> Result<()> {
        match self.list.into_iter().find(|f| f.kind.is_defect()) {
            Some(finding) => Err(DatasetError::Refused(Box::new(finding))),
            None => Ok(()),
        }
    }
}

/// How often each kind occurs.
pub fn counts<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> BTreeMap<FindingKind, usize> {
    let mut counts = BTreeMap::new();
    for finding in findings {
        *counts.entry(finding.kind).or_insert(0) += 1;
    }
    counts
}
