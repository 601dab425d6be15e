//! What the store knows → what the JSON and the pages say, the same for both.

use super::query::{AgentState, Stand};
use crate::store::{AgentRow, AlertLine, UpdateLine};
use lapwing_shared::features::schema::SCHEMA;
use lapwing_shared::messages::{Alert, Body, Health, Message, Reason, Status};
use serde::Serialize;
use utoipa::ToSchema;

/// An agent tells its health every ten seconds; after this silence, in seconds, "online" is no longer believed.
const SILENT_S: u64 = 120;

/// One agent.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AgentView {
    /// Name.
    pub name: String,
    /// How it is doing.
    #[schema(inline)]
    pub state: AgentState,
    /// Group whose releases it takes; empty before it told.
    pub group: String,
    /// `tract` or `int8`; empty before it told.
    pub engine: String,
    /// Its version; empty before it told.
    pub agent_version: String,
    /// When it was last heard, seconds since the epoch, the trainer's clock.
    pub last_seen_s: u64,
    /// Release in use, 0 for none.
    pub release: u64,
    /// What stands behind it.
    pub release_state: ReleaseState,
    /// The newest step of its updates.
    pub update: Option<UpdateView>,
    /// Its counters; nothing before it told them.
    pub health: Option<HealthView>,
    /// Episodes of it that are open.
    pub open_alerts: u64,
    /// Alert messages that it ever sent.
    pub alert_messages: u64,
    /// Feature rows that it ever sent.
    pub sample_rows: u64,
}

/// Where an agent's release stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReleaseState {
    /// No release: it detects nothing.
    None,
    /// On probation.
    Trial,
    /// Kept.
    Confirmed,
    /// A newer one was taken back; the one in use is that before it.
    RolledBack,
    /// A newer one was not taken.
    Refused,
}

impl ReleaseState {
    /// Its words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Trial => "trial",
            Self::Confirmed => "confirmed",
            Self::RolledBack => "rolled back",
            Self::Refused => "refused",
        }
    }
}

/// A step of an update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UpdateView {
    /// Release that it is about, 0 where its manifest could not be read.
    pub release: u64,
    /// `downloading`, `verified`, `trial`, `confirmed`, `refused` or `rolled-back`.
    pub step: String,
    /// Why, where it was refused or rolled back.
    pub reason: Option<String>,
    /// When it came in, seconds since the epoch.
    pub received_s: u64,
}

/// An agent's counters, since its start where nothing else is said.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct HealthView {
    /// Seconds since its start.
    pub uptime_s: u64,
    /// Packets a second between its last two reports; since its start where there is one report only.
    pub packets_per_s: Option<f64>,
    /// Packets read.
    pub packets: u64,
    /// Packets that were no frames it knows.
    pub refused_packets: u64,
    /// Packets that the kernel dropped before it saw them.
    pub kernel_drops: u64,
    /// Flow records made.
    pub flows: u64,
    /// Flows evicted from a full table.
    pub flow_evictions: u64,
    /// Hosts evicted from a full table.
    pub host_evictions: u64,
    /// Rows that were not scored, because scoring was behind or failed.
    pub unscored: u64,
    /// Alerts that its full outbox dropped.
    pub dropped_alerts: u64,
    /// Other messages that its full outbox dropped.
    pub dropped_telemetry: u64,
    /// Messages that wait in its outbox.
    pub outbox_waiting: u32,
    /// It sees far less than passes its interfaces, or the kernel drops packets.
    pub coverage_degraded: bool,
    /// Share of the octets on its interfaces that it saw, 0 to 1; nothing where it has no interface.
    pub coverage: Option<f64>,
    /// Share of the flows that it looks at, 0 to 1; below 1 under load.
    pub sampled: f64,
    /// Its wall clock is set.
    pub clock_set: bool,
}

