//! MQTT topic ↔ agent, group or artifact and the kind of message.
//!
//! ```text
//! lapwing/v1/agent/{agent}/{status|alert|sample|health|update|ack|identity|assignment}
//! lapwing/v1/agent/{agent}/{status|alert}/json
//! lapwing/v1/agent/{agent}/identity/set
//! lapwing/v1/group/{group}/{release|root|rollout}
//! lapwing/v1/group/{group}/release/{version}
//! lapwing/v1/artifact/{sha256, 64 lower-case hex digits}/{chunk number from 0}
//! ```
//! Parsing is strict: each topic has one spelling, so a parsed topic equals the one built from it.

use crate::messages::AgentName;
use crate::release::digest::{Hex, parse_digest};
use crate::release::manifest::{ARTIFACT_BYTES, CHUNK_BYTES, Digest, Name};
use crate::release::name::parse_name;
use core::fmt::Write;
use heapless::String;

/// First levels of every topic. The version changes when the meaning of a topic changes.
pub const ROOT: &str = "lapwing/v1";
/// Longest topic, bytes.
pub const TOPIC_BYTES: usize = 96;

/// A built topic.
pub type TopicName = String<TOPIC_BYTES>;

/// Kind of message on an agent's topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// [`crate::messages::Status`], retained; last will.
    Status,
    /// The status as JSON, retained, for other programs.
    StatusJson,
    /// [`crate::messages::Alert`].
    Alert,
    /// The alert as JSON, for other programs; not resent after a connection loss.
    AlertJson,
    /// [`crate::messages::Samples`].
    Sample,
    /// [`crate::messages::Health`].
    Health,
    /// [`crate::messages::Update`].
    Update,
    /// [`crate::messages::Acknowledgement`], to the agent.
    Ack,
    /// [`crate::enrolment::RenewalRequest`].
    Identity,
    /// The agent's next certificate, to the agent, signed by its authority.
    IdentitySet,
    /// [`crate::rollout::assignment::Assignment`], signed, to the agent, retained.
    Assignment,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Status,
        Self::StatusJson,
        Self::Alert,
        Self::AlertJson,
        Self::Sample,
        Self::Health,
        Self::Update,
        Self::Ack,
        Self::Identity,
        Self::IdentitySet,
        Self::Assignment,
    ];

    /// Last levels of the topic.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::StatusJson => "status/json",
            Self::Alert => "alert",
            Self::AlertJson => "alert/json",
            Self::Sample => "sample",
            Self::Health => "health",
            Self::Update => "update",
            Self::Ack => "ack",
            Self::Identity => "identity",
            Self::IdentitySet => "identity/set",
            Self::Assignment => "assignment",
        }
    }

    /// True if the trainer publishes it and the agent reads it; all others come from the agent.
    pub const fn is_to_agent(self) -> bool {
        matches!(self, Self::Ack | Self::IdentitySet | Self::Assignment)
    }
}

/// Every topic of Lapwing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topic {
    /// From or to one agent.
    Agent(AgentName, Kind),
    /// The signed manifest of a group, retained.
    Release(Name),
    /// The signed manifest of one version of a group, retained.
    Manifest(Name, u64),
    /// The newest signed rollout of a group, retained.
    Rollout(Name),
    /// The chain of root documents, retained: the same for every group.
    Root(Name),
    /// One chunk of an artifact, retained: the artifact's SHA-256 and the chunk's number.
    Chunk(Digest, u32),
}

