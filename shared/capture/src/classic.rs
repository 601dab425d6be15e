//! The classic pcap format: a file header, then records of a 16-byte header and the frame.
//!
//! The file header is read by pcap-parser. The record header, four numbers, is read here: an absurd length must be seen
//! before the record is in the window, and pcap-parser only says that bytes are missing.
//!
//! Source: the format's Internet draft, draft-ietf-opsawg-pcap.

use super::Frame;
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
    pub(super) fn next(&self, window: &mut Window) -> Result<Next, Problem> {
        if !window.ensure(self.record_header).map_err(Problem::Read)? {
            return Ok(Next::end(window));
        }
        let Some(fields) = self.fields(window.unread()) else { return Ok(Next::end(window)) };
        let record = self.record_header + fields.captured as usize;
        if record > WINDOW_LIMIT_BYTES {
            return Err(Problem::RecordTooLong { octets: record as u64 });
        }
        if !window.ensure(record).map_err(Problem::Read)? {
            return Ok(Next::end(window));
        }
        Ok(Next::Frame(self.take(&fields, window)))
    }

    /// The next record's frame, where the record lies in the window whole: as [`Classic::next`], with nothing to read.
    #[inline(always)]
    pub(super) fn next_held(&self, window: &mut Window) -> Option<Located> {
        let fields = self.fields(window.unread())?;
        let record = self.record_header + fields.captured as usize;
        window.holds(record).then(|| self.take(&fields, window))
    }

    /// The frame of the record that `unread` begins with, where it is there whole, and what follows the record.
    #[inline(always)]
    pub(super) fn split<'a>(&self, unread: &'a [u8]) -> Option<(Frame<'a>, &'a [u8])> {
        let fields = self.fields(unread)?;
        let (octets, wire_octets) = self.lengths(&fields);
        let (_, behind) = unread.split_at_checked(self.record_header)?;
        let (_, rest) = behind.split_at_checked(fields.captured as usize)?;
        let (link, timestamp) = (self.link, self.timestamp(&fields));
        Some((Frame { link, timestamp, data: behind.get(..octets as usize)?, wire_octets, interface: 0 }, rest))
    }

    /// Goes on behind a record that lies in the window.
    #[inline(always)]
    fn take(&self, fields: &Fields, window: &mut Window) -> Located {
        let place = window.place() + self.record_header;
        window.consume(self.record_header + fields.captured as usize);
        let (octets, wire_octets) = self.lengths(fields);
        let (link, timestamp) = (self.link, self.timestamp(fields));
        Located { place, octets, link, timestamp, wire_octets, interface: 0 }
    }

    #[inline(always)]
    fn fields(&self, unread: &[u8]) -> Option<Fields> {
        let header = unread.first_chunk::<16>()?;
        let field = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let fields = Fields { seconds: field(0), ticks: field(4), captured: field(8), wire: field(12) };
        Some(if self.big_endian { fields.swapped() } else { fields })
    }

    /// Octets captured and on the wire, both without the frame check sequence.
    #[inline(always)]
    fn lengths(&self, fields: &Fields) -> (u32, u32) {
        if self.fcs_octets == 0 {
            return (fields.captured, fields.wire);
        }
        let wire_octets = fields.wire.saturating_sub(self.fcs_octets);
        (fields.captured.min(wire_octets), wire_octets)
    }

    #[inline(always)]
    fn timestamp(&self, fields: &Fields) -> Timestamp {
        let ticks = u64::from(fields.ticks) * self.nanos_per_tick;
        Timestamp::from_nanos(u64::from(fields.seconds) * NANOS_PER_SECOND + ticks)
    }
}

/// A record's header.
struct Fields {
    seconds: u32,
    ticks: u32,
    captured: u32,
    wire: u32,
}

impl Fields {
    /// From the other byte order. Not for most files: those of today's machines are little-endian.
    #[cold]
    fn swapped(self) -> Self {
        let Self { seconds, ticks, captured, wire } = self;
        let [seconds, ticks, captured, wire] = [seconds, ticks, captured, wire].map(u32::swap_bytes);
        Self { seconds, ticks, captured, wire }
    }
}
