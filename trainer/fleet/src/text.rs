//! Texts that people write → texts that change nothing but their own place in a list or on a terminal.

/// Longest label of a token, characters.
pub const LABEL_CHARS: usize = 64;
/// What a label is.
pub const LABEL_RULE: &str =
    "expected 1 to 64 characters, without control characters and marks of the writing direction";

/// Whether a character changes how the text around it is shown: control characters, line and paragraph separators, and the
/// marks, embeddings, overrides and isolates of the Unicode Bidirectional Algorithm (UAX #9).
pub fn is_disruptive(character: char) -> bool {
    let is_direction =
        matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character.is_control() || is_direction || matches!(character, '\u{2028}' | '\u{2029}')
}

/// A text on one line, with U+FFFD for each disruptive character.
pub fn one_line(text: &str) -> String {
    text.chars().map(|character| if is_disruptive(character) { '\u{fffd}' } else { character }).collect()
}

/// A text of several lines, all but the first of which begin with `indent`, so that none of them looks like another entry.
pub fn indented(text: &str, indent: &str) -> String {
    text.split('\n').map(one_line).collect::<Vec<_>>().join(&format!("\n{indent}"))
}

/// A valid label.
pub fn parse_label(text: &str) -> Option<&str> {
    let label = text.trim();
    let is_label = (1..=LABEL_CHARS).contains(&label.chars().count()) && !label.chars().any(is_disruptive);
    is_label.then_some(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_disturb_a_terminal_or_reorder_a_line_are_replaced() {
        for character in
            ['\u{1b}', '\r', '\n', '\t', '\u{7f}', '\u{9b}', '\u{202e}', '\u{2066}', '\u{200f}', '\u{2028}']
        {
            assert_eq!(one_line(&format!("a{character}b")), "a\u{fffd}b", "{character:?}");
        }
        let harmless = "prométhée, 日本語, עברית; \u{1f426}";
        assert_eq!(one_line(harmless), harmless);
    }

    #[test]
    fn further_lines_of_a_text_are_indented() {
        assert_eq!(
            indented("seen\n2026-01-01 UTC  ann: all well\u{1b}[2J", "    "),
            "seen\n    2026-01-01 UTC  ann: all well\u{fffd}[2J"
        );
    }

    #[test]
    fn labels_are_short_and_plain() {
        assert_eq!(parse_label("  prometheus at home "), Some("prometheus at home"));
        let (fits, long) = ("é".repeat(LABEL_CHARS), "é".repeat(LABEL_CHARS + 1));
        assert_eq!(parse_label(&fits), Some(fits.as_str()));
        for text in ["", "  ", "a\nb", "\u{1b}]0;owned\u{7}", "a\u{202e}b", long.as_str()] {
            assert_eq!(parse_label(text), None, "{text:?}");
        }
    }
}
