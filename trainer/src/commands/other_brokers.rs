//! Configuration and access lists of EMQX 5, from its documentation, and of rmqtt, tried with 0.24.0. EMQX was not run with Lapwing.

use crate::access::{Services, users};
use lapwing_fleet::{Identity, IdentityState};
use lapwing_shared::messages::access::{self, Access, User};
use std::fmt::Write;

/// `etc/emqx.conf`.
pub(super) const EMQX: &str = "\
# For emqx.conf of EMQX 5. Not run with Lapwing: try it before you rely on it.
# Certificates are user names and client identifiers.
mqtt {
  peer_cert_as_username = cn
  peer_cert_as_clientid = cn
}
listeners.tcp.default.enable = false
listeners.ws.default.enable = false
listeners.wss.default.enable = false
listeners.ssl.default {
  bind = \"0.0.0.0:8883\"
  ssl_options {
    # lapwing-trainer authority trusted > /etc/emqx/lapwing-ca.pem
    cacertfile = \"/etc/emqx/lapwing-ca.pem\"
    # lapwing-trainer authority server NAME --certificate /etc/emqx/lapwing.pem --key /etc/emqx/lapwing.key
    certfile = \"/etc/emqx/lapwing.pem\"
    keyfile = \"/etc/emqx/lapwing.key\"
    versions = [\"tlsv1.3\"]
    verify = verify_peer
    fail_if_no_peer_cert = true
  }
}
authorization {
  no_match = deny
  deny_action = ignore
  cache.enable = false
  # lapwing-trainer broker-config emqx-acl > /etc/emqx/lapwing.acl
  sources = [{ type = file, enable = true, path = \"/etc/emqx/lapwing.acl\" }]
}
";

/// `rmqtt.toml`.
pub(super) const RMQTT: &str = "\
# For rmqtt.toml of rmqtt 0.24. Certificates are user names. Client identifiers are free, so an enrolled agent can end the
# connection of another one. rmqtt also listens on ports 6060 (HTTP) and 5363 (cluster) of all addresses: close them.
[plugins]
default_startups = [\"rmqtt-acl\", \"rmqtt-retainer\"]
[listener.tls.external]
addr = \"0.0.0.0:8883\"
# Only clients with a certificate are admitted, and need no password.
allow_anonymous = true
cross_certificate = true
cert_cn_as_username = true
# lapwing-trainer authority trusted > /etc/rmqtt/lapwing-ca.pem
client_ca_certs = \"/etc/rmqtt/lapwing-ca.pem\"
# lapwing-trainer authority server NAME --certificate /etc/rmqtt/lapwing.pem --key /etc/rmqtt/lapwing.key
cert = \"/etc/rmqtt/lapwing.pem\"
key = \"/etc/rmqtt/lapwing.key\"
# lapwing-trainer broker-config rmqtt-acl > /etc/rmqtt/plugins/rmqtt-acl.toml
";

/// Who may do what: `None` is everyone, in whose filters a placeholder is the name. The first rule that fits decides.
type Rule<'a> = (bool, Option<&'a str>, &'static str, Vec<String>);

/// What a user may read and publish on.
fn allowed<'a>(who: Option<&'a str>, user: User<'_>) -> [Rule<'a>; 2] {
    let filters = |may: fn(Access) -> bool| {
        let allowed = access::rules(user).filter(|(access, _)| may(*access));
        allowed.map(|(_, filter)| filter.as_str().to_owned()).collect()
    };
    [(true, who, "subscribe", filters(Access::reads)), (true, who, "publish", filters(Access::writes))]
}

/// The rules; `user` is the broker's placeholder for the name of an agent.
fn rules<'a>(revoked: &'a [Identity], services: Services<'a>, user: &str, now_s: u64) -> Vec<Rule<'a>> {
    let is_valid = |identity: &&Identity| now_s < identity.until_s;
    let deny = |identity: &'a Identity| (false, Some(identity.name.as_str()), "all", vec!["#".to_owned()]);
    // The last rules are for every user: services do not reach them.
    let deny_others = |name: &'a str| (false, Some(name), "all", vec!["#".to_owned()]);
    let of_services =
        users(services).flat_map(move |(name, user)| allowed(Some(name), user).into_iter().chain([deny_others(name)]));
    let rules = revoked.iter().filter(is_valid).map(deny).chain(of_services).chain(allowed(None, User::Agent(user)));
    rules.filter(|(.., filters)| !filters.is_empty()).collect()
}

/// Names and topics have no character that must be escaped.
fn quoted(topics: &[String]) -> String {
    topics.iter().map(|topic| format!("\"{topic}\"")).collect::<Vec<_>>().join(", ")
}

/// EMQX's file of rules: Erlang terms.
pub(super) fn emqx_acl(revoked: &[Identity], services: Services<'_>, now_s: u64) -> String {
    let mut lines = String::new();
    for (is_allowed, who, what, topics) in rules(revoked, services, "${username}", now_s) {
        let verdict = if is_allowed { "allow" } else { "deny" };
        let who = who.map_or_else(|| "all".into(), |name| format!("{{username, \"{name}\"}}"));
        // Writing to a String cannot fail.
        let _ = writeln!(lines, "{{{verdict}, {who}, {what}, [{}]}}.", quoted(&topics));
    }
    lines + "{deny, all}.\n"
}

/// rmqtt's `plugins/rmqtt-acl.toml`: the rights of each agent by its name. rmqtt stores the expansion of placeholders by client
/// identifier, so that an agent under another one's identifier would have the rights of both.
pub(super) fn rmqtt_acl(identities: &[Identity], services: Services<'_>, now_s: u64) -> String {
    let mut lines = "disconnect_if_pub_rejected = false\nrules = [\n".to_owned();
    let is_admitted = |identity: &&Identity| identity.state == IdentityState::Accepted && now_s < identity.until_s;
    let agents = identities.iter().filter(is_admitted).map(|agent| (agent.name.as_str(), User::Agent(&agent.name)));
    for (name, user) in users(services).chain(agents) {
        // Writing to a String cannot fail.
        let _ = writeln!(lines, "    [\"allow\", {{ user = \"{name}\" }}, \"connect\"],");
        for (_, _, what, topics) in allowed(Some(name), user).iter().filter(|(.., topics)| !topics.is_empty()) {
            let _ = writeln!(lines, "    [\"allow\", {{ user = \"{name}\" }}, \"{what}\", [{}]],", quoted(topics));
        }
    }
    lines + "    [\"deny\", \"all\"]\n]\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::revoked;

    #[test]
    fn rules_of_emqx_deny_revoked_agents_first_and_everything_else_last() {
        let list = emqx_acl(&[revoked("attic", 2_000), revoked("cellar", 1_000)], ("_trainer", &[]), 1_000);
        let lines: Vec<&str> = list.lines().collect();
        assert_eq!(lines[0], "{deny, {username, \"attic\"}, all, [\"#\"]}.");
        assert!(
            lines[1].starts_with("{allow, {username, \"_trainer\"}, subscribe, [\"lapwing/v1/agent/+/status\""),
            "{}",
            lines[1]
        );
        assert_eq!(lines.last(), Some(&"{deny, all}."));
        assert!(!list.contains("cellar"), "its certificate has ended");
        let denied = lines.iter().position(|line| *line == "{deny, {username, \"_trainer\"}, all, [\"#\"]}.").unwrap();
        let of_agents = lines.iter().position(|line| line.starts_with("{allow, all,")).unwrap();
        assert!((2..of_agents).contains(&denied), "after its own rules and before those of agents: {list}");
        let publish = lines.iter().find(|line| line.starts_with("{allow, all, publish")).unwrap();
        let subscribe = lines.iter().find(|line| line.starts_with("{allow, all, subscribe")).unwrap();
        assert!(publish.contains("agent/${username}/alert\"") && !publish.contains("/ack"), "{publish}");
        assert!(subscribe.contains("agent/${username}/identity/set\"") && !subscribe.contains("/alert"), "{subscribe}");
        assert!(lines.iter().all(|line| line.starts_with('{') && line.ends_with("}.")));
    }

    #[test]
    fn rules_of_rmqtt_name_each_agent_that_is_admitted_and_deny_everything_else() {
        let accepted = |name: &str, until_s| Identity { state: IdentityState::Accepted, ..revoked(name, until_s) };
        let identities = [accepted("attic", 2_000), revoked("cellar", 2_000), accepted("shed", 1_000)];
        let text = rmqtt_acl(&identities, ("_trainer", &[]), 1_000);
        let parsed: toml::Table = toml::from_str(&text).unwrap();
        let rules = parsed["rules"].as_array().unwrap();
        let of = |index: usize| rules[index].as_array().unwrap();
        let who = |index: usize| (of(index)[1]["user"].as_str().unwrap(), of(index)[2].as_str().unwrap());
        let expected = ["_trainer", "attic"]
            .into_iter()
            .flat_map(|name| ["connect", "subscribe", "publish"].map(|what| (name, what)));
        assert_eq!((0..rules.len() - 1).map(who).collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        assert_eq!((of(6)[0].as_str(), of(6)[1].as_str(), of(6).len()), (Some("deny"), Some("all"), 2));
        assert!(
            of(5)[3].as_array().unwrap().iter().any(|topic| topic.as_str() == Some("lapwing/v1/agent/attic/alert"))
        );
        assert!(!text.contains('%') && !text.contains("cellar") && !text.contains("shed"), "{text}");
    }
    #[test]
    fn the_configuration_of_emqx_requires_certificates_and_names_clients_by_them() {
        for line in [
            "peer_cert_as_username = cn",
            "peer_cert_as_clientid = cn",
            "verify = verify_peer",
            "fail_if_no_peer_cert = true",
            "no_match = deny",
        ] {
            assert!(EMQX.lines().any(|found| found.trim() == line), "{line}");
        }
        assert_eq!(EMQX.matches('{').count(), EMQX.matches('}').count());
        assert!(EMQX.contains("Not run with Lapwing"));
    }
}
