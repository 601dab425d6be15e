//! Stored episodes → alerts with their hosts and reasons.

use crate::params::EpisodeState;
use lapwing_shared::features::schema::SCHEMA;
use lapwing_shared::messages::{Alert, Peer, Reason, Role};
use lapwing_store::Episode;
use serde::Serialize;
use utoipa::ToSchema;

/// An alert episode, as of its latest message.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct AlertView {
    /// Agent.
    pub(crate) agent: String,
    /// Number of the episode; a string, because JavaScript numbers cannot represent all of its digits.
    pub(crate) episode: String,
    /// Open or closed.
    #[schema(inline)]
    pub(crate) state: EpisodeState,
    /// Attack type: from the trainer's classifier if it is confident enough, otherwise the type that the alert resembles
    /// according to the agent's release, otherwise `unknown`.
    pub(crate) kind: String,
    /// Attack type by the trainer's classifier; null before classification, or without a classifier.
    pub(crate) named: Option<String>,
    /// Probability of the most likely attack type.
    pub(crate) named_probability: Option<f64>,
    /// Feature rows used for the classification.
    pub(crate) named_rows: Option<u32>,
    /// Attack type that the alert resembles, according to the agent's release.
    pub(crate) resembles: Option<String>,
    /// What host and peers are: `plain` addresses; pseudonyms, which a key resolves; or `none`: pseudonyms of one run of the
    /// agent, which no key resolves.
    pub(crate) addresses: String,
    /// Identifier of the key that resolves the pseudonyms; null for others.
    pub(crate) address_key: Option<String>,
    /// Host that the evidence is about. Pseudonyms begin with `p-`, those that no key resolves with `h-`.
    pub(crate) host: String,
    /// Role of the host in its flows.
    #[schema(inline)]
    pub(crate) role: HostRole,
    /// Peers of the host with the most flows.
    pub(crate) peers: Vec<PeerView>,
    /// Most frequent destination port, 0 for none.
    pub(crate) service_port: u16,
    /// Start, seconds since the epoch, by the agent's clock.
    pub(crate) since_s: u64,
    /// Time of the newest message, seconds since the epoch, by the agent's clock.
    pub(crate) at_s: u64,
    /// Highest evidence, nats.
    pub(crate) peak_nats: f64,
    /// Evidence limit, nats.
    pub(crate) limit_nats: f64,
    /// Flows of the host in the episode.
    pub(crate) flows: u32,
    /// Anomalous flows among them.
    pub(crate) odd_flows: u32,
    /// Why the most anomalous flow was flagged, largest share of the score first.
    pub(crate) reasons: Vec<ReasonView>,
    /// Release that raised the alert.
    pub(crate) release: u64,
    /// The alert as a sentence: hosts, start, flows, attack type.
    pub(crate) words: String,
    /// Label given by an operator: `benign` or `attack`; null without one.
    pub(crate) label: Option<String>,
    /// Name of the operator.
    pub(crate) labelled_by: Option<String>,
}

/// Role of a host in its flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HostRole {
    /// It initiated them.
    Source,
    /// It was their destination.
    Target,
}

impl From<Role> for HostRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Source => Self::Source,
            Role::Target => Self::Target,
        }
    }
}

impl HostRole {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}

/// A peer of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct PeerView {
    /// Address or pseudonym, as of the host.
    pub(crate) address: String,
    /// Flows with it.
    pub(crate) flows: u32,
}

/// A feature with an anomalous value.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct ReasonView {
    /// Feature name.
    pub(crate) feature: String,
    /// Definition of the feature.
    pub(crate) definition: String,
    /// Unit, empty for a plain number.
    pub(crate) unit: String,
    /// Value in the flow.
    pub(crate) value: f32,
    /// 1 % of the benign flows of this network have a lower value.
    pub(crate) normal_low: f32,
    /// 1 % of the benign flows of this network have a higher value.
    pub(crate) normal_high: f32,
    /// Share of the score, 0 to 1.
    pub(crate) share: f32,
    /// The reason as a sentence.
    pub(crate) words: String,
    /// The part of the sentence about the value.
    #[serde(skip)]
    pub(crate) seen: String,
    /// The part of the sentence about the normal range.
    #[serde(skip)]
    pub(crate) normal: String,
    /// The value is within the normal range, and anomalous only in combination with others.
    #[serde(skip)]
    pub(crate) usual: bool,
}

