//! Transport header → ports, TCP flags and window, ICMP type and code, and the octets behind it.

use super::{Packet, Refusal};
use etherparse::err::tcp;
use etherparse::{IpNumber, TcpHeaderSlice, UdpHeaderSlice};

/// Octets of the SCTP common header (RFC 9260 §3.1).
const SCTP_OCTETS: u32 = 12;
/// Octets of the shorter DCCP generic header (RFC 4340 §5.1).
const DCCP_OCTETS: u32 = 12;
/// Octets of an ICMP or ICMPv6 header with the four that depend on the type (RFC 792, 4443).
const ICMP_OCTETS: u32 = 8;
/// Octets of the UDP and UDP-Lite header.
const UDP_OCTETS: u32 = 8;
/// Octets of a TCP header without options.
const TCP_OCTETS: usize = 20;

/// Reads the header that `packet.protocol` names from what was captured of the IP payload. `packet.payload_octets`
/// comes in as the octets of that payload and goes out as the octets behind the header.
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

/// Why a header is not there whole: the datagram ends before it does, or else the capture.
#[cold]
fn cut(packet: &Packet, captured: &[u8]) -> Refusal {
    if captured.len() < packet.payload_octets as usize {
        Refusal::TruncatedTransportHeader
    } else {
        Refusal::HeaderBeyondDatagram
    }
}

#[inline(always)]
fn tcp(packet: &mut Packet, captured: &[u8]) -> Result<(), Refusal> {
    let header = match TcpHeaderSlice::from_slice(captured) {
        Ok(header) => header,
        Err(tcp::HeaderSliceError::Content(_)) => return Err(Refusal::BadDataOffset),
        Err(tcp::HeaderSliceError::Len(_)) => return tcp_without_options(packet, captured),
    };
    let octets = header.slice().len() as u32;
    fill_tcp(packet, &header, octets)
}

/// A TCP header whose options the capture cut off: the fixed part, read as a header without options.
#[cold]
fn tcp_without_options(packet: &mut Packet, captured: &[u8]) -> Result<(), Refusal> {
    let mut fixed = *captured.first_chunk::<TCP_OCTETS>().ok_or_else(|| cut(packet, captured))?;
    let octets = u32::from(fixed[12] >> 4) * 4;
    fixed[12] = 5 << 4;
    let header = TcpHeaderSlice::from_slice(&fixed).map_err(|_| Refusal::BadDataOffset)?;
    fill_tcp(packet, &header, octets)
}

#[inline(always)]
fn fill_tcp(packet: &mut Packet, header: &TcpHeaderSlice<'_>, octets: u32) -> Result<(), Refusal> {
    packet.payload_octets = packet.payload_octets.checked_sub(octets).ok_or(Refusal::BadDataOffset)?;
    packet.source_port = header.source_port();
    packet.destination_port = header.destination_port();
    packet.tcp_flags = header.slice()[13] & 0x3f;
    packet.tcp_window = header.window_size();
    Ok(())
}

#[inline(always)]
fn udp(packet: &mut Packet, captured: &[u8]) -> Result<(), Refusal> {
    let header = UdpHeaderSlice::from_slice(captured).map_err(|_| cut(packet, captured))?;
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

/// A header of `octets` octets that begins with the two ports.
fn ports(packet: &mut Packet, captured: &[u8], octets: u32) -> Result<(), Refusal> {
    let &[a, b, c, d] = captured.first_chunk().ok_or_else(|| cut(packet, captured))?;
    packet.payload_octets = packet.payload_octets.checked_sub(octets).ok_or(Refusal::HeaderBeyondDatagram)?;
    packet.source_port = u16::from_be_bytes([a, b]);
    packet.destination_port = u16::from_be_bytes([c, d]);
    Ok(())
}

fn dccp(packet: &mut Packet, captured: &[u8]) -> Result<(), Refusal> {
    let offset = *captured.get(4).ok_or_else(|| cut(packet, captured))?;
    let octets = u32::from(offset) * 4;
    if octets < DCCP_OCTETS || octets > packet.payload_octets {
        return Err(Refusal::BadDataOffset);
    }
    ports(packet, captured, octets)
}
