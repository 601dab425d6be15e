//! pcapng file → frames: sections of blocks that describe interfaces or contain packets.
//!
//! pcap-parser reads interface descriptions. Packet blocks are read here, because pcap-parser allocates for their
//! options and does not support the obsolete packet block. Other blocks are skipped, whatever their length.
//!
//! Source: draft-ietf-opsawg-pcapng.

use super::error::Problem;
use super::file::{Located, Next};
use super::window::{WINDOW_LIMIT_BYTES, Window};
use lapwing_shared::packet::{LinkType, Refusal, RefusalCounts};
use lapwing_shared::units::{NANOS_PER_SECOND, Timestamp};
use pcap_parser::pcapng::{
    InterfaceDescriptionBlock, OptionCode, PcapNGOption, parse_interfacedescriptionblock_be,
    parse_interfacedescriptionblock_le,
};

/// Limit on interfaces per section.
pub(super) const MAX_INTERFACES: usize = 1024;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const FCS_LENGTH: OptionCode = OptionCode(13);

/// Bytes of block type, length and repeated length.
const BLOCK_FRAME: usize = 12;
/// Bytes before the frame in an enhanced or obsolete packet block.
const PACKET_HEADER: usize = 28;
/// Bytes before the frame in a simple packet block.
const SIMPLE_HEADER: usize = 12;

/// Timestamp resolution of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    /// Ticks of this many nanoseconds.
    Coarse(u64),
    /// This many ticks per nanosecond.
    Fine(u128),
    /// 2 to this power ticks per second.
    Binary(u32),
}

impl Clock {
    /// From the option `if_tsresol`.
    fn new(resolution: u8) -> Self {
        let exponent = u32::from(resolution & 0x7f);
        match (resolution >= 0x80, exponent) {
            (true, _) => Self::Binary(exponent),
            (false, 0..=9) => Self::Coarse(10_u64.pow(9 - exponent)),
            (false, _) => Self::Fine(10_u128.saturating_pow(exponent - 9)),
        }
    }

    /// Converts ticks to nanoseconds; saturates.
    #[inline]
    fn nanos(self, ticks: u64) -> u64 {
        match self {
            Self::Coarse(nanos_per_tick) => ticks.saturating_mul(nanos_per_tick),
            Self::Fine(ticks_per_nano) => (u128::from(ticks) / ticks_per_nano) as u64,
            Self::Binary(exponent) => {
                u64::try_from((u128::from(ticks) * u128::from(NANOS_PER_SECOND)) >> exponent).unwrap_or(u64::MAX)
            }
        }
    }
}

struct Interface {
    /// `None` if [`lapwing_shared::packet::decode`] does not support it.
    link: Option<LinkType>,
    clock: Clock,
    /// Seconds to add to every timestamp.
    offset_seconds: i64,
    snaplen: u32,
    fcs_octets: u32,
}

impl Interface {
    /// Reads the time offset here, because pcap-parser assumes little-endian in every section.
    fn new(block: &InterfaceDescriptionBlock<'_>, big_endian: bool) -> Self {
        let option = |code| block.options.iter().find(|option| option.code == code).map(PcapNGOption::value);
        let offset = option(OptionCode::IfTsoffset).and_then(|value| value.first_chunk());
        Self {
            link: u16::try_from(block.linktype.0).ok().and_then(LinkType::from_number),
            clock: Clock::new(block.if_tsresol),
            offset_seconds: match offset {
                Some(value) if big_endian => i64::from_be_bytes(*value),
                Some(value) => i64::from_le_bytes(*value),
                None => 0,
            },
            snaplen: block.snaplen,
            fcs_octets: option(FCS_LENGTH).and_then(|value| value.first()).map_or(0, |octets| u32::from(*octets)),
        }
    }

    /// Time of a packet; saturates at both ends of the range.
    #[inline]
    fn time(&self, high: u32, low: u32) -> Timestamp {
        let nanos = self.clock.nanos(u64::from(high) << 32 | u64::from(low));
        let offset = self.offset_seconds.unsigned_abs().saturating_mul(NANOS_PER_SECOND);
        Timestamp::from_nanos(if self.offset_seconds < 0 {
            nanos.saturating_sub(offset)
        } else {
            nanos.saturating_add(offset)
        })
    }
}

