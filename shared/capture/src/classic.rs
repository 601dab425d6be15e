//! Classic pcap file → frames: a file header, then records of a 16-byte header and the frame.
//!
//! The headers are read here: pcap-parser does not know the big-endian modified format, and an absurd length must be
//! rejected before the record is in the window, while pcap-parser only reports missing bytes.
//!
//! Record fields out of range, as damaged files and some writers have them, are replaced and counted: a fraction of a
//! second that is a second or more becomes the last one of its second, and a wire length beyond that of any frame becomes
//! the captured length.
//!
//! Source: the format's Internet draft, draft-ietf-opsawg-pcap.

use super::Frame;
use super::error::Problem;
use super::file::{Located, Next};
use super::window::{WINDOW_LIMIT_BYTES, Window};
use lapwing_shared::packet::LinkType;
use lapwing_shared::units::{NANOS_PER_SECOND, Timestamp};

/// Bytes of the file header.
pub(super) const FILE_HEADER_BYTES: usize = 24;
/// Bytes of a record header, except in modified files.
const PLAIN_HEADER_BYTES: usize = 16;
/// Largest length on the wire, octets: twice the longest datagram with segmentation offload (512 KiB).
const WIRE_LIMIT_OCTETS: u32 = 1 << 20;
/// Bit of the link type field: its upper four bits are the length of the frame check sequence.
const FCS_KNOWN: u32 = 0x0400_0000;

/// Record format of one file.
pub(super) struct Classic {
    big_endian: bool,
    nanos_per_tick: u64,
    ticks_per_second: u32,
    record_header: usize,
    fcs_octets: u32,
    link: LinkType,
}

/// Magic numbers as first bytes, little-endian: byte order, ticks per second, and octets of a record header. Modified
/// files (`cd34`) have eight octets more in each.
const MAGICS: [(u32, bool, u32, usize); 6] = [
    (0xa1b2_c3d4, false, 1_000_000, 16),
    (0xd4c3_b2a1, true, 1_000_000, 16),
    (0xa1b2_3c4d, false, 1_000_000_000, 16),
    (0x4d3c_b2a1, true, 1_000_000_000, 16),
    (0xa1b2_cd34, false, 1_000_000, 24),
    (0x34cd_b2a1, true, 1_000_000, 24),
];

impl Classic {
    /// True if these are the first bytes of a pcap file.
    pub(super) fn recognises(magic: [u8; 4]) -> bool {
        MAGICS.iter().any(|(known, ..)| *known == u32::from_le_bytes(magic))
    }

    /// Reads the file header at the beginning of the window.
    pub(super) fn open(window: &mut Window) -> Result<Self, Problem> {
        let truncated = || Problem::NotACapture("a pcap file that ends inside its header".into());
        if !window.ensure(FILE_HEADER_BYTES).map_err(Problem::Read)? {
            return Err(truncated());
        }
        let header = window.unread().first_chunk::<FILE_HEADER_BYTES>().ok_or_else(truncated)?;
        let &[m0, m1, m2, m3, .., n0, n1, n2, n3] = header;
        let magic = u32::from_le_bytes([m0, m1, m2, m3]);
        let found = MAGICS.iter().find(|(known, ..)| *known == magic);
        let &(_, big_endian, ticks_per_second, record_header) = found.ok_or_else(truncated)?;
        let network = u32::from_le_bytes([n0, n1, n2, n3]);
        let network = if big_endian { network.swap_bytes() } else { network };
        let number = network as u16;
        let link = LinkType::from_number(number).ok_or(Problem::UnknownLinkType(number))?;
        window.consume(FILE_HEADER_BYTES);
        Ok(Self {
            big_endian,
            nanos_per_tick: NANOS_PER_SECOND / u64::from(ticks_per_second),
            ticks_per_second,
            record_header,
            fcs_octets: if network & FCS_KNOWN == 0 { 0 } else { (network >> 28) * 2 },
            link,
        })
    }

