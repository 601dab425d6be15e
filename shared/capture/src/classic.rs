//! The classic pcap format: a file header, then records of a 16-byte header and the frame.
//!
//! The file header is read by pcap-parser. The record header, four numbers, is read here: an absurd length must be seen
//! before the record is in the window, and pcap-parser only says that bytes are missing.
//!
//! Source: the format's Internet draft, draft-ietf-opsawg-pcap.

use super::error::Problem;
use super::file::{Located, Next};
use super::window::{WINDOW_LIMIT_BYTES, Window};
use lapwing_shared::packet::LinkType;
use lapwing_shared::units::{NANOS_PER_SECOND, Timestamp};
use pcap_parser::parse_pcap_header;

/// Bytes of the file header.
pub(super) const FILE_HEADER_BYTES: usize = 24;
/// Bit of the link type field that says that its upper four bits are the length of the frame check sequence.
const FCS_KNOWN: u32 = 0x0400_0000;

/// How the records of one file are to be read.
pub(super) struct Classic {
    big_endian: bool,
    nanos_per_tick: u64,
    record_header: usize,
    fcs_octets: u32,
    link: LinkType,
}

impl Classic {
    /// Whether a file that begins like this is a pcap file.
    pub(super) fn recognises(magic: [u8; 4]) -> bool {
        matches!(u32::from_le_bytes(magic), 0xa1b2_c3d4 | 0xa1b2_3c4d | 0xa1b2_cd34 | 0xd4c3_b2a1 | 0x4d3c_b2a1)
    }

    /// Reads the file header at the beginning of the window.
    pub(super) fn open(window: &mut Window) -> Result<Self, Problem> {
        let cut = || Problem::NotACapture("a pcap file that ends inside its header".into());
        if !window.ensure(FILE_HEADER_BYTES).map_err(Problem::Read)? {
            return Err(cut());
        }
        let (_, header) = parse_pcap_header(window.unread()).map_err(|_| cut())?;
        let network = header.network.0 as u32;
        let number = network as u16;
        let link = LinkType::from_number(number).ok_or(Problem::UnknownLinkType(number))?;
        window.consume(FILE_HEADER_BYTES);
        Ok(Self {
            big_endian: header.is_bigendian(),
            nanos_per_tick: if header.is_nanosecond_precision() { 1 } else { 1000 },
            record_header: if header.is_modified_format() { 24 } else { 16 },
            fcs_octets: if network & FCS_KNOWN == 0 { 0 } else { (network >> 28) * 2 },
            link,
        })
    }

    /// Finds the next record.
    #[inline]
    pub(super) fn next(&self, window: &mut Window) -> Result<Next, Problem> {
        if !window.ensure(self.record_header).map_err(Problem::Read)? {
            return Ok(Next::end(window));
        }
        let Some(header) = window.unread().first_chunk::<16>() else { return Ok(Next::end(window)) };
        let field = |at: usize| {
            let value = u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
            if self.big_endian { value.swap_bytes() } else { value }
        };
        let (seconds, ticks, captured, wire) = (field(0), field(4), field(8), field(12));
        let record = self.record_header + captured as usize;
        if record > WINDOW_LIMIT_BYTES {
            return Err(Problem::RecordTooLong { octets: record as u64 });
        }
        if !window.ensure(record).map_err(Problem::Read)? {
            return Ok(Next::end(window));
        }
        let place = window.place() + self.record_header;
        window.consume(record);
        let wire_octets = wire.saturating_sub(self.fcs_octets);
        Ok(Next::Frame(Located {
            place,
            octets: if self.fcs_octets == 0 { captured } else { captured.min(wire_octets) },
            link: self.link,
            timestamp: Timestamp::from_nanos(
                u64::from(seconds) * NANOS_PER_SECOND + u64::from(ticks) * self.nanos_per_tick,
            ),
            wire_octets,
            interface: 0,
        }))
    }
}
