//! Chunks of an artifact → its bytes, in a buffer of its exact size.
//!
//! Chunks have no digest of their own; the SHA-256 of the whole artifact is checked at the end. A chunk of the wrong
//! size or a wrong digest restarts the download, for at most [`DOWNLOAD_TRIES`] tries.

use super::digest::sha256;
use super::manifest::{Artifact, CHUNK_BYTES};
use core::fmt;

/// Download attempts before the release is rejected.
pub const DOWNLOAD_TRIES: u8 = 3;

/// Effect of a chunk on the download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkOutcome {
    /// Not the next chunk; ignored.
    Ignored,
    /// Stored; more chunks are missing.
    Stored,
    /// The buffer contains the artifact, with the right digest.
    Complete,
    /// Wrong chunk or digest; the download restarts with chunk 0.
    Restarted(ChunkFault),
}

/// Error in a chunk or the whole artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkFault {
    /// A chunk has the wrong size.
    Size {
        /// Number of the chunk, from 0.
        number: u32,
        /// Received size, bytes.
        found: usize,
        /// Expected size, bytes.
        expected: usize,
    },
    /// The complete artifact has the wrong digest.
    Digest,
}

impl fmt::Display for ChunkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { number, found, expected } => {
                write!(f, "artifact chunk {number} has {found} bytes, expected {expected}")
            }
            Self::Digest => write!(f, "artifact does not match the SHA-256 in the manifest"),
        }
    }
}

impl core::error::Error for ChunkFault {}

/// State of a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    artifact: Artifact,
    next: u32,
    tries: u8,
}

impl Download {
    /// Starts the first try at chunk 0.
    pub fn new(artifact: Artifact) -> Self {
        Self { artifact, next: 0, tries: 1 }
    }

    /// The artifact.
    pub fn artifact(&self) -> &Artifact {
        &self.artifact
    }

    /// Number of the next chunk, `None` when complete.
    pub fn next_chunk(&self) -> Option<u32> {
        (self.next < self.artifact.chunks()).then_some(self.next)
    }

    /// Copies chunk `number` into `buffer`, whose length is the artifact's size.
    ///
    /// # Errors
    /// The last [`ChunkFault`] after [`DOWNLOAD_TRIES`] tries; the caller must then reject the release.
    pub fn offer(&mut self, number: u32, bytes: &[u8], buffer: &mut [u8]) -> Result<ChunkOutcome, ChunkFault> {
        if self.next_chunk() != Some(number) {
            return Ok(ChunkOutcome::Ignored);
        }
        let start = (number * CHUNK_BYTES) as usize;
        let expected = (self.artifact.size_bytes - number * CHUNK_BYTES).min(CHUNK_BYTES) as usize;
        let target = buffer.get_mut(start..start + expected);
        let Some(target) = target.filter(|target| target.len() == bytes.len()) else {
            return self.restart(ChunkFault::Size { number, found: bytes.len(), expected });
        };
        target.copy_from_slice(bytes);
        self.next += 1;
        if self.next_chunk().is_some() {
            Ok(ChunkOutcome::Stored)
        } else if sha256(buffer) == self.artifact.sha256 {
            Ok(ChunkOutcome::Complete)
        } else {
            self.restart(ChunkFault::Digest)
        }
    }

    fn restart(&mut self, fault: ChunkFault) -> Result<ChunkOutcome, ChunkFault> {
        self.next = 0;
        if self.tries >= DOWNLOAD_TRIES {
            return Err(fault);
        }
        self.tries += 1;
        Ok(ChunkOutcome::Restarted(fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::manifest::ArtifactForm;
    use crate::release::testing::artifact_bytes;
    use std::vec;
    use std::vec::Vec;

    fn download() -> (Download, Vec<u8>, Vec<u8>) {
        let bytes = artifact_bytes();
        let artifact = Artifact { form: ArtifactForm::Int8, sha256: sha256(&bytes), size_bytes: bytes.len() as u32 };
        (Download::new(artifact), vec![0; bytes.len()], bytes)
    }

    #[test]
    fn chunks_in_order_complete_the_artifact() {
        let (mut download, mut buffer, bytes) = download();
        let mut progress = Vec::new();
        for (number, chunk) in bytes.chunks(CHUNK_BYTES as usize).enumerate() {
            assert_eq!(download.next_chunk(), Some(number as u32));
            progress.push(download.offer(number as u32, chunk, &mut buffer).unwrap());
        }
        assert_eq!(progress, [ChunkOutcome::Stored, ChunkOutcome::Stored, ChunkOutcome::Complete]);
        assert_eq!((download.next_chunk(), buffer), (None, bytes));
    }

    #[test]
    fn chunks_out_of_order_or_repeated_are_ignored() {
        let (mut download, mut buffer, bytes) = download();
        let chunks: Vec<&[u8]> = bytes.chunks(CHUNK_BYTES as usize).collect();
        for number in [2, 1, 63, u32::MAX] {
            assert_eq!(download.offer(number, chunks[1], &mut buffer), Ok(ChunkOutcome::Ignored));
        }
        assert_eq!(download.offer(0, chunks[0], &mut buffer), Ok(ChunkOutcome::Stored));
        assert_eq!(download.offer(0, chunks[2], &mut buffer), Ok(ChunkOutcome::Ignored));
        assert_eq!(buffer[..CHUNK_BYTES as usize], bytes[..CHUNK_BYTES as usize]);
    }

    #[test]
    fn a_wrong_digest_restarts_a_limited_number_of_times() {
        let (mut download, mut buffer, bytes) = download();
        let mut chunks: Vec<Vec<u8>> = bytes.chunks(CHUNK_BYTES as usize).map(<[u8]>::to_vec).collect();
        chunks[1][7] ^= 1;
        let mut outcomes = Vec::new();
        for _ in 0..DOWNLOAD_TRIES {
            for (number, chunk) in (0..).zip(&chunks) {
                outcomes.push(download.offer(number, chunk, &mut buffer));
            }
        }
        let restarted = Ok(ChunkOutcome::Restarted(ChunkFault::Digest));
        assert_eq!((outcomes[2], outcomes[5]), (restarted, restarted));
        assert_eq!(outcomes[8], Err(ChunkFault::Digest));
    }

    #[test]
    fn a_chunk_of_the_wrong_size_restarts() {
        let (mut download, mut buffer, bytes) = download();
        let fault = ChunkFault::Size { number: 0, found: 5, expected: CHUNK_BYTES as usize };
        assert_eq!(download.offer(0, &bytes[..5], &mut buffer), Ok(ChunkOutcome::Restarted(fault)));
        assert_eq!(download.offer(0, &bytes, &mut buffer).map(|_| ()), Ok(()));
        assert!(download.offer(0, &[], &mut buffer).is_err());
    }

    #[test]
    fn a_short_buffer_is_an_error_not_a_panic() {
        let (mut download, _, bytes) = download();
        let outcome = download.offer(0, &bytes[..CHUNK_BYTES as usize], &mut [0; 3]);
        assert!(matches!(outcome, Ok(ChunkOutcome::Restarted(_))));
    }
}