/// The current section.
#[derive(Default)]
pub(super) struct Pcapng {
    big_endian: bool,
    interfaces: Vec<Interface>,
    /// Time of the last packet with a timestamp, used for simple packet blocks, which have none.
    latest: Timestamp,
}

impl Pcapng {
    /// True if these are the first bytes of a pcapng file.
    pub(super) fn recognises(magic: [u8; 4]) -> bool {
        u32::from_le_bytes(magic) == SECTION_HEADER
    }

    /// Reads the first section header at the beginning of the window.
    pub(super) fn open(window: &mut Window) -> Result<Self, Problem> {
        let mut reader = Self::default();
        let whole = window.ensure(BLOCK_FRAME).map_err(Problem::Read)?;
        if whole {
            let (_, length) = reader.block_head(window)?;
            if reader.skip(window, length)?.is_none() {
                return Ok(reader);
            }
        }
        Err(Problem::NotACapture("a pcapng file that ends inside its header".into()))
    }

    /// Locates the next packet from an interface with a supported link type.
    #[inline]
    pub(super) fn next(&mut self, window: &mut Window, refusals: &mut RefusalCounts) -> Result<Next, Problem> {
        loop {
            if !window.ensure(BLOCK_FRAME).map_err(Problem::Read)? {
                return Ok(Next::end(window));
            }
            let (kind, length) = self.block_head(window)?;
            let next = match kind {
                ENHANCED_PACKET | OBSOLETE_PACKET | SIMPLE_PACKET => self.packet(window, kind, length)?,
                INTERFACE_DESCRIPTION => self.interface(window, length)?,
                _ => self.skip(window, length)?,
            };
            match next {
                Some(Next::Unsupported) => refusals.count(Refusal::UnknownLinkType),
                Some(next) => return Ok(next),
                None => {}
            }
        }
    }

