//! One frame's bytes → the fields that metering needs, or the reason why there are none.
//!
//! [`decode`] takes what was captured, which may be less than what was on the wire, and needs the headers only: octet
//! counts come from the IP header and the wire length, never from the captured length. It reads the outermost IP header
//! and looks into no tunnel. It never panics, allocates nothing and takes bounded time (at most [`MAX_TAGS`] VLAN tags
//! and [`MAX_EXTENSIONS`] extension headers).
//!
//! What is refused, and what is not:
//! - A header that was cut short, by the capture's snaplen or by the length that the IP header states, refuses the
//!   packet. Of TCP the 20 fixed octets are enough, since no option is read.
//! - IPv4 total length 0, or IPv6 payload length 0 before another protocol, as a network card's segmentation offload
//!   and jumbograms leave them, becomes the wire length less the link header.
//! - An IP length beyond the wire's is believed: the rest went elsewhere, or the capture was cut by a tool.
//! - Checksums, the UDP length and IPv4 options are not looked at.
//!
//! Sources: RFC 791, 8200, 9293, 768, 3828, 4302, 826, 2516, IEEE 802.1Q, and the tcpdump project's link-layer types.

mod link;
mod network;
mod refusal;
mod transport;

pub use refusal::{Refusal, RefusalCounts};

use crate::units::{Address, Timestamp};
use serde::{Deserialize, Serialize};

/// How a frame begins, as capture files and interfaces name it (the tcpdump project's link-layer header types).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkType {
    /// 1: Ethernet II or 802.3.
    Ethernet,
    /// 113: Linux "cooked" capture, version 1.
    LinuxSll,
    /// 276: Linux "cooked" capture, version 2.
    LinuxSll2,
    /// 101 (also 12 and 14), 228, 229: an IPv4 or IPv6 header at once.
    RawIp,
    /// 0 and 108: BSD loopback, a four-byte address family first.
    Loopback,
}

impl LinkType {
    /// From the number in a capture file; `None` for one that [`decode`] does not know.
    pub const fn from_number(number: u16) -> Option<Self> {
        match number {
            1 => Some(Self::Ethernet),
            113 => Some(Self::LinuxSll),
            276 => Some(Self::LinuxSll2),
            12 | 14 | 101 | 228 | 229 => Some(Self::RawIp),
            0 | 108 => Some(Self::Loopback),
            _ => None,
        }
    }
}

/// What stands in the network layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Network {
    /// IPv4.
    Ipv4 = 4,
    /// IPv6.
    Ipv6 = 6,
    /// ARP; the addresses are the sender's and target's protocol addresses.
    Arp = 1,
    /// Anything else, told apart by its EtherType; the addresses are the MAC addresses in the low six octets.
    Other = 0,
}

/// Place of a packet in a fragmented datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// Not fragmented.
    Whole,
    /// Offset 0: carries the transport header. The value is the datagram's identification.
    First(u32),
    /// A later piece, without ports. The value is the datagram's identification.
    Later(u32),
}

/// TCP flag bits as on the wire (RFC 9293 §3.1).
pub mod tcp_flags {
    #![allow(missing_docs, reason = "the names are the RFC's")]
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const URG: u8 = 0x20;
}

