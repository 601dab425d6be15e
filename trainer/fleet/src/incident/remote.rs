//! Peers of an episode → networks outside of the sites, by which episodes of several sites may be joined.

use lapwing_shared::units::Address;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Share of the sites from which a peer counts as one that every site has.
const COMMON_SHARE: f64 = 0.2;
/// Sites that must have it at least: two sites of a fleet of nine are no proof.
const COMMON_SITES: usize = 3;
/// First bytes of an IPv4 address in its IPv6 form.
const V4: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
/// Public resolvers. Traffic to them is no sign of a common attacker.
const RESOLVERS: [&str; 16] = [
    "1.1.1.1",
    "1.0.0.1",
    "8.8.8.8",
    "8.8.4.4",
    "9.9.9.9",
    "149.112.112.112",
    "208.67.222.222",
    "208.67.220.220",
    "2606:4700:4700::1111",
    "2606:4700:4700::1001",
    "2001:4860:4860::8888",
    "2001:4860:4860::8844",
    "2620:fe::fe",
    "2620:fe::9",
    "2620:119:35::35",
    "2620:119:53::53",
];

/// The /24 of an IPv4 address, or the /48 of an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(Address);

impl Network {
    /// The network of an address.
    pub fn of(address: Address) -> Self {
        let kept = if address.0.starts_with(&V4) { 15 } else { 6 };
        let mut bytes = address.0;
        bytes.iter_mut().skip(kept).for_each(|byte| *byte = 0);
        Self(Address(bytes))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = if self.0.0.starts_with(&V4) { 24 } else { 48 };
        write!(f, "{}/{length}", self.0)
    }
}

/// True for a global unicast address that is no public resolver: not private, shared (RFC 6598), link-local, multicast or
/// broadcast.
pub(super) fn is_outside(address: Address) -> bool {
    let Some(v4) = address.0.strip_prefix(&V4) else {
        // 2000::/3 is the global unicast space.
        return address.0[0] & 0xe0 == 0x20 && !is_resolver(address);
    };
    let is_private =
        matches!(v4, [10, ..] | [100, 64..=127, ..] | [169, 254, ..] | [172, 16..=31, ..] | [192, 168, ..]);
    let is_special = matches!(v4, [0 | 127 | 224..=255, ..]);
    !is_private && !is_special && !is_resolver(address)
}

fn is_resolver(address: Address) -> bool {
    let text = address.to_string();
    RESOLVERS.contains(&text.as_str())
}

/// Peers that too many sites have to be a sign of anything.
///
/// The store has no ordinary flows: feature rows name no hosts. What it has are the peers of episodes that people labelled
/// benign, so these are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Common(BTreeSet<Network>);

impl Common {
    /// From the agents and peers of benign episodes, in a fleet of `sites`.
    pub fn new<'a>(benign: impl IntoIterator<Item = (&'a str, Network)>, sites: u64) -> Self {
        let mut of: BTreeMap<Network, BTreeSet<&str>> = BTreeMap::new();
        for (agent, network) in benign {
            of.entry(network).or_default().insert(agent);
        }
        let enough = |agents: &BTreeSet<&str>| {
            agents.len() >= COMMON_SITES && agents.len() as f64 > COMMON_SHARE * sites.max(1) as f64
        };
        Self(of.into_iter().filter(|(_, agents)| enough(agents)).map(|(network, _)| network).collect())
    }

    /// True for a network that is never a key.
    pub fn has(&self, network: Network) -> bool {
        self.0.contains(&network)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use core::net::IpAddr;

    pub(crate) fn address(text: &str) -> Address {
        match text.parse().unwrap() {
            IpAddr::V4(address) => Address::from_v4(address.octets()),
            IpAddr::V6(address) => Address(address.octets()),
        }
    }

    #[test]
    fn only_global_unicast_addresses_that_are_no_resolvers_are_outside() {
        for outside in ["203.0.113.77", "100.63.0.1", "172.32.0.1", "192.169.0.1", "2001:db8::1", "8.8.8.9"] {
            assert!(is_outside(address(outside)), "{outside}");
        }
        let inside = [
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.1",
            "100.64.0.1",
            "169.254.1.1",
            "127.0.0.1",
            "0.0.0.0",
            "224.0.0.251",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::fb",
        ];
        for inside in inside.iter().chain(&RESOLVERS) {
            assert!(!is_outside(address(inside)), "{inside}");
        }
    }

    #[test]
    fn the_network_of_an_address_is_a_24_or_a_48() {
        let network = |text| Network::of(address(text)).to_string();
        assert_eq!(network("203.0.113.77"), "203.0.113.0/24");
        assert_eq!(network("2001:db8:7:8::1"), "2001:db8:7::/48");
    }

    #[test]
    fn a_peer_of_benign_alerts_at_more_than_a_fifth_of_the_sites_is_common() {
        let network = Network::of(address("203.0.113.77"));
        let sites = ["a", "b", "c", "a"];
        let common = |sites_in_all| Common::new(sites.iter().map(|site| (*site, network)), sites_in_all);
        assert!(common(14).has(network));
        assert!(!common(15).has(network), "exactly a fifth");
        assert!(!Common::new([("a", network), ("b", network)], 4).has(network), "two sites");
    }
}
