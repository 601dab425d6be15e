//! Body of a packet → its fields, from the front (MQTT 5 §1.5).

use super::packet::{Illegal, malformed};

/// The bytes that are not read yet.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Illegal> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(malformed("packet ends within a field"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Illegal> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, Illegal> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Illegal> {
        self.take(4).map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A variable byte integer (§1.5.5).
    pub(super) fn length(&mut self) -> Result<usize, Illegal> {
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(length);
            }
        }
        Err(malformed("illegal length of a field"))
    }

    /// Binary data (§1.5.6).
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Illegal> {
        let length = self.u16()?;
        self.take(length.into())
    }

    /// A UTF-8 string (§1.5.4), without U+0000.
    pub(super) fn text(&mut self) -> Result<&'a str, Illegal> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| malformed("text is not UTF-8"))?;
        if text.contains('\0') { Err(malformed("text with U+0000")) } else { Ok(text) }
    }
}
