//! Release file ↔ signed manifest and artifacts.
//!
//! Bytes: `LWR1`, then postcard of [`ReleaseFile`]. The file needs no checksum: the signature covers the manifest,
//! whose digests cover the artifacts.

use super::manifest::{ARTIFACT_BYTES, Artifact, Manifest};
use super::signature::SIGNED_MANIFEST_BYTES;
use core::fmt;
use heapless::Vec;
use serde::{Deserialize, Serialize};

/// First bytes of a release file.
pub const MAGIC: [u8; 4] = *b"LWR1";
/// Largest release file, bytes.
pub const FILE_BYTES: usize = 16 + SIGNED_MANIFEST_BYTES + 2 * (ARTIFACT_BYTES as usize + 8);

/// Parts of a release file, borrowed from its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseFile<'a> {
    /// The signed manifest, as [`super::signature::SignedManifest::decode`] reads it.
    #[serde(borrow)]
    pub signed: &'a [u8],
    /// The artifacts, in the manifest's order.
    #[serde(borrow)]
    pub artifacts: Vec<&'a [u8], 2>,
}

/// Reason for rejecting a release file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileError {
    /// Does not start with [`MAGIC`].
    Magic,
    /// Longer than [`FILE_BYTES`].
    TooLong(usize),
    /// Truncated or damaged.
    Malformed,
    /// Bytes after the last part.
    Trailing(usize),
    /// The buffer to write into is too small.
    NoRoom,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => write!(f, "not a release file: expected LWR1 at the start"),
            Self::TooLong(bytes) => write!(f, "not a release file: {bytes} bytes, expected at most {FILE_BYTES}"),
            Self::Malformed => write!(f, "release file is truncated or damaged"),
            Self::Trailing(bytes) => write!(f, "release file has {bytes} trailing bytes"),
            Self::NoRoom => write!(f, "buffer too small for the release file"),
        }
    }
}

impl core::error::Error for FileError {}

impl<'a> ReleaseFile<'a> {
    /// Splits a release file into its parts, without verifying them.
    ///
    /// # Errors
    /// [`FileError`], except [`FileError::NoRoom`].
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Result<Self, FileError> {
        if bytes.len() > FILE_BYTES {
            return Err(FileError::TooLong(bytes.len()));
        }
        let body = bytes.strip_prefix(&MAGIC).ok_or(FileError::Magic)?;
        match postcard::take_from_bytes(body) {
            Ok((file, [])) => Ok(file),
            Ok((_, rest)) => Err(FileError::Trailing(rest.len())),
            Err(_) => Err(FileError::Malformed),
        }
    }

    /// Writes the file into `out`; returns the written part.
    ///
    /// # Errors
    /// [`FileError::NoRoom`] if `out` is too small.
    pub fn encode<'b>(&self, out: &'b mut [u8]) -> Result<&'b [u8], FileError> {
        let (magic, body) = out.split_at_mut_checked(MAGIC.len()).ok_or(FileError::NoRoom)?;
        magic.copy_from_slice(&MAGIC);
        let length = postcard::to_slice(self, body).map_err(|_| FileError::NoRoom)?.len();
        Ok(&out[..MAGIC.len() + length])
    }

    /// The bytes of one of the manifest's artifacts.
    pub fn artifact(&self, manifest: &Manifest, artifact: &Artifact) -> Option<&'a [u8]> {
        let index = manifest.artifacts.iter().position(|listed| listed == artifact)?;
        self.artifacts.get(index).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_round_trips_and_damage_is_rejected() {
        let file = ReleaseFile { signed: &[1, 2, 3], artifacts: Vec::from_slice(&[&[4u8, 5][..], &[6]]).unwrap() };
        let mut buffer = [0; 64];
        let bytes = file.encode(&mut buffer).unwrap();
        let length = bytes.len();
        assert_eq!(ReleaseFile::decode(bytes), Ok(file));
        assert_eq!(ReleaseFile::decode(&bytes[..length - 1]), Err(FileError::Malformed));
        assert_eq!(ReleaseFile::decode(b"GIF89a"), Err(FileError::Magic));
        assert_eq!(ReleaseFile::decode(&buffer[..length + 2]), Err(FileError::Trailing(2)));
    }
}
