//! Plain tables for terminals.

use std::fmt::Write;

use super::visible;

/// Which side a column's cells lean to.
#[derive(Clone, Copy)]
pub enum Side {
    Left,
    Right,
}

/// Rows under a header, columns as wide as their widest cell.
pub struct Table {
    columns: Vec<(String, Side)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table; a header that starts with `>` makes its column lean right.
    pub fn new(headers: &[&str]) -> Self {
        let column = |h: &&str| match h.strip_prefix('>') {
            Some(name) => (name.to_owned(), Side::Right),
            None => ((*h).to_owned(), Side::Left),
        };
        Self {
            columns: headers.iter().map(column).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        // A row is a line.
        let line = |cell: String| shorten(visible(&cell).replace('\n', " "));
        self.rows.push(cells.map(line).into());
    }

    /// The table as text, each line ended.
    pub fn render(&self) -> String {
        let width = |i: usize, header: &str| {
            let cells = self.rows.iter().filter_map(|r| r.get(i));
            let cells = cells.map(|c| c.chars().count());
            cells.chain([header.chars().count()]).max().unwrap_or(0)
        };
        let columns = self.columns.iter().enumerate();
        let widths: Vec<usize> = columns.map(|(i, (h, _))| width(i, h)).collect();
        let headers: Vec<String> = self.columns.iter().map(|(h, _)| h.clone()).collect();
        let mut out = String::new();
        for cells in std::iter::once(&headers).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, (_, side)), width) in cells.iter().zip(&self.columns).zip(&widths) {
                let width = *width;
                // Writing to a string cannot fail.
                let _ = match side {
                    Side::Left => write!(line, "{cell:width$}  "),
                    Side::Right => write!(line, "{cell:>width$}  "),
                };
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// Characters of the longest cell that is printed whole.
const MAX_CELL: usize = 200;

fn shorten(cell: String) -> String {
    match cell.char_indices().nth(MAX_CELL) {
        Some((end, _)) => format!("{}...", &cell[..end]),
        None => cell,
    }
}
