//! Address → whether it belongs to the site.

use crate::units::Address;
use heapless::Vec;

/// Limit on configured prefixes.
pub const LOCAL_PREFIXES: usize = 16;

/// An address prefix. IPv4 prefixes are stored in mapped form, so their length is 96 greater than written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    bits: u128,
    mask: u128,
}

impl Prefix {
    /// `length` counts bits of the 16-byte form, 0 to 128 (clamped).
    pub fn new(address: Address, length: u8) -> Self {
        let mask = if length == 0 { 0 } else { u128::MAX << (128 - u32::from(length.min(128))) };
        Self { bits: u128::from_be_bytes(address.0) & mask, mask }
    }

    /// An IPv4 prefix, `length` 0 to 32.
    pub fn v4(octets: [u8; 4], length: u8) -> Self {
        Self::new(Address::from_v4(octets), 96 + length.min(32))
    }

    /// True if the prefix contains the address.
    #[inline]
    pub fn contains(&self, address: &Address) -> bool {
        u128::from_be_bytes(address.0) & self.mask == self.bits
    }
}

/// The high 96 bits of every mapped IPv4 address.
const MAPPED: u128 = 0xffff;

/// Which hosts of a flow are followed: their activity and evidence are tracked. Local hosts are followed; if neither
/// host is local, both are. Multicast and unspecified addresses never are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// The initiator.
    pub source: bool,
    /// The responder.
    pub destination: bool,
}

/// The site's prefixes. IPv4 prefixes are stored as 32-bit (mask, bits).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalNetworks {
    v4: Vec<(u32, u32), LOCAL_PREFIXES>,
    /// Bit set of the first octets that occur in `v4`.
    v4_first: [u64; 4],
    v6: Vec<Prefix, LOCAL_PREFIXES>,
}

impl LocalNetworks {
    /// These prefixes; `None` if there are more than [`LOCAL_PREFIXES`].
    pub fn new(prefixes: &[Prefix]) -> Option<Self> {
        let mut local = Self::empty();
        for prefix in prefixes {
            let (bits, mask) = (prefix.bits >> 32, prefix.mask >> 32);
            let takes_mapped = MAPPED & mask == bits;
            if takes_mapped {
                local.push_v4(prefix.mask as u32, prefix.bits as u32)?;
            }
            let only_mapped = takes_mapped && mask == u128::MAX >> 32;
            if !only_mapped {
                local.v6.push(*prefix).ok()?;
            }
        }
        Some(local)
    }

    fn empty() -> Self {
        Self { v4: Vec::new(), v4_first: [0; 4], v6: Vec::new() }
    }

    fn push_v4(&mut self, mask: u32, bits: u32) -> Option<()> {
        for first in (0..256_u32).filter(|first| (first << 24) & mask == bits & 0xff00_0000) {
            self.v4_first[first as usize / 64] |= 1 << (first % 64);
        }
        self.v4.push((mask, bits)).ok()
    }

    /// True if the IPv4 address belongs to the site.
    #[inline]
    fn contains_v4(&self, address: u32) -> bool {
        let first = address >> 24;
        // The first octet rules out most hosts outside.
        self.v4_first[first as usize / 64] >> (first % 64) & 1 == 1
            && self.v4.iter().any(|(mask, bits)| address & mask == *bits)
    }

    /// True if the address belongs to the site.
    #[inline]
    pub fn contains(&self, address: &Address) -> bool {
        match address.as_v4() {
            Some(octets) => self.contains_v4(u32::from_be_bytes(octets)),
            None => self.v6.iter().any(|prefix| prefix.contains(address)),
        }
    }

    /// Which hosts of a flow are followed.
    #[inline]
    pub fn followed(&self, source: &Address, destination: &Address) -> Followed {
        match (source.as_v4(), destination.as_v4()) {
            (Some(from), Some(to)) => self.followed_v4(u32::from_be_bytes(from), u32::from_be_bytes(to)),
            _ => self.followed_any(source, destination),
        }
    }

    /// Same as [`LocalNetworks::followed_any`] for IPv4 addresses as numbers.
    #[inline(never)]
    fn followed_v4(&self, from: u32, to: u32) -> Followed {
        let (source_local, destination_local) = (self.contains_v4(from), self.contains_v4(to));
        let neither = !source_local & !destination_local;
        let is_host = |address: u32| (address >> 28 != 0xe) & (address != u32::MAX) & (address != 0);
        Followed {
            source: (source_local | neither) & is_host(from),
            destination: (destination_local | neither) & is_host(to),
        }
    }

