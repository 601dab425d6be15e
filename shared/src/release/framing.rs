//! Value ↔ bytes with a version in front: one version byte, then the postcard body, then nothing.
//!
//! Postcard does not describe itself, so the version byte alone says how the rest is read; bytes behind the body are
//! refused, so that no two readers see different things in one payload.

use core::fmt;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why bytes are no frame, or a value does not fit one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// No bytes at all.
    Empty,
    /// The first byte names a version that this reader does not know.
    Version {
        /// First byte.
        found: u8,
        /// The version that we read.
        expected: u8,
    },
    /// More bytes than this kind may have.
    TooLong {
        /// Length seen, bytes.
        bytes: usize,
        /// Largest length allowed, bytes.
        limit: usize,
    },
    /// The value needs more bytes than the caller's buffer has.
    NoRoom {
        /// The buffer's length, bytes.
        room: usize,
    },
    /// The body breaks off or breaks the encoding's rules.
    Malformed,
    /// Bytes stand behind the body.
    Trailing {
        /// How many.
        bytes: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Empty => write!(f, "no bytes, expected a version byte first"),
            Self::Version { found, expected } => write!(f, "format version {found}, expected {expected}"),
            Self::TooLong { bytes, limit } => write!(f, "{bytes} bytes long, expected {limit} at most"),
            Self::NoRoom { room } => write!(f, "encoding does not fit the buffer of {room} bytes"),
            Self::Malformed => write!(f, "malformed or cut off body"),
            Self::Trailing { bytes } => write!(f, "{bytes} bytes behind the body, expected none"),
        }
    }
}

impl core::error::Error for FrameError {}

/// Writes `version` and the body of `value` into `out`; returns the written part.
///
/// # Errors
/// [`FrameError::NoRoom`] when `out` is too small.
pub fn encode<'a, T: Serialize>(version: u8, value: &T, out: &'a mut [u8]) -> Result<&'a [u8], FrameError> {
    let room = out.len();
    let Some((first, rest)) = out.split_first_mut() else { return Err(FrameError::NoRoom { room }) };
    *first = version;
    let body = postcard::to_slice(value, rest).map_err(|_| FrameError::NoRoom { room })?.len();
    Ok(&out[..=body])
}

/// Reads what [`encode`] wrote; `limit` is the largest length of the whole, bytes.
///
/// # Errors
/// Each [`FrameError`] but [`FrameError::NoRoom`].
pub fn decode<T: DeserializeOwned>(version: u8, bytes: &[u8], limit: usize) -> Result<T, FrameError> {
    match decode_front(version, bytes, limit)? {
        (value, []) => Ok(value),
        (_, rest) => Err(FrameError::Trailing { bytes: rest.len() }),
    }
}

/// As [`decode`], but gives the bytes behind the body to a caller who knows what they are.
///
/// # Errors
/// As [`decode`], but for [`FrameError::Trailing`].
pub fn decode_front<T: DeserializeOwned>(version: u8, bytes: &[u8], limit: usize) -> Result<(T, &[u8]), FrameError> {
    if bytes.len() > limit {
        return Err(FrameError::TooLong { bytes: bytes.len(), limit });
    }
    let (found, body) = bytes.split_first().ok_or(FrameError::Empty)?;
    if *found != version {
        return Err(FrameError::Version { found: *found, expected: version });
    }
    postcard::take_from_bytes(body).map_err(|_| FrameError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_its_version_and_its_body_and_nothing_else() {
        let mut room = [0; 8];
        assert_eq!(encode(7, &300_u32, &mut room), Ok(&[7, 0xac, 0x02][..]));
        assert_eq!(decode::<u32>(7, &[7, 0xac, 0x02], 3), Ok(300));
        assert_eq!(decode::<u32>(7, &[], 3), Err(FrameError::Empty));
        assert_eq!(decode::<u32>(7, &[6, 0xac, 0x02], 3), Err(FrameError::Version { found: 6, expected: 7 }));
        assert_eq!(decode::<u32>(7, &[7, 0xac], 3), Err(FrameError::Malformed));
        assert_eq!(decode::<u32>(7, &[7, 0x01, 0x02], 3), Err(FrameError::Trailing { bytes: 1 }));
        assert_eq!(decode::<u32>(7, &[7, 0xac, 0x02, 0], 3), Err(FrameError::TooLong { bytes: 4, limit: 3 }));
    }

    #[test]
    fn a_value_that_does_not_fit_the_buffer_is_an_error() {
        assert_eq!(encode(7, &300_u32, &mut [0; 2]), Err(FrameError::NoRoom { room: 2 }));
        assert_eq!(encode(7, &300_u32, &mut []), Err(FrameError::NoRoom { room: 0 }));
    }
}
