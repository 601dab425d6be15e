//! Configuration and access list of an external broker that admits enrolled agents: `broker-config`.

use super::identities::pages;
use super::other_brokers::{EMQX, RMQTT, emqx_acl, rmqtt_acl};
use super::store_args::StoreArgs;
use clap::{Args, Subcommand};
use lapwing_common::{clock, print_line};
use lapwing_fleet::{Identity, IdentityState};
use lapwing_shared::messages::access::{Access, TRAINER, User, is_service_name, rules};
use lapwing_shared::release::name::NAME_RULE;
use lapwing_store::StoreHandle;
use std::fmt::Write;
use std::iter;

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
    /// Configuration of EMQX 5, from its documentation: it was not run with Lapwing.
    #[command(after_help = "Example:\n  lapwing-trainer broker-config emqx >> /etc/emqx/emqx.conf")]
    Emqx,
    /// Access list of EMQX 5, which reads it when it starts.
    #[command(
        after_help = "Example:\n  lapwing-trainer broker-config emqx-acl --store store.sqlite > /etc/emqx/lapwing.acl"
    )]
    EmqxAcl(AclArgs),
    /// Configuration of rmqtt, from its documentation: it was not run with Lapwing.
    #[command(after_help = "Example:\n  lapwing-trainer broker-config rmqtt >> /etc/rmqtt/rmqtt.toml")]
    Rmqtt,
    /// Access list of rmqtt: the configuration of its plugin rmqtt-acl.
    #[command(
        after_help = "Example:\n  lapwing-trainer broker-config rmqtt-acl --store store.sqlite > /etc/rmqtt/plugins/rmqtt-acl.toml"
    )]
    RmqttAcl(AclArgs),
}

/// Options of access lists.
#[derive(Debug, Args)]
pub(crate) struct AclArgs {
    /// Store.
    #[command(flatten)]
    store: StoreArgs,
    /// User name of the trainer at the broker. It begins with `_`, as no agent's name does: an agent with this name would
    /// have the trainer's rights.
    #[arg(long, value_name = "NAME", default_value = TRAINER, value_parser = service_name)]
    trainer: String,
    /// User name of a program that reads alerts and statuses, such as Home Assistant; it begins with `_`. Repeatable.
    #[arg(long, value_name = "NAME", value_parser = service_name)]
    reader: Vec<String>,
}

/// A user name that no agent can have.
pub(crate) fn service_name(text: &str) -> Result<String, String> {
    let is_valid = is_service_name(text);
    is_valid.then(|| text.to_owned()).ok_or_else(|| format!("expected `_` and a name; {NAME_RULE}"))
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
        BrokerConfigCommand::MosquittoAcl(args) => print_list(args, acl)?,
        BrokerConfigCommand::Emqx => print_line!("{}", EMQX.trim_end()),
        BrokerConfigCommand::EmqxAcl(args) => print_list(args, emqx_acl)?,
        BrokerConfigCommand::Rmqtt => print_line!("{}", RMQTT.trim_end()),
        BrokerConfigCommand::RmqttAcl(args) => print_list(args, rmqtt_acl)?,
    }
    Ok(())
}

/// User names of the trainer and of readers.
pub(crate) type Services<'a> = (&'a str, &'a [String]);

/// Revoked identities, services and time → an access list.
type List = fn(&[Identity], Services<'_>, u64) -> String;

fn print_list(args: &AclArgs, list: List) -> anyhow::Result<()> {
    let revoked = pages(&StoreHandle::open(args.store.url()?)?, Some(IdentityState::Revoked))?;
    print_line!("{}", list(&revoked, (&args.trainer, &args.reader), clock::now_s()).trim_end());
    Ok(())
}

/// Each service with its rights.
pub(super) fn users<'a>((trainer, readers): Services<'a>) -> impl Iterator<Item = (&'a str, User<'a>)> {
    iter::once((trainer, User::Trainer)).chain(readers.iter().map(|name| (name.as_str(), User::Reader)))
}

