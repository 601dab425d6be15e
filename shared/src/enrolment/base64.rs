//! Bytes ↔ base64 for URLs without padding (RFC 4648 §5); each text has one spelling.

use heapless::{String, Vec};

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Appends the text of `bytes`; `None` if it does not fit.
#[inline]
pub(super) fn encode<const N: usize>(bytes: &[u8], text: &mut String<N>) -> Option<()> {
    for part in bytes.chunks(3) {
        let value = part.iter().fold(0_u32, |value, byte| value << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        for place in 0..=part.len() {
            let digit = DIGITS.get((value >> (18 - 6 * place) & 63) as usize)?;
            text.push(char::from(*digit)).ok()?;
        }
    }
    Some(())
}

/// Why a text is not base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base64Error {
    /// Another character at this place, from 0.
    Character(usize),
    /// No text of whole bytes has this length, or the last character has bits beyond them.
    Length,
}

/// Reads at most `N` bytes.
#[inline]
pub(super) fn decode<const N: usize>(text: &str) -> Result<Vec<u8, N>, Base64Error> {
    let mut bytes = Vec::new();
    let (mut value, mut bits) = (0_u32, 0);
    for (place, character) in text.bytes().enumerate() {
        let digit = DIGITS.iter().position(|digit| *digit == character).ok_or(Base64Error::Character(place))?;
        value = value << 6 | digit as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((value >> bits) as u8).map_err(|_| Base64Error::Length)?;
            value &= (1 << bits) - 1;
        }
    }
    if bits >= 6 || value != 0 { Err(Base64Error::Length) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_standard_round_trip() {
        for (bytes, text) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            let mut encoded = String::<16>::new();
            encode(bytes.as_bytes(), &mut encoded).unwrap();
            assert_eq!(encoded, text);
            assert_eq!(decode::<16>(text).unwrap(), bytes.as_bytes());
        }
        assert_eq!(encode(&[0xfb, 0xff], &mut String::<2>::new()), None);
        assert_eq!(decode::<16>("-_8").unwrap(), [0xfb, 0xff]);
    }

    #[test]
    fn other_spellings_are_errors() {
        assert_eq!(decode::<16>("Zg=="), Err(Base64Error::Character(2)));
        assert_eq!(decode::<16>("Z+"), Err(Base64Error::Character(1)));
        for other in ["Z", "Zh", "Zm9", "Zm9vZ"] {
            assert_eq!(decode::<16>(other), Err(Base64Error::Length), "{other}");
        }
        assert_eq!(decode::<2>("Zm9v"), Err(Base64Error::Length));
    }
}