    #[inline(never)]
    fn followed_any(&self, source: &Address, destination: &Address) -> Followed {
        let (source_local, destination_local) = (self.contains(source), self.contains(destination));
        let neither = !source_local && !destination_local;
        let is_host = |address: &Address| !address.is_multicast() && !address.is_unspecified();
        Followed {
            source: (source_local || neither) && is_host(source),
            destination: (destination_local || neither) && is_host(destination),
        }
    }
}

/// Private (RFC 1918), shared (RFC 6598) and link-local (RFC 3927) IPv4; unique local (RFC 4193) and link-local IPv6.
impl Default for LocalNetworks {
    fn default() -> Self {
        let mut unique_local = Address([0; 16]);
        unique_local.0[0] = 0xfc;
        let mut link_local = Address([0; 16]);
        (link_local.0[0], link_local.0[1]) = (0xfe, 0x80);
        let prefixes = [
            // Searched in this order: the most common first.
            Prefix::v4([192, 168, 0, 0], 16),
            Prefix::v4([10, 0, 0, 0], 8),
            Prefix::v4([172, 16, 0, 0], 12),
            Prefix::v4([100, 64, 0, 0], 10),
            Prefix::v4([169, 254, 0, 0], 16),
            Prefix::new(unique_local, 7),
            Prefix::new(link_local, 10),
        ];
        // Cannot fail: fewer than the limit.
        Self::new(&prefixes).unwrap_or(Self::empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_local_if_any_prefix_contains_it() {
        let mapped = |octets: [u8; 4]| Address::from_v4(octets);
        let v6 = |text: &str| Address(text.parse::<core::net::Ipv6Addr>().unwrap().octets());
        let addresses = [mapped([10, 1, 2, 3]), mapped([203, 0, 113, 5]), mapped([0; 4]), v6("fe80::1"), v6("::1")];
        let prefixes = [
            Prefix::v4([10, 0, 0, 0], 8),
            Prefix::v4([0; 4], 0),
            Prefix::new(v6("::"), 0),
            Prefix::new(v6("::"), 64),
            Prefix::new(mapped([0; 4]), 90),
            Prefix::new(mapped([10, 1, 2, 3]), 128),
            Prefix::new(v6("fe80::"), 10),
            Prefix::new(v6("::ffff:0:0:0"), 96),
        ];
        for prefix in &prefixes {
            let local = LocalNetworks::new(core::slice::from_ref(prefix)).unwrap();
            for address in &addresses {
                assert_eq!(local.contains(address), prefix.contains(address), "{address} in {prefix:?}");
            }
        }
        assert!(LocalNetworks::new(&[prefixes[0]; LOCAL_PREFIXES]).is_some());
        assert!(LocalNetworks::new(&[prefixes[0]; LOCAL_PREFIXES + 1]).is_none());
    }

    #[test]
    fn the_ipv4_fast_path_follows_the_general_rule() {
        let local = LocalNetworks::default();
        let v4 =
            [[0; 4], [10, 1, 2, 3], [192, 168, 0, 9], [203, 0, 113, 5], [224, 0, 0, 251], [239; 4], [240; 4], [255; 4]];
        let mut addresses = v4.map(Address::from_v4).to_vec();
        addresses.extend([[0; 16], [0xff; 16], [0xfd; 16], [0x20; 16]].map(Address));
        for source in &addresses {
            for destination in &addresses {
                let (fast, general) = (local.followed(source, destination), local.followed_any(source, destination));
                assert_eq!(fast, general, "{source} to {destination}");
            }
        }
        let followed = |source, destination| Followed { source, destination };
        let [home, other, outside] = [addresses[1], addresses[2], addresses[3]];
        assert_eq!(local.followed(&home, &outside), followed(true, false));
        assert_eq!(local.followed(&outside, &other), followed(false, true));
        assert_eq!(local.followed(&outside, &addresses[6]), followed(true, true), "neither is local");
        assert_eq!(local.followed(&home, &addresses[4]), followed(true, false), "multicast is not a host");
    }

    #[test]
    fn private_addresses_are_local_and_public_ones_are_not() {
        let local = LocalNetworks::default();
        for inside in [[10, 1, 2, 3], [172, 31, 0, 1], [192, 168, 7, 7], [169, 254, 0, 9]] {
            assert!(local.contains(&Address::from_v4(inside)), "{inside:?}");
        }
        for outside in [[11, 0, 0, 1], [172, 32, 0, 1], [192, 169, 0, 1], [203, 0, 113, 5]] {
            assert!(!local.contains(&Address::from_v4(outside)), "{outside:?}");
        }
        assert!(local.contains(&Address("fe80::1".parse::<core::net::Ipv6Addr>().unwrap().octets())));
        assert!(!local.contains(&Address("2001:db8::1".parse::<core::net::Ipv6Addr>().unwrap().octets())));
    }
}
