//! IPv4, IPv6 with its extension headers, ARP and other content → the packet's network fields.

use super::link::{Carried, ether_type};
use super::{Fragment, MAX_EXTENSIONS, Network, Packet, Refusal, USUAL_EXTENSION_OCTETS, USUAL_EXTENSIONS, transport};
use crate::units::Address;
use etherparse::err::{ip_auth, ipv4, ipv6};
use etherparse::{
    ArpPacketSlice, EtherType, IpAuthHeaderSlice, IpNumber, Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice,
    Ipv6RawExtHeaderSlice,
};

/// Completes `packet`, whose `network_octets` is the wire length minus the link header.
pub(super) fn read(packet: &mut Packet, carried: &Carried, frame: &[u8]) -> Result<(), Refusal> {
    let content = carried.content(frame);
    match carried.ether_type {
        ether_type::IPV4 => ipv4(packet, content),
        ether_type::IPV6 => ipv6(packet, content),
        ether_type::ARP => arp(packet, carried, frame),
        _ => {
            other(packet, carried, frame);
            Ok(())
        }
    }
}

/// The payload of an IP header, while stepping to the transport header.
struct Datagram<'a> {
    protocol: IpNumber,
    /// Octets according to the IP header.
    octets: u32,
    /// The captured part of them.
    captured: &'a [u8],
    fragment: Fragment,
}

impl<'a> Datagram<'a> {
    /// `captured` may be longer than the datagram, e.g. by the padding of short Ethernet frames.
    #[inline(always)]
    fn new(protocol: IpNumber, octets: u32, captured: &'a [u8]) -> Self {
        let captured = captured.get(..octets as usize).unwrap_or(captured);
        Self { protocol, octets, captured, fragment: Fragment::Whole }
    }

    /// Reason for an incomplete header: the capture or else the datagram ends inside it.
    fn cut(&self) -> Refusal {
        if self.captured.len() < self.octets as usize {
            Refusal::TruncatedNetworkHeader
        } else {
            Refusal::HeaderBeyondDatagram
        }
    }

    /// Skips a fully captured extension header of `header_octets` octets.
    fn step(&mut self, header_octets: usize, next: IpNumber) {
        self.captured = self.captured.get(header_octets..).unwrap_or_default();
        self.octets = self.octets.saturating_sub(header_octets as u32);
        self.protocol = next;
    }

    /// Skips hop-by-hop options, destination options or a routing header.
    fn step_options(&mut self) -> Result<(), Refusal> {
        let header = Ipv6RawExtHeaderSlice::from_slice(self.captured).map_err(|_| self.cut())?;
        self.step(header.slice().len(), header.next_header());
        Ok(())
    }

    /// Skips an authentication header (RFC 4302); the content after it is not encrypted.
    fn step_authentication(&mut self) -> Result<(), Refusal> {
        let header = IpAuthHeaderSlice::from_slice(self.captured).map_err(|error| match error {
            ip_auth::HeaderSliceError::Len(_) => self.cut(),
            ip_auth::HeaderSliceError::Content(_) => Refusal::BadHeaderLength,
        })?;
        self.step(header.slice().len(), header.next_header());
        Ok(())
    }

    /// Skips an IPv6 fragment header (RFC 8200 §4.5). An atomic fragment counts as a whole packet.
    fn step_fragment(&mut self) -> Result<(), Refusal> {
        let header = Ipv6FragmentHeaderSlice::from_slice(self.captured).map_err(|_| self.cut())?;
        let (offset, identification) = (header.fragment_offset().value(), header.identification());
        if header.is_fragmenting_payload() {
            self.fragment = fragment_at(offset, identification);
        }
        self.step(header.slice().len(), header.next_header());
        if is_in_tcp_header(self.protocol, offset) { Err(Refusal::HeaderBeyondDatagram) } else { Ok(()) }
    }

    /// Octets of the extension header that follows, by its own length field if that was captured.
    fn next_octets(&self) -> u32 {
        let length = self.captured.get(1).map_or(0, |length| u32::from(*length));
        match self.protocol {
            IpNumber::AUTHENTICATION_HEADER => (length + 2) * 4,
            IpNumber::IPV6_FRAGMENTATION_HEADER => 8,
            _ => (length + 1) * 8,
        }
    }

    #[inline(always)]
    fn finish(self, packet: &mut Packet) -> Result<(), Refusal> {
        packet.protocol = self.protocol.0;
        packet.fragment = self.fragment;
        packet.payload_octets = self.octets;
        if !matches!(self.fragment, Fragment::Later(_)) {
            transport::read(packet, self.captured)?;
        }
        Ok(())
    }

