//! Configuration → the files and TCP ports that the process may use from now on (Landlock).
//!
//! Files are named one by one. Folders are allowed where files are created or replaced in them: those that the agent
//! writes to, and the one in which the resolver's configuration is replaced. /proc/self is this process's own part of
//! /proc. The newest restrictions that the kernel has are used, up to [`NEWEST`].

use crate::config::Config;
use std::path::{Path, PathBuf};

/// Files that the system's name resolution reads.
const RESOLVER_FILES: [&str; 6] =
    ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/services"];
/// Where systems keep the certificates of authorities; their private keys are elsewhere.
const CERTIFICATES: [&str; 8] = [
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/ca-trust/extracted",
    "/etc/ca-certificates/extracted",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
];
/// Of the process itself, the names of host and device, and the ports of bridges.
const OWN_FILES: [&str; 7] = [
    "/proc/self",
    "/proc/sys/kernel/hostname",
    "/proc/device-tree/serial-number",
    "/etc/machine-id",
    INTERFACES,
    "/sys/devices/virtual/net",
    "/dev/urandom",
];
/// Links to the folders of the interfaces.
const INTERFACES: &str = "/sys/class/net";
/// Folders with files of many programs: allowed as a whole for none of them.
const SHARED_FOLDERS: [&str; 6] = ["/", "/etc", "/tmp", "/run", "/var/run", "/var"];
/// Port of name servers.
const DNS: u16 = 53;

/// Files and folders that the agent may use, and TCP ports to which it may connect.
#[derive(Debug, Default)]
pub(crate) struct Allowed {
    /// Read only.
    pub read: Vec<PathBuf>,
    /// Read and written.
    pub written: Vec<PathBuf>,
    /// Folders in which only files are removed: that of the status socket.
    pub removed: Vec<PathBuf>,
    /// Ports of the broker and of name servers.
    pub connect: Vec<u16>,
    /// Why /etc is readable as a whole, if so.
    pub all_of_etc: Option<&'static str>,
}

/// What the configuration needs. `is_root`: the process still runs as root, so that file permissions do not protect the
/// secrets in /etc.
pub(crate) fn allowed(config: &Config, is_root: bool) -> Allowed {
    let mut allowed = Allowed::default();
    allowed.read.extend(OWN_FILES.map(PathBuf::from));
    let interfaces = std::fs::read_dir(INTERFACES).into_iter().flatten().flatten();
    allowed.read.extend(interfaces.filter_map(|entry| std::fs::canonicalize(entry.path()).ok()));
    allowed.read.extend(config.update.keys.iter().chain(&config.update.rollout_keys).cloned());
    allowed.read.extend(config.update.root.clone());
    let mqtt = &config.mqtt;
    allowed.read.extend([&mqtt.ca_file, &mqtt.certificate, &mqtt.key].into_iter().flatten().cloned());
    allowed.read.extend(config.privacy.key_file.clone());
    allowed.read.extend(config.detector.release.clone());
    let brokers = config.mqtt.brokers();
    if brokers.iter().any(|broker| broker.tls) && config.mqtt.ca_file.is_none() && config.identity.is_none() {
        allowed.read.extend(CERTIFICATES.map(PathBuf::from));
    }
    let token = config.enrolment_token();
    let own_port = config.identity.as_ref().and_then(|identity| host_and_port(&identity.address));
    let enrolment = token.iter().map(|token| (token.host(), token.port())).chain(own_port);
    for (host, port) in brokers.iter().map(|broker| (broker.host.as_str(), broker.port)).chain(enrolment) {
        allowed.connect.push(port);
        if host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_err() {
            allowed.connect.push(DNS);
            allow_resolver(&mut allowed, std::fs::canonicalize("/etc/resolv.conf").ok().as_deref(), is_root);
        }
    }
    allowed.written.push(PathBuf::from("/dev/null"));
    allowed.written.extend(config.update.state_dir.clone());
    allowed.written.extend(config.update.version_dir.clone());
    let output = &config.output;
    let files = [&output.records, &output.features, &output.alerts, &output.summary_json];
    allowed.written.extend(files.into_iter().flatten().filter_map(|path| folder_of(path)));
    allowed.removed.extend(folder_of(&config.status.socket));
    allowed
}