    /// Locates the next record; adds 1 to `repaired` if a field is out of range.
    pub(super) fn next(&self, window: &mut Window, repaired: &mut u64) -> Result<Next, Problem> {
        if !window.ensure(self.record_header).map_err(Problem::Read)? {
            return Ok(Next::end(window));
        }
        let Some(mut fields) = self.fields(window.unread()) else { return Ok(Next::end(window)) };
        if self.is_out_of_range(&fields) {
            *repaired += 1;
            fields.ticks = fields.ticks.min(self.ticks_per_second - 1);
            if fields.wire > WIRE_LIMIT_OCTETS {
                fields.wire = fields.captured;
            }
        }
        let record = self.record_header + fields.captured as usize;
        if record > WINDOW_LIMIT_BYTES {
            return Err(Problem::RecordTooLong { octets: record as u64 });
        }
        if !window.ensure(record).map_err(Problem::Read)? {
            return Ok(Next::end(window));
        }
        Ok(Next::Frame(self.take(&fields, window)))
    }

    /// The next record's frame, if the whole record is in the window and its fields are in range. Same as
    /// [`Classic::next`], without reading.
    #[inline(always)]
    pub(super) fn next_buffered(&self, window: &mut Window) -> Option<Located> {
        let fields = self.fields_in_range(window.unread())?;
        let record = self.record_header + fields.captured as usize;
        window.holds(record).then(|| self.take(&fields, window))
    }

    /// True if records are as nearly all files have them: little-endian, with a header of 16 octets, without frame check
    /// sequences.
    pub(super) fn is_plain(&self) -> bool {
        !self.big_endian && self.record_header == PLAIN_HEADER_BYTES && self.fcs_octets == 0
    }

    /// The frame of the first record in `unread`, if complete and in range, and the bytes after the record; only for files
    /// that are [plain](Self::is_plain).
    #[inline(always)]
    pub(super) fn split_plain<'a>(&self, unread: &'a [u8]) -> Option<(Frame<'a>, &'a [u8])> {
        let (header, body) = unread.split_first_chunk::<PLAIN_HEADER_BYTES>()?;
        let fields = Fields::from_little_endian(header);
        let (data, rest) = body.split_at_checked(fields.captured as usize)?;
        if self.is_out_of_range(&fields) {
            return None;
        }
        let (link, timestamp) = (self.link, self.timestamp(&fields));
        Some((Frame { link, timestamp, data, wire_octets: fields.wire, interface: 0 }, rest))
    }

    /// Consumes a record that is in the window.
    #[inline(always)]
    fn take(&self, fields: &Fields, window: &mut Window) -> Located {
        let position = window.position() + self.record_header;
        window.consume(self.record_header + fields.captured as usize);
        let (octets, wire_octets) = self.lengths(fields);
        let (link, timestamp) = (self.link, self.timestamp(fields));
        Located { position, octets, link, timestamp, wire_octets, interface: 0 }
    }

    #[inline(always)]
    fn fields_in_range(&self, unread: &[u8]) -> Option<Fields> {
        let fields = self.fields(unread)?;
        if self.is_out_of_range(&fields) { None } else { Some(fields) }
    }

    #[inline(always)]
    fn is_out_of_range(&self, fields: &Fields) -> bool {
        fields.ticks >= self.ticks_per_second || fields.wire > WIRE_LIMIT_OCTETS
    }

    #[inline(always)]
    fn fields(&self, unread: &[u8]) -> Option<Fields> {
        let fields = Fields::from_little_endian(unread.first_chunk()?);
        Some(if self.big_endian { fields.swapped() } else { fields })
    }

    /// Captured and wire length, both without the frame check sequence.
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
    #[inline(always)]
    fn from_little_endian(header: &[u8; PLAIN_HEADER_BYTES]) -> Self {
        let field = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        Self { seconds: field(0), ticks: field(4), captured: field(8), wire: field(12) }
    }

    /// Converts from big-endian, which is rare.
    #[cold]
    fn swapped(self) -> Self {
        let Self { seconds, ticks, captured, wire } = self;
        let [seconds, ticks, captured, wire] = [seconds, ticks, captured, wire].map(u32::swap_bytes);
        Self { seconds, ticks, captured, wire }
    }
}
