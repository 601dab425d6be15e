//! Files of the system → addresses that are never blocked because the gateway depends on them, and addresses with a DHCP
//! lease. Read again for every address to block.

use lapwing_shared::context::local::Prefix;
use lapwing_shared::units::Address;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};
use std::path::{Path, PathBuf};

/// Most that is read of one file, octets.
const FILE_OCTETS: u64 = 1 << 20;
/// Most files of one folder that are read.
const FILES: usize = 64;
/// Name servers, as `nameserver ADDRESS`.
const RESOLVERS: [&str; 5] = [
    "/etc/resolv.conf",
    "/tmp/resolv.conf.d/resolv.conf.auto",
    "/tmp/resolv.conf.auto",
    "/run/systemd/resolve/resolv.conf",
    "/run/NetworkManager/resolv.conf",
];
/// Folders in which DHCP clients keep their leases.
const CLIENT_LEASES: [&str; 3] = ["/run/systemd/netif/leases", "/var/lib/NetworkManager", "/var/lib/dhcp"];
/// Leases that dnsmasq gave: expiry, MAC address, address, name.
const DNSMASQ_LEASES: [&str; 3] =
    ["/tmp/dhcp.leases", "/var/lib/misc/dnsmasq.leases", "/var/lib/dnsmasq/dnsmasq.leases"];
/// Leases that odhcpd gave, as a hosts file.
const ODHCPD_LEASES: &str = "/tmp/hosts/odhcpd";