/// The access list: the table of `messages::access` for mosquitto. Revoked agents come first: mosquitto uses the first line
/// that denies.
pub(crate) fn acl(revoked: &[Identity], services: Services<'_>, now_s: u64) -> String {
    let mut lines = String::new();
    // Writing to a String cannot fail.
    for identity in revoked.iter().filter(|identity| now_s < identity.until_s) {
        let _ = writeln!(lines, "user {}\ntopic deny #\n", identity.name);
    }
    for (name, user) in users(services) {
        let _ = writeln!(lines, "user {name}");
        list(&mut lines, "topic", user);
        lines.push('\n');
    }
    list(&mut lines, "pattern", User::Agent("%u"));
    lines
}

/// A line for each filter of the user.
fn list(lines: &mut String, word: &str, user: User<'_>) {
    for (access, filter) in rules(user) {
        let access = match access {
            Access::None => continue,
            Access::Read => "read",
            Access::Write => "write",
            Access::ReadWrite => "readwrite",
        };
        let _ = writeln!(lines, "{word} {access} {filter}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_shared::messages::access::access;
    use lapwing_shared::messages::topics::{Kind, Topic};
    use lapwing_shared::release::name::parse_name;

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
        let list = acl(&[revoked("attic", 2_000), revoked("cellar", 1_000)], (TRAINER, &[]), 1_000);
        assert!(list.starts_with("user attic\ntopic deny #\n"), "{list}");
        assert!(!list.contains("cellar"));
    }

    #[test]
    fn the_trainers_name_is_none_that_an_agent_can_have() {
        assert_eq!(service_name("_trainer").as_deref(), Ok("_trainer"));
        assert!(parse_name("_trainer").is_none());
        for name in ["lapwing-trainer", "_", "_a b", "_a\ntopic write #", ""] {
            assert!(service_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn an_agent_writes_its_own_topics_and_reads_releases() {
        let list = acl(&[], (TRAINER, &[]), 0);
        assert_eq!(list.matches("pattern write lapwing/v1/agent/%u/").count(), Kind::ALL.len() - 2);
        for line in [
            "pattern write lapwing/v1/agent/%u/status/json",
            "pattern read lapwing/v1/agent/%u/ack",
            "pattern read lapwing/v1/agent/%u/identity/set",
        ] {
            assert!(list.lines().any(|found| found == line), "{list}");
        }
        assert!(list.contains("pattern read lapwing/v1/group/+/release\n"));
        assert!(list.contains("pattern read lapwing/v1/group/+/root\n"));
    }

    /// True if mosquitto's filter matches a topic.
    fn matches(filter: &str, topic: &str) -> bool {
        let (filter, topic): (Vec<_>, Vec<_>) = (filter.split('/').collect(), topic.split('/').collect());
        filter.len() == topic.len() && filter.iter().zip(topic).all(|(level, found)| *level == "+" || *level == found)
    }

    /// What mosquitto's list allows a user: reading and writing.
    fn by_list(list: &str, user: &str, topic: &str) -> (bool, bool) {
        let (mut of, mut allowed) = ("", (false, false));
        for line in list.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let (access, filter) = match words[..] {
                ["user", name] => {
                    of = name;
                    continue;
                }
                ["topic", access, filter] if of == user => (access, filter.to_owned()),
                ["pattern", access, filter] => (access, filter.replace("%u", user)),
                _ => continue,
            };
            if matches(&filter, topic) {
                allowed.0 |= access.starts_with("read");
                allowed.1 |= access.ends_with("write");
            }
        }
        allowed
    }

    #[test]
    fn the_list_for_mosquitto_allows_what_the_table_allows() {
        let list = acl(&[], (TRAINER, &["_hass".into()]), 0);
        let agents = ["gw", "other"].map(|name| parse_name(name).unwrap());
        let of_agents = agents.iter().flat_map(|name| Kind::ALL.map(|kind| Topic::Agent(name.clone(), kind)));
        let topics: Vec<Topic> = of_agents
            .chain([Topic::Release(agents[0].clone()), Topic::Root(agents[0].clone()), Topic::Chunk([1; 32], 2)])
            .collect();
        let users = [
            ("gw", User::Agent("gw")),
            ("other", User::Agent("other")),
            (TRAINER, User::Trainer),
            ("_hass", User::Reader),
        ];
        for (name, user) in users {
            for topic in &topics {
                let expected = access(user, topic);
                let expected = (expected.reads(), expected.writes());
                assert_eq!(by_list(&list, name, &topic.name()), expected, "{name} {}", topic.name());
            }
        }
    }
}