    /// Ends at a header that cannot be read: the packet gets its number as protocol, and no ports.
    #[cold]
    fn stop(self, packet: &mut Packet, reason: Refusal) -> Result<(), Refusal> {
        packet.protocol = self.protocol.0;
        packet.fragment = self.fragment;
        packet.payload_octets = self.octets;
        Err(reason)
    }
}

/// `offset` counts units of eight octets.
fn fragment_at(offset: u16, identification: u32) -> Fragment {
    if offset == 0 { Fragment::First(identification) } else { Fragment::Later(identification) }
}

/// True for a later fragment that begins inside the TCP header: it continues, or overwrites, the header in the first one
/// (RFC 3128).
fn is_in_tcp_header(protocol: IpNumber, offset: u16) -> bool {
    protocol == IpNumber::TCP && offset > 0 && usize::from(offset) * 8 < transport::TCP_OCTETS
}

#[inline(always)]
pub(super) fn ipv4(packet: &mut Packet, content: &[u8]) -> Result<(), Refusal> {
    let header = match Ipv4HeaderSlice::from_slice(content) {
        Ok(header) => header,
        Err(error) => return ipv4_without_options(packet, content, &error),
    };
    let header_octets = header.slice().len();
    if header.total_len() != 0 {
        packet.network_octets = u32::from(header.total_len());
    }
    let Some(octets) = packet.network_octets.checked_sub(header_octets as u32) else {
        return ipv4_fixed(packet, content, Refusal::TotalLengthBelowHeader);
    };
    packet.network = Network::Ipv4;
    packet.source = Address::from_v4(header.source());
    packet.destination = Address::from_v4(header.destination());
    packet.hop_limit = header.ttl();
    let mut datagram = Datagram::new(header.protocol(), octets, content.get(header_octets..).unwrap_or_default());
    if header.is_fragmenting_payload() {
        let offset = header.fragments_offset().value();
        datagram.fragment = fragment_at(offset, u32::from(header.identification()));
        if is_in_tcp_header(datagram.protocol, offset) {
            return datagram.stop(packet, Refusal::HeaderBeyondDatagram);
        }
    }
    if datagram.protocol == IpNumber::AUTHENTICATION_HEADER
        && !matches!(datagram.fragment, Fragment::Later(_))
        && let Err(reason) = datagram.step_authentication()
    {
        return datagram.stop(packet, reason);
    }
    datagram.finish(packet)
}

/// An IPv4 header that is cut short or contradictory.
#[cold]
fn ipv4_without_options(packet: &mut Packet, content: &[u8], error: &ipv4::HeaderSliceError) -> Result<(), Refusal> {
    match error {
        ipv4::HeaderSliceError::Len(_) => ipv4_fixed(packet, content, Refusal::TruncatedNetworkHeader),
        ipv4::HeaderSliceError::Content(ipv4::HeaderError::UnexpectedVersion { .. }) => Err(Refusal::BadVersion),
        ipv4::HeaderSliceError::Content(_) => ipv4_fixed(packet, content, Refusal::BadHeaderLength),
    }
}

/// Reads addresses, protocol and fragmentation from the 20 fixed octets of an IPv4 header, if they were captured.
#[cold]
fn ipv4_fixed(packet: &mut Packet, content: &[u8], reason: Refusal) -> Result<(), Refusal> {
    let Some(&[first, _, l0, l1, i0, i1, f0, f1, hop_limit, protocol, _, _, ref addresses @ ..]) =
        content.first_chunk::<20>()
    else {
        return Err(reason);
    };
    let &[s0, s1, s2, s3, d0, d1, d2, d3] = addresses;
    let total = u32::from(u16::from_be_bytes([l0, l1]));
    if total != 0 {
        packet.network_octets = total;
    }
    packet.network = Network::Ipv4;
    packet.source = Address::from_v4([s0, s1, s2, s3]);
    packet.destination = Address::from_v4([d0, d1, d2, d3]);
    packet.protocol = protocol;
    packet.hop_limit = hop_limit;
    packet.payload_octets = packet.network_octets.saturating_sub(u32::from(first & 0xf) * 4);
    let (identification, place) = (u32::from(u16::from_be_bytes([i0, i1])), u16::from_be_bytes([f0, f1]) & 0x3fff);
    if place != 0 {
        packet.fragment = fragment_at(place & 0x1fff, identification);
    }
    Err(reason)
}