/// Why an address must not be blocked, if so.
pub(crate) fn exempt(address: &Address, never: &[Prefix], spared: &[(Address, &'static str)]) -> Option<&'static str> {
    let is_link_local = match address.as_v4() {
        Some(octets) => Ipv4Addr::from(octets).is_loopback() || Ipv4Addr::from(octets).is_link_local(),
        None => Ipv6Addr::from(address.0).is_loopback() || address.0[0] == 0xfe && address.0[1] & 0xc0 == 0x80,
    };
    if address.is_multicast() || address.is_unspecified() || is_link_local {
        return Some("not a routable unicast address");
    }
    if let Some((_, reason)) = spared.iter().find(|(spared, _)| spared == address) {
        return Some(reason);
    }
    never.iter().any(|prefix| prefix.contains(address)).then_some("excluded by response.never")
}

/// Addresses that the gateway depends on, with what they are.
pub(crate) fn spared() -> Vec<(Address, &'static str)> {
    let named = |addresses: Vec<Address>, name| addresses.into_iter().map(move |address| (address, name));
    let resolvers = RESOLVERS.iter().flat_map(|path| resolvers(&text(Path::new(path)))).collect();
    let servers = CLIENT_LEASES.iter().flat_map(|folder| files(Path::new(folder)));
    let servers = servers.flat_map(|path| dhcp_servers(&text(&path))).collect();
    named(own_addresses(), "this machine or one of its gateways")
        .chain(named(resolvers, "a name server of this machine"))
        .chain(named(servers, "a DHCP server of this machine"))
        .collect()
}

/// Addresses of the broker.
pub(crate) fn broker_addresses(host: &str) -> Vec<Address> {
    let found = (host, 0).to_socket_addrs().into_iter().flatten();
    found.map(|socket| address(socket.ip())).collect()
}

/// Whether this machine gave the address a DHCP lease.
pub(crate) fn has_lease(address: &Address) -> bool {
    let dnsmasq = DNSMASQ_LEASES.iter().flat_map(|path| column(&text(Path::new(path)), 2));
    dnsmasq.chain(column(&text(Path::new(ODHCPD_LEASES)), 0)).any(|leased| leased == *address)
}

fn address(ip: IpAddr) -> Address {
    match ip {
        IpAddr::V4(ip) => Address::from_v4(ip.octets()),
        IpAddr::V6(ip) => Address(ip.octets()),
    }
}

/// Start of a file; empty if it cannot be read.
fn text(path: &Path) -> String {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(FILE_OCTETS).read_to_end(&mut bytes));
    if read.is_ok() { String::from_utf8_lossy(&bytes).into_owned() } else { String::new() }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_file()).take(FILES).collect()
}

/// The addresses in one column.
fn column(leases: &str, number: usize) -> Vec<Address> {
    let field = |line: &str| line.split_ascii_whitespace().nth(number)?.parse().ok();
    leases.lines().filter_map(field).map(address).collect()
}

fn resolvers(text: &str) -> Vec<Address> {
    let server = |line: &str| line.trim().strip_prefix("nameserver")?.trim().split('%').next()?.parse().ok();
    text.lines().filter_map(server).map(address).collect()
}

/// Servers in a client's lease, of systemd-networkd and NetworkManager, or of dhclient.
fn dhcp_servers(text: &str) -> Vec<Address> {
    let server = |line: &str| {
        let line = line.trim();
        let dhclient = || line.strip_prefix("option dhcp-server-identifier ")?.strip_suffix(';');
        line.strip_prefix("SERVER_ADDRESS=").or_else(dhclient)?.trim().parse().ok()
    };
    text.lines().filter_map(server).map(address).collect()
}

/// This machine's addresses and gateways, from /proc.
fn own_addresses() -> Vec<Address> {
    let read = |name: &str| text(&Path::new("/proc/net").join(name));
    let mut own = local_v4(&read("fib_trie"));
    own.extend(gateways_v4(&read("route")));
    own.extend(read("if_inet6").lines().filter_map(|line| v6(line.get(..32)?)));
    own.extend(read("ipv6_route").lines().filter_map(|line| v6(line.split_ascii_whitespace().nth(4)?)));
    own
}

/// Addresses in the routing trie that are marked "host LOCAL".
fn local_v4(trie: &str) -> Vec<Address> {
    let mut leaf = None;
    let mut own = Vec::new();
    for line in trie.lines() {
        if let Some((_, address)) = line.split_once("|-- ") {
            leaf = address.trim().parse::<Ipv4Addr>().ok();
        } else if line.contains("host LOCAL") {
            own.extend(leaf.map(|address| Address::from_v4(address.octets())));
        }
    }
    own
}

fn gateways_v4(routes: &str) -> Vec<Address> {
    let gateway = |line: &str| u32::from_str_radix(line.split_ascii_whitespace().nth(2)?, 16).ok();
    let set = routes.lines().filter_map(gateway).filter(|gateway| *gateway != 0);
    set.map(|gateway| Address::from_v4(gateway.swap_bytes().to_be_bytes())).collect()
}

fn v6(digits: &str) -> Option<Address> {
    let number = u128::from_str_radix(digits, 16).ok().filter(|number| *number != 0)?;
    Some(Address(number.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(octets: [u8; 4]) -> Address {
        Address::from_v4(octets)
    }

    #[test]
    fn own_addresses_gateways_and_excluded_prefixes_are_never_blocked() {
        let never = [Prefix::v4([10, 0, 0, 0], 8)];
        let own = [v4([192, 168, 1, 1])];
        let routes = "Iface Destination Gateway\neth0 00000000 FE01A8C0 0003\neth0 0001A8C0 00000000 0001\n";
        assert_eq!(gateways_v4(routes), [v4([192, 168, 1, 254])]);
        let trie = "     |-- 192.168.1.0\n        /24 link UNICAST\n     |-- 192.168.1.1\n        /32 host LOCAL\n";
        assert_eq!(local_v4(trie), own);
        let spared = [(own[0], "this machine")];
        for address in
            [[10, 1, 2, 3], [192, 168, 1, 1], [224, 0, 0, 1], [255; 4], [127, 0, 0, 1], [0; 4], [169, 254, 1, 1]]
        {
            assert!(exempt(&v4(address), &never, &spared).is_some(), "{address:?}");
        }
        assert_eq!(exempt(&v4([203, 0, 113, 5]), &never, &spared), None);
        let link_local = Address("fe80::1".parse::<Ipv6Addr>().unwrap().octets());
        assert!(exempt(&link_local, &[], &[]).is_some());
    }

    #[test]
    fn this_machines_own_addresses_are_spared() {
        assert!(spared().iter().any(|(address, _)| *address == v4([127, 0, 0, 1])));
    }

    #[test]
    fn name_servers_dhcp_servers_and_the_broker_are_found() {
        let conf =
            "# nameserver 1.1.1.1\nnameserver 192.168.1.3\n nameserver fe80::1%eth0\nnameserver bad\nsearch lan\n";
        assert_eq!(resolvers(conf), [v4([192, 168, 1, 3]), Address("fe80::1".parse::<Ipv6Addr>().unwrap().octets())]);
        let networkd = "ADDRESS=192.168.1.7\nSERVER_ADDRESS=192.168.1.254\n";
        let dhclient = "lease {\n  fixed-address 10.0.0.7;\n  option dhcp-server-identifier 10.0.0.254;\n}\n";
        assert_eq!(dhcp_servers(networkd), [v4([192, 168, 1, 254])]);
        assert_eq!(dhcp_servers(dhclient), [v4([10, 0, 0, 254])]);
        assert_eq!(broker_addresses("192.0.2.9"), [v4([192, 0, 2, 9])]);
        assert_eq!(broker_addresses("2001:db8::7").len(), 1);
        assert!(broker_addresses("no such host").is_empty());
    }

    #[test]
    fn the_address_column_of_a_lease_counts_and_not_the_name_that_a_client_chose() {
        let dnsmasq = "1764300000 aa:bb:cc:dd:ee:01 192.168.1.55 phone 01:aa\n\
                       1764300000 aa:bb:cc:dd:ee:02 192.168.1.56 9.9.9.9 *\nduid 00:01\n";
        assert_eq!(column(dnsmasq, 2), [v4([192, 168, 1, 55]), v4([192, 168, 1, 56])]);
        let odhcpd = "# 0001 br-lan\nfd00::5\tphone.lan phone\n";
        assert_eq!(column(odhcpd, 0), [Address("fd00::5".parse::<Ipv6Addr>().unwrap().octets())]);
    }
}