/// What metering needs of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When it was seen.
    pub timestamp: Timestamp,
    /// Network layer.
    pub network: Network,
    /// Protocol number (IANA) for IP; ARP operation for ARP; 0 for other.
    pub protocol: u8,
    /// VLAN identifier of the innermost tag, 0 without a tag.
    pub vlan: u16,
    /// Sender.
    pub source: Address,
    /// Receiver.
    pub destination: Address,
    /// TCP, UDP, UDP-Lite, SCTP or DCCP source port; EtherType for other; else 0.
    pub source_port: u16,
    /// TCP, UDP, UDP-Lite, SCTP or DCCP destination port; EtherType for other; else 0.
    pub destination_port: u16,
    /// TCP flags, 0 for the rest.
    pub tcp_flags: u8,
    /// TCP window as sent, not scaled; 0 for the rest.
    pub tcp_window: u16,
    /// ICMP or ICMPv6 type and code, 0 for the rest.
    pub icmp: (u8, u8),
    /// IPv4 time to live or IPv6 hop limit, 0 for the rest.
    pub hop_limit: u8,
    /// Fragmentation.
    pub fragment: Fragment,
    /// Octets on the wire, link header included, frame check sequence not (IANA 352 counts these).
    pub frame_octets: u32,
    /// Octets of the network layer, header included (IANA 1 counts these): IP total length; for ARP and other, what
    /// follows the EtherType.
    pub network_octets: u32,
    /// Octets behind the transport header (behind the IP header for protocols without one that we know, and in later
    /// fragments); the network octets for other, 0 for ARP. An ICMP or ICMPv6 header counts 8 octets.
    pub payload_octets: u32,
}

impl Packet {
    /// A packet of which nothing is known but its time and its octets on the wire.
    #[inline]
    pub(crate) fn unread(timestamp: Timestamp, frame: &[u8], wire_octets: u32) -> Self {
        Self {
            timestamp,
            network: Network::Other,
            protocol: 0,
            vlan: 0,
            source: Address([0; 16]),
            destination: Address([0; 16]),
            source_port: 0,
            destination_port: 0,
            tcp_flags: 0,
            tcp_window: 0,
            icmp: (0, 0),
            hop_limit: 0,
            fragment: Fragment::Whole,
            frame_octets: wire_octets.max(u32::try_from(frame.len()).unwrap_or(u32::MAX)),
            network_octets: 0,
            payload_octets: 0,
        }
    }
}

/// Most VLAN tags in one frame.
pub const MAX_TAGS: usize = 4;
/// Most extension headers in one packet.
pub const MAX_EXTENSIONS: usize = 8;

/// Reads one frame's headers. `frame` is what was captured of the `wire_octets` that were seen; a wire length below the
/// captured one is raised to it.
///
/// # Errors
/// The first thing that kept the packet from being metered, to be counted in a [`RefusalCounts`].
#[inline]
pub fn decode(link: LinkType, timestamp: Timestamp, frame: &[u8], wire_octets: u32) -> Result<Packet, Refusal> {
    let mut packet = Packet::unread(timestamp, frame, wire_octets);
    decode_into(&mut packet, link, frame)?;
    Ok(packet)
}

/// As [`decode`], into a [`Packet::unread`]: a packet is not copied on its way.
///
/// # Errors
/// As [`decode`]; what was read until then stands in the packet.
#[inline]
pub(crate) fn decode_into(packet: &mut Packet, link: LinkType, frame: &[u8]) -> Result<(), Refusal> {
    if frame.is_empty() {
        return Err(Refusal::EmptyFrame);
    }
    // Most frames by far; the short way saves a third of the instructions.
    if link == LinkType::Ethernet
        && let Some((header, content)) = frame.split_first_chunk::<{ link::ETHERNET_OCTETS }>()
    {
        packet.network_octets = packet.frame_octets - link::ETHERNET_OCTETS as u32;
        match u16::from_be_bytes([header[12], header[13]]) {
            link::ether_type::IPV4 => return network::ipv4(packet, content),
            link::ether_type::IPV6 => return network::ipv6(packet, content),
            _ => {}
        }
    }
    decode_any(packet, link, frame)
}

/// Any link type and content.
#[inline(never)]
fn decode_any(packet: &mut Packet, link: LinkType, frame: &[u8]) -> Result<(), Refusal> {
    let carried = link::strip(link, frame)?;
    packet.vlan = carried.vlan;
    packet.network_octets = packet.frame_octets.saturating_sub(carried.header_octets);
    network::read(packet, &carried, frame)
}

#[cfg(test)]
mod tests;
