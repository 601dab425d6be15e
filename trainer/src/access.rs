//! Identities → the access list of a broker: what agents and the trainer may publish and read, and who is revoked.

use lapwing_fleet::{Identity, IdentityState};
use lapwing_shared::messages::access::{Access, User, is_service_name, rules};
use lapwing_shared::release::name::NAME_RULE;
use lapwing_store::StoreHandle;
use lapwing_store::traits::IdentityFilter;
use std::fmt::Write;
use std::iter;

/// Identities that one query lists.
const PAGE: u32 = 1_000;

/// Beginning of agents' topics.
const AGENTS: &str = "lapwing/v1/agent/";

/// User names of the trainer and of readers.
pub(crate) type Services<'a> = (&'a str, &'a [String]);

/// A user name that no agent can have.
pub(crate) fn service_name(text: &str) -> Result<String, String> {
    let is_valid = is_service_name(text);
    is_valid.then(|| text.to_owned()).ok_or_else(|| format!("expected `_` and a name; {NAME_RULE}"))
}

/// All identities in a state, page by page.
pub(crate) fn all_identities(handle: &StoreHandle, state: Option<IdentityState>) -> anyhow::Result<Vec<Identity>> {
    let mut all: Vec<Identity> = Vec::new();
    loop {
        let after = all.last().map(|identity| identity.name.clone());
        let page = handle.identities(&IdentityFilter { state, after, limit: PAGE, ..IdentityFilter::default() })?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Each service with its rights.
pub(crate) fn users<'a>((trainer, readers): Services<'a>) -> impl Iterator<Item = (&'a str, User<'a>)> {
    iter::once((trainer, User::Trainer)).chain(readers.iter().map(|name| (name.as_str(), User::Reader)))
}

/// The access list: the table of `messages::access` for mosquitto. Revoked agents come first: mosquitto uses the first line
/// that denies. The patterns are for every user, so services are denied the topics that an agent of their name would have.
pub(crate) fn acl(revoked: &[Identity], services: Services<'_>, now_s: u64) -> String {
    let mut lines = String::new();
    // Writing to a String cannot fail.
    for identity in revoked.iter().filter(|identity| now_s < identity.until_s) {
        let _ = writeln!(lines, "user {}\ntopic deny #\n", identity.name);
    }
    for (name, user) in users(services) {
        let _ = writeln!(lines, "user {name}");
        list(&mut lines, "topic", user);
        let _ = writeln!(lines, "topic deny {AGENTS}{name}/#");
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

/// An identity for tests.
#[cfg(test)]
pub(crate) fn revoked(name: &str, until_s: u64) -> Identity {
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

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_shared::messages::access::{TRAINER, access};
    use lapwing_shared::messages::topics::{Kind, Topic, kind_filter};
    use lapwing_shared::release::name::parse_name;

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
        assert_eq!(list.matches("pattern write lapwing/v1/agent/%u/").count(), Kind::ALL.len() - 3);
        for line in [
            "pattern write lapwing/v1/agent/%u/status/json",
            "pattern read lapwing/v1/agent/%u/ack",
            "pattern read lapwing/v1/agent/%u/identity/set",
            "pattern read lapwing/v1/agent/%u/assignment",
            "topic readwrite lapwing/v1/agent/+/assignment",
        ] {
            assert!(list.lines().any(|found| found == line), "{list}");
        }
        assert!(list.contains("pattern read lapwing/v1/group/+/release\n"));
        assert!(list.contains("pattern read lapwing/v1/group/+/root\n"));
    }

    /// True if mosquitto's filter matches a topic.
    fn matches(filter: &str, topic: &str) -> bool {
        let (filter, topic): (Vec<_>, Vec<_>) = (filter.split('/').collect(), topic.split('/').collect());
        let is_open = filter.last() == Some(&"#");
        let levels = filter.len() - usize::from(is_open);
        let fits = |(level, found): (&&str, &str)| *level == "+" || *level == found;
        (topic.len() == levels || (is_open && topic.len() > levels)) && filter.iter().zip(topic).take(levels).all(fits)
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
            // Mosquitto looks at denials first.
            if access == "deny" && matches(&filter, topic) {
                return (false, false);
            }
            if matches(&filter, topic) {
                allowed.0 |= access.starts_with("read");
                allowed.1 |= access.ends_with("write");
            }
        }
        allowed
    }

    #[test]
    fn a_service_publishes_on_no_topic_of_an_agent_of_its_name() {
        let list = acl(&[], (TRAINER, &["_hass".into()]), 0);
        for name in [TRAINER, "_hass"] {
            for kind in Kind::ALL {
                let topic = kind_filter(name, kind);
                assert!(!by_list(&list, name, &topic).1, "{name} {topic}");
            }
        }
        assert_eq!(by_list(&list, "_hass", "lapwing/v1/agent/gw/alert"), (true, false));
    }

    #[test]
    fn the_list_for_mosquitto_allows_what_the_table_allows() {
        let list = acl(&[], (TRAINER, &["_hass".into()]), 0);
        let agents = ["gw", "other"].map(|name| parse_name(name).unwrap());
        let of_agents = agents.iter().flat_map(|name| Kind::ALL.map(|kind| Topic::Agent(name.clone(), kind)));
        let topics: Vec<Topic> = of_agents
            .chain([Topic::Release(agents[0].clone()), Topic::Manifest(agents[0].clone(), 3)])
            .chain([Topic::Rollout(agents[0].clone()), Topic::Root(agents[0].clone()), Topic::Chunk([1; 32], 2)])
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
