//! Frame bytes → the fields that metering needs, or the reason for rejecting the frame.
//!
//! [`decode`] needs only the headers, so the capture may be shorter than the frame: octet counts come from the IP
//! header and the wire length, never from the captured length. It reads the outermost IP header only, not tunnels. It
//! never panics, does not allocate, and takes bounded time (at most [`MAX_TAGS`] VLAN tags and [`MAX_EXTENSIONS`]
//! extension headers).
//!
//! Rules:
//! - A frame without a readable IP header is rejected. Behind one, every packet is metered: if a later header is cut
//!   short, contradictory or hidden, [`Packet::irregular`] has the reason, and fields that cannot be read are 0. Ports
//!   are read wherever their four octets are present. Receivers reassemble and accept many such packets, so rejecting
//!   them would hide scans.
//! - For TCP the 20 fixed octets are enough, because options are not read.
//! - IPv4 total length 0, or IPv6 payload length 0 with a next header, as left by segmentation offload and jumbograms,
//!   is replaced by the wire length minus the link header.
//! - An IP length beyond the wire length is accepted: a tool may have truncated the capture.
//! - Checksums, the UDP length and IPv4 options are ignored.
//!
//! Sources: RFC 791, 8200, 9293, 768, 3828, 4302, 826, 2516, IEEE 802.1Q, and the tcpdump project's link-layer types.

mod irregular;
mod link;
mod network;
mod refusal;
mod transport;

pub use irregular::Concealment;
pub use refusal::{Refusal, RefusalCounts};

use crate::units::{Address, Timestamp};
use serde::{Deserialize, Serialize};

/// Link-layer header type, as in capture files (the tcpdump project's list).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkType {
    /// 1: Ethernet II or 802.3.
    Ethernet,
    /// 113: Linux "cooked" capture, version 1.
    LinuxSll,
    /// 276: Linux "cooked" capture, version 2.
    LinuxSll2,
    /// 101 (also 12 and 14), 228, 229: an IPv4 or IPv6 header without a link header.
    RawIp,
    /// 0 and 108: BSD loopback, a four-byte address family.
    Loopback,
}

impl LinkType {
    /// From the number in a capture file; `None` if [`decode`] does not support it.
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

/// Network-layer protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Network {
    /// IPv4.
    Ipv4 = 4,
    /// IPv6.
    Ipv6 = 6,
    /// ARP; the addresses are the sender's and target's protocol addresses.
    Arp = 1,
    /// Anything else, distinguished by EtherType; the addresses are the MAC addresses in the low six octets.
    Other = 0,
}

/// Position of a packet in a fragmented datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// Not fragmented.
    Whole,
    /// Offset 0, with the transport header. The value is the datagram's identification.
    First(u32),
    /// A later fragment, without ports. The value is the datagram's identification.
    Later(u32),
}

/// TCP flag bits (RFC 9293 §3.1).
pub mod tcp_flags {
    #![allow(missing_docs, reason = "names from the RFC")]
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const URG: u8 = 0x20;
}

/// The fields of one packet that metering needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Capture time.
    pub timestamp: Timestamp,
    /// Network layer.
    pub network: Network,
    /// Protocol number (IANA) for IP; ARP operation for ARP; 0 for other.
    pub protocol: u8,
    /// VLAN identifier of the innermost tag, 0 if untagged.
    pub vlan: u16,
    /// Sender.
    pub source: Address,
    /// Receiver.
    pub destination: Address,
    /// TCP, UDP, UDP-Lite, SCTP or DCCP source port; EtherType for other; else 0.
    pub source_port: u16,
    /// TCP, UDP, UDP-Lite, SCTP or DCCP destination port; EtherType for other; else 0.
    pub destination_port: u16,
    /// TCP flags; else 0.
    pub tcp_flags: u8,
    /// TCP window as sent, not scaled; else 0.
    pub tcp_window: u16,
    /// ICMP or ICMPv6 type and code; else 0.
    pub icmp: (u8, u8),
    /// IPv4 time to live or IPv6 hop limit; else 0.
    pub hop_limit: u8,
    /// Fragmentation.
    pub fragment: Fragment,
    /// Octets on the wire, including the link header but not the frame check sequence (IANA 352).
    pub frame_octets: u32,
    /// Octets of the network layer, including its header (IANA 1): IP total length; for ARP and other, everything after
    /// the EtherType.
    pub network_octets: u32,
    /// Octets after the transport header (after the IP header for unknown protocols and later fragments); the network
    /// octets for other, 0 for ARP. An ICMP or ICMPv6 header counts as 8 octets.
    pub payload_octets: u32,
    /// Why a header behind the IP header was not read completely, or is irregular. Ports that could not be read are 0.
    pub irregular: Option<Refusal>,
}

impl Packet {
    /// A packet with only its time and wire length set.
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
            irregular: None,
        }
    }
}

/// Limit on VLAN tags per frame.
pub const MAX_TAGS: usize = 4;
/// Limit on extension headers read per packet: as many as fit a capture of 512 octets.
pub const MAX_EXTENSIONS: usize = 64;
/// Packets with more extension headers are irregular. Ordinary ones have at most two.
pub const USUAL_EXTENSIONS: usize = 8;
/// Packets with more octets of extension headers are irregular.
pub const USUAL_EXTENSION_OCTETS: u32 = 256;

/// Decodes one frame's headers. `frame` is the captured part of a frame of `wire_octets`; a wire length below the
/// captured length is raised to it.
///
/// # Errors
/// The reason for rejecting the packet, to be counted in a [`RefusalCounts`]: it has no readable IP header, and it is not
/// ARP or another protocol.
#[inline]
pub fn decode(link: LinkType, timestamp: Timestamp, frame: &[u8], wire_octets: u32) -> Result<Packet, Refusal> {
    let mut packet = Packet::unread(timestamp, frame, wire_octets);
    match decode_into(&mut packet, link, frame) {
        Err(reason) if !packet.is_metered_despite(reason) => Err(reason),
        _ => Ok(packet),
    }
}

/// Same as [`decode`], into a [`Packet::unread`], which saves a copy.
///
/// # Errors
/// The reason for rejecting the packet, or for its irregularity: [`Packet::is_metered_despite`] decides which. An error
/// for both keeps checks of irregular packets off the path of all others.
#[inline]
pub(crate) fn decode_into(packet: &mut Packet, link: LinkType, frame: &[u8]) -> Result<(), Refusal> {
    if frame.is_empty() {
        return Err(Refusal::EmptyFrame);
    }
    // Fast path for nearly all frames: saves a third of the instructions.
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

/// Decodes any link type and content.
#[inline(never)]
fn decode_any(packet: &mut Packet, link: LinkType, frame: &[u8]) -> Result<(), Refusal> {
    let carried = link::strip(link, frame)?;
    packet.vlan = carried.vlan;
    packet.network_octets = packet.frame_octets.saturating_sub(carried.header_octets);
    network::read(packet, &carried, frame)
}

#[cfg(test)]
mod tests;
