//! Messages ↔ two segment files, appended in batches.
//!
//! A record is the payload's length and the first bytes of its SHA-256, both little-endian 32 bits, then the payload. One
//! segment grows; when it is full, the messages that are still waiting are written to the other one, atomically and
//! durably, and the first is removed. A truncated record or one with a wrong checksum ends its segment: it is part of a
//! batch that a power cut interrupted.

use crate::disk::Disk;
use lapwing_shared::messages::MESSAGE_BYTES;
use lapwing_shared::release::digest::sha256;
use std::io;

const SEGMENTS: [&str; 2] = ["outbox-0", "outbox-1"];
/// Bytes before each payload.
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
    /// Opens the files and returns their payloads, oldest first; a payload in both is returned twice. `limit` is the outbox's
    /// limit in bytes; a segment grows to twice that.
    pub fn open(mut disk: D, limit: usize) -> (Self, Vec<Vec<u8>>) {
        let segment_limit = limit * 2;
        let mut payloads = Vec::new();
        let mut used = false;
        for path in SEGMENTS {
            // An unreadable segment counts as empty: the agent must start.
            let bytes = disk.read(path, segment_limit * 2).ok().flatten().unwrap_or_default();
            used |= !bytes.is_empty();
            read_records(&bytes, &mut payloads);
        }
        // "Full" makes the first flush rewrite the journal, so that nothing is appended behind a torn record.
        let bytes = if used { segment_limit } else { 0 };
        (Self { disk, active: 0, bytes, limit: segment_limit }, payloads)
    }

    /// Appends `fresh`; if the segment is full or `rewrite` is set, writes `all` to the other segment and removes this one.
    /// Returns whether it did the latter.
    ///
    /// # Errors
    /// The disk's.
    pub fn flush<'a>(
        &mut self,
        fresh: impl Iterator<Item = &'a [u8]>,
        all: impl Iterator<Item = &'a [u8]>,
        rewrite: bool,
    ) -> io::Result<bool> {
        let batch = records(fresh);
        if batch.is_empty() && self.bytes < self.limit && !rewrite {
            return Ok(false);
        }
        let path = SEGMENTS[self.active];
        if self.bytes + batch.len() <= self.limit && !rewrite {
            // A failed append may leave half a record, which would hide all later ones.
            let appended = self.disk.append(path, &batch).and_then(|()| self.disk.sync(path));
            self.bytes = if appended.is_ok() { self.bytes + batch.len() } else { self.limit };
            return appended.and_then(|()| self.disk.sync_folder(path)).map(|()| false);
        }
        let other = 1 - self.active;
        let everything = records(all);
        self.disk.replace(SEGMENTS[other], &everything)?;
        (self.active, self.bytes) = (other, everything.len());
        // Removed durably, or a power cut would restore it.
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

/// The first bytes of the payload's SHA-256: a checksum, not a protection against attackers.
fn checksum(bytes: &[u8]) -> u32 {
    let [a, b, c, d, ..] = sha256(bytes);
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
impl<D> Journal<D> {
    /// The disk, for inspection.
    pub(crate) fn into_disk(self) -> D {
        self.disk
    }
}
