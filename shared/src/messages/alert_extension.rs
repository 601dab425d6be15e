//! Form of addresses and rows of an alert ↔ the extension of its message. The form, if it is not plain: a little-endian
//! `u32`. The rows, if there are any: schema id, number of rows, values as little-endian `f32`.
//!
//! Encoded by hand, because postcard has no optional fields for messages of older programs.

use super::{ALERT_ROWS, AddressForm, Alert};
use crate::features::schema::schema_id;
use crate::features::{FEATURES, FeatureVector};
use crate::release::framing::FrameError;
use heapless::Vec;

/// Bytes of one row.
const ROW_BYTES: usize = FEATURES * size_of::<f32>();
/// Bytes before the rows.
const HEAD_BYTES: usize = 32 + 1;

/// Bytes of the form.
const FORM_BYTES: usize = size_of::<u32>();

/// Writes form and rows of an alert that has either; returns the number of bytes written.
pub(super) fn write(alert: &Alert, out: &mut [u8]) -> Result<usize, FrameError> {
    let Some(code) = alert.addresses.code() else { return write_rows(&alert.rows, out) };
    let room = out.len();
    let (form, rest) = out.split_at_mut_checked(FORM_BYTES).ok_or(FrameError::NoRoom { room })?;
    form.copy_from_slice(&code.to_le_bytes());
    if alert.rows.is_empty() { Ok(FORM_BYTES) } else { Ok(FORM_BYTES + write_rows(&alert.rows, rest)?) }
}

/// Reads the form, and rows if there are any.
pub(super) fn read_with_form(bytes: &[u8], alert: &mut Alert) -> Result<(), FrameError> {
    let (form, rows) = bytes.split_at_checked(FORM_BYTES).ok_or(FrameError::Malformed)?;
    alert.addresses = AddressForm::from_code(form.try_into().ok().map(u32::from_le_bytes));
    if !rows.is_empty() {
        alert.rows = read(rows)?;
    }
    Ok(())
}

fn write_rows(rows: &[FeatureVector], out: &mut [u8]) -> Result<usize, FrameError> {
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
