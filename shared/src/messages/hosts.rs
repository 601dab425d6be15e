//! Hosts of a sample's rows ↔ the bytes behind its message: two little-endian `u32` a row, initiator and responder.
//!
//! Written by hand, because serde cannot skip what an older program never sent.

use super::{RowHosts, SampleRow};
use crate::release::framing::FrameError;

/// Bytes of one row's hosts.
const ROW_BYTES: usize = 2 * size_of::<u32>();

/// True when there is anything to write.
pub(super) fn are_told(rows: &[SampleRow]) -> bool {
    rows.iter().any(|row| row.hosts != RowHosts::default())
}

/// Returns how many bytes that took.
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

/// Reads what [`write`] wrote: hosts of every row, of at least one.
pub(super) fn read(bytes: &[u8], rows: &mut [SampleRow]) -> Result<(), FrameError> {
    if bytes.len() != rows.len() * ROW_BYTES {
        return Err(FrameError::Malformed);
    }
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_le_bytes);
    for (row, bytes) in rows.iter_mut().zip(bytes.chunks_exact(ROW_BYTES)) {
        let (source, target) = bytes.split_at(size_of::<u32>());
        row.hosts = RowHosts { source: number(source), target: number(target) };
    }
    // One way of saying it only: nothing told is the older form.
    if are_told(rows) { Ok(()) } else { Err(FrameError::Malformed) }
}
