//! Topic filters: validity and matching (MQTT 5 §4.7).

/// Longest filter, bytes.
const FILTER_BYTES: usize = 128;

/// True if the broker accepts the filter: short, and with wildcards only as whole levels.
pub(super) fn is_valid(filter: &str) -> bool {
    let mut levels = filter.split('/').peekable();
    let mut valid = !filter.is_empty() && filter.len() <= FILTER_BYTES;
    while let Some(level) = levels.next() {
        valid &= match level {
            "+" => true,
            "#" => levels.peek().is_none(),
            other => !other.contains(['+', '#']),
        };
    }
    valid
}

/// True if a filter has a wildcard.
pub(super) fn has_wildcard(filter: &str) -> bool {
    filter.contains(['+', '#'])
}

/// True if a valid filter matches a topic.
pub(super) fn matches(filter: &str, topic: &str) -> bool {
    let (mut filters, mut topics) = (filter.split('/'), topic.split('/'));
    loop {
        match (filters.next(), topics.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(filter), Some(topic)) if filter == topic => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_whole_levels() {
        for (filter, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a/+/c", "a/b/c", true),
            ("a/#", "a/b/c", true),
            ("a/#", "a", true),
            ("#", "a/b", true),
            ("+", "a/b", false),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }

    #[test]
    fn wildcards_within_a_level_and_long_filters_are_invalid() {
        for valid in ["#", "+", "a/+/b", "a/#", "é"] {
            assert!(is_valid(valid), "{valid}");
        }
        for invalid in ["", "a#", "a/b+", "#/a", "a/#/b", &"x".repeat(129)] {
            assert!(!is_valid(invalid), "{invalid}");
        }
    }
}