/// Of the enrolment port, at which the agent renews its certificate after the end.
fn host_and_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    Some((host, port.parse().ok()?))
}

fn folder_of(file: &Path) -> Option<PathBuf> {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).map(Path::to_owned)
}

/// `resolv_conf` is where /etc/resolv.conf leads to. Programs replace that file, and a rule for the old file does not
/// cover the new one, so its folder is allowed, unless it is one that many programs share.
fn allow_resolver(allowed: &mut Allowed, resolv_conf: Option<&Path>, is_root: bool) {
    allowed.read.extend(RESOLVER_FILES.map(PathBuf::from));
    let Some(folder) = resolv_conf.and_then(Path::parent) else { return };
    let is_shared = SHARED_FOLDERS.iter().any(|shared| Path::new(shared) == folder);
    if !is_shared {
        allowed.read.push(folder.to_owned());
    } else if folder == Path::new("/etc") && !is_root {
        // What this user may read there is no secret; without it the broker's name would not resolve any more after the
        // first change of /etc/resolv.conf.
        allowed.read.push(folder.to_owned());
        allowed.all_of_etc = Some("all of /etc, because /etc/resolv.conf may be replaced there");
    }
}

#[cfg(feature = "sandbox")]
pub(super) use landlock_rules::restrict;

#[cfg(feature = "sandbox")]
mod landlock_rules {
    use super::{Allowed, allowed};
    use crate::config::Config;
    use landlock::{
        ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, Ruleset, RulesetAttr,
        RulesetCreatedAttr, RulesetStatus, Scope, path_beneath_rules,
    };

    /// The newest version of Landlock whose restrictions were tried; a kernel with an older one enforces what it has.
    const NEWEST: ABI = ABI::V7;

    /// Restricts this thread, and those that it starts. Returns what is restricted.
    pub(in crate::confine) fn restrict(config: &Config) -> Result<String, String> {
        let rules = allowed(config, lapwing_live::rights::is_root());
        let note = rules.all_of_etc;
        let all_enforced = match enforce(rules).map_err(crate::confine::text)? {
            RulesetStatus::NotEnforced => return Err("not supported by this kernel".into()),
            RulesetStatus::FullyEnforced => true,
            RulesetStatus::PartiallyEnforced => false,
        };
        let mut what = String::from("landlock");
        if !all_enforced {
            what.push_str(" (what this kernel has of it)");
        }
        if let Some(note) = note {
            what.push_str(&format!(" ({note})"));
        }
        Ok(what)
    }

    pub(super) fn enforce(rules: Allowed) -> Result<RulesetStatus, landlock::RulesetError> {
        let read: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
        let files = AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::RemoveFile;
        let written: BitFlags<AccessFs> = read | files | AccessFs::MakeDir | AccessFs::RemoveDir;
        let ports = rules.connect.into_iter().map(|port| NetPort::new(port, AccessNet::ConnectTcp));
        let ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(NEWEST))?
            .handle_access(AccessNet::from_all(NEWEST))?
            // Not abstract sockets: the service manager's notification socket may be one.
            .scope(Scope::Signal)?
            .create()?
            .add_rules(path_beneath_rules(rules.read, read))?
            .add_rules(path_beneath_rules(rules.written, written))?
            .add_rules(path_beneath_rules(rules.removed, AccessFs::RemoveFile))?
            .add_rules(ports.map(Ok::<_, landlock::RulesetError>))?;
        Ok(ruleset.restrict_self()?.ruleset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(text).unwrap()
    }

