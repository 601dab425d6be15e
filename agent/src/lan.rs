//! The system's interfaces and routes → the interface to watch when none is configured, and why that one.
//!
//! Routes are /proc/net/route's: a network that is reached without a gateway is one that an interface is in.

use std::net::Ipv4Addr;

/// The name that OpenWrt gives its LAN bridge.
const OPENWRT_LAN: &str = "br-lan";
/// Beginnings of names of interfaces that lead to containers, virtual machines and tunnels.
const NOT_A_LAN: [&str; 9] = ["docker", "br-", "veth", "virbr", "lxc", "tun", "wg", "tap", "podman"];

/// An interface, and why it was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its name.
    pub interface: String,
    /// For the log.
    pub why: String,
}

struct Route<'a> {
    interface: &'a str,
    destination: Ipv4Addr,
    has_gateway: bool,
    is_default: bool,
}

/// Fields are in hexadecimal, the octets of addresses in memory order, which on all our targets is reversed.
fn route(line: &str) -> Option<Route<'_>> {
    let mut fields = line.split_ascii_whitespace();
    let interface = fields.next()?;
    let mut number = || u32::from_str_radix(fields.next()?, 16).ok();
    let (destination, gateway) = (number()?, number()?);
    let mask = u32::from_str_radix(fields.nth(4)?, 16).ok()?;
    let destination = Ipv4Addr::from(destination.swap_bytes());
    Some(Route { interface, destination, has_gateway: gateway != 0, is_default: mask == 0 })
}

/// The LAN bridge of OpenWrt; else the first interface in a private network that does not lead out; else the one that
/// does. `routes` is the text of /proc/net/route.
pub fn choose(interfaces: &[String], routes: &str) -> Option<Choice> {
    if interfaces.iter().any(|name| name == OPENWRT_LAN) {
        return Some(Choice { interface: OPENWRT_LAN.into(), why: "it is OpenWrt's LAN bridge".into() });
    }
    let routes: Vec<Route<'_>> = routes.lines().filter_map(route).collect();
    let way_out = routes.iter().find(|route| route.is_default).map(|route| route.interface);
    let is_lan = |route: &&Route<'_>| {
        let ordinary = !NOT_A_LAN.iter().any(|beginning| route.interface.starts_with(beginning));
        let inside = !route.has_gateway && !route.is_default && route.destination.is_private();
        ordinary && inside && Some(route.interface) != way_out
    };
    if let Some(route) = routes.iter().find(is_lan) {
        let why = format!("it is in the private network {} and does not lead out", route.destination);
        return Some(Choice { interface: route.interface.into(), why });
    }
    let why = "it is the only way out, and no interface in a private network is beside it".into();
    way_out.map(|interface| Choice { interface: interface.into(), why })
}

/// The choice on this machine.
pub fn find() -> Option<Choice> {
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    choose(&lapwing_live::counters::interfaces(), &routes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n";
    const WAN_DEFAULT: &str = "wan 00000000 0101A8C0 0003 0 0 0 00000000 0 0 0\n";
    const WAN: &str = "wan 0001A8C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n";
    const LAN: &str = "lan0 0000000A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n";
    const DOCKER: &str = "docker0 000011AC 00000000 0001 0 0 0 0000FFFF 0 0 0\n";

    fn chosen(names: &[&str], routes: &[&str]) -> Option<String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        choose(&names, &[&[HEAD], routes].concat().concat()).map(|choice| choice.interface)
    }

    #[test]
    fn the_lan_is_the_bridge_else_the_private_side_else_the_way_out() {
        assert_eq!(chosen(&["lo", "wan", "br-lan"], &[WAN_DEFAULT, WAN, LAN]).as_deref(), Some("br-lan"));
        assert_eq!(chosen(&["lo", "wan", "lan0"], &[WAN_DEFAULT, DOCKER, WAN, LAN]).as_deref(), Some("lan0"));
        assert_eq!(chosen(&["lo", "wan"], &[WAN_DEFAULT, DOCKER, WAN]).as_deref(), Some("wan"));
        assert_eq!(chosen(&["lo"], &[]), None);
        assert_eq!(chosen(&["lo"], &["nonsense\n", "x y z\n"]), None);
    }
}
