//! Secrets of sessions, tokens and links: shown once, stored as their hash.

use lapwing_shared::release::digest::{Hex, parse_digest, sha256};

/// Bytes of a secret, all random.
pub const SECRET_BYTES: usize = 32;
/// First characters of every token, by which people and programs that look for leaked secrets recognize it.
pub const TOKEN_PREFIX: &str = "lw_";

/// The secret of a session, a token or a link. It is not printed by `{:?}`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; SECRET_BYTES]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// A secret of random bytes.
    pub const fn new(random: [u8; SECRET_BYTES]) -> Self {
        Self(random)
    }

    /// The text of a session's cookie or of a link: 64 digits.
    pub fn text(&self) -> String {
        Hex(&self.0).to_string()
    }

    /// The text of a token.
    pub fn token(&self) -> String {
        format!("{TOKEN_PREFIX}{}", Hex(&self.0))
    }

    /// The secret of [`Self::text`].
    pub fn parse(text: &str) -> Option<Self> {
        parse_digest(text).map(Self)
    }

    /// The secret of [`Self::token`].
    pub fn parse_token(text: &str) -> Option<Self> {
        Self::parse(text.strip_prefix(TOKEN_PREFIX)?)
    }

    /// What is stored, and looked for. A secret has 256 random bits, so that this needs no salt and no slow function.
    pub fn sha256(&self) -> [u8; 32] {
        sha256(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_parsed_from_their_texts_only() {
        let secret = Secret::new([0xab; SECRET_BYTES]);
        assert_eq!(Secret::parse(&secret.text()), Some(secret.clone()));
        assert_eq!(Secret::parse_token(&secret.token()), Some(secret.clone()));
        assert_ne!(secret.sha256(), [0xab; 32]);
        assert!(secret.token().starts_with("lw_abab"));
        for text in ["", "lw_", "abab", &secret.text()[1..], &secret.token()] {
            assert_eq!(Secret::parse(text), None, "{text}");
        }
        assert_eq!(Secret::parse_token(&secret.text()), None);
        assert_eq!(format!("{secret:?}"), "Secret");
    }
}