    #[test]
    fn every_file_that_the_configuration_names_is_allowed() {
        let text = "[update]\nstate-dir = \"/var/lib/lapwing\"\nversion-dir = \"/etc/lapwing/versions\"\nkeys = [\"/k\"]\n\
                    [output]\nalerts = \"/log/a.jsonl\"\n[mqtt]\nurl = \"mqtts://192.0.2.1:8884\"\nca-file = \"/ca.pem\"\n";
        let allowed = allowed(&config(text), false);
        for path in ["/k", "/ca.pem", "/proc/self"] {
            assert!(allowed.read.contains(&PathBuf::from(path)), "{path}");
        }
        for path in ["/var/lib/lapwing", "/etc/lapwing/versions", "/log"] {
            assert!(allowed.written.contains(&PathBuf::from(path)), "{path}");
        }
        assert_eq!(allowed.removed, [Path::new("/run/lapwing")]);
        assert_eq!(allowed.connect, [8884]);
    }

    #[test]
    fn etc_and_proc_are_not_allowed_as_a_whole() {
        for text in ["", "[mqtt]\nurl = \"mqtt://192.0.2.1\"\n", "[mqtt]\nurl = \"mqtts://broker.example\"\n"] {
            let allowed = allowed(&config(text), true);
            for folder in ["/", "/etc", "/proc", "/sys", "/sys/devices", "/usr/share", "/tmp", "/run"] {
                assert!(!allowed.read.contains(&PathBuf::from(folder)), "{text}: {folder}");
            }
        }
    }

    #[test]
    fn the_folder_of_a_replaced_resolver_file_is_allowed_unless_it_is_shared() {
        let folders = |path: &str, is_root| {
            let mut allowed = Allowed::default();
            allow_resolver(&mut allowed, Some(Path::new(path)), is_root);
            allowed.read.split_off(RESOLVER_FILES.len())
        };
        assert_eq!(folders("/run/systemd/resolve/stub-resolv.conf", true), [Path::new("/run/systemd/resolve")]);
        assert_eq!(folders("/tmp/resolv.conf", true), [] as [&Path; 0]);
        assert_eq!(folders("/etc/resolv.conf", true), [] as [&Path; 0]);
        assert_eq!(folders("/etc/resolv.conf", false), [Path::new("/etc")]);
    }

    #[cfg(feature = "sandbox")]
    #[test]
    fn files_and_ports_outside_the_list_are_refused() {
        let folder = std::env::temp_dir().join(format!("lapwing-landlock-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, closed) = (listener.local_addr().unwrap().port(), other.local_addr().unwrap().port());
        let rules = Allowed {
            read: vec!["/etc/hosts".into()],
            written: vec![folder.clone()],
            connect: vec![port],
            ..Allowed::default()
        };
        // Restrictions are per thread.
        let tried = std::thread::spawn(move || {
            let status = landlock_rules::enforce(rules).unwrap();
            let within = folder.join("file");
            std::fs::write(&within, "x").and_then(|()| std::fs::rename(&within, folder.join("file.new"))).unwrap();
            std::fs::read("/etc/hosts").unwrap();
            std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
            let refused = [
                std::fs::read("/etc/passwd").is_err(),
                std::fs::read("/proc/1/status").is_err(),
                std::fs::write(std::env::temp_dir().join("lapwing-landlock-outside"), "x").is_err(),
                std::os::unix::fs::symlink("/etc", folder.join("link")).is_err(),
                std::process::Command::new("/bin/true").spawn().is_err(),
                std::net::TcpStream::connect(("127.0.0.1", closed)).is_err(),
            ];
            std::fs::remove_file(folder.join("file.new")).unwrap();
            (status, refused)
        });
        let (status, refused) = tried.join().unwrap();
        match status {
            landlock::RulesetStatus::NotEnforced => lapwing_skips::skip("needs a kernel with Landlock"),
            // Ports are in Landlock since Linux 6.7.
            landlock::RulesetStatus::PartiallyEnforced => assert_eq!(refused[..5], [true; 5]),
            landlock::RulesetStatus::FullyEnforced => assert_eq!(refused, [true; 6]),
        }
    }
}
