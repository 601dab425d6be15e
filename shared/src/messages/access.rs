//! User of a broker and topic → what the user may do: the one access table, for the embedded broker and for lists of others.

use super::topics::{
    ARTIFACTS_FILTER, Kind, MANIFESTS_FILTER, RELEASES_FILTER, ROLLOUTS_FILTER, ROOTS_FILTER, Topic, TopicName,
    kind_filter,
};
use crate::release::name::is_name;
use core::iter;

/// First character of the user names of the trainer and of readers. No agent's name begins with it.
const SERVICE_MARK: char = '_';
/// True for a user name of the trainer or of a reader: the mark, and a name.
pub fn is_service_name(name: &str) -> bool {
    name.strip_prefix(SERVICE_MARK).is_some_and(is_name)
}

/// User name of the trainer at brokers.
pub const TRAINER: &str = "_trainer";

/// A user of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User<'a> {
    /// The agent with this name.
    Agent(&'a str),
    /// The trainer.
    Trainer,
    /// A program that shows alerts and statuses, such as Home Assistant.
    Reader,
}

/// What a user may do with a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    None,
    /// Receive its messages.
    Read,
    /// Publish on it.
    Write,
    /// Both.
    ReadWrite,
}

impl Access {
    /// Whether messages may be received.
    pub const fn reads(self) -> bool {
        matches!(self, Self::Read | Self::ReadWrite)
    }

    /// Whether messages may be published.
    pub const fn writes(self) -> bool {
        matches!(self, Self::Write | Self::ReadWrite)
    }
}

/// What a user may do on a topic.
pub fn access(user: User<'_>, topic: &Topic) -> Access {
    match topic {
        Topic::Agent(owner, kind) => access_to_kind(user, owner, *kind),
        Topic::Release(_) | Topic::Manifest(..) | Topic::Rollout(_) | Topic::Root(_) | Topic::Chunk(..) => match user {
            // Releases and rollouts are signed and no secret: lists of other brokers allow them to every user.
            User::Agent(_) | User::Reader => Access::Read,
            User::Trainer => Access::ReadWrite,
        },
    }
}

/// What a user may do on a topic of the agent `owner`.
fn access_to_kind(user: User<'_>, owner: &str, kind: Kind) -> Access {
    match (user, kind) {
        (User::Agent(name), _) if name != owner => Access::None,
        (User::Agent(_), _) if kind.is_to_agent() => Access::Read,
        (User::Agent(_), _) => Access::Write,
        (User::Trainer, Kind::Ack | Kind::Assignment) => Access::ReadWrite,
        (User::Trainer, Kind::IdentitySet) => Access::Write,
        (User::Trainer, _) => Access::Read,
        (User::Reader, Kind::Status | Kind::StatusJson | Kind::Alert | Kind::AlertJson | Kind::Health) => Access::Read,
        (
            User::Reader,
            Kind::Sample | Kind::Update | Kind::Ack | Kind::Identity | Kind::IdentitySet | Kind::Assignment,
        ) => Access::None,
    }
}

/// True if a user may publish on a topic.
pub fn may_publish(user: User<'_>, topic: &str) -> bool {
    Topic::parse(topic).is_some_and(|topic| access(user, &topic).writes())
}

/// True if a user may read every topic that a filter matches.
pub fn may_subscribe(user: User<'_>, filter: &str) -> bool {
    rules(user).any(|(access, pattern)| access.reads() && includes(&pattern, filter))
}

