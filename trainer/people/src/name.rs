//! Names of people.

/// Longest name, characters.
pub const NAME_CHARS: usize = 40;
/// What a name is.
pub const PERSON_RULE: &str = "expected 1 to 40 of a-z 0-9 - _ . + @ with a letter or digit first";

/// A valid name. Capital letters become small ones, so that two people differ in more than these.
pub fn parse_person(text: &str) -> Option<String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+@".contains(&byte);
    let is_name = text.len() <= NAME_CHARS
        && text.bytes().all(is_allowed)
        && text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
    is_name.then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_have_no_character_that_means_something_elsewhere() {
        for (text, name) in [("ann", "ann"), ("Ann.B", "ann.b"), ("ann+1@example.org", "ann+1@example.org"), ("7", "7")]
        {
            assert_eq!(parse_person(text).as_deref(), Some(name));
        }
        let long = "a".repeat(NAME_CHARS + 1);
        for text in ["", "-ann", "@ann", "ann b", "ann (page)", "<b>", "änn", "ann\n", "ann/1", long.as_str()] {
            assert_eq!(parse_person(text), None, "{text}");
        }
    }
}
