//! One frame's bytes → the fields that metering needs, or the reason why there are none.

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
    /// Octets behind the transport header (behind the IP header for protocols without one that we know).
    pub payload_octets: u32,
}
