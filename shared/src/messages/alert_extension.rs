//! Rows of an alert ↔ the extension of its message: schema id, number of rows, values as little-endian `f32`.
//!
//! Encoded by hand, because postcard has no optional fields for messages of older programs.

use super::ALERT_ROWS;
use crate::features::schema::schema_id;
use crate::features::{FEATURES, FeatureVector};
use crate::release::framing::FrameError;
use heapless::Vec;

/// Bytes of one row.
const ROW_BYTES: usize = FEATURES * size_of::<f32>();
/// Bytes before the rows.
const HEAD_BYTES: usize = 32 + 1;

/// Writes at least one row; returns the number of bytes written.
pub(super) fn write(rows: &[FeatureVector], out: &mut [u8]) -> Result<usize, FrameError> {
    let room = out.len();
    let bytes = HEAD_BYTES + rows.len() * ROW_BYTES;
    let out = out.get_mut(..bytes).ok_or(FrameError::NoRoom { room })?;
    let (head, values) = out.split_at_mut(HEAD_BYTES);
    head[..32].copy_from_slice(&schema_id());
    head[32] = rows.len() as u8;
    for (value, out) in rows.iter().flatten().zip(values.chunks_exact_mut(size_of::<f32>())) {
        out.copy_from_slice(&value.to_le_bytes());
    }
    Ok(bytes)
}

/// Reads 1 to [`ALERT_ROWS`] rows; returns no rows if they have another schema.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<FeatureVector, ALERT_ROWS>, FrameError> {
    let (head, values) = bytes.split_at_checked(HEAD_BYTES).ok_or(FrameError::Malformed)?;
    let count = usize::from(head[32]);
    if !(1..=ALERT_ROWS).contains(&count) || values.len() != count * ROW_BYTES {
        return Err(FrameError::Malformed);
    }
    if head[..32] != schema_id() {
        return Ok(Vec::new());
    }
    let row = |bytes: &[u8]| {
        let mut row = [0.0; FEATURES];
        for (value, bytes) in row.iter_mut().zip(bytes.chunks_exact(size_of::<f32>())) {
            *value = bytes.try_into().map_or(0.0, f32::from_le_bytes);
        }
        row
    };
    Ok(values.chunks_exact(ROW_BYTES).map(row).collect())
}
