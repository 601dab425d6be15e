//! Link header → EtherType, offset of the content, VLAN and MAC addresses.

use super::{LinkType, MAX_TAGS, Refusal};
use crate::units::Address;
use etherparse::{Ethernet2HeaderSlice, SingleVlanHeaderSlice};

/// Known EtherTypes (IEEE registration authority; 0x0004 is Linux's number for 802.2 LLC).
pub(super) mod ether_type {
    pub(crate) const NONE: u16 = 0;
    pub(crate) const LLC: u16 = 0x0004;
    pub(crate) const IPV4: u16 = 0x0800;
    pub(crate) const ARP: u16 = 0x0806;
    pub(crate) const VLAN: u16 = 0x8100;
    pub(crate) const PROVIDER_VLAN: u16 = 0x88a8;
    pub(crate) const OLD_PROVIDER_VLAN: u16 = 0x9100;
    pub(crate) const IPV6: u16 = 0x86dd;
    pub(crate) const PPPOE_SESSION: u16 = 0x8864;
}

/// Octets of an Ethernet header.
pub(super) const ETHERNET_OCTETS: usize = 14;
/// Values below this in an Ethernet header are the length of an 802.3 frame.
const FIRST_ETHER_TYPE: u16 = 0x0600;
/// SNAP with the organisation code of RFC 1042: an EtherType follows.
const SNAP_ETHER_TYPE: [u8; 6] = [0xaa, 0xaa, 0x03, 0, 0, 0];
/// ARPHRD numbers whose "protocol" in a cooked header is not an EtherType: CAN, Frame Relay, IEEE 802.11 (plain, Prism,
/// radiotap), netlink.
const NO_ETHER_TYPE: [u16; 6] = [280, 770, 801, 802, 803, 824];

/// Content of a frame according to its link header.
#[derive(Clone, Copy)]
pub(super) struct Carried {
    /// EtherType, 0 if the link header has none.
    pub(super) ether_type: u16,
    /// Octets before the content.
    pub(super) header_octets: u32,
    /// Innermost VLAN identifier, 0 if untagged.
    pub(super) vlan: u16,
    link: LinkType,
}

impl Carried {
    /// The content's captured octets.
    #[inline]
    pub(super) fn content<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(self.header_octets as usize..).unwrap_or_default()
    }

    /// Sender's and receiver's MAC addresses in the low six octets; zero if the link has none.
    pub(super) fn mac_addresses(&self, frame: &[u8]) -> (Address, Address) {
        let at = |from: usize| {
            let mut address = [0; 16];
            if let Some(mac) = frame.get(from..from + 6) {
                address[10..].copy_from_slice(mac);
            }
            Address(address)
        };
        match self.link {
            LinkType::Ethernet => (at(6), at(0)),
            LinkType::LinuxSll => (at(6), Address::default()),
            LinkType::LinuxSll2 => (at(12), Address::default()),
            LinkType::RawIp | LinkType::Loopback => (Address::default(), Address::default()),
        }
    }
}

/// Reads the link header of a non-empty frame.
pub(super) fn strip(link: LinkType, frame: &[u8]) -> Result<Carried, Refusal> {
    let (ether_type, header_octets) = match link {
        LinkType::Ethernet => {
            let header = Ethernet2HeaderSlice::from_slice(frame).map_err(|_| Refusal::TruncatedLinkHeader)?;
            (header.ether_type().0, ETHERNET_OCTETS as u32)
        }
        LinkType::LinuxSll => cooked(frame, 16, 2, 14)?,
        LinkType::LinuxSll2 => cooked(frame, 20, 8, 0)?,
        LinkType::RawIp => (by_version(frame)?, 0),
        LinkType::Loopback => (by_family(frame)?, 4),
    };
    let carried = Carried { ether_type, header_octets, vlan: 0, link };
    match ether_type {
        ether_type::IPV4 | ether_type::IPV6 => Ok(carried),
        _ => strip_more(carried, frame),
    }
}

