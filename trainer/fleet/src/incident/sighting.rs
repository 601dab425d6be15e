//! An episode → what the joiner compares.

use super::cause::Cause;
use super::remote::{Network, is_outside};
use super::severity::Severity;
use crate::episode::Episode;
use lapwing_shared::messages::{AddressForm, Alert, Role};
use lapwing_shared::units::Address;

/// Share of the listed flows that a peer must have to be compared. A host that scans has hundreds of peers; an alert then lists
/// four of them with upper bounds, among them services that every site uses.
const PEER_SHARE: f64 = 0.5;
/// Ports whose servers are resolvers.
const RESOLVER_PORTS: [u16; 3] = [53, 853, 5353];

/// An outside peer of an episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Remote {
    pub address: Address,
    pub network: Network,
}

/// Whether an episode belongs to an incident.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Membership {
    /// To none.
    #[default]
    None,
    /// To this one.
    In(i64),
}

/// An episode, as the joiner sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// Its row in the store.
    pub id: i64,
    /// Its agent, which is the site.
    pub agent: String,
    /// Its number.
    pub episode: u64,
    /// Group of the agent.
    pub group: String,
    /// Host that the evidence concerns.
    pub host: String,
    /// Role of the host.
    pub role: Role,
    /// Most frequent responder port, 0 for none.
    pub port: u16,
    /// What raised it.
    pub cause: Cause,
    /// Its start, seconds since the epoch, by the agent's clock.
    pub since_s: u64,
    /// Its newest message, by the agent's clock.
    pub at_s: u64,
    /// Release that raised it, 0 for none.
    pub release: u64,
    /// When the agent switched to this release; `None` if unknown.
    pub switched_s: Option<u64>,
    /// Its outside peers.
    pub remotes: Vec<Remote>,
    /// How urgent it is.
    pub severity: Severity,
    /// The incident to which it belongs.
    pub member: Membership,
    /// Test alerts and alerts without a known cause join nothing.
    pub may_join: bool,
}

impl Sighting {
    /// What the store has of an episode at `now_s`. Times in the future, of a clock that is wrong, become `now_s`.
    pub fn new(id: i64, episode: &Episode, now_s: u64) -> Self {
        let (record, alert) = (&episode.record, episode.message.as_deref());
        let reasons = alert.map(|alert| alert.reasons.as_slice()).unwrap_or_default();
        let cause = Cause::of(episode.class.as_ref(), reasons);
        let is_test = record.limit_nats <= 0.0;
        Self {
            id,
            agent: episode.agent.clone(),
            episode: episode.number,
            group: String::new(),
            host: record.shown_host().to_string(),
            role: record.role,
            port: record.service_port,
            may_join: !is_test && !cause.is_unknown(),
            cause,
            since_s: record.since.as_secs().min(now_s),
            at_s: record.at.as_secs().min(now_s),
            release: record.release,
            switched_s: None,
            remotes: alert.map(remotes).unwrap_or_default(),
            severity: Severity::of_episode(record.peak_nats, record.limit_nats, episode.label),
            member: Membership::None,
        }
    }

    /// The series of an episode: repeats of one thing have the same.
    pub fn series(&self) -> String {
        let role = if self.role == Role::Source { "source" } else { "target" };
        format!("{} {} {role}", self.agent, self.host)
    }

    /// What the rule of bursts compares beside the cause.
    pub(super) fn place(&self) -> String {
        let role = if self.role == Role::Source { "source" } else { "target" };
        format!("{role} port {}", self.port)
    }
}

/// The outside peers of an alert. Pseudonyms do not say whether they are outside, so they are not compared.
fn remotes(alert: &Alert) -> Vec<Remote> {
    if alert.addresses != AddressForm::Plain {
        return Vec::new();
    }
    let peers: Vec<(Address, u32)> = alert.peers.iter().map(|peer| (peer.address, peer.flows)).collect();
    outside(&peers, alert.host, alert.role, alert.service_port)
}

/// The outside peers among those of a host, with their flows.
pub(super) fn outside(peers: &[(Address, u32)], host: Address, role: Role, port: u16) -> Vec<Remote> {
    if role == Role::Source && RESOLVER_PORTS.contains(&port) {
        return Vec::new();
    }
    let all: u64 = peers.iter().map(|(_, flows)| u64::from(*flows)).sum();
    let counts = |flows: u32| f64::from(flows) >= PEER_SHARE * all as f64;
    let peers = peers.iter().filter(|(address, flows)| counts(*flows) && is_outside(*address));
    // With IPv6, hosts of the site have global addresses, too.
    let own = Network::of(host);
    peers
        .map(|(address, _)| Remote { address: *address, network: Network::of(*address) })
        .filter(|remote| remote.network != own)
        .collect()
}
