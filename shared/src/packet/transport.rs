//! Transport header → ports, TCP flags and window, ICMP type and code, and the octets after it.

use super::{Fragment, Packet, Refusal};
use etherparse::err::tcp;
use etherparse::{IpNumber, TcpHeaderSlice, UdpHeaderSlice};

/// Octets of the SCTP common header (RFC 9260 §3.1).
const SCTP_OCTETS: u32 = 12;
/// Octets of the shorter DCCP generic header (RFC 4340 §5.1).
const DCCP_OCTETS: u32 = 12;
/// Octets of an ICMP or ICMPv6 header, including the four that depend on the type (RFC 792, 4443).
const ICMP_OCTETS: u32 = 8;
/// Octets of the UDP and UDP-Lite header.
const UDP_OCTETS: u32 = 8;
/// Octets of a TCP header without options.
pub(super) const TCP_OCTETS: usize = 20;
/// Octets of a TCP header up to and including the flags.
const TCP_FLAGS_OCTETS: usize = 14;
/// The flags of [`super::tcp_flags`].
const FLAGS: u8 = 0x3f;

/// Reads the header of `packet.protocol` from the captured IP payload. Reduces `packet.payload_octets` from the length
/// of that payload to the octets after the header.
#[inline(always)]
pub(super) fn read(packet: &mut Packet, captured: &[u8]) -> Result<(), Refusal> {
    match IpNumber(packet.protocol) {
        IpNumber::TCP => tcp(packet, captured),
        IpNumber::UDP => udp(packet, captured),
        _ => read_rarer(packet, captured),
    }
}

#[inline(never)]
fn read_rarer(packet: &mut Packet, captured: &[u8]) -> Result<(), Refusal> {
    match IpNumber(packet.protocol) {
        IpNumber::UDP_LITE => udp(packet, captured),
        IpNumber::ICMP | IpNumber::IPV6_ICMP => icmp(packet, captured),
        IpNumber::SCTP => ports(packet, captured, SCTP_OCTETS),
        IpNumber::DCCP => dccp(packet, captured),
        _ => Ok(()),
    }
}

/// Reason for an incomplete header: the capture or else the datagram ends inside it.
#[cold]
fn cut(packet: &Packet, captured: &[u8]) -> Refusal {
    if captured.len() < packet.payload_octets as usize {
        Refusal::TruncatedTransportHeader
    } else {
        Refusal::HeaderBeyondDatagram
    }
}

/// A header of at least `octets` octets that cannot be read: takes the ports if they are there.
#[cold]
fn ports_only(packet: &mut Packet, captured: &[u8], octets: u32, reason: Refusal) -> Result<(), Refusal> {
    packet.payload_octets = packet.payload_octets.saturating_sub(octets);
    if let Some(&[a, b, c, d]) = captured.first_chunk() {
        packet.source_port = u16::from_be_bytes([a, b]);
        packet.destination_port = u16::from_be_bytes([c, d]);
    }
    Err(reason)
}

#[inline(always)]
fn tcp(packet: &mut Packet, captured: &[u8]) -> Result<(), Refusal> {
    let header = match TcpHeaderSlice::from_slice(captured) {
        Ok(header) => header,
        Err(tcp::HeaderSliceError::Content(_)) => {
            return ports_only(packet, captured, TCP_OCTETS as u32, Refusal::BadDataOffset);
        }
        Err(tcp::HeaderSliceError::Len(_)) => return tcp_without_options(packet, captured),
    };
    let octets = header.slice().len() as u32;
    fill_tcp(packet, &header, octets)
}

/// A TCP header whose options were not captured: reads the fixed part as a header without options.
#[cold]
fn tcp_without_options(packet: &mut Packet, captured: &[u8]) -> Result<(), Refusal> {
    let Some(mut fixed) = captured.first_chunk::<TCP_OCTETS>().copied() else {
        return tcp_without_end(packet, captured);
    };
    let octets = u32::from(fixed[12] >> 4) * 4;
    fixed[12] = 5 << 4;
    let header = TcpHeaderSlice::from_slice(&fixed).map_err(|_| Refusal::BadDataOffset)?;
    fill_tcp(packet, &header, octets)
}

