//! Hosts of sampled rows ↔ the extension of a message: two little-endian `u32` per row, initiator and responder.
//!
//! Encoded by hand, because postcard has no optional fields for messages of older programs.

use super::{RowHosts, SampleRow};
use crate::release::framing::FrameError;

/// Bytes of one row's hosts.
const ROW_BYTES: usize = 2 * size_of::<u32>();

/// True if any row has hosts.
pub(super) fn any_set(rows: &[SampleRow]) -> bool {
    rows.iter().any(|row| row.hosts != RowHosts::default())
}

/// Returns the number of bytes written.
pub(super) fn write(rows: &[SampleRow], out: &mut [u8]) -> Result<usize, FrameError> {
    let room = out.len();
    let bytes = rows.len() * ROW_BYTES;
    let out = out.get_mut(..bytes).ok_or(FrameError::NoRoom { room })?;
    for (row, out) in rows.iter().zip(out.chunks_exact_mut(ROW_BYTES)) {
        let (source, target) = out.split_at_mut(size_of::<u32>());
        source.copy_from_slice(&row.hosts.source.to_le_bytes());
        target.copy_from_slice(&row.hosts.target.to_le_bytes());
    }
    Ok(bytes)
}

/// Reads the hosts of every row; at least one row must have hosts.
pub(super) fn read(bytes: &[u8], rows: &mut [SampleRow]) -> Result<(), FrameError> {
    if bytes.len() != rows.len() * ROW_BYTES {
        return Err(FrameError::Malformed);
    }
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_le_bytes);
    for (row, bytes) in rows.iter_mut().zip(bytes.chunks_exact(ROW_BYTES)) {
        let (source, target) = bytes.split_at(size_of::<u32>());
        row.hosts = RowHosts { source: number(source), target: number(target) };
    }
    // The encoding is unique: rows without hosts have no extension.
    if any_set(rows) { Ok(()) } else { Err(FrameError::Malformed) }
}
