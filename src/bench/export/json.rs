//! `.json`: the report itself.

use super::super::Report;

pub(super) fn render(report: &Report) -> String {
    // Maps of strings to numbers, texts and lists: there is nothing that JSON could not hold.
    let mut text = serde_json::to_string_pretty(report).unwrap_or_default();
    text.push('\n');
    text
}
