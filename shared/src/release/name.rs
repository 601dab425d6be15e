//! Text → name of an agent, group, key or attack class: 1 to 32 of `a–z A–Z 0–9 - _ .`, with a letter or digit first.
//!
//! A name can be a level of an MQTT topic, a word in a text file, an argument of a command and the name of a file: `-x`
//! would be an option, and `..` another folder.

use super::manifest::Name;

/// The rule, for error messages.
pub const NAME_RULE: &str = "1 to 32 of a-z A-Z 0-9 - _ . with a letter or digit first";

/// True if `text` is a valid name.
pub fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let first = text.bytes().next();
    first.is_some_and(|byte| byte.is_ascii_alphanumeric()) && text.len() <= 32 && text.bytes().all(allowed)
}

/// Parses a name.
pub fn parse_name(text: &str) -> Option<Name> {
    if is_name(text) { Name::try_from(text).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_1_to_32_plain_characters() {
        assert!(is_name("gw-7.Home_2") && is_name("a") && is_name("abcdefghijklmnopqrstuvwxyz012345"));
        for bad in ["", "a/b", "+", "#", "a b", "ä", "a\0", "abcdefghijklmnopqrstuvwxyz0123456"] {
            assert!(!is_name(bad) && parse_name(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn names_that_commands_would_take_for_options_or_folders_are_invalid() {
        for bad in [".", "..", "-x", "--help", ".hidden", "_x", "-", "_"] {
            assert!(!is_name(bad), "{bad:?}");
        }
        assert!(is_name("0..") && is_name("x-") && is_name("9"));
    }
}
