//! Messages ↔ two segment files, appended in batches.
//!
//! A record is the payload's length and the first bytes of its SHA-256, both little-endian 32 bits, then the payload. One segment
//! grows; when it is full, what still waits is written to the other one, whole and durably, and the first is removed.
//! At a start the older content comes first, and a record that breaks off or fails its sum ends its segment: that is
//! the batch that a power cut tore.

use crate::update::disk::Disk;
use lapwing_shared::messages::MESSAGE_BYTES;
use lapwing_shared::release::digest::sha256;
use std::io;

/// The two files.
const SEGMENTS: [&str; 2] = ["outbox-0", "outbox-1"];
/// Bytes in front of each payload.
const HEAD_BYTES: usize = 8;

/// The files.
#[derive(Debug)]
pub struct Journal<D> {
    disk: D,
    active: usize,
    bytes: usize,
    limit: usize,
}

impl<D: Disk> Journal<D> {
    /// Opens the files and gives their payloads, oldest first; one that stands in both comes twice. `limit` is the
    /// outbox's bound in bytes; a segment grows to twice that.
    pub fn open(mut disk: D, limit: usize) -> (Self, Vec<Vec<u8>>) {
        let segment_limit = limit * 2;
        let mut payloads = Vec::new();
        let mut used = false;
        for path in SEGMENTS {
            // An unreadable segment is like an empty one: the agent must start.
            let bytes = disk.read(path, segment_limit * 2).ok().flatten().unwrap_or_default();
            used |= !bytes.is_empty();
            read_records(&bytes, &mut payloads);
        }
        // A full segment makes the first flush write everything anew, so that nothing is appended behind a torn tail.
        let bytes = if used { segment_limit } else { 0 };
        (Self { disk, active: 0, bytes, limit: segment_limit }, payloads)
    }

    /// Appends `fresh`; or, where the segment is full or `anew` says so, writes `all` to the other one and removes it.
    /// Whether it was written anew.
    ///
    /// # Errors
    /// The disk's.
    pub fn flush<'a>(
        &mut self,
        fresh: impl Iterator<Item = &'a [u8]>,
        all: impl Iterator<Item = &'a [u8]>,
        anew: bool,
    ) -> io::Result<bool> {
        let batch = records(fresh);
        if batch.is_empty() && self.bytes < self.limit && !anew {
            return Ok(false);
        }
        let path = SEGMENTS[self.active];
        if self.bytes + batch.len() <= self.limit && !anew {
            // A failed append may leave half a record, which would hide all later ones.
            let appended = self.disk.append(path, &batch).and_then(|()| self.disk.sync(path));
            self.bytes = if appended.is_ok() { self.bytes + batch.len() } else { self.limit };
            return appended.and_then(|()| self.disk.sync_folder(path)).map(|()| false);
        }
        let other = 1 - self.active;
        let everything = records(all);
        self.disk.replace(SEGMENTS[other], &everything)?;
        (self.active, self.bytes) = (other, everything.len());
        // Or a power cut would bring it back.
        self.disk.remove(path).and_then(|()| self.disk.sync_folder(path)).map(|()| true)
    }
}

fn records<'a>(payloads: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for payload in payloads {
        bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&checksum(payload).to_le_bytes());
        bytes.extend_from_slice(payload);
    }
    bytes
}

fn read_records(mut bytes: &[u8], payloads: &mut Vec<Vec<u8>>) {
    while let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() {
        let [a, b, c, d, sum @ ..] = *head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let Some((payload, rest)) = rest.split_at_checked(length) else { return };
        if length > MESSAGE_BYTES || checksum(payload) != u32::from_le_bytes(sum) {
            return;
        }
        payloads.push(payload.to_vec());
        bytes = rest;
    }
}

/// The first bytes of the payload's SHA-256: not against attackers, but the program has the code for it anyway.
fn checksum(bytes: &[u8]) -> u32 {
    let [a, b, c, d, ..] = sha256(bytes);
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
impl<D> Journal<D> {
    /// Takes the disk out, to look at it.
    pub(crate) fn into_disk(self) -> D {
        self.disk
    }
}
