//! IPv4, IPv6 with its extension headers, ARP and the rest → the packet's network fields.

use super::link::{Carried, ether_type};
use super::{Fragment, MAX_EXTENSIONS, Network, Packet, Refusal, transport};
use crate::units::Address;
use etherparse::err::{ip_auth, ipv4, ipv6};
use etherparse::{
    ArpPacketSlice, EtherType, IpAuthHeaderSlice, IpNumber, Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice,
    Ipv6RawExtHeaderSlice,
};

/// Completes `packet`, whose `network_octets` are what the wire has behind the link header.
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

/// What an IP header's payload is, on its way to the transport header.
struct Datagram<'a> {
    protocol: IpNumber,
    /// Octets that the IP header promises.
    octets: u32,
    /// Those of them that were captured.
    captured: &'a [u8],
    fragment: Fragment,
}

impl<'a> Datagram<'a> {
    /// `captured` may hold more than the datagram, padding of short Ethernet frames for example.
    #[inline(always)]
    fn new(protocol: IpNumber, octets: u32, captured: &'a [u8]) -> Self {
        let captured = captured.get(..octets as usize).unwrap_or(captured);
        Self { protocol, octets, captured, fragment: Fragment::Whole }
    }

    /// Why a header is not there whole: the datagram ends before it does, or else the capture.
    fn cut(&self) -> Refusal {
        if self.captured.len() < self.octets as usize {
            Refusal::TruncatedNetworkHeader
        } else {
            Refusal::HeaderBeyondDatagram
        }
    }

    /// Steps behind an extension header of `header_octets` octets, all of them captured.
    fn step(&mut self, header_octets: usize, next: IpNumber) {
        self.captured = self.captured.get(header_octets..).unwrap_or_default();
        self.octets = self.octets.saturating_sub(header_octets as u32);
        self.protocol = next;
    }

    /// Steps behind an authentication header (RFC 4302), whose content stays readable.
    fn step_authentication(&mut self) -> Result<(), Refusal> {
        let header = IpAuthHeaderSlice::from_slice(self.captured).map_err(|error| match error {
            ip_auth::HeaderSliceError::Len(_) => self.cut(),
            ip_auth::HeaderSliceError::Content(_) => Refusal::BadHeaderLength,
        })?;
        self.step(header.slice().len(), header.next_header());
        Ok(())
    }

    /// Steps behind an IPv6 fragment header (RFC 8200 §4.5); one that fragments nothing leaves the packet whole.
    fn step_fragment(&mut self) -> Result<(), Refusal> {
        let header = Ipv6FragmentHeaderSlice::from_slice(self.captured).map_err(|_| self.cut())?;
        if header.is_fragmenting_payload() {
            let first = header.fragment_offset().value() == 0;
            let identification = header.identification();
            self.fragment = if first { Fragment::First(identification) } else { Fragment::Later(identification) };
        }
        self.step(header.slice().len(), header.next_header());
        Ok(())
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
}

#[inline(always)]
pub(super) fn ipv4(packet: &mut Packet, content: &[u8]) -> Result<(), Refusal> {
    let header = Ipv4HeaderSlice::from_slice(content).map_err(|error| match error {
        ipv4::HeaderSliceError::Len(_) => Refusal::TruncatedNetworkHeader,
        ipv4::HeaderSliceError::Content(ipv4::HeaderError::UnexpectedVersion { .. }) => Refusal::BadVersion,
        ipv4::HeaderSliceError::Content(_) => Refusal::BadHeaderLength,
    })?;
    let header_octets = header.slice().len();
    if header.total_len() != 0 {
        packet.network_octets = u32::from(header.total_len());
    }
    let octets = packet.network_octets.checked_sub(header_octets as u32).ok_or(Refusal::TotalLengthBelowHeader)?;
    packet.network = Network::Ipv4;
    packet.source = Address::from_v4(header.source());
    packet.destination = Address::from_v4(header.destination());
    packet.hop_limit = header.ttl();
    let mut datagram = Datagram::new(header.protocol(), octets, content.get(header_octets..).unwrap_or_default());
    if header.is_fragmenting_payload() {
        let identification = u32::from(header.identification());
        let first = header.fragments_offset().value() == 0;
        datagram.fragment = if first { Fragment::First(identification) } else { Fragment::Later(identification) };
    }
    if datagram.protocol == IpNumber::AUTHENTICATION_HEADER && !matches!(datagram.fragment, Fragment::Later(_)) {
        datagram.step_authentication()?;
    }
    datagram.finish(packet)
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
    if !matches!(datagram.protocol, IpNumber::TCP | IpNumber::UDP) {
        extensions(&mut datagram)?;
    }
    datagram.finish(packet)
}

/// Steps behind every IPv6 extension header (RFC 8200 §4), up to the transport header or a later fragment's data.
fn extensions(datagram: &mut Datagram<'_>) -> Result<(), Refusal> {
    for _ in 0..MAX_EXTENSIONS {
        match datagram.protocol {
            IpNumber::IPV6_HEADER_HOP_BY_HOP | IpNumber::IPV6_ROUTE_HEADER | IpNumber::IPV6_DESTINATION_OPTIONS => {
                let header = Ipv6RawExtHeaderSlice::from_slice(datagram.captured).map_err(|_| datagram.cut())?;
                datagram.step(header.slice().len(), header.next_header());
            }
            IpNumber::AUTHENTICATION_HEADER => datagram.step_authentication()?,
            IpNumber::IPV6_FRAGMENTATION_HEADER => {
                datagram.step_fragment()?;
                if matches!(datagram.fragment, Fragment::Later(_)) {
                    return Ok(());
                }
            }
            _ => return Ok(()),
        }
    }
    match datagram.protocol {
        IpNumber::IPV6_HEADER_HOP_BY_HOP
        | IpNumber::IPV6_ROUTE_HEADER
        | IpNumber::IPV6_DESTINATION_OPTIONS
        | IpNumber::AUTHENTICATION_HEADER
        | IpNumber::IPV6_FRAGMENTATION_HEADER => Err(Refusal::TooManyExtensions),
        _ => Ok(()),
    }
}

/// ARP for IPv4 (RFC 826) gives its protocol addresses; for another protocol it counts as other.
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

/// Neither IP nor ARP: MAC addresses and the EtherType.
fn other(packet: &mut Packet, carried: &Carried, frame: &[u8]) {
    (packet.source, packet.destination) = carried.mac_addresses(frame);
    packet.source_port = carried.ether_type;
    packet.destination_port = carried.ether_type;
    packet.payload_octets = packet.network_octets;
}
