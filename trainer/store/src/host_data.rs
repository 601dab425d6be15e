//! Which stored data names a host, and alerts without it.

use crate::fields::Fields;
use lapwing_shared::messages::{AddressForm, Alert, Body, MESSAGE_BYTES, Message};
use lapwing_shared::units::Address;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Alert messages that one query reads.
pub(crate) const PAGE: i64 = 500;

/// A host of some agents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFilter {
    /// Its address or pseudonym.
    pub host: Address,
    /// It is a pseudonym.
    pub is_pseudonym: bool,
    /// Only data of this agent.
    pub agent: Option<String>,
    /// Only data of agents of this group.
    pub group: Option<String>,
}

impl HostFilter {
    /// The agents, for the audit log.
    pub(crate) fn scope(&self) -> String {
        match (&self.agent, &self.group) {
            (Some(agent), _) => format!("agent {agent}"),
            (None, Some(group)) => format!("group {group}"),
            (None, None) => "every agent".to_owned(),
        }
    }

    /// True for the host of an alert or one of its peers in the same form.
    fn names(&self, alert: &Alert, address: Address) -> bool {
        self.is_pseudonym == (alert.addresses != AddressForm::Plain) && address == self.host
    }

    /// An alert's payload without the host among the peers; `None` if the alert does not name it there. A payload that no
    /// longer decodes becomes empty: what it says can only be removed as a whole.
    pub(crate) fn redact(&self, payload: &[u8]) -> Option<Vec<u8>> {
        let Ok(mut message) = Message::decode(payload) else { return Some(Vec::new()) };
        let Body::Alert(alert) = &mut message.body else { return None };
        let before = alert.peers.len();
        let peers = alert.peers.clone().into_iter().filter(|peer| !self.names(alert, peer.address)).collect();
        alert.peers = peers;
        if alert.peers.len() == before {
            return None;
        }
        message.encode(&mut vec![0; MESSAGE_BYTES]).map(<[u8]>::to_vec).ok()
    }
}

/// What names a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostData {
    /// Its episodes.
    pub episodes: u64,
    /// Alert messages of these.
    pub messages: u64,
    /// Labels of these.
    pub labels: u64,
    /// Alert messages of other hosts that name it as a peer.
    pub mentions: u64,
}

/// `3 episodes, 12 alert messages, 1 label, named by 5 alert messages of other hosts`.
impl fmt::Display for HostData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { episodes, messages, labels, mentions } = self;
        let s = |count: &u64| if *count == 1 { "" } else { "s" };
        write!(
            f,
            "{episodes} episode{}, {messages} alert message{}, {labels} label{}, named as a peer in {mentions} alert \
             message{} of other hosts",
            s(episodes),
            s(messages),
            s(labels),
            s(mentions)
        )
    }
}

/// An episode of a host.
pub(crate) struct HostEpisode {
    pub(crate) agent: i64,
    pub(crate) number: i64,
    pub(crate) is_labelled: bool,
}

/// A row of an agent, an episode's number, and whether it has a label.
pub(crate) fn host_episode<R: Fields>(row: &R) -> Result<HostEpisode, R::Error> {
    Ok(HostEpisode { agent: row.integer(0)?, number: row.integer(1)?, is_labelled: row.flag(2)? })
}

/// An alert message whose payload contains the bytes of a host.
pub(crate) struct Mention {
    pub(crate) id: i64,
    pub(crate) received_s: i64,
    pub(crate) agent: i64,
    pub(crate) episode: i64,
    pub(crate) payload: Vec<u8>,
}

/// A row of [`crate::statements::mentions`].
pub(crate) fn mention<R: Fields>(row: &R) -> Result<Mention, R::Error> {
    Ok(Mention {
        id: row.integer(0)?,
        received_s: row.integer(1)?,
        agent: row.integer(2)?,
        episode: row.integer(3)?,
        payload: row.bytes(4)?,
    })
}

/// Episodes by agent and number.
pub(crate) type HostEpisodes = BTreeMap<i64, BTreeSet<i64>>;

/// The episodes by agent, and the counts of them and their labels.
pub(crate) fn grouped(found: &[HostEpisode]) -> (HostEpisodes, HostData) {
    let mut episodes = HostEpisodes::new();
    for episode in found {
        episodes.entry(episode.agent).or_default().insert(episode.number);
    }
    let labels = found.iter().filter(|episode| episode.is_labelled).count() as u64;
    (episodes, HostData { episodes: found.len() as u64, labels, ..HostData::default() })
}

/// A message of other hosts' episodes → its payload without the host; `None` if it needs no change.
pub(crate) fn redacted(filter: &HostFilter, own: &HostEpisodes, mention: &Mention) -> Option<Vec<u8>> {
    let is_own = own.get(&mention.agent).is_some_and(|episodes| episodes.contains(&mention.episode));
    if is_own { None } else { filter.redact(&mention.payload) }
}
