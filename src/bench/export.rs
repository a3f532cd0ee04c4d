//! Reports as files; the name's ending says which kind. One file of this module per kind.

mod csv;
mod html;
mod json;
mod markdown;
mod table;
mod trace;

use std::path::Path;

use super::{BenchError, Report, Result};
use crate::host::output::write_file;

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `.json`: everything, by the schema in `docs/bench-schema.md`.
    Json,
    /// `.csv`: a row for each stage.
    Csv,
    /// `.md`: a table for people.
    Markdown,
    /// `.trace.json`: every run on a time line, for Perfetto and Chrome's tracing.
    Trace,
    /// `.html`: one page with pictures, complete in itself.
    Html,
}

/// Endings, longer ones first.
const ENDINGS: [(&str, Format); 5] = [
    (".trace.json", Format::Trace),
    (".json", Format::Json),
    (".csv", Format::Csv),
    (".md", Format::Markdown),
    (".html", Format::Html),
];

impl Format {
    /// What a file's name asks for.
    ///
    /// # Errors
    /// No kind ends so.
    pub fn of(path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let found = ENDINGS.iter().find(|(ending, _)| name.ends_with(ending));
        found.map(|(_, format)| *format).ok_or(BenchError::Suffix {
            path: path.to_owned(),
        })
    }
}

/// Text of a file of this kind.
pub fn render(report: &Report, format: Format) -> String {
    match format {
        Format::Json => json::render(report),
        Format::Csv => csv::render(report),
        Format::Markdown => markdown::render(report),
        Format::Trace => trace::render(report),
        Format::Html => html::render(report),
    }
}

/// Writes a file of the kind that its name asks for, whole or not at all.
///
/// # Errors
/// No kind has this name, or the file cannot be written.
pub fn write(report: &Report, path: &Path) -> Result<()> {
    let text = render(report, Format::of(path)?);
    Ok(write_file(path, |out| out.write_all(text.as_bytes()))?)
}