    #[inline]
    fn number(&self, bytes: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    /// Type and length of the next block, whose first twelve bytes are in the window. A section header sets the byte
    /// order and clears the interfaces.
    #[inline]
    fn block_head(&mut self, window: &Window) -> Result<(u32, u32), Problem> {
        let &[a, b, c, d, e, f, g, h, rest @ ..] =
            window.unread().first_chunk::<BLOCK_FRAME>().ok_or(Problem::BadBlock("a type and a length"))?;
        let kind = self.number([a, b, c, d]);
        if kind == SECTION_HEADER {
            self.big_endian = match BYTE_ORDER_MAGIC {
                magic if magic == u32::from_le_bytes(rest) => false,
                magic if magic == u32::from_be_bytes(rest) => true,
                _ => return Err(Problem::BadBlock("the byte-order magic 1a2b3c4d in the section header")),
            };
            self.interfaces.clear();
        }
        let length = self.number([e, f, g, h]);
        if length < BLOCK_FRAME as u32 || !length.is_multiple_of(4) {
            return Err(Problem::BadBlock("a length of at least 12 that is a multiple of four"));
        }
        Ok((kind, length))
    }

    /// Reads a whole block into the window; `None` if the stream ends inside it.
    #[inline]
    fn whole_block<'w>(&self, window: &'w mut Window, length: u32) -> Result<Option<&'w [u8]>, Problem> {
        let octets = length as usize;
        if octets > WINDOW_LIMIT_BYTES {
            return Err(Problem::RecordTooLong { octets: u64::from(length) });
        }
        if !window.ensure(octets).map_err(Problem::Read)? {
            return Ok(None);
        }
        let block = window.slice(window.position(), octets);
        match block.last_chunk() {
            Some(again) if self.number(*again) == length => Ok(Some(block)),
            _ => Err(Problem::BadBlock("the same length at its end as at its start")),
        }
    }

    /// Skips a block.
    fn skip(&self, window: &mut Window, length: u32) -> Result<Option<Next>, Problem> {
        let offset = window.offset();
        let whole = window.skip(u64::from(length)).map_err(Problem::Read)?;
        Ok(if whole { None } else { Some(Next::Truncated(offset)) })
    }

    fn interface(&mut self, window: &mut Window, length: u32) -> Result<Option<Next>, Problem> {
        let Some(block) = self.whole_block(window, length)? else { return Ok(Some(Next::end(window))) };
        let parse =
            if self.big_endian { parse_interfacedescriptionblock_be } else { parse_interfacedescriptionblock_le };
        let (_, description) = parse(block).map_err(|_| Problem::BadBlock("an interface description"))?;
        if self.interfaces.len() == MAX_INTERFACES {
            return Err(Problem::BadBlock("at most 1024 interfaces in a section"));
        }
        let interface = Interface::new(&description, self.big_endian);
        self.interfaces.push(interface);
        window.consume(length as usize);
        Ok(None)
    }

    /// Locates the frame in a packet block of any kind.
    #[inline]
    fn packet(&mut self, window: &mut Window, kind: u32, length: u32) -> Result<Option<Next>, Problem> {
        let Some(block) = self.whole_block(window, length)? else { return Ok(Some(Next::end(window))) };
        let head = self.packet_head(block, kind)?;
        let index = usize::from(head.interface);
        let interface =
            self.interfaces.get(index).ok_or(Problem::BadBlock("an interface that was described before it"))?;
        let room = length - (head.header + 4) as u32;
        let (captured, timestamp) = match head.packet {
            Some((high, low, captured)) => (captured, interface.time(high, low)),
            None if interface.snaplen == 0 => (head.wire.min(room), self.latest),
            None => (head.wire.min(interface.snaplen).min(room), self.latest),
        };
        if captured > room {
            return Err(Problem::BadBlock("a packet that fits into its block"));
        }
        self.latest = timestamp;
        let position = window.position() + head.header;
        let wire_octets = head.wire.saturating_sub(interface.fcs_octets);
        let octets = if interface.fcs_octets == 0 { captured } else { captured.min(wire_octets) };
        window.consume(length as usize);
        Ok(Some(match interface.link {
            Some(link) => {
                Next::Frame(Located { position, octets, link, timestamp, wire_octets, interface: head.interface })
            }
            None => Next::Unsupported,
        }))
    }

    /// Reads the fields before the frame.
    #[inline]
    fn packet_head(&self, block: &[u8], kind: u32) -> Result<PacketHead, Problem> {
        let header = if kind == SIMPLE_PACKET { SIMPLE_HEADER } else { PACKET_HEADER };
        if block.len() < header + 4 {
            return Err(Problem::BadBlock("room for a packet header"));
        }
        let number = |at: usize| self.number([block[at], block[at + 1], block[at + 2], block[at + 3]]);
        if kind == SIMPLE_PACKET {
            return Ok(PacketHead { header, interface: 0, packet: None, wire: number(8) });
        }
        let interface = match kind {
            ENHANCED_PACKET => number(8),
            _ if self.big_endian => u32::from(u16::from_be_bytes([block[8], block[9]])),
            _ => u32::from(u16::from_le_bytes([block[8], block[9]])),
        };
        Ok(PacketHead {
            header,
            interface: u16::try_from(interface).unwrap_or(u16::MAX),
            packet: Some((number(12), number(16), number(20))),
            wire: number(24),
        })
    }
}

/// Fields before the frame in a packet block.
struct PacketHead {
    /// Bytes of the block before the frame.
    header: usize,
    interface: u16,
    /// Timestamp (high, low) and captured length; a simple packet block has neither.
    packet: Option<(u32, u32, u32)>,
    wire: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resolution_converts_to_nanoseconds_and_saturates() {
        for (resolution, ticks, nanos) in [
            (6, 1_500_000, 1_500_000_000),
            (9, 7, 7),
            (0, 3, 3_000_000_000),
            (12, 5_999, 5),
            (127, u64::MAX, 0),
            (0x80 | 10, 1536, 1_500_000_000),
            (0x80 | 32, 1 << 31, 500_000_000),
            (0x80 | 127, u64::MAX, 0),
            (6, u64::MAX, u64::MAX),
            (0x80, u64::MAX, u64::MAX),
        ] {
            assert_eq!(Clock::new(resolution).nanos(ticks), nanos, "resolution {resolution:#x}, {ticks} ticks");
        }
    }
}
