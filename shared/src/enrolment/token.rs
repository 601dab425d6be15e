//! `lapwing1.…` ↔ address of the enrolment port, hash of the authority's key, number and secret of the token.
//!
//! After the prefix, in base64url: hash (32 bytes), number (4, big-endian), secret (16), address, and the first 4 bytes
//! of the SHA-256 of all of these. With an address of up to 27 bytes a token has at most 120 characters.

use super::base64::{Base64Error, decode, encode};
use crate::release::digest::sha256;
use crate::release::manifest::Digest;
use core::fmt;
use core::str::FromStr;
use heapless::{String, Vec};

/// Length of a token's secret, bytes.
pub const SECRET_BYTES: usize = 16;
/// Longest address, bytes.
pub const ADDRESS_BYTES: usize = 57;
/// Longest token, characters.
pub const TOKEN_BYTES: usize = 160;

const PREFIX: &str = "lapwing1.";
/// What every later format begins with.
const FAMILY: &str = "lapwing";
const HASH_BYTES: usize = 32;
const NUMBER_BYTES: usize = 4;
const CHECKSUM_BYTES: usize = 4;
/// Bytes before the address.
const HEAD_BYTES: usize = HASH_BYTES + NUMBER_BYTES + SECRET_BYTES;
const BYTES: usize = HEAD_BYTES + ADDRESS_BYTES + CHECKSUM_BYTES;

/// A token, which lets its owner enrol agents.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// SHA-256 of the public key of the authority that issued the port's certificate.
    pub authority: Digest,
    /// Number of the token in the trainer's store.
    pub id: u32,
    /// What the agent proves to have, without sending it.
    pub secret: [u8; SECRET_BYTES],
    address: String<ADDRESS_BYTES>,
}

impl Token {
    /// Combines the parts.
    ///
    /// # Errors
    /// [`TokenError::Address`].
    #[inline]
    pub fn new(authority: Digest, id: u32, secret: [u8; SECRET_BYTES], address: &str) -> Result<Self, TokenError> {
        split_address(address).ok_or(TokenError::Address)?;
        let address = String::try_from(address).map_err(|_| TokenError::Address)?;
        Ok(Self { authority, id, secret, address })
    }

    /// Address of the enrolment port, `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Name or address of the port's machine, without the brackets of an IPv6 address.
    #[inline]
    pub fn host(&self) -> &str {
        split_address(&self.address).map_or("", |(host, _)| host)
    }

    /// Its port.
    #[inline]
    pub fn port(&self) -> u16 {
        split_address(&self.address).map_or(0, |(_, port)| port)
    }

    /// The token as text.
    #[inline]
    pub fn text(&self) -> String<TOKEN_BYTES> {
        let mut bytes: Vec<u8, BYTES> = Vec::new();
        let id = self.id.to_be_bytes();
        for part in [&self.authority[..], &id, &self.secret, self.address.as_bytes()] {
            // The capacity is the sum of the longest parts.
            let _ = bytes.extend_from_slice(part);
        }
        let checksum = checksum(&bytes);
        let _ = bytes.extend_from_slice(&checksum);
        let mut text = String::new();
        let _ = text.push_str(PREFIX);
        encode(&bytes, &mut text);
        text
    }
}

/// Omits the secret.
impl fmt::Debug for Token {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token {} of {}", self.id, self.address)
    }
}

/// Error in a token. The message does not repeat the token, which has a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// Not a token at all.
    Prefix,
    /// A token of a later format.
    Version,
    /// A character that tokens do not have.
    Character {
        /// Its place, from 1.
        place: usize,
    },
    /// Too short, too long, or cut.
    Length,
    /// A character is missing or wrong.
    Checksum,
    /// The address is not HOST:PORT, or too long.
    Address,
}

impl fmt::Display for TokenError {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix => write!(f, "token: expected {PREFIX} at the start, as printed by `lapwing-trainer enroll`"),
            Self::Version => {
                write!(f, "token: made by a newer trainer, expected {PREFIX} at the start; update the agent")
            }
            Self::Character { place } => {
                write!(f, "token: invalid character at place {place}, expected a-z A-Z 0-9 - _; copy the whole token")
            }
            Self::Length => write!(f, "token: truncated or too long; copy the whole token"),
            Self::Checksum => write!(f, "token: a character is wrong or missing; copy the whole token"),
            Self::Address => {
                write!(f, "token: invalid address, expected HOST:PORT of at most {ADDRESS_BYTES} bytes")
            }
        }
    }
}

impl core::error::Error for TokenError {}

impl FromStr for Token {
    type Err = TokenError;

