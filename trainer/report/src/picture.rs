//! A drawn picture with the words that belong to it.

use serde::Serialize;

/// One picture: SVG that stands alone, its heading and what a reader must know to judge it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Picture {
    /// Heading.
    pub title: String,
    /// What is drawn, from how many values, and what was left out.
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
