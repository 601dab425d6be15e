//! Stored status, health and update messages → agents with state, counters and updates.

use lapwing_fleet::AgentState;
use lapwing_shared::messages::{Health, Status};
use lapwing_store::{AgentRow, StoredUpdate};
use serde::Serialize;
use utoipa::ToSchema;

/// An agent.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct AgentView {
    /// Name.
    pub(crate) name: String,
    /// State.
    #[schema(inline)]
    pub(crate) state: AgentState,
    /// Its identity was revoked; it may be connected to a broker, but collectors refuse its messages.
    pub(crate) revoked: bool,
    /// Group whose releases its rows train: the one that it reports and whose releases it installs, unless an operator
    /// assigned another; empty until it sends its status.
    pub(crate) group: String,
    /// An operator assigned the group.
    pub(crate) group_assigned: bool,
    /// Inference engine, `tract` or `int8`; empty until it sends its status.
    pub(crate) engine: String,
    /// Version of the agent; empty until it sends its status.
    pub(crate) agent_version: String,
    /// Time of its last message, seconds since the epoch, by the trainer's clock.
    pub(crate) last_seen_s: u64,
    /// Release in use, 0 for none.
    pub(crate) release: u64,
    /// State of the release.
    pub(crate) release_state: ReleaseState,
    /// Its newest update report.
    pub(crate) update: Option<UpdateView>,
    /// Its counters; null until it sends them.
    pub(crate) health: Option<HealthView>,
    /// Open alert episodes.
    pub(crate) open_alerts: u64,
    /// Alert messages received from it in total.
    pub(crate) alert_messages: u64,
    /// Feature rows received from it in total.
    pub(crate) sample_rows: u64,
    /// Time since its last message, seconds.
    #[serde(skip)]
    pub(crate) silence_s: u64,
}

/// State of an agent's release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ReleaseState {
    /// No release; the agent detects nothing.
    None,
    /// On trial.
    Trial,
    /// Trial passed.
    Confirmed,
    /// A newer release was rolled back; the previous one is in use.
    RolledBack,
    /// A newer release was refused.
    Refused,
}

/// A report on an update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct UpdateView {
    /// Release, 0 if its manifest could not be read.
    pub(crate) release: u64,
    /// Step of the update.
    #[schema(inline)]
    pub(crate) step: ReportedStep,
    /// Why it was refused or rolled back.
    pub(crate) reason: Option<String>,
    /// Time of receipt, seconds since the epoch.
    pub(crate) received_s: u64,
}

/// Step of an update, as the agent reported it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ReportedStep {
    /// Downloading the release.
    Downloading,
    /// Digest and signature are valid.
    Verified,
    /// On trial.
    Trial,
    /// Trial passed.
    Confirmed,
    /// Refused.
    Refused,
    /// Failed its trial.
    RolledBack,
}

impl ReportedStep {
    const ALL: [Self; 6] =
        [Self::Downloading, Self::Verified, Self::Trial, Self::Confirmed, Self::Refused, Self::RolledBack];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Downloading => "downloading",
            Self::Verified => "verified",
            Self::Trial => "trial",
            Self::Confirmed => "confirmed",
            Self::Refused => "refused",
            Self::RolledBack => "rolled back",
        }
    }

    /// Parses the name of a step in the store; `None` for a name that the store does not write.
    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str().replace(' ', "-") == name)
    }
}

/// Counters of an agent since its start, unless stated otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct HealthView {
    /// Uptime, seconds.
    pub(crate) uptime_s: u64,
    /// Packets per second between its last two reports, or since its start if it has sent only one.
    pub(crate) packets_per_s: Option<f64>,
    /// Packets read.
    pub(crate) packets: u64,
    /// Packets that it could not decode.
    pub(crate) refused_packets: u64,
    /// Packets dropped by the kernel.
    pub(crate) kernel_drops: u64,
    /// Flow records.
    pub(crate) flows: u64,
    /// Flows evicted from a full table.
    pub(crate) flow_evictions: u64,
    /// Hosts evicted from a full table.
    pub(crate) host_evictions: u64,
    /// Feature rows not scored because scoring was too slow or failed.
    pub(crate) unscored: u64,
    /// Alerts dropped because its outbox was full.
    pub(crate) dropped_alerts: u64,
    /// Other messages dropped because its outbox was full.
    pub(crate) dropped_telemetry: u64,
    /// Messages in its outbox.
    pub(crate) outbox_waiting: u32,
    /// It sees far less traffic than its interfaces carry, or the kernel drops packets.
    pub(crate) coverage_degraded: bool,
    /// Share of the octets on its interfaces that it saw, 0 to 1; null without a live interface.
    pub(crate) coverage: Option<f64>,
    /// Share of the flows that it meters, 0 to 1; below 1 under load.
    pub(crate) sampled: f64,
    /// Its wall clock is set.
    pub(crate) clock_set: bool,
    /// Flows that should have opened an alert episode while too many stronger ones were open.
    pub(crate) episodes_held_back: u64,
    /// Alert episodes closed early to make room for a stronger one.
    pub(crate) episodes_replaced: u64,
    /// Alert episodes of targets that an alert about their source covers.
    pub(crate) episodes_folded: u64,
    /// Flows of new hosts that a full host table turned away.
    pub(crate) hosts_turned_away: u64,
    /// New sources in intervals with far more of them than normal.
    pub(crate) flooding_sources: u64,
    /// Idle TCP connections whose initiator was forgotten early.
    pub(crate) initiators_forgotten: u64,
    /// Damaged blocks of its capture rings; the remaining packets of each were skipped.
    pub(crate) damaged_blocks: u64,
    /// Acknowledgements that it rejected: invalid, or without the trainer's seal.
    pub(crate) rejected_acknowledgements: u64,
}