#[inline(never)]
pub(super) fn ipv6(packet: &mut Packet, content: &[u8]) -> Result<(), Refusal> {
    let header = Ipv6HeaderSlice::from_slice(content).map_err(|error| match error {
        ipv6::HeaderSliceError::Len(_) => Refusal::TruncatedNetworkHeader,
        ipv6::HeaderSliceError::Content(_) => Refusal::BadVersion,
    })?;
    let header_octets = header.slice().len();
    let stated = u32::from(header.payload_length());
    if stated != 0 || header.next_header() == IpNumber::IPV6_NO_NEXT_HEADER {
        packet.network_octets = stated + header_octets as u32;
    }
    packet.network = Network::Ipv6;
    packet.source = Address(header.source());
    packet.destination = Address(header.destination());
    packet.hop_limit = header.hop_limit();
    let octets = packet.network_octets.saturating_sub(header_octets as u32);
    let mut datagram = Datagram::new(header.next_header(), octets, content.get(header_octets..).unwrap_or_default());
    if matches!(datagram.protocol, IpNumber::TCP | IpNumber::UDP) {
        return datagram.finish(packet);
    }
    match extensions(&mut datagram) {
        Ok(()) => datagram.finish(packet),
        // The chain was read to its end.
        Err(Refusal::TooManyExtensions) if !is_extension(datagram.protocol) => {
            // The chain is the reason to report, whatever follows it.
            let _ = datagram.finish(packet);
            Err(Refusal::TooManyExtensions)
        }
        Err(reason) => datagram.stop(packet, reason),
    }
}

/// True for the extension headers that have a next header (RFC 8200 §4, RFC 4302).
const fn is_extension(protocol: IpNumber) -> bool {
    matches!(
        protocol,
        IpNumber::IPV6_HEADER_HOP_BY_HOP
            | IpNumber::IPV6_ROUTE_HEADER
            | IpNumber::IPV6_DESTINATION_OPTIONS
            | IpNumber::AUTHENTICATION_HEADER
            | IpNumber::IPV6_FRAGMENTATION_HEADER
    )
}

/// Skips all IPv6 extension headers (RFC 8200 §4), up to the transport header or the data of a later fragment.
///
/// # Errors
/// A header that cannot be read, or [`Refusal::TooManyExtensions`], also for an unusual chain that was skipped to its
/// end.
fn extensions(datagram: &mut Datagram<'_>) -> Result<(), Refusal> {
    let before = datagram.octets;
    let is_unusual = |headers, octets| headers > USUAL_EXTENSIONS || octets > USUAL_EXTENSION_OCTETS;
    let mut headers = 0;
    while is_extension(datagram.protocol) && !matches!(datagram.fragment, Fragment::Later(_)) {
        if headers == MAX_EXTENSIONS {
            return Err(Refusal::TooManyExtensions);
        }
        headers += 1;
        let octets = before.saturating_sub(datagram.octets) + datagram.next_octets();
        let step = match datagram.protocol {
            IpNumber::AUTHENTICATION_HEADER => datagram.step_authentication(),
            IpNumber::IPV6_FRAGMENTATION_HEADER => datagram.step_fragment(),
            _ => datagram.step_options(),
        };
        if step.is_err() && is_unusual(headers, octets) {
            return Err(Refusal::TooManyExtensions);
        }
        step?;
    }
    if is_unusual(headers, before.saturating_sub(datagram.octets)) { Err(Refusal::TooManyExtensions) } else { Ok(()) }
}

/// ARP for IPv4 (RFC 826): takes its protocol addresses. ARP for another protocol counts as other.
fn arp(packet: &mut Packet, carried: &Carried, frame: &[u8]) -> Result<(), Refusal> {
    let header = ArpPacketSlice::from_slice(carried.content(frame)).map_err(|_| Refusal::TruncatedNetworkHeader)?;
    if header.proto_addr_type() != EtherType::IPV4 {
        other(packet, carried, frame);
        return Ok(());
    }
    let address = |octets: &[u8]| <[u8; 4]>::try_from(octets).map(Address::from_v4).map_err(|_| Refusal::BadArp);
    packet.network = Network::Arp;
    packet.protocol = u8::try_from(header.operation().0).map_err(|_| Refusal::BadArp)?;
    packet.source = address(header.sender_protocol_addr())?;
    packet.destination = address(header.target_protocol_addr())?;
    Ok(())
}

/// Neither IP nor ARP: takes the MAC addresses and the EtherType.
fn other(packet: &mut Packet, carried: &Carried, frame: &[u8]) {
    (packet.source, packet.destination) = carried.mac_addresses(frame);
    packet.source_port = carried.ether_type;
    packet.destination_port = carried.ether_type;
    packet.payload_octets = packet.network_octets;
}
