//! The page around the pictures.

use std::fmt::Write;

const STYLE: &str = include_str!("style.css");

/// A page in the making.
pub(super) struct Page {
    title: String,
    body: String,
}

impl Page {
    pub(super) fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            body: String::new(),
        }
    }

    /// Adds markup.
    pub(super) fn raw(&mut self, html: &str) {
        self.body.push_str(html);
    }

    /// Adds markup under a heading.
    pub(super) fn section(&mut self, heading: &str, html: &str) {
        let heading = escape(heading);
        // Writing to a string cannot fail.
        let _ = writeln!(self.body, "<section><h2>{heading}</h2>\n{html}</section>");
    }

    /// The whole page.
    pub(super) fn finish(self) -> String {
        let title = escape(&self.title);
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
             <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{}</main>\n</body>\n</html>\n",
            self.body
        )
    }
}

/// A table; without headers the first cell of a row is its header.
pub(super) fn table<const N: usize>(
    headers: &[&str],
    rows: impl Iterator<Item = [String; N]>,
    class: &str,
) -> String {
    let mut out = format!("<table class=\"{class}\">\n");
    if !headers.is_empty() {
        let cells: String = headers
            .iter()
            .map(|h| format!("<th>{}</th>", escape(h)))
            .collect();
        let _ = writeln!(out, "<thead><tr>{cells}</tr></thead>");
    }
    out.push_str("<tbody>\n");
    for row in rows {
        let cells = row.iter().enumerate().map(|(i, cell)| match i {
            0 => format!("<th scope=\"row\">{}</th>", escape(cell)),
            _ => format!("<td>{}</td>", escape(cell)),
        });
        let _ = writeln!(out, "<tr>{}</tr>", cells.collect::<String>());
    }
    out.push_str("</tbody></table>\n");
    out
}

/// Text for markup and for attributes in double quotes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(c),
        }
    }
    out
}
