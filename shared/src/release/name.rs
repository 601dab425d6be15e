//! Names of agents, groups, keys and attack kinds: 1 to 32 of `a–z A–Z 0–9 - _ .`, so that each can be a topic level
//! and a word in a text file.

use super::manifest::Name;

/// True when `text` is a name.
pub fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=32).contains(&text.len()) && text.bytes().all(allowed)
}

/// The name that `text` is, nothing where it is none.
pub fn parse_name(text: &str) -> Option<Name> {
    if is_name(text) { Name::try_from(text).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_to_thirty_two_plain_characters() {
        assert!(is_name("gw-7.Home_2") && is_name("a") && is_name("abcdefghijklmnopqrstuvwxyz012345"));
        for bad in ["", "a/b", "+", "#", "a b", "ä", "a\0", "abcdefghijklmnopqrstuvwxyz0123456"] {
            assert!(!is_name(bad) && parse_name(bad).is_none(), "{bad:?}");
        }
    }
}