/// Less than the fixed part of a TCP header. The flags are read where the rest is elsewhere: in a later fragment, or not
/// captured. The receiver drops any other such packet, so its flags must not end the flow.
#[cold]
fn tcp_without_end(packet: &mut Packet, captured: &[u8]) -> Result<(), Refusal> {
    let reason = cut(packet, captured);
    let continues = reason == Refusal::TruncatedTransportHeader || matches!(packet.fragment, Fragment::First(_));
    if continues && let Some([.., flags]) = captured.first_chunk::<TCP_FLAGS_OCTETS>() {
        packet.tcp_flags = flags & FLAGS;
    }
    ports_only(packet, captured, TCP_OCTETS as u32, reason)
}

/// A TCP header that is longer than the packet: legitimate only in a first fragment.
#[cold]
fn tcp_beyond_packet(packet: &mut Packet, header: &TcpHeaderSlice<'_>) -> Result<(), Refusal> {
    let first = matches!(packet.fragment, Fragment::First(_));
    if first {
        packet.tcp_flags = header.slice()[13] & FLAGS;
        packet.tcp_window = header.window_size();
    }
    let reason = if first { Refusal::HeaderBeyondDatagram } else { Refusal::BadDataOffset };
    ports_only(packet, header.slice(), u32::MAX, reason)
}

#[inline(always)]
fn fill_tcp(packet: &mut Packet, header: &TcpHeaderSlice<'_>, octets: u32) -> Result<(), Refusal> {
    let Some(payload_octets) = packet.payload_octets.checked_sub(octets) else {
        return tcp_beyond_packet(packet, header);
    };
    packet.payload_octets = payload_octets;
    packet.source_port = header.source_port();
    packet.destination_port = header.destination_port();
    packet.tcp_flags = header.slice()[13] & FLAGS;
    packet.tcp_window = header.window_size();
    Ok(())
}

#[inline(always)]
fn udp(packet: &mut Packet, captured: &[u8]) -> Result<(), Refusal> {
    let Ok(header) = UdpHeaderSlice::from_slice(captured) else {
        return ports_only(packet, captured, UDP_OCTETS, cut(packet, captured));
    };
    packet.source_port = header.source_port();
    packet.destination_port = header.destination_port();
    packet.payload_octets = packet.payload_octets.saturating_sub(UDP_OCTETS);
    Ok(())
}

fn icmp(packet: &mut Packet, captured: &[u8]) -> Result<(), Refusal> {
    let &[kind, code, _, _] = captured.first_chunk().ok_or_else(|| cut(packet, captured))?;
    packet.icmp = (kind, code);
    packet.payload_octets = packet.payload_octets.saturating_sub(ICMP_OCTETS);
    Ok(())
}

/// A header of `octets` octets that starts with the two ports.
fn ports(packet: &mut Packet, captured: &[u8], octets: u32) -> Result<(), Refusal> {
    let &[a, b, c, d] = captured.first_chunk().ok_or_else(|| cut(packet, captured))?;
    let Some(payload_octets) = packet.payload_octets.checked_sub(octets) else {
        return ports_only(packet, captured, octets, Refusal::HeaderBeyondDatagram);
    };
    packet.payload_octets = payload_octets;
    packet.source_port = u16::from_be_bytes([a, b]);
    packet.destination_port = u16::from_be_bytes([c, d]);
    Ok(())
}

fn dccp(packet: &mut Packet, captured: &[u8]) -> Result<(), Refusal> {
    let Some(offset) = captured.get(4) else {
        return ports_only(packet, captured, DCCP_OCTETS, cut(packet, captured));
    };
    let octets = u32::from(*offset) * 4;
    if octets < DCCP_OCTETS || octets > packet.payload_octets {
        let first = octets >= DCCP_OCTETS && matches!(packet.fragment, Fragment::First(_));
        let reason = if first { Refusal::HeaderBeyondDatagram } else { Refusal::BadDataOffset };
        return ports_only(packet, captured, octets, reason);
    }
    ports(packet, captured, octets)
}