/// The table as filters whose topics a user may read or publish on. The name of an agent may be a broker's placeholder for it.
pub fn rules(user: User<'_>) -> impl Iterator<Item = (Access, TopicName)> + '_ {
    let owner = match user {
        User::Agent(name) => name,
        User::Trainer | User::Reader => "+",
    };
    let of_kinds = Kind::ALL.into_iter().map(move |kind| (access_to_kind(user, owner, kind), kind_filter(owner, kind)));
    let filters = [RELEASES_FILTER, MANIFESTS_FILTER, ROLLOUTS_FILTER, ROOTS_FILTER, ARTIFACTS_FILTER];
    let of_releases = filters.into_iter().map(move |filter| (releases(user), name(filter)));
    of_kinds.chain(of_releases).filter(|(access, _)| *access != Access::None)
}

/// What a user may do on every group's and every artifact's topics.
fn releases(user: User<'_>) -> Access {
    access(user, &Topic::Chunk([0; 32], 0))
}

/// The filters are shorter than the longest topic.
fn name(filter: &str) -> TopicName {
    TopicName::try_from(filter).unwrap_or_default()
}

/// True if every topic that `filter` matches is one that `pattern` matches, which has no `#`.
fn includes(pattern: &str, filter: &str) -> bool {
    let levels = pattern.split('/').map(Some).chain(iter::repeat(None)).zip(filter.split('/').map(Some).chain([None]));
    levels.into_iter().all(|(pattern, filter)| match (pattern, filter) {
        (None, None) => true,
        (Some("+"), Some(level)) => level != "#",
        (Some(pattern), Some(level)) => pattern == level,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::topics::agent_topic;
    use crate::release::name::parse_name;
    use std::string::String;
    use std::vec::Vec;

    const GATEWAY: User<'static> = User::Agent("gw");

    fn topics() -> Vec<String> {
        let agents = ["gw", "other"].map(|name| parse_name(name).unwrap());
        let own = agents.iter().flat_map(|name| Kind::ALL.map(|kind| agent_topic(name, kind)));
        let home = parse_name("home").unwrap();
        let others = [
            Topic::Release(home.clone()),
            Topic::Manifest(home.clone(), 7),
            Topic::Rollout(home.clone()),
            Topic::Root(home),
            Topic::Chunk([7; 32], 3),
        ];
        own.chain(others.map(|topic| topic.name())).map(|topic| topic.as_str().into()).collect()
    }

    #[test]
    fn an_agent_publishes_on_its_own_topics_and_reads_answers_and_releases() {
        let published: Vec<String> = topics().into_iter().filter(|topic| may_publish(GATEWAY, topic)).collect();
        assert_eq!(published.len(), Kind::ALL.len() - 3);
        assert!(published.iter().all(|topic| topic.starts_with("lapwing/v1/agent/gw/") && !topic.ends_with("/ack")));
        assert!(!may_publish(GATEWAY, "lapwing/v1/agent/gw/identity/set"));
        assert!(!may_publish(GATEWAY, "lapwing/v1/agent/gw/assignment"));
        let read: Vec<String> = topics().into_iter().filter(|topic| may_subscribe(GATEWAY, topic)).collect();
        assert_eq!(read.len(), 8, "{read:?}");
        assert!(!may_publish(GATEWAY, "lapwing/v1/agent/gw/other") && !may_publish(GATEWAY, "#"));
    }

    #[test]
    fn a_filter_with_a_foreign_topic_is_refused() {
        for allowed in [
            "lapwing/v1/group/+/release",
            "lapwing/v1/group/home/release",
            "lapwing/v1/group/home/release/+",
            "lapwing/v1/group/home/rollout",
            "lapwing/v1/artifact/+/+",
            "lapwing/v1/artifact/x/+",
        ] {
            assert!(may_subscribe(GATEWAY, allowed), "{allowed}");
        }
        for foreign in [
            "#",
            "+",
            "lapwing/#",
            "lapwing/v1/agent/#",
            "lapwing/v1/agent/+/ack",
            "lapwing/v1/agent/gw/#",
            "lapwing/v1/agent/gw/+",
            "lapwing/v1/agent/gw/ack/#",
            "lapwing/v1/agent/gw/ack/more",
            "lapwing/v1/agent/other/ack",
            "lapwing/v1/agent/other/assignment",
            "lapwing/v1/agent/+/assignment",
            "lapwing/v1/group/#",
            "lapwing/v1/group/+/+",
            "lapwing/v1/group/home/release/#",
            "lapwing/v1/+/home/release",
            "+/v1/group/home/release",
            "lapwing/v1/agent/gw",
            "$SYS/#",
            "",
        ] {
            assert!(!may_subscribe(GATEWAY, foreign), "{foreign}");
        }
    }

    #[test]
    fn no_agents_name_is_a_service_name() {
        assert!(is_service_name("_hass") && is_service_name(TRAINER) && parse_name("_hass").is_none());
        for name in ["hass", "_", "__a", "_a b", "_a\ntopic write #", ""] {
            assert!(!is_service_name(name), "{name}");
        }
    }

    #[test]
    fn a_reader_reads_alerts_and_statuses_and_publishes_nothing() {
        assert!(topics().iter().all(|topic| !may_publish(User::Reader, topic)));
        for kind in ["status", "status/json", "alert", "alert/json", "health"] {
            assert!(may_subscribe(User::Reader, &std::format!("lapwing/v1/agent/+/{kind}")));
        }
        for foreign in ["#", "lapwing/v1/agent/+/sample", "lapwing/v1/agent/+/ack"] {
            assert!(!may_subscribe(User::Reader, foreign), "{foreign}");
        }
    }

    #[test]
    fn the_table_as_filters_allows_what_the_table_allows() {
        for user in [GATEWAY, User::Agent("other"), User::Trainer, User::Reader] {
            for topic in topics() {
                let by_filter = |wanted: fn(Access) -> bool| {
                    rules(user).any(|(access, pattern)| wanted(access) && includes(&pattern, &topic))
                };
                let parsed = Topic::parse(&topic).unwrap();
                let expected = access(user, &parsed);
                assert_eq!(
                    (by_filter(Access::reads), by_filter(Access::writes)),
                    (expected.reads(), expected.writes()),
                    "{user:?} {topic}"
                );
            }
        }
    }
}
