//! The system's interfaces and routes → the interface to capture from if none is configured, and the reason.
//!
//! Routes come from /proc/net/route; a route without a gateway is a network that the interface is in.

use std::net::Ipv4Addr;

const OPENWRT_LAN: &str = "br-lan";
/// Name prefixes of interfaces of containers, virtual machines and tunnels.
const NOT_A_LAN: [&str; 9] = ["docker", "br-", "veth", "virbr", "lxc", "tun", "wg", "tap", "podman"];

/// An interface, and the reason for choosing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) interface: String,
    /// For the log.
    pub(crate) reason: String,
}

struct Route<'a> {
    interface: &'a str,
    destination: Ipv4Addr,
    has_gateway: bool,
    is_default: bool,
}

/// Fields are hexadecimal; addresses are in host byte order, little-endian on all our targets.
fn route(line: &str) -> Option<Route<'_>> {
    let mut fields = line.split_ascii_whitespace();
    let interface = fields.next()?;
    let mut number = || u32::from_str_radix(fields.next()?, 16).ok();
    let (destination, gateway) = (number()?, number()?);
    let mask = u32::from_str_radix(fields.nth(4)?, 16).ok()?;
    let destination = Ipv4Addr::from(destination.swap_bytes());
    Some(Route { interface, destination, has_gateway: gateway != 0, is_default: mask == 0 })
}

/// OpenWrt's LAN bridge; otherwise the first interface in a private network that does not have the default route;
/// otherwise the one that does. `routes` is the text of /proc/net/route.
pub(crate) fn choose(interfaces: &[String], routes: &str) -> Option<Choice> {
    if interfaces.iter().any(|name| name == OPENWRT_LAN) {
        return Some(Choice { interface: OPENWRT_LAN.into(), reason: "it is OpenWrt's LAN bridge".into() });
    }
    let routes: Vec<Route<'_>> = routes.lines().filter_map(route).collect();
    let default_interface = routes.iter().find(|route| route.is_default).map(|route| route.interface);
    let is_lan = |route: &&Route<'_>| {
        let is_physical = !NOT_A_LAN.iter().any(|prefix| route.interface.starts_with(prefix));
        let is_private = !route.has_gateway && !route.is_default && route.destination.is_private();
        is_physical && is_private && Some(route.interface) != default_interface
    };
    if let Some(route) = routes.iter().find(is_lan) {
        let reason = format!("it is in the private network {} and has no default route", route.destination);
        return Some(Choice { interface: route.interface.into(), reason });
    }
    let reason = "it has the default route, and no other interface is in a private network".into();
    default_interface.map(|interface| Choice { interface: interface.into(), reason })
}

/// Chooses on this machine.
pub(crate) fn find() -> Option<Choice> {
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    choose(&lapwing_live::counters::interfaces(), &routes)
}

/// Interfaces of the list that do not exist now.
pub(crate) fn absent(names: &[String]) -> Vec<String> {
    absent_of(names, &lapwing_live::counters::interfaces())
}

fn absent_of(names: &[String], present: &[String]) -> Vec<String> {
    names.iter().filter(|name| !present.contains(name)).cloned().collect()
}

/// What a warning about such an interface says.
pub(crate) fn absent_text(name: &str) -> String {
    let present = lapwing_live::counters::interfaces().join(" ");
    let hint = if name == "any" { "; `any` is not an interface, name each one" } else { "" };
    format!("no interface named {name} exists now, so it is not captured until one appears{hint} (present: {present})")
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
    fn a_misspelt_interface_is_absent_and_the_warning_names_those_that_exist() {
        let names = ["lo", "br-lna", "any"].map(str::to_owned);
        assert_eq!(absent_of(&names, &["lo".to_owned(), "br-lan".to_owned()]), ["br-lna", "any"]);
        assert!(absent(&names[..1]).is_empty(), "every machine has lo");
        let text = absent_text("any");
        assert!(text.contains("no interface named any") && text.contains("name each one") && text.contains("lo"));
    }

    #[test]
    fn the_bridge_is_preferred_then_a_private_network_then_the_default_route() {
        assert_eq!(chosen(&["lo", "wan", "br-lan"], &[WAN_DEFAULT, WAN, LAN]).as_deref(), Some("br-lan"));
        assert_eq!(chosen(&["lo", "wan", "lan0"], &[WAN_DEFAULT, DOCKER, WAN, LAN]).as_deref(), Some("lan0"));
        assert_eq!(chosen(&["lo", "wan"], &[WAN_DEFAULT, DOCKER, WAN]).as_deref(), Some("wan"));
        assert_eq!(chosen(&["lo"], &[]), None);
        assert_eq!(chosen(&["lo"], &["nonsense\n", "x y z\n"]), None);
    }
}
