//! Configuration, host name and device identity → the agent's name.
//!
//! Two agents of one name take the connection from each other without end. Host names are not enough: every new OpenWrt
//! device is `OpenWrt`, and long names are cut. So the default name has a suffix from an identity of the device.

use anyhow::Context;
use lapwing_shared::release::digest::{Hex, sha256};
use lapwing_shared::release::manifest::Name;
use lapwing_shared::release::name::{NAME_RULE, parse_name};
use std::path::Path;

/// Characters of the host name in a default name; with `-` and the suffix it has 32 at most.
const HOST_CHARACTERS: usize = 23;
/// Hexadecimal digits of the suffix: among 1,000 devices of one host name, two agree once in 9,000 sites.
const SUFFIX_DIGITS: usize = 8;
/// Where a device has a number that stays the same over restarts and upgrades, the best first: the serial number of a
/// board, and the identity that systemd creates. The addresses of network interfaces follow.
const IDENTITIES: [&str; 2] = ["proc/device-tree/serial-number", "etc/machine-id"];

/// The configured name, or the default if it is empty. `root` is the folder of the root file system.
///
/// # Errors
/// When the configured name is invalid.
pub(crate) fn agent_name(configured: &str, root: &Path) -> anyhow::Result<Name> {
    if !configured.is_empty() {
        return parse_name(configured).with_context(|| format!("agent name {configured:?}: expected {NAME_RULE}"));
    }
    let host = std::fs::read_to_string(root.join("proc/sys/kernel/hostname")).unwrap_or_default();
    let identity = identity(root);
    if identity.is_none() {
        tracing::warn!("this device has no identity: set mqtt.agent if another one has the same host name");
    }
    let name = default_name(host.trim(), identity.as_deref());
    parse_name(&name)
        .with_context(|| format!("default agent name {name:?} is invalid; set one with --agent: {NAME_RULE}"))
}

/// Host name, other characters replaced by `-`, and the suffix. The suffix does not reveal the identity, and depends on the
/// whole host name, since only its beginning fits.
fn default_name(host: &str, identity: Option<&str>) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let start: String =
        host.chars().map(plain).skip_while(|c| !c.is_ascii_alphanumeric()).take(HOST_CHARACTERS).collect();
    let start = if start.is_empty() { "agent" } else { &start };
    let digest = sha256(format!("lapwing agent name\0{host}\0{}", identity.unwrap_or_default()).as_bytes());
    format!("{start}-{}", &Hex(&digest).to_string()[..SUFFIX_DIGITS])
}

fn identity(root: &Path) -> Option<String> {
    let known = |text: String| Some(text.trim_matches(['\0', '\n', ' ']).to_owned()).filter(|text| !text.is_empty());
    let read = |path: &str| std::fs::read_to_string(root.join(path)).ok().and_then(known);
    IDENTITIES.into_iter().find_map(read).or_else(|| lowest_address(&root.join("sys/class/net")))
}

/// The lowest address of a physical interface: bridges and tunnels have none of their own.
fn lowest_address(interfaces: &Path) -> Option<String> {
    let interfaces = std::fs::read_dir(interfaces).ok()?.flatten().map(|entry| entry.path());
    let physical = interfaces.filter(|path| path.join("device").exists());
    let addresses = physical.filter_map(|path| std::fs::read_to_string(path.join("address")).ok());
    addresses.map(|address| address.trim().to_owned()).filter(|address| address != "00:00:00:00:00:00").min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    fn device(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("lapwing-device-{name}-{}", std::process::id()));
        for (path, text) in files {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), text).unwrap();
        }
        root
    }

    fn default_of(name: &str, files: &[(&str, &str)]) -> String {
        let root = device(name, files);
        let found = agent_name("", &root).unwrap();
        fs::remove_dir_all(root).unwrap();
        found.to_string()
    }

    #[test]
    fn hosts_whose_names_agree_in_the_first_32_characters_have_different_names() {
        let [one, two] = ["01", "02"].map(|end| {
            let host = format!("gateway-warehouse-amsterdam-noord-{end}\n");
            default_of(end, &[("proc/sys/kernel/hostname", &host), ("etc/machine-id", "4a\n")])
        });
        assert_ne!(one, two);
        assert!(one.starts_with("gateway-warehouse-amste-") && one.len() == 32, "{one}");
    }

    #[test]
    fn two_devices_of_one_host_name_have_different_names_that_stay_the_same() {
        let openwrt = |name: &str, address: &str| {
            let files = [
                ("proc/sys/kernel/hostname", "OpenWrt\n"),
                ("sys/class/net/eth0/device/x", ""),
                ("sys/class/net/eth0/address", address),
            ];
            default_of(name, &files)
        };
        let [one, two] = [openwrt("a", "02:00:00:00:00:0a\n"), openwrt("b", "02:00:00:00:00:0b\n")];
        assert_ne!(one, two);
        assert_eq!((one.clone(), one.len()), (openwrt("c", "02:00:00:00:00:0a\n"), "OpenWrt-".len() + SUFFIX_DIGITS));
    }

    #[test]
    fn any_host_name_gives_a_valid_name() {
        for host in ["", "..", "-x", "ä b/c", "(none)", &"ü".repeat(80)] {
            let name = default_name(host, None);
            assert!(parse_name(&name).is_some(), "{host:?}: {name}");
        }
    }

    #[test]
    fn a_configured_name_is_used_as_it_is_or_rejected_with_the_rule() {
        assert_eq!(agent_name("gw-1", Path::new("/nowhere")).unwrap(), "gw-1");
        for bad in ["..", "-x", "a b"] {
            assert!(agent_name(bad, Path::new("/")).unwrap_err().to_string().contains(NAME_RULE), "{bad}");
        }
    }
}