impl Topic {
    /// Parses a topic; `None` if it is not exactly one of Lapwing's topics.
    pub fn parse(topic: &str) -> Option<Self> {
        let rest = topic.strip_prefix(ROOT)?.strip_prefix('/')?;
        let (branch, rest) = rest.split_once('/')?;
        let (subject, last) = rest.split_once('/')?;
        match branch {
            "agent" => {
                let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == last)?;
                Some(Self::Agent(parse_name(subject)?, kind))
            }
            "group" if last == "release" => Some(Self::Release(parse_name(subject)?)),
            "group" if last == "root" => Some(Self::Root(parse_name(subject)?)),
            "group" if last == "rollout" => Some(Self::Rollout(parse_name(subject)?)),
            "group" => Some(Self::Manifest(parse_name(subject)?, parse_number(last.strip_prefix("release/")?)?)),
            "artifact" => Some(Self::Chunk(parse_digest(subject)?, parse_chunk(last)?)),
            _ => None,
        }
    }

    /// The topic's name.
    pub fn name(&self) -> TopicName {
        match self {
            Self::Agent(agent, kind) => agent_topic(agent, *kind),
            Self::Release(group) => release_topic(group),
            Self::Manifest(group, version) => manifest_topic(group, *version),
            Self::Rollout(group) => rollout_topic(group),
            Self::Root(group) => root_topic(group),
            Self::Chunk(sha256, number) => chunk_topic(sha256, *number),
        }
    }
}

/// Topic of one agent.
pub fn agent_topic(agent: &AgentName, kind: Kind) -> TopicName {
    join(format_args!("{ROOT}/agent/{agent}/{}", kind.as_str()))
}

/// Filter for a kind from all agents.
pub fn agents_filter(kind: Kind) -> TopicName {
    join(format_args!("{ROOT}/agent/+/{}", kind.as_str()))
}

/// Filter for a kind from the agents that a level matches: a name, a placeholder or `+`.
pub fn kind_filter(level: &str, kind: Kind) -> TopicName {
    join(format_args!("{ROOT}/agent/{level}/{}", kind.as_str()))
}

/// Filter for the releases of all groups.
pub const RELEASES_FILTER: &str = "lapwing/v1/group/+/release";
/// Filter for the manifests of all versions of all groups.
pub const MANIFESTS_FILTER: &str = "lapwing/v1/group/+/release/+";
/// Filter for the rollouts of all groups.
pub const ROLLOUTS_FILTER: &str = "lapwing/v1/group/+/rollout";
/// Filter for the root documents of all groups.
pub const ROOTS_FILTER: &str = "lapwing/v1/group/+/root";
/// Filter for the chunks of all artifacts.
pub const ARTIFACTS_FILTER: &str = "lapwing/v1/artifact/+/+";

/// Topic of a group's release.
pub fn release_topic(group: &Name) -> TopicName {
    join(format_args!("{ROOT}/group/{group}/release"))
}

/// Topic of the manifest of one version of a group.
pub fn manifest_topic(group: &Name, version: u64) -> TopicName {
    join(format_args!("{ROOT}/group/{group}/release/{version}"))
}

/// Topic of a group's rollouts.
pub fn rollout_topic(group: &Name) -> TopicName {
    join(format_args!("{ROOT}/group/{group}/rollout"))
}

/// Topic of the root documents for a group.
pub fn root_topic(group: &Name) -> TopicName {
    join(format_args!("{ROOT}/group/{group}/root"))
}

/// Topic of one chunk.
pub fn chunk_topic(sha256: &Digest, number: u32) -> TopicName {
    join(format_args!("{ROOT}/artifact/{}/{number}", Hex(sha256)))
}

/// The longest text has 20 + 64 + 1 + 10 bytes, so writing cannot fail.
fn join(text: core::fmt::Arguments<'_>) -> TopicName {
    let mut topic = TopicName::new();
    let _ = topic.write_fmt(text);
    topic
}

fn parse_chunk(text: &str) -> Option<u32> {
    let number = u32::try_from(parse_number(text)?).ok()?;
    (number < ARTIFACT_BYTES.div_ceil(CHUNK_BYTES)).then_some(number)
}