/// One alert episode, as its newest message tells it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AlertView {
    /// Agent.
    pub agent: String,
    /// Number of the episode; text, since it has more digits than a JavaScript number holds.
    pub episode: String,
    /// Open or closed.
    #[schema(inline)]
    pub state: Stand,
    /// Attack kind: what the trainer's model is sure of, else what the agent says that it resembles, else `unknown`.
    pub kind: String,
    /// What the trainer's model named it; nothing where it has not looked, or there is none.
    pub named: Option<String>,
    /// Probability of the likeliest kind.
    pub named_probability: Option<f64>,
    /// Feature rows that the name rests on.
    pub named_rows: Option<u32>,
    /// What the agent's release says that it resembles.
    pub resembles: Option<String>,
    /// The host that the evidence is about.
    pub host: String,
    /// `source` or `target`.
    pub role: String,
    /// Busiest hosts on the other side.
    pub peers: Vec<PeerView>,
    /// Port that most flows were aimed at, 0 for none.
    pub service_port: u16,
    /// When it began, seconds since the epoch, the agent's time.
    pub since_s: u64,
    /// Its newest message, seconds since the epoch, the agent's time.
    pub at_s: u64,
    /// Highest evidence, nats.
    pub peak_nats: f64,
    /// Limit that was crossed, nats.
    pub limit_nats: f64,
    /// Flows of the host in it.
    pub flows: u32,
    /// Of these, odd ones.
    pub odd_flows: u32,
    /// What was off in its oddest flow, most telling first.
    pub reasons: Vec<ReasonView>,
    /// Release that said so.
    pub release: u64,
    /// Who did what to whom since when, and what it looks like, in a sentence.
    pub words: String,
    /// An operator's word: `benign`, `attack`, or nothing yet.
    pub label: Option<String>,
    /// Who said it.
    pub labelled_by: Option<String>,
}

/// A host on the other side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PeerView {
    /// Address.
    pub address: String,
    /// Flows with it.
    pub flows: u32,
}

/// A feature that is off.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ReasonView {
    /// Feature.
    pub feature: String,
    /// What it means.
    pub definition: String,
    /// Unit, empty for a bare number.
    pub unit: String,
    /// Its value.
    pub value: f32,
    /// 1 % of this network's ordinary flows lie below.
    pub normal_low: f32,
    /// 1 % of this network's ordinary flows lie above.
    pub normal_high: f32,
    /// Its share of the score, 0 to 1.
    pub share: f32,
    /// The same in a sentence.
    pub words: String,
    /// The sentence's part on the value.
    #[serde(skip)]
    pub(super) seen: String,
    /// Its part on what is normal.
    #[serde(skip)]
    pub(super) normal: String,
    /// Whether the value lies within what is normal, and is off only beside the others.
    #[serde(skip)]
    pub(super) usual: bool,
}

fn health_of(bytes: Option<&[u8]>) -> Option<Health> {
    match Message::decode(bytes?).ok()?.body {
        Body::Health(health) => Some(health),
        _ => None,
    }
}

impl UpdateView {
    pub(super) fn new(line: &UpdateLine) -> Self {
        let UpdateLine { release, step, reason, received_s } = line.clone();
        Self { release, step, reason, received_s }
    }
}

impl AgentView {
    pub(super) fn new(row: &AgentRow, now_s: u64) -> Self {
        let (status, line) = (row.line.told_status(), &row.line);
        let health = health_of(line.health.as_deref());
        let before = health_of(row.health_before.as_deref());
        let silent = now_s.saturating_sub(line.last_seen_s) > SILENT_S;
        let state = match &status {
            None => AgentState::Unknown,
            Some(status) if !status.online => AgentState::Offline,
            Some(_) if silent => AgentState::Silent,
            Some(_) if health.as_ref().is_some_and(|health| health.coverage_degraded) => AgentState::Degraded,
            Some(_) => AgentState::Online,
        };
        let text = |get: fn(&Status) -> &str| status.as_ref().map_or_else(String::new, |status| get(status).to_owned());
        Self {
            name: line.name.clone(),
            state,
            group: text(|status| &status.group),
            engine: text(|status| &status.engine),
            agent_version: text(|status| &status.agent_version),
            last_seen_s: line.last_seen_s,
            release: status.as_ref().map_or(0, |status| status.release),
            release_state: release_state(status.as_ref(), row.update.as_ref()),
            update: row.update.as_ref().map(UpdateView::new),
            health: health.map(|health| HealthView::new(&health, before.as_ref())),
            open_alerts: row.open_alerts,
            alert_messages: line.alerts,
            sample_rows: line.sample_rows,
        }
    }
}

