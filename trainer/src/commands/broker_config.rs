//! Configuration and access list of an external broker that admits enrolled agents: `broker-config`.

use super::identities::pages;
use super::store_args::StoreArgs;
use clap::{Args, Subcommand};
use lapwing_common::{clock, print_line};
use lapwing_fleet::{Identity, IdentityState};
use lapwing_shared::messages::topics::{Kind, ROOT};
use lapwing_shared::release::name::{NAME_RULE, parse_name};
use lapwing_store::StoreHandle;
use std::fmt::Write;

/// `broker-config`.
#[derive(Debug, Subcommand)]
pub(crate) enum BrokerConfigCommand {
    /// Configuration of mosquitto, with comments on the files that it needs.
    #[command(after_help = "Example:\n  lapwing-trainer broker-config mosquitto > /etc/mosquitto/conf.d/lapwing.conf")]
    Mosquitto,
    /// Access list of mosquitto: what agents and the trainer may publish and read, and the revoked agents. Replace the file
    /// and reload mosquitto (SIGHUP) after `agents revoke`.
    #[command(
        after_help = "Example:\n  lapwing-trainer broker-config mosquitto-acl --store store.sqlite > /etc/mosquitto/lapwing.acl"
    )]
    MosquittoAcl(AclArgs),
}

/// `broker-config mosquitto-acl`.
#[derive(Debug, Args)]
pub(crate) struct AclArgs {
    /// Store.
    #[command(flatten)]
    store: StoreArgs,
    /// User name of the trainer at the broker. It begins with `_`, as no agent's name does: an agent with this name would
    /// have the trainer's rights.
    #[arg(long, value_name = "NAME", default_value = "_trainer", value_parser = trainer_name)]
    trainer: String,
}

/// A user name that no agent can have.
fn trainer_name(text: &str) -> Result<String, String> {
    let is_plain = |name: &str| parse_name(name).is_some();
    match text.strip_prefix('_') {
        Some(name) if is_plain(name) => Ok(text.to_owned()),
        _ => Err(format!("expected `_` and a name; {NAME_RULE}")),
    }
}

const MOSQUITTO: &str = "\
# Port for enrolled agents: their certificates are their user names and client identifiers.
# `per_listener_settings true` allows another listener with passwords, e.g. for the trainer on this machine.
per_listener_settings true
listener 8883
# lapwing-trainer authority trusted > /etc/mosquitto/lapwing-ca.pem
cafile /etc/mosquitto/lapwing-ca.pem
# lapwing-trainer authority server NAME --certificate /etc/mosquitto/lapwing.pem --key /etc/mosquitto/lapwing.key
certfile /etc/mosquitto/lapwing.pem
keyfile /etc/mosquitto/lapwing.key
tls_version tlsv1.3
require_certificate true
use_identity_as_username true
use_username_as_clientid true
allow_anonymous false
# lapwing-trainer broker-config mosquitto-acl > /etc/mosquitto/lapwing.acl
acl_file /etc/mosquitto/lapwing.acl
";

/// `broker-config`.
pub(crate) fn run_broker_config(command: &BrokerConfigCommand) -> anyhow::Result<()> {
    match command {
        BrokerConfigCommand::Mosquitto => print_line!("{}", MOSQUITTO.trim_end()),
        BrokerConfigCommand::MosquittoAcl(args) => {
            let revoked = pages(&StoreHandle::open(args.store.url()?)?, Some(IdentityState::Revoked))?;
            print_line!("{}", acl(&revoked, &args.trainer, clock::now_s()).trim_end());
        }
    }
    Ok(())
}

/// The access list. Revoked agents come first: mosquitto uses the first line that denies.
pub(crate) fn acl(revoked: &[Identity], trainer: &str, now_s: u64) -> String {
    let mut lines = String::new();
    // Writing to a String cannot fail.
    for identity in revoked.iter().filter(|identity| now_s < identity.until_s) {
        let _ = writeln!(lines, "user {}\ntopic deny #\n", identity.name);
    }
    let _ = writeln!(lines, "user {trainer}\ntopic read {ROOT}/agent/#\ntopic readwrite {ROOT}/group/#");
    let _ = writeln!(lines, "topic readwrite {ROOT}/artifact/#\ntopic write {ROOT}/agent/+/{}\n", Kind::Ack.as_str());
    for kind in Kind::ALL {
        let access = if kind == Kind::Ack { "read" } else { "write" };
        let _ = writeln!(lines, "pattern {access} {ROOT}/agent/%u/{}", kind.as_str());
    }
    let _ = writeln!(
        lines,
        "pattern read {ROOT}/group/+/release\npattern read {ROOT}/group/+/root\npattern read {ROOT}/artifact/+/+"
    );
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revoked(name: &str, until_s: u64) -> Identity {
        Identity {
            id: 1,
            name: name.into(),
            fingerprint: [1; 32],
            group: "home".into(),
            state: IdentityState::Revoked,
            issued: 1,
            until_s,
            enrolled_s: 1,
            who: "eve".into(),
        }
    }

    #[test]
    fn revoked_agents_are_denied_until_their_certificates_end() {
        let list = acl(&[revoked("attic", 2_000), revoked("cellar", 1_000)], "_trainer", 1_000);
        assert!(list.starts_with("user attic\ntopic deny #\n"), "{list}");
        assert!(!list.contains("cellar"));
    }

    #[test]
    fn the_trainers_name_is_none_that_an_agent_can_have() {
        assert_eq!(trainer_name("_trainer").as_deref(), Ok("_trainer"));
        assert!(parse_name("_trainer").is_none());
        for name in ["lapwing-trainer", "_", "_a b", "_a\ntopic write #", ""] {
            assert!(trainer_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn an_agent_writes_its_own_topics_and_reads_releases() {
        let list = acl(&[], "_trainer", 0);
        assert_eq!(list.matches("pattern write lapwing/v1/agent/%u/").count(), Kind::ALL.len() - 1);
        for line in ["pattern write lapwing/v1/agent/%u/status/json", "pattern read lapwing/v1/agent/%u/ack"] {
            assert!(list.lines().any(|found| found == line), "{list}");
        }
        assert!(list.contains("pattern read lapwing/v1/group/+/release\n"));
        assert!(list.contains("pattern read lapwing/v1/group/+/root\n"));
    }
}