/// A number without sign and leading zeros.
fn parse_number(text: &str) -> Option<u64> {
    let is_canonical = text == "0" || !text.starts_with('0');
    let is_number = is_canonical && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::ToString;

    fn name(text: &str) -> Name {
        parse_name(text).unwrap()
    }

    #[test]
    fn topics_match_the_documentation() {
        let digest: Digest = core::array::from_fn(|index| index as u8);
        assert_eq!(agent_topic(&name("gw-1"), Kind::Status), "lapwing/v1/agent/gw-1/status");
        assert_eq!(agent_topic(&name("gw-1"), Kind::AlertJson), "lapwing/v1/agent/gw-1/alert/json");
        assert_eq!(agents_filter(Kind::Sample), "lapwing/v1/agent/+/sample");
        assert_eq!(release_topic(&name("home")), "lapwing/v1/group/home/release");
        assert_eq!(manifest_topic(&name("home"), 12), "lapwing/v1/group/home/release/12");
        assert_eq!(rollout_topic(&name("home")), "lapwing/v1/group/home/rollout");
        for filter in [RELEASES_FILTER, MANIFESTS_FILTER, ROLLOUTS_FILTER, ROOTS_FILTER, ARTIFACTS_FILTER] {
            assert!(filter.starts_with(ROOT) && filter.len() < TOPIC_BYTES);
        }
        assert_eq!(
            chunk_topic(&digest, 63),
            "lapwing/v1/artifact/000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f/63"
        );
    }

    #[test]
    fn every_topic_round_trips() {
        let longest = name("abcdefghijklmnopqrstuvwxyz012345");
        for kind in Kind::ALL {
            let topic = Topic::Agent(longest.clone(), kind);
            assert_eq!(Topic::parse(&topic.name()), Some(topic));
        }
        for topic in [
            Topic::Release(longest.clone()),
            Topic::Manifest(longest.clone(), 1),
            Topic::Manifest(longest.clone(), u64::MAX),
            Topic::Rollout(longest.clone()),
            Topic::Root(longest),
            Topic::Chunk([0xe7; 32], 0),
            Topic::Chunk([0; 32], 63),
        ] {
            assert_eq!(Topic::parse(&topic.name()), Some(topic));
        }
    }

    #[test]
    fn the_longest_chunk_number_fits_a_topic() {
        assert!(chunk_topic(&[0xff; 32], u32::MAX).ends_with("/4294967295"));
    }

    #[test]
    fn other_spellings_are_rejected() {
        let hex = "ab".repeat(32);
        let chunk = |digest: &str, number: &str| format!("lapwing/v1/artifact/{digest}/{number}");
        let bad = [
            "".to_string(),
            "lapwing/v1".to_string(),
            "lapwing/v2/agent/a/alert".to_string(),
            "lapwing/v1/agent/a".to_string(),
            "lapwing/v1/agent//alert".to_string(),
            "lapwing/v1/agent/+/alert".to_string(),
            "lapwing/v1/agent/a b/alert".to_string(),
            "lapwing/v1/agent/a/alert/".to_string(),
            "lapwing/v1/agent/a/alert/xml".to_string(),
            "lapwing/v1/agent/a/Alert".to_string(),
            "lapwing/v1/group/a/releases".to_string(),
            "/lapwing/v1/group/a/release".to_string(),
            "lapwing/v1/group/a/root/1".to_string(),
            "lapwing/v1/group/a/rollout/1".to_string(),
            "lapwing/v1/group/a/release/".to_string(),
            "lapwing/v1/group/a/release/01".to_string(),
            "lapwing/v1/group/a/release/+".to_string(),
            "lapwing/v1/group/a/release/1/2".to_string(),
            "lapwing/v1/group/a/release/18446744073709551616".to_string(),
            chunk(&hex, "01"),
            chunk(&hex, "+1"),
            chunk(&hex, "64"),
            chunk(&hex, "99999999999"),
            chunk(&hex, ""),
            chunk(&hex.to_uppercase(), "1"),
            chunk(&hex[1..], "1"),
            chunk(&format!("{}é", &hex[2..]), "1"),
        ];
        for topic in &bad {
            assert_eq!(Topic::parse(topic), None, "{topic}");
        }
    }
}