    #[inline]
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let other = if text.starts_with(FAMILY) { TokenError::Version } else { TokenError::Prefix };
        let body = text.strip_prefix(PREFIX).ok_or(other)?;
        let bytes: Vec<u8, BYTES> = decode(body).map_err(|error| match error {
            Base64Error::Character(place) => TokenError::Character { place: PREFIX.len() + place + 1 },
            Base64Error::Length => TokenError::Length,
        })?;
        let (signed, found) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(TokenError::Length)?;
        let (authority, rest) = signed.split_first_chunk::<HASH_BYTES>().ok_or(TokenError::Length)?;
        let (id, rest) = rest.split_first_chunk::<NUMBER_BYTES>().ok_or(TokenError::Length)?;
        let (secret, address) = rest.split_first_chunk::<SECRET_BYTES>().ok_or(TokenError::Length)?;
        if checksum(signed) != *found {
            return Err(TokenError::Checksum);
        }
        let address = core::str::from_utf8(address).map_err(|_| TokenError::Address)?;
        Self::new(*authority, u32::from_be_bytes(*id), *secret, address)
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = sha256(bytes);
    digest.first_chunk().copied().unwrap_or_default()
}

/// Host without brackets, and port. Hosts are names, IPv4 addresses, and IPv6 addresses in brackets.
#[inline]
fn split_address(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
    let (host, is_valid) = match host.strip_prefix('[') {
        Some(bracketed) => {
            let host = bracketed.strip_suffix(']')?;
            (host, host.parse::<core::net::Ipv6Addr>().is_ok())
        }
        None => {
            (host, !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)))
        }
    };
    is_valid.then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    fn token(address: &str) -> Token {
        Token::new([0xa5; 32], 7, *b"sixteen secret b", address).unwrap()
    }

    #[test]
    fn the_format_of_a_token_does_not_change() {
        let text = token("hub.example:8481").text();
        assert_eq!(
            text,
            "lapwing1.paWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaUAAAAHc2l4dGVlbiBzZWNyZXQgYmh1Yi5leGFtcGxlOjg0ODF_Aq7F"
        );
        assert_eq!(text.parse(), Ok(token("hub.example:8481")));
    }

    #[test]
    fn tokens_of_usual_addresses_have_at_most_120_characters() {
        assert_eq!(token("lapwing.lan.example.org:8481").text().len(), 121);
        assert_eq!(token("lapwing.lan.example.eu:8481").text().len(), 120);
        let longest = format!("{}:8481", "a".repeat(ADDRESS_BYTES - 5));
        let text = token(&longest).text();
        assert_eq!(text.len(), TOKEN_BYTES);
        assert_eq!(text.parse(), Ok(token(&longest)));
    }

    #[test]
    fn addresses_are_a_host_and_a_port() {
        assert_eq!(token("[fd00::7]:8481").host(), "fd00::7");
        assert_eq!(token("192.0.2.1:1").host(), "192.0.2.1");
        let long = format!("{}:8481", "a".repeat(ADDRESS_BYTES - 4));
        for bad in ["", "hub", "hub:", "hub:0", "hub:65536", ":8481", "fd00::7:8481", "[hub]:1", "a b:1", "ä:1", &long]
        {
            assert_eq!(Token::new([0; 32], 1, [0; 16], bad), Err(TokenError::Address), "{bad}");
        }
    }

    #[test]
    fn every_cut_and_every_changed_character_is_an_error() {
        let text = token("hub.example:8481").text();
        for cut in 0..text.len() {
            assert!(text[..cut].parse::<Token>().is_err(), "cut at {cut}");
        }
        for place in 0..text.len() {
            for other in ['A', 'b', '9', '_', '=', ' '] {
                let mut changed = std::string::String::from(text.as_str());
                changed.replace_range(place..=place, other.encode_utf8(&mut [0; 4]));
                assert!(changed == *text || changed.parse::<Token>().is_err(), "{other} at {place}");
            }
        }
    }

    #[test]
    fn errors_say_what_is_wrong_and_not_the_secret() {
        let text = token("hub.example:8481").text();
        let error = |text: &str| text.parse::<Token>().unwrap_err();
        assert_eq!(error("eyJhbGciOi"), TokenError::Prefix);
        assert_eq!(error("lapwing2.AAAA"), TokenError::Version);
        assert_eq!(error(&format!("{text}\n")), TokenError::Character { place: text.len() + 1 });
        assert_eq!(error(&text[..60]), TokenError::Length);
        assert_eq!(error(&format!("lapwing1.{}", "A".repeat(400))), TokenError::Length);
        assert_eq!(error(&text.replace("AAAH", "AAAI")), TokenError::Checksum);
        assert_eq!(format!("{:?}", token("hub:1")), "token 7 of hub:1");
    }
}