/// Reads VLAN tags, 802.3, SNAP and PPPoE after the first EtherType.
fn strip_more(mut carried: Carried, frame: &[u8]) -> Result<Carried, Refusal> {
    let mut tags = 0;
    while let ether_type::VLAN | ether_type::PROVIDER_VLAN | ether_type::OLD_PROVIDER_VLAN = carried.ether_type {
        tags += 1;
        if tags > MAX_TAGS {
            return Err(Refusal::TooManyTags);
        }
        let tag =
            SingleVlanHeaderSlice::from_slice(carried.content(frame)).map_err(|_| Refusal::TruncatedLinkHeader)?;
        carried.vlan = tag.vlan_identifier().value();
        carried.ether_type = tag.ether_type().0;
        carried.header_octets += 4;
    }
    if carried.link == LinkType::Ethernet && carried.ether_type < FIRST_ETHER_TYPE {
        carried.ether_type = ether_type::LLC;
    }
    if carried.ether_type == ether_type::LLC
        && let Some((snap, rest)) = carried.content(frame).split_first_chunk::<6>()
        && *snap == SNAP_ETHER_TYPE
        && let Some(inner) = rest.first_chunk()
    {
        carried.ether_type = u16::from_be_bytes(*inner);
        carried.header_octets += 8;
    }
    if carried.ether_type == ether_type::PPPOE_SESSION {
        return pppoe(carried, frame);
    }
    Ok(carried)
}

/// PPPoE session data (RFC 2516 §4 and §6): unpacks IPv4 and IPv6; any other PPP protocol stays PPPoE.
fn pppoe(carried: Carried, frame: &[u8]) -> Result<Carried, Refusal> {
    let header = carried.content(frame).first_chunk::<8>().ok_or(Refusal::TruncatedLinkHeader)?;
    let [version_type, code, _, _, _, _, protocol @ ..] = *header;
    if (version_type, code) != (0x11, 0) {
        return Err(Refusal::BadPppoeHeader);
    }
    let ether_type = match u16::from_be_bytes(protocol) {
        0x0021 => ether_type::IPV4,
        0x0057 => ether_type::IPV6,
        _ => return Ok(carried),
    };
    Ok(Carried { ether_type, header_octets: carried.header_octets + 8, ..carried })
}

/// A Linux cooked header of `octets` octets, with the ARPHRD number and the protocol at these offsets.
fn cooked(frame: &[u8], octets: u32, hardware_at: usize, protocol_at: usize) -> Result<(u16, u32), Refusal> {
    let header = frame.get(..octets as usize).ok_or(Refusal::TruncatedLinkHeader)?;
    let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let carries_ether_type = !NO_ETHER_TYPE.contains(&field(hardware_at));
    Ok((if carries_ether_type { field(protocol_at) } else { ether_type::NONE }, octets))
}

/// EtherType for an IP header's version.
fn by_version(packet: &[u8]) -> Result<u16, Refusal> {
    match packet.first().map(|first| first >> 4) {
        Some(4) => Ok(ether_type::IPV4),
        Some(6) => Ok(ether_type::IPV6),
        Some(_) => Err(Refusal::BadVersion),
        None => Err(Refusal::EmptyFrame),
    }
}

/// EtherType for a BSD address family, in either byte order: AF_INET is 2 everywhere, AF_INET6 is 10 (Linux), 23
/// (Windows), 24 (NetBSD, OpenBSD, Npcap), 26 (Solaris), 28 (FreeBSD) or 30 (Darwin). Some writers put an EtherType into
/// the last two octets instead.
fn by_family(frame: &[u8]) -> Result<u16, Refusal> {
    let family = u32::from_be_bytes(*frame.first_chunk().ok_or(Refusal::TruncatedLinkHeader)?);
    Ok(match (family.min(family.swap_bytes()), family as u16) {
        (2, _) => ether_type::IPV4,
        (10 | 23 | 24 | 26 | 28 | 30, _) => ether_type::IPV6,
        (_, known @ (ether_type::IPV4 | ether_type::IPV6 | ether_type::ARP)) => known,
        _ => ether_type::NONE,
    })
}
