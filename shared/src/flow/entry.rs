//! Packets of one flow → its open record in the flow table.

use crate::flow::key::End;
use crate::flow::lru::Slot;
use crate::flow::record::Direction;
use crate::packet::{Packet, tcp_flags};
use crate::units::{Nanos, Timestamp};

/// The deadline that an entry waits for besides the idle timeout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Wait {
    /// None: no record is open.
    #[default]
    Nothing,
    /// The active timeout of its open record.
    Active,
    /// The end of the linger time after the TCP connection closed.
    Linger,
}

/// State of the TCP handshake in this record.
#[derive(Clone, Copy, Default)]
pub(super) enum Handshake {
    #[default]
    Unseen,
    /// The first SYN was seen at this time.
    SynSeen(Timestamp),
    /// Time from the first SYN to the SYN+ACK.
    Completed(Nanos),
}

impl Handshake {
    /// Follows a packet with any of the flags SYN, FIN and RST; `forward` if the initiator sent it.
    #[inline]
    pub(super) fn follow(&mut self, flags: u8, forward: bool, at: Timestamp) {
        use tcp_flags::{ACK, SYN};
        match (*self, flags & (SYN | ACK), forward) {
            (Self::Unseen, SYN, true) => *self = Self::SynSeen(at),
            (Self::SynSeen(syn_at), both, false) if both == SYN | ACK => *self = Self::Completed(at.since(syn_at)),
            _ => {}
        }
    }

    /// Time from the first SYN to the SYN+ACK, if both were seen.
    pub(super) fn span(self) -> Option<Nanos> {
        match self {
            Self::Completed(span) => Some(span),
            Self::Unseen | Self::SynSeen(_) => None,
        }
    }
}

/// A flow and its open record: 240 bytes.
#[derive(Clone, Copy)]
pub(super) struct Flow {
    pub(super) start: Timestamp,
    pub(super) last: Timestamp,
    pub(super) forward: Direction,
    pub(super) reverse: Direction,
    /// Start of the wait.
    pub(super) wait_since: Timestamp,
    pub(super) handshake: Handshake,
    pub(super) earlier_records: u32,
    pub(super) wait_newer: Slot,
    pub(super) wait_older: Slot,
    pub(super) icmp: (u8, u8),
    pub(super) initiator: End,
    pub(super) wait: Wait,
    pub(super) answered: bool,
    /// A SYN was seen, here or in an earlier flow of the same connection: the initiator is known, not guessed.
    pub(super) opened: bool,
    pub(super) fin_forward: bool,
    pub(super) fin_reverse: bool,
}

impl Flow {
    /// All zero bits wherever possible, so that it is written by storing zeros instead of copying.
    const EMPTY: Self = Self {
        start: Timestamp::EPOCH,
        last: Timestamp::EPOCH,
        forward: Direction::NONE,
        reverse: Direction::NONE,
        wait_since: Timestamp::EPOCH,
        handshake: Handshake::Unseen,
        earlier_records: 0,
        wait_newer: 0,
        wait_older: 0,
        icmp: (0, 0),
        initiator: End::Low,
        wait: Wait::Nothing,
        answered: false,
        opened: false,
        fin_forward: false,
        fin_reverse: false,
    };
}

impl Default for Flow {
    #[inline]
    fn default() -> Self {
        Self::EMPTY
    }
}

/// Adds a packet to a direction.
#[inline(always)]
pub(super) fn add(direction: &mut Direction, packet: &Packet) {
    let size = packet.network_octets;
    if direction.packets == 0 {
        direction.first = packet.timestamp;
        (direction.size_min, direction.size_max) = (size, size);
        direction.first_window = packet.tcp_window;
    } else {
        let gap_us = (packet.timestamp.since(direction.last).0 / 1000).min(u64::from(u32::MAX)) as u32;
        direction.gap_max_us = direction.gap_max_us.max(gap_us);
        direction.gaps_squared_us2 += f64::from(gap_us) * f64::from(gap_us);
        direction.size_min = direction.size_min.min(size);
        direction.size_max = direction.size_max.max(size);
    }
    direction.last = packet.timestamp;
    direction.packets = direction.packets.saturating_add(1);
    direction.frame_octets += u64::from(packet.frame_octets);
    direction.network_octets += u64::from(size);
    let squared = u64::from(size) * u64::from(size);
    direction.network_octets_squared = direction.network_octets_squared.saturating_add(squared);
    direction.payload_octets += u64::from(packet.payload_octets);
    direction.payload_packets += u32::from(packet.payload_octets > 0);
    let flags = packet.tcp_flags;
    direction.tcp_flags |= flags;
    direction.psh = direction.psh.saturating_add(u16::from(flags & tcp_flags::PSH != 0));
    if flags & (tcp_flags::SYN | tcp_flags::FIN | tcp_flags::RST) != 0 {
        direction.syn = direction.syn.saturating_add(u16::from(flags & tcp_flags::SYN != 0));
        direction.fin = direction.fin.saturating_add(u16::from(flags & tcp_flags::FIN != 0));
        direction.rst = direction.rst.saturating_add(u16::from(flags & tcp_flags::RST != 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_has_its_documented_size() {
        assert_eq!(size_of::<Flow>(), 240);
    }

    #[test]
    fn the_handshake_lasts_from_the_first_syn_to_the_first_syn_ack() {
        use tcp_flags::{ACK, SYN};
        let at = Timestamp::from_secs;
        let mut handshake = Handshake::default();
        handshake.follow(SYN | ACK, false, at(1));
        assert_eq!(handshake.span(), None, "a SYN+ACK without a SYN");
        for (flags, forward, second) in [(SYN, true, 2), (SYN, true, 3), (SYN | ACK, false, 5), (SYN | ACK, false, 9)] {
            handshake.follow(flags, forward, at(second));
        }
        assert_eq!(handshake.span(), Some(Nanos::from_secs(3)));
    }
}
