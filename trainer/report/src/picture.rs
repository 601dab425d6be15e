//! Title, caption, SVG → picture; text → escaped text.

use serde::Serialize;

/// A self-contained SVG with its title and caption.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Picture {
    pub title: String,
    /// What the chart shows, the number of values, and what it omits.
    pub caption: String,
    /// The SVG element; not part of the JSON.
    #[serde(skip)]
    pub svg: String,
}

/// Escapes text for SVG and HTML, attributes included.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Not allowed in XML, even escaped.
            '\t' | '\n' | '\r' => out.push(' '),
            control if control.is_control() => out.push('\u{FFFD}'),
            other => out.push(other),
        }
    }
    out
}