fn release_state(status: Option<&Status>, update: Option<&UpdateLine>) -> ReleaseState {
    match (status, update.map(|update| update.step.as_str())) {
        (Some(status), _) if status.on_trial => ReleaseState::Trial,
        (_, Some("rolled-back")) => ReleaseState::RolledBack,
        (_, Some("refused")) => ReleaseState::Refused,
        (Some(status), _) if status.release > 0 => ReleaseState::Confirmed,
        _ => ReleaseState::None,
    }
}

impl HealthView {
    fn new(health: &Health, before: Option<&Health>) -> Self {
        // Numbers start again with the agent: then the report before says nothing.
        let earlier = before.filter(|before| before.uptime_s < health.uptime_s && before.packets <= health.packets);
        let (packets, seconds) = earlier.map_or((0, 0), |before| (before.packets, before.uptime_s));
        let seconds = health.uptime_s - seconds;
        let rate = (health.packets - packets) as f64 / seconds.max(1) as f64;
        let coverage = health.seen_octets as f64 / health.moved_octets.max(1) as f64;
        Self {
            uptime_s: health.uptime_s,
            packets_per_s: (seconds > 0).then_some(rate),
            packets: health.packets,
            refused_packets: health.refused,
            kernel_drops: health.kernel_drops,
            flows: health.flows,
            flow_evictions: health.flow_evictions,
            host_evictions: health.host_evictions,
            unscored: health.unscored,
            dropped_alerts: health.outbox_dropped_alerts,
            dropped_telemetry: health.outbox_dropped_telemetry,
            outbox_waiting: health.outbox_waiting,
            coverage_degraded: health.coverage_degraded,
            coverage: (health.moved_octets > 0).then_some(coverage.min(1.0)),
            sampled: f64::from(health.sampled_permille.min(1000)) / 1000.0,
            clock_set: health.clock_set,
        }
    }
}

impl AlertView {
    pub(super) fn new(line: &AlertLine) -> Self {
        let told = line.told();
        let peers = |alert: &Alert| {
            let view = |peer: &lapwing_shared::messages::Peer| PeerView {
                address: peer.address.to_string(),
                flows: peer.flows,
            };
            alert.peers.iter().map(view).collect()
        };
        Self {
            agent: line.agent.clone(),
            episode: line.episode.to_string(),
            state: if line.state == "closed" { Stand::Closed } else { Stand::Open },
            kind: line.shown_kind().to_owned(),
            named: line.kind.clone(),
            named_probability: line.kind_probability,
            named_rows: line.kind_rows,
            resembles: line.resembles.clone(),
            host: line.host.clone(),
            role: line.role.to_owned(),
            peers: told.as_ref().map(peers).unwrap_or_default(),
            service_port: line.service_port,
            since_s: line.since_s,
            at_s: line.at_s,
            peak_nats: line.peak_nats,
            limit_nats: line.limit_nats,
            flows: line.flows,
            odd_flows: line.odd_flows,
            reasons: told.iter().flat_map(|alert| &alert.reasons).filter_map(ReasonView::new).collect(),
            release: line.release,
            words: told.as_ref().map(|alert| line.head(alert).to_string()).unwrap_or_default(),
            label: line.label.clone(),
            labelled_by: line.labelled_by.clone(),
        }
    }
}

impl ReasonView {
    fn new(reason: &Reason) -> Option<Self> {
        let feature = SCHEMA.get(usize::from(reason.feature))?;
        Some(Self {
            feature: feature.name.into(),
            definition: definition(usize::from(reason.feature)),
            unit: feature.unit.into(),
            value: reason.value,
            normal_low: reason.normal_low,
            normal_high: reason.normal_high,
            share: f32::from(reason.share_permille) / 1000.0,
            words: reason.finding().to_string(),
            seen: reason.finding().seen().to_string(),
            normal: reason.finding().normal().to_string(),
            usual: reason.finding().is_usual(),
        })
    }
}

/// What a feature means, away from the list in which it follows what it refers to.
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
    fn a_definition_that_refers_to_another_brings_it() {
        let of = |name: &str| definition(index_of(name).unwrap());
        assert_eq!(of("target_flows_30s"), "the same over 30 s (flows aimed at the responder, damped over 3 s)");
        assert!(of("forward_size_deviation").ends_with("(mean network-layer size of the initiator's packets)"));
        assert_eq!(of("target_ports_30s"), "distinct ports of the responder that flows were aimed at, 30 to 60 s");
    }
}