impl UpdateView {
    pub(crate) fn new(stored: &StoredUpdate) -> Option<Self> {
        let StoredUpdate { release, step, reason, received_s } = stored.clone();
        Some(Self { release, step: ReportedStep::parse(&step)?, reason, received_s })
    }
}

impl AgentView {
    pub(crate) fn new(row: &AgentRow, now_s: u64) -> Self {
        let line = &row.line;
        let (status, health) = (line.status.as_deref(), line.health.as_deref());
        let update = row.update.as_ref().and_then(UpdateView::new);
        let silence_s = now_s.saturating_sub(line.last_seen_s);
        let state = AgentState::of(status, health, line.last_seen_s, now_s);
        let text = |get: fn(&Status) -> &str| status.map_or_else(String::new, |status| get(status).to_owned());
        Self {
            name: line.name.clone(),
            state,
            revoked: line.revoked,
            group: line.group().unwrap_or_default().to_owned(),
            group_assigned: line.assigned_group.is_some(),
            engine: text(|status| &status.engine),
            agent_version: text(|status| &status.agent_version),
            last_seen_s: line.last_seen_s,
            release: release(status, update.as_ref()),
            release_state: release_state(status, update.as_ref()),
            update,
            health: health.map(|health| HealthView::new(health, row.health_before.as_deref())),
            open_alerts: row.open_alerts,
            alert_messages: line.alerts,
            sample_rows: line.sample_rows,
            silence_s,
        }
    }
}

/// The release of an agent. The status of one that has gone is its last will, which is as old as its connection, so a release
/// that it confirmed later counts.
fn release(status: Option<&Status>, update: Option<&UpdateView>) -> u64 {
    let confirmed = update.filter(|update| update.step == ReportedStep::Confirmed).map_or(0, |update| update.release);
    match status {
        Some(status) if !status.online => status.release.max(confirmed),
        status => status.map_or(0, |status| status.release),
    }
}

fn release_state(status: Option<&Status>, update: Option<&UpdateView>) -> ReleaseState {
    match (status, update.map(|update| update.step)) {
        (Some(status), _) if status.on_trial => ReleaseState::Trial,
        (_, Some(ReportedStep::RolledBack)) => ReleaseState::RolledBack,
        (_, Some(ReportedStep::Refused)) => ReleaseState::Refused,
        (status, _) if release(status, update) > 0 => ReleaseState::Confirmed,
        _ => ReleaseState::None,
    }
}

impl HealthView {
    fn new(health: &Health, before: Option<&Health>) -> Self {
        // Counters restart with the agent; then the previous report is of another run.
        let previous = before.filter(|before| before.uptime_s < health.uptime_s && before.packets <= health.packets);
        let (packets, seconds) = previous.map_or((0, 0), |before| (before.packets, before.uptime_s));
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
            episodes_held_back: health.detector.episodes_held_back,
            episodes_replaced: health.detector.episodes_replaced,
            episodes_folded: health.detector.episodes_folded,
            hosts_turned_away: health.detector.hosts_turned_away,
            flooding_sources: health.detector.flooding_sources,
            initiators_forgotten: health.detector.initiators_forgotten,
            damaged_blocks: health.detector.damaged_blocks,
            rejected_acknowledgements: health.detector.rejected_acknowledgements,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_shared::messages::Body;
    use lapwing_store::testing::status;

    #[test]
    fn the_release_of_an_agent_that_has_gone_is_the_newest_that_it_confirmed() {
        let Body::Status(mut will) = status(1).body else { unreachable!() };
        will.online = false;
        will.release = 0;
        let update = |step| UpdateView { release: 3, step, reason: None, received_s: 5 };
        let shown = |status: &Status, step| {
            let update = update(step);
            (release(Some(status), Some(&update)), release_state(Some(status), Some(&update)))
        };
        assert_eq!(shown(&will, ReportedStep::Confirmed), (3, ReleaseState::Confirmed));
        assert_eq!(shown(&will, ReportedStep::Trial), (0, ReleaseState::None));
        will.online = true;
        assert_eq!(shown(&will, ReportedStep::Confirmed), (0, ReleaseState::None), "it started again without one");
    }
}
