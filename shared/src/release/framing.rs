//! Value ↔ frame: one version byte, then the postcard body.
//!
//! Postcard is not self-describing, so the version byte alone determines the format. Trailing bytes are rejected, so
//! that a payload has one meaning only.

use core::fmt;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Error in encoding or decoding a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// No bytes at all.
    Empty,
    /// The version byte is not the expected one.
    Version {
        /// First byte.
        found: u8,
        /// Expected version.
        expected: u8,
    },
    /// The frame exceeds the limit of its kind.
    TooLong {
        /// Its length, bytes.
        bytes: usize,
        /// Largest allowed length, bytes.
        limit: usize,
    },
    /// The caller's buffer is too small.
    NoRoom {
        /// Length of the buffer, bytes.
        room: usize,
    },
    /// The body is truncated or not valid postcard.
    Malformed,
    /// Bytes follow the body.
    Trailing {
        /// Number of bytes.
        bytes: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Empty => write!(f, "empty, expected a version byte"),
            Self::Version { found, expected } => write!(f, "format version {found}, expected {expected}"),
            Self::TooLong { bytes, limit } => write!(f, "{bytes} bytes long, expected at most {limit}"),
            Self::NoRoom { room } => write!(f, "does not fit the buffer of {room} bytes"),
            Self::Malformed => write!(f, "malformed or truncated body"),
            Self::Trailing { bytes } => write!(f, "{bytes} unexpected bytes after the body"),
        }
    }
}

impl core::error::Error for FrameError {}

/// Writes `version` and the body of `value` into `out`; returns the written part.
///
/// # Errors
/// [`FrameError::NoRoom`] if `out` is too small.
pub fn encode<'a, T: Serialize>(version: u8, value: &T, out: &'a mut [u8]) -> Result<&'a [u8], FrameError> {
    let room = out.len();
    let Some((first, rest)) = out.split_first_mut() else { return Err(FrameError::NoRoom { room }) };
    *first = version;
    let body = postcard::to_slice(value, rest).map_err(|_| FrameError::NoRoom { room })?.len();
    Ok(&out[..=body])
}

/// Reads a frame of at most `limit` bytes.
///
/// # Errors
/// Any [`FrameError`] except [`FrameError::NoRoom`].
pub fn decode<T: DeserializeOwned>(version: u8, bytes: &[u8], limit: usize) -> Result<T, FrameError> {
    match decode_prefix(version, bytes, limit)? {
        (value, []) => Ok(value),
        (_, rest) => Err(FrameError::Trailing { bytes: rest.len() }),
    }
}

/// Same as [`decode`], but returns the bytes after the body instead of rejecting them.
///
/// # Errors
/// Same as [`decode`], except [`FrameError::Trailing`].
pub fn decode_prefix<T: DeserializeOwned>(version: u8, bytes: &[u8], limit: usize) -> Result<(T, &[u8]), FrameError> {
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
    fn a_frame_is_a_version_byte_and_a_body() {
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
    fn a_value_too_large_for_the_buffer_is_an_error() {
        assert_eq!(encode(7, &300_u32, &mut [0; 2]), Err(FrameError::NoRoom { room: 2 }));
        assert_eq!(encode(7, &300_u32, &mut []), Err(FrameError::NoRoom { room: 0 }));
    }
}
