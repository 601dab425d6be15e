//! Chunks of an artifact → its bytes, in a buffer of its exact size.
//!
//! Chunks carry no digest of their own; the SHA-256 over all of them decides at the end. A chunk of the wrong size, or
//! a wrong sum, starts the download again, [`DOWNLOAD_TRIES`] times at most.

use super::digest::sha256;
use super::manifest::{Artifact, CHUNK_BYTES};
use core::fmt;

/// How often a download begins before the release is given up.
pub const DOWNLOAD_TRIES: u8 = 3;

/// What a chunk did to the download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It was not the wanted chunk; nothing changed.
    Ignored,
    /// It was taken; more are wanted.
    Taken,
    /// The buffer holds the artifact and its digest is right.
    Complete,
    /// It was wrong; the download begins again with chunk 0.
    Restarted(ChunkFault),
}

/// What is wrong with a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkFault {
    /// Its size.
    Size {
        /// Chunk's number, from 0.
        number: u32,
        /// Its size, bytes.
        found: usize,
        /// The size that it must have, bytes.
        expected: usize,
    },
    /// All chunks came, and their digest is another.
    Digest,
}

impl fmt::Display for ChunkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { number, found, expected } => {
                write!(f, "artifact chunk {number} has {found} bytes, expected {expected}")
            }
            Self::Digest => write!(f, "artifact does not have the SHA-256 that the manifest names"),
        }
    }
}

impl core::error::Error for ChunkFault {}

/// Which chunk comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    artifact: Artifact,
    next: u32,
    tries: u8,
}

impl Download {
    /// Begins at chunk 0, with the first of [`DOWNLOAD_TRIES`].
    pub fn new(artifact: Artifact) -> Self {
        Self { artifact, next: 0, tries: 1 }
    }

    /// The artifact.
    pub fn artifact(&self) -> &Artifact {
        &self.artifact
    }

    /// Number of the wanted chunk, nothing when all are there.
    pub fn wanted(&self) -> Option<u32> {
        (self.next < self.artifact.chunks()).then_some(self.next)
    }

    /// Takes chunk `number` into `buffer`, whose length is the artifact's size.
    ///
    /// # Errors
    /// The last [`ChunkFault`] when the tries are used up; the release is then to be refused.
    pub fn offer(&mut self, number: u32, bytes: &[u8], buffer: &mut [u8]) -> Result<Progress, ChunkFault> {
        if self.wanted() != Some(number) {
            return Ok(Progress::Ignored);
        }
        let start = (number * CHUNK_BYTES) as usize;
        let expected = (self.artifact.size_bytes - number * CHUNK_BYTES).min(CHUNK_BYTES) as usize;
        let target = buffer.get_mut(start..start + expected);
        let Some(target) = target.filter(|target| target.len() == bytes.len()) else {
            return self.restart(ChunkFault::Size { number, found: bytes.len(), expected });
        };
        target.copy_from_slice(bytes);
        self.next += 1;
        if self.wanted().is_some() {
            Ok(Progress::Taken)
        } else if sha256(buffer) == self.artifact.sha256 {
            Ok(Progress::Complete)
        } else {
            self.restart(ChunkFault::Digest)
        }
    }

    fn restart(&mut self, fault: ChunkFault) -> Result<Progress, ChunkFault> {
        self.next = 0;
        if self.tries >= DOWNLOAD_TRIES {
            return Err(fault);
        }
        self.tries += 1;
        Ok(Progress::Restarted(fault))
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
    fn chunks_in_order_make_the_artifact() {
        let (mut download, mut buffer, bytes) = download();
        let mut progress = Vec::new();
        for (number, chunk) in bytes.chunks(CHUNK_BYTES as usize).enumerate() {
            assert_eq!(download.wanted(), Some(number as u32));
            progress.push(download.offer(number as u32, chunk, &mut buffer).unwrap());
        }
        assert_eq!(progress, [Progress::Taken, Progress::Taken, Progress::Complete]);
        assert_eq!((download.wanted(), buffer), (None, bytes));
    }

    #[test]
    fn chunks_out_of_order_or_again_change_nothing() {
        let (mut download, mut buffer, bytes) = download();
        let chunks: Vec<&[u8]> = bytes.chunks(CHUNK_BYTES as usize).collect();
        for number in [2, 1, 63, u32::MAX] {
            assert_eq!(download.offer(number, chunks[1], &mut buffer), Ok(Progress::Ignored));
        }
        assert_eq!(download.offer(0, chunks[0], &mut buffer), Ok(Progress::Taken));
        assert_eq!(download.offer(0, chunks[2], &mut buffer), Ok(Progress::Ignored));
        assert_eq!(buffer[..CHUNK_BYTES as usize], bytes[..CHUNK_BYTES as usize]);
    }

    #[test]
    fn a_wrong_chunk_restarts_a_bounded_number_of_times() {
        let (mut download, mut buffer, bytes) = download();
        let mut chunks: Vec<Vec<u8>> = bytes.chunks(CHUNK_BYTES as usize).map(<[u8]>::to_vec).collect();
        chunks[1][7] ^= 1;
        let mut outcomes = Vec::new();
        for _ in 0..DOWNLOAD_TRIES {
            for (number, chunk) in (0..).zip(&chunks) {
                outcomes.push(download.offer(number, chunk, &mut buffer));
            }
        }
        let restarted = Ok(Progress::Restarted(ChunkFault::Digest));
        assert_eq!((outcomes[2], outcomes[5]), (restarted, restarted));
        assert_eq!(outcomes[8], Err(ChunkFault::Digest));
    }

    #[test]
    fn a_chunk_of_the_wrong_size_restarts() {
        let (mut download, mut buffer, bytes) = download();
        let fault = ChunkFault::Size { number: 0, found: 5, expected: CHUNK_BYTES as usize };
        assert_eq!(download.offer(0, &bytes[..5], &mut buffer), Ok(Progress::Restarted(fault)));
        assert_eq!(download.offer(0, &bytes, &mut buffer).map(|_| ()), Ok(()));
        assert!(download.offer(0, &[], &mut buffer).is_err());
    }

    #[test]
    fn a_buffer_that_is_too_short_is_a_fault_not_a_panic() {
        let (mut download, _, bytes) = download();
        let outcome = download.offer(0, &bytes[..CHUNK_BYTES as usize], &mut [0; 3]);
        assert!(matches!(outcome, Ok(Progress::Restarted(_))));
    }
}
