//! Packets of one flow within at most one active timeout → a flow record.

use crate::packet::Network;
use crate::units::{Address, Nanos, Timestamp, nearest_f64};

/// Reason for exporting a record (IANA flowEndReason, element 136).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EndReason {
    /// No packet for the idle timeout.
    Idle = 1,
    /// The record reached the active timeout; the flow continues.
    Active = 2,
    /// The TCP connection ended.
    EndDetected = 3,
    /// Metering stopped, or the clock was set back.
    Forced = 4,
    /// Evicted as the longest idle flow of a full table.
    LackOfResources = 5,
}

/// Counts of one direction of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Direction {
    /// First packet.
    pub first: Timestamp,
    /// Last packet.
    pub last: Timestamp,
    /// Octets on the wire (IANA layer2OctetDeltaCount, 352).
    pub frame_octets: u64,
    /// Octets of the network layer, including its header (IANA octetDeltaCount, 1).
    pub network_octets: u64,
    /// Octets after the transport header.
    pub payload_octets: u64,
    /// Σ network octets², for the standard deviation.
    pub network_octets_squared: u64,
    /// Σ inter-arrival time², µs², over [`Direction::packets`] − 1 gaps.
    pub gaps_squared_us2: f64,
    /// Packets (IANA packetDeltaCount, 2).
    pub packets: u32,
    /// Packets with payload.
    pub payload_packets: u32,
    /// Longest gap, µs.
    pub gap_max_us: u32,
    /// Smallest packet, network octets.
    pub size_min: u32,
    /// Largest packet, network octets.
    pub size_max: u32,
    /// TCP packets with SYN, capped at 65,535.
    pub syn: u16,
    /// TCP packets with FIN, capped at 65,535.
    pub fin: u16,
    /// TCP packets with RST, capped at 65,535.
    pub rst: u16,
    /// TCP packets with PSH, capped at 65,535.
    pub psh: u16,
    /// Window of the first TCP packet, not scaled.
    pub first_window: u16,
    /// All TCP flags seen (IANA tcpControlBits, 6).
    pub tcp_flags: u8,
}

impl Default for Direction {
    #[inline]
    fn default() -> Self {
        Self::NONE
    }
}

impl Direction {
    /// No packet yet.
    pub const NONE: Self = Self {
        first: Timestamp::EPOCH,
        last: Timestamp::EPOCH,
        frame_octets: 0,
        network_octets: 0,
        payload_octets: 0,
        network_octets_squared: 0,
        gaps_squared_us2: 0.0,
        packets: 0,
        payload_packets: 0,
        gap_max_us: 0,
        size_min: 0,
        size_max: 0,
        syn: 0,
        fin: 0,
        rst: 0,
        psh: 0,
        first_window: 0,
        tcp_flags: 0,
    };

    /// Mean packet size, network octets; 0 if there are no packets.
    pub fn size_mean(&self) -> f64 {
        if self.packets == 0 { 0.0 } else { nearest_f64(self.network_octets) / f64::from(self.packets) }
    }

    /// Standard deviation of the packet size (population), network octets.
    pub fn size_deviation(&self) -> f64 {
        deviation(nearest_f64(self.network_octets), nearest_f64(self.network_octets_squared), self.packets)
    }

    /// Mean and standard deviation (population) of the inter-arrival time, µs; 0 with fewer than two packets.
    #[inline]
    pub fn gaps_us(&self) -> (f64, f64) {
        let gaps = self.packets.saturating_sub(1);
        if gaps == 0 {
            return (0.0, 0.0);
        }
        let span_us = nearest_f64(self.last.since(self.first).0) / 1000.0;
        (span_us / f64::from(gaps), deviation(span_us, self.gaps_squared_us2, gaps))
    }
}

/// √(E[x²] − E[x]²); 0 if rounding makes the variance negative.
#[inline]
fn deviation(sum: f64, sum_of_squares: f64, count: u32) -> f64 {
    if count < 2 {
        return 0.0;
    }
    let mean = sum / f64::from(count);
    let variance = sum_of_squares / f64::from(count) - mean * mean;
    if variance > 0.0 { libm::sqrt(variance) } else { 0.0 }
}

/// One exported record; forward is the initiator's direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlowRecord {
    /// Initiator.
    pub source: Address,
    /// Responder.
    pub destination: Address,
    /// Initiator's port.
    pub source_port: u16,
    /// Responder's port.
    pub destination_port: u16,
    /// Network layer.
    pub network: Network,
    /// Protocol number; ARP operation of the first packet's flow key.
    pub protocol: u8,
    /// VLAN identifier, 0 without a tag.
    pub vlan: u16,
    /// ICMP type and code of the flow's first packet.
    pub icmp: (u8, u8),
    /// First packet of the record.
    pub start: Timestamp,
    /// Last packet of the record.
    pub end: Timestamp,
    /// Time of export: the deadline reached, or the packet that ended the record.
    pub made: Timestamp,
    /// Initiator to responder.
    pub forward: Direction,
    /// Responder to initiator.
    pub reverse: Direction,
    /// Time from the first SYN to the SYN+ACK, if both were seen.
    pub handshake: Option<Nanos>,
    /// Records of this flow before this one.
    pub earlier_records: u32,
    /// The responder has sent a packet in this or an earlier record of the flow.
    pub answered: bool,
    /// Reason for the export.
    pub reason: EndReason,
}

impl FlowRecord {
    /// Placeholder.
    pub(crate) const BLANK: Self = Self {
        source: Address([0; 16]),
        destination: Address([0; 16]),
        source_port: 0,
        destination_port: 0,
        network: Network::Other,
        protocol: 0,
        vlan: 0,
        icmp: (0, 0),
        start: Timestamp::EPOCH,
        end: Timestamp::EPOCH,
        made: Timestamp::EPOCH,
        forward: Direction::NONE,
        reverse: Direction::NONE,
        handshake: None,
        earlier_records: 0,
        answered: false,
        reason: EndReason::Idle,
    };

    /// Packets of both directions.
    pub fn packets(&self) -> u64 {
        u64::from(self.forward.packets) + u64::from(self.reverse.packets)
    }

    /// Network octets of both directions.
    pub fn network_octets(&self) -> u64 {
        self.forward.network_octets + self.reverse.network_octets
    }

    /// Time from the first to the last packet.
    pub fn duration(&self) -> Nanos {
        self.end.since(self.start)
    }
}

/// A new flow, at its first packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowStart {
    /// Initiator.
    pub source: Address,
    /// Responder.
    pub destination: Address,
    /// Responder's port.
    pub destination_port: u16,
    /// Network layer.
    pub network: Network,
    /// Protocol number.
    pub protocol: u8,
    /// Time of the packet.
    pub at: Timestamp,
}

/// Receives the events of a flow table, in time order.
pub trait FlowSink {
    /// A flow started.
    fn started(&mut self, flow: &FlowStart);
    /// A record is exported; `record` builds it in place.
    fn ended(&mut self, record: impl FnOnce() -> FlowRecord);
}