impl AlertView {
    pub(crate) fn new(episode: &Episode) -> Self {
        let (record, class) = (&episode.record, episode.class.as_ref());
        let peers = episode.message.iter().flat_map(|alert| alert.peers.iter().map(|peer| PeerView::new(alert, peer)));
        let reasons = episode.message.iter().flat_map(|alert| &alert.reasons);
        Self {
            agent: episode.agent.clone(),
            episode: episode.number.to_string(),
            state: if record.is_open() { EpisodeState::Open } else { EpisodeState::Closed },
            kind: episode.shown_class().to_owned(),
            named: class.map(|class| class.class.clone()),
            named_probability: class.and_then(|class| class.probability),
            named_rows: class.map(|class| class.rows),
            resembles: record.resembles.clone(),
            addresses: record.addresses.name().to_owned(),
            address_key: record.addresses.key().map(|key| key.to_string()),
            host: record.shown_host().to_string(),
            role: record.role.into(),
            peers: peers.collect(),
            service_port: record.service_port,
            since_s: record.since.as_secs(),
            at_s: record.at.as_secs(),
            peak_nats: record.peak_nats,
            limit_nats: record.limit_nats,
            flows: record.flows,
            odd_flows: record.odd_flows,
            reasons: reasons.filter_map(ReasonView::new).collect(),
            release: record.release,
            words: episode.summary().map(|summary| summary.to_string()).unwrap_or_default(),
            label: episode.label.map(|label| label.as_str().to_owned()),
            labelled_by: episode.labelled_by.clone(),
        }
    }
}

impl PeerView {
    fn new(alert: &Alert, peer: &Peer) -> Self {
        Self { address: alert.named(peer.address).to_string(), flows: peer.flows }
    }
}

impl ReasonView {
    fn new(reason: &Reason) -> Option<Self> {
        let feature = SCHEMA.get(usize::from(reason.feature))?;
        let finding = reason.finding();
        Some(Self {
            feature: feature.name.into(),
            definition: definition(usize::from(reason.feature)),
            unit: feature.unit.into(),
            value: reason.value,
            normal_low: reason.normal_low,
            normal_high: reason.normal_high,
            share: f32::from(reason.share_permille) / 1000.0,
            words: finding.to_string(),
            seen: finding.seen().to_string(),
            normal: finding.normal().to_string(),
            usual: finding.is_usual(),
        })
    }
}

/// Definition of a feature. In the schema some refer to an earlier one; then that one follows in parentheses.
fn definition(index: usize) -> String {
    let text = |index: usize| SCHEMA.get(index).map_or("", |feature| feature.definition);
    let refers = |text: &str| text.starts_with("the same") || text.contains("of that ") || text.contains("of those ");
    let referred = (0..index).rev().map(text).find(|earlier| !refers(earlier));
    match referred.filter(|_| refers(text(index))) {
        Some(earlier) => format!("{} ({earlier})", text(index)),
        None => text(index).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::definition;
    use lapwing_shared::features::schema::index_of;

    #[test]
    fn a_definition_that_refers_to_another_includes_it() {
        let of = |name: &str| definition(index_of(name).unwrap());
        assert_eq!(of("target_flows_30s"), "the same over 30 s (flows aimed at the responder, damped over 3 s)");
        assert!(of("forward_size_deviation").ends_with("(mean network-layer size of the initiator's packets)"));
        assert_eq!(of("target_ports_30s"), "distinct ports of the responder that flows were aimed at, 30 to 60 s");
    }
}
