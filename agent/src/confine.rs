//! What the agent gives up once its sockets are open: user, capabilities, files, system calls. It opens the packet sockets
//! first; an interface that returns is listened to again through them, which takes no privilege.
//!
//! Each measure is taken where the kernel has it, and said where not. Files: only what the configuration names and what
//! resolving names needs (Landlock). System calls: those that a program which reads packets and speaks MQTT never makes,
//! and that an attacker wants most, are refused (seccomp). A list of what is refused, not of what is allowed: C libraries
//! differ in what they call, and a gateway whose agent dies of a new one is worse off.

use crate::config::{Config, ResponseMode};
use lapwing_live::rights;
use std::path::{Path, PathBuf};

/// CAP_NET_ADMIN, which nft needs.
const NET_ADMIN: u32 = 12;

/// Takes the measures; gives what was done and what was not, for log and status. Call while there is one thread.
///
/// # Errors
/// When a user is configured and cannot be had: who asked for less privilege must not get more.
pub fn confine(config: &Config) -> anyhow::Result<Vec<String>> {
    let mut told = Vec::new();
    let mut tell = |what: &str, outcome: Result<(), String>| match outcome {
        Ok(()) => told.push(what.to_owned()),
        Err(error) => {
            tracing::warn!(measure = what, %error, "not confined");
            told.push(format!("no {what}: {error}"));
        }
    };
    let blocks = config.response.mode == ResponseMode::Block;
    let kept: &[u32] = if blocks { &[NET_ADMIN] } else { &[] };
    tell("nice", rights::set_nice(config.resources.nice).map_err(text));
    if let Some(name) = &config.resources.user {
        let (user, group) = find_user(&std::fs::read_to_string("/etc/passwd")?, name)
            .ok_or_else(|| anyhow::anyhow!("resources.user = {name}: there is no such user in /etc/passwd"))?;
        own_state(config, user, group);
        rights::keep_capabilities()?;
        rights::become_user(user, group).map_err(|error| {
            anyhow::anyhow!("cannot become user {name}: {error}; start as root, or leave resources.user out")
        })?;
        tell(&format!("user {name}"), Ok(()));
    }
    tell("capabilities dropped", rights::drop_capabilities(kept).map_err(text));
    if blocks {
        tell("CAP_NET_ADMIN for nft", rights::raise_ambient(NET_ADMIN).map_err(text));
    }
    tell("no new privileges", rights::no_new_privileges().map_err(text));
    if config.resources.sandbox {
        sandbox(config, blocks, &mut tell);
    }
    Ok(told)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// User and group number of a name, from the text of /etc/passwd.
fn find_user(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let mut fields = passwd
        .lines()
        .map(|line| line.split(':'))
        .find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))?;
    Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Folders that the agent writes to must be the new user's.
fn own_state(config: &Config, user: u32, group: u32) {
    let socket = config.status.socket.parent().map(Path::to_owned);
    for folder in socket.into_iter().chain(config.update.state_dir.clone()) {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in entries.chain([folder.clone()]) {
            // What cannot be given away is told by whoever cannot write to it.
            let _ = std::os::unix::fs::chown(path, Some(user), Some(group));
        }
    }
}

#[cfg(not(feature = "sandbox"))]
fn sandbox(_: &Config, _: bool, tell: &mut impl FnMut(&str, Result<(), String>)) {
    tell("sandbox", Err("this build has none".into()));
}

#[cfg(feature = "sandbox")]
fn sandbox(config: &Config, starts_nft: bool, tell: &mut impl FnMut(&str, Result<(), String>)) {
    // A program that is started needs files of its own.
    if !starts_nft {
        tell("landlock", restrict_files(config));
    }
    tell("seccomp", refuse_calls(starts_nft));
}

/// Files that are read, and files and folders that are written.
pub fn files(config: &Config) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let mut read: Vec<PathBuf> =
        ["/proc", "/sys/class/net", "/sys/devices", "/etc", "/usr/share/lapwing", "/dev/urandom"]
            .map(PathBuf::from)
            .to_vec();
    // Often a link out of /etc, to where the system keeps it up to date; the resolver reads it anew each time.
    read.extend(std::fs::canonicalize("/etc/resolv.conf").ok().and_then(|file| file.parent().map(Path::to_owned)));
    read.extend(config.update.keys.iter().cloned());
    read.extend(config.mqtt.ca_file.clone());
    read.extend(config.detector.release.clone());
    let mut written = vec![PathBuf::from("/dev/null")];
    written.extend(config.update.state_dir.clone());
    let output = &config.output;
    let files = [&output.records, &output.features, &output.alerts, &output.summary_json];
    let folders = files.into_iter().flatten().chain([&config.status.socket]).filter_map(|path| path.parent());
    written.extend(folders.filter(|folder| !folder.as_os_str().is_empty()).map(Path::to_owned));
    (read, written)
}

#[cfg(feature = "sandbox")]
fn restrict_files(config: &Config) -> Result<(), String> {
    use landlock::{
        ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
        path_beneath_rules,
    };
    let abi = ABI::V3;
    let (read, written) = files(config);
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))
        .and_then(Ruleset::create)
        .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(read, AccessFs::from_read(abi))))
        .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(written, AccessFs::from_all(abi))))
        .map_err(text)?;
    match ruleset.restrict_self().map_err(text)?.ruleset {
        RulesetStatus::NotEnforced => Err("this kernel has none".into()),
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
    }
}

#[cfg(feature = "sandbox")]
fn refuse_calls(starts_nft: bool) -> Result<(), String> {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
    let Ok(architecture) = std::env::consts::ARCH.try_into() else {
        return Err(format!("not for {}", std::env::consts::ARCH));
    };
    let mut refused = vec![
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_setns,
        libc::SYS_unshare,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        libc::SYS_reboot,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_add_key,
        libc::SYS_keyctl,
        libc::SYS_request_key,
        libc::SYS_open_by_handle_at,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_sethostname,
        libc::SYS_setdomainname,
        libc::SYS_acct,
        libc::SYS_quotactl,
    ];
    if !starts_nft {
        refused.extend([libc::SYS_execve, libc::SYS_execveat]);
    }
    #[allow(clippy::unnecessary_cast, reason = "the numbers have 32 bits on 32-bit processors")]
    let rules = refused.into_iter().map(|number| (number as i64, Vec::new())).collect();
    let refusal = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refusal, architecture).map_err(text)?;
    let program: BpfProgram = filter.try_into().map_err(|error: seccompiler::BackendError| error.to_string())?;
    apply_filter(&program).map_err(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nlapwing2:x:7:8::/:\nlapwing:x:991:992::/var:/bin/false\nbad:x:y:z\n";
        assert_eq!(find_user(passwd, "lapwing"), Some((991, 992)));
        assert_eq!((find_user(passwd, "lap"), find_user(passwd, "bad"), find_user("", "x")), (None, None, None));
    }

    #[test]
    fn every_file_that_the_configuration_names_is_within_reach() {
        let text = "[update]\nstate-dir = \"/var/lib/lapwing\"\nkeys = [\"/k\"]\n[output]\nalerts = \"/log/a.jsonl\"\n\
                    [mqtt]\nca-file = \"/ca.pem\"\n";
        let (read, written) = files(&Config::parse(text).unwrap());
        for path in ["/k", "/ca.pem", "/proc"] {
            assert!(read.contains(&PathBuf::from(path)), "{path}");
        }
        for path in ["/var/lib/lapwing", "/log", "/run/lapwing"] {
            assert!(written.contains(&PathBuf::from(path)), "{path}");
        }
    }
}
