//! Counters and states of all threads → one report on the running agent.

use crate::output::alerts::AlertJson;
use crate::output::summary::Reasons;
use lapwing_live::{InterfaceReport, Link};
use lapwing_shared::enrolment::Enrolled;
use lapwing_shared::messages::Alert;
use serde::{Serialize, Serializer};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Number of alerts that the report keeps.
pub(crate) const LAST_ALERTS: usize = 8;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct InterfaceStatus {
    pub(crate) name: String,
    /// `up`, `down` or `absent`.
    pub(crate) link: String,
    pub(crate) packets: u64,
    /// Octets of these on the wire.
    pub(crate) octets: u64,
    /// Packets that the kernel dropped.
    pub(crate) dropped: u64,
    /// Octets sent and received according to the interface's own counters.
    pub(crate) moved_octets: u64,
    /// Times that it went down or disappeared.
    pub(crate) losses: u64,
    /// Blocks of its ring with inconsistent contents, whose remaining packets were skipped.
    pub(crate) damaged_blocks: u64,
}

impl From<InterfaceReport> for InterfaceStatus {
    fn from(report: InterfaceReport) -> Self {
        let link = match report.link {
            Link::Up => "up",
            Link::Down => "down",
            Link::Absent => "absent",
        };
        Self {
            name: report.name,
            link: link.into(),
            packets: report.packets,
            octets: report.octets,
            dropped: report.dropped,
            moved_octets: report.moved_octets,
            losses: report.losses,
            damaged_blocks: report.damaged_blocks,
        }
    }
}

/// How full a table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Fill {
    /// Entries now.
    pub(crate) held: u64,
    /// Entries at most.
    pub(crate) capacity: u64,
    /// Entries evicted to make room for others.
    pub(crate) evicted: u64,
}

/// Addresses of alerts, by what the response did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ResponseCounts {
    /// Blocked.
    pub blocked: u64,
    /// Would have been blocked, in mode `dry-run`.
    pub dry_run: u64,
    /// Never blocked: the gateway depends on them, or the operator excludes them.
    pub spared: u64,
    /// Not blocked, since they may be forged.
    pub unproven: u64,
    /// Could not be blocked.
    pub failed: u64,
    /// Dropped because the queue was full.
    pub left_out: u64,
}

/// What the newest rollout says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct RolloutStatus {
    pub(crate) serial: u64,
    /// Version that the whole group should run.
    pub(crate) base: u64,
    /// Version of the campaign, 0 without one.
    pub(crate) next: u64,
    /// Sampled rows that the agent sends per day, at most.
    pub(crate) rows_per_day: u32,
    /// Interval of health reports, seconds.
    pub(crate) health_every_s: u16,
    /// Expiry, seconds since the epoch.
    pub(crate) expires_s: u64,
}

/// The report; counters since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Report {
    pub(crate) agent_version: String,
    /// Seconds since the start.
    pub(crate) uptime_s: u64,
    /// Interfaces; empty if packets come from a file or pipe.
    pub(crate) interfaces: Vec<InterfaceStatus>,
    /// Packets metered or refused.
    pub(crate) packets: u64,
    /// Packets per second over the last seconds.
    pub(crate) packets_per_second: f64,
    /// Network-layer octets per second over the last seconds.
    pub(crate) octets_per_second: f64,
    /// Packets refused, by reason.
    pub(crate) refused: Reasons,
    /// Packets metered without all of their fields, by reason.
    pub(crate) irregular: Reasons,
    /// Hosts with such packets.
    pub(crate) irregular_hosts: Fill,
    /// Later fragments metered without ports, because their first was not seen in time.
    pub(crate) fragments_without_first: u64,
    /// First fragments evicted from the full list.
    pub(crate) fragment_evictions: u64,
    /// Notices of hidden ports without an alert, because too many of these were open.
    pub(crate) concealment_held_back: u64,
    /// The flow table.
    pub(crate) flows: Fill,
    /// The host table.
    pub(crate) hosts: Fill,
    /// Flow records made.
    pub(crate) records: u64,
    /// Records scored.
    pub(crate) scored: u64,
    /// Records not scored.
    pub(crate) unscored: u64,
    /// Version of the release in use, 0 without one.
    pub(crate) release: u64,
    /// Whether that release is on trial.
    pub(crate) on_trial: bool,
    pub(crate) engine: String,
    /// How much higher the surprise of normal flows is at this site than where the release was calibrated, nats.
    pub(crate) local_correction_nats: f32,
    /// Whether too few flows were scored for that correction to have settled, or it is the first day.
    pub(crate) learning: bool,
    /// Rest of the first day, in which habits are learned fast; seconds.
    pub(crate) learning_left_s: u64,
    /// Services of hosts that are remembered, and those whose flows are more surprising than ordinary ones, as usual.
    pub(crate) services: u32,
    pub(crate) habits: u32,
    /// Flows of services that the full table of habits did not learn.
    pub(crate) habits_turned_away: u64,
    /// Episodes opened.
    pub(crate) alerts: u64,
    /// Flows that should have opened an episode while too many stronger ones were open.
    pub(crate) episodes_held_back: u64,
    /// Episodes closed early to make room for a stronger one.
    pub(crate) episodes_replaced: u64,
    /// Episodes of targets that an alert about their source covers.
    pub(crate) episodes_folded: u64,
    /// Hosts with evidence evicted from the full evidence table.
    pub(crate) evidence_evictions: u64,
    /// Flows of new hosts that a full host table turned away.
    pub(crate) hosts_turned_away: u64,
    /// New sources in intervals with far more of them than normal.
    pub(crate) flooding_sources: u64,
    /// Idle TCP connections whose initiator was forgotten early.
    pub(crate) initiators_forgotten: u64,
    /// The newest alerts, newest first.
    #[serde(serialize_with = "alerts_as_json")]
    pub(crate) last_alerts: Vec<Alert>,
    /// `none` without a broker, `connected`, or why there is no connection.
    pub(crate) connection: String,
    /// Why the agent does not see all traffic, if so.
    pub(crate) coverage_degraded: Option<String>,
    /// Share of flows that are metered, per mille.
    pub(crate) sampled_permille: u16,
    /// Packets skipped by load shedding.
    pub(crate) shed: u64,
    /// Whether the wall clock is set.
    pub(crate) clock_set: bool,
    /// Times that the clock was set while the agent ran.
    pub(crate) clock_steps: u64,
    /// Confinement measures taken after the start, and those that failed.
    pub(crate) confinement: Vec<String>,
    /// `off`, `dry-run` or `block`.
    pub(crate) response: String,
    /// Peak resident memory, bytes.
    pub(crate) peak_memory_bytes: u64,
    /// Octets written to the state folder.
    pub(crate) disk_octets: u64,
    /// Syncs of files and folders there.
    pub(crate) disk_syncs: u64,
    /// Writes there that failed.
    pub(crate) disk_errors: u64,
    /// Error of the newest failed write, until a write succeeds.
    pub(crate) disk_error: Option<String>,
    /// Messages in the outbox.
    pub(crate) outbox_waiting: u32,
    /// Alerts dropped from the full outbox.
    pub(crate) outbox_dropped_alerts: u64,
    /// Other messages dropped from the full outbox.
    pub(crate) outbox_dropped_telemetry: u64,
    /// Addresses in published alerts: `plain`, `pseudonym` with the key's identifier, or `none`; empty without a broker.
    pub(crate) addresses: String,
    /// What became of the addresses of alerts.
    pub(crate) response_counts: ResponseCounts,
    /// Messages left out, at least for now, because they exceed the broker's limit on packets.
    pub(crate) outbox_left_out: u64,
    /// What the broker refuses on this connection.
    pub(crate) broker_refusals: Vec<String>,
    /// Messages that the broker refused.
    pub(crate) refused_publications: u64,
    /// Subscriptions that the broker refused.
    pub(crate) refused_subscriptions: u64,
    /// Release manifests that were rejected.
    pub(crate) rejected_manifests: u64,
    /// Acknowledgements that were rejected: invalid, or without the trainer's seal.
    pub(crate) rejected_acknowledgements: u64,
    /// Version of the root document in use, 0 without one.
    pub(crate) root_version: u64,
    /// That version and the names of its keys.
    pub(crate) root: String,
    /// Chains of root documents that were rejected.
    pub(crate) rejected_roots: u64,
    /// What a running enrolment waits for; empty without one.
    pub(crate) enrolment: String,
    /// The newest rollout that was accepted.
    pub(crate) rollout: Option<RolloutStatus>,
    /// Rollouts that were rejected.
    pub(crate) rejected_rollouts: u64,
    /// Serial of the newest assignment; 0 without one.
    pub(crate) assignment: u64,
    /// Assignments that were rejected.
    pub(crate) rejected_assignments: u64,
    /// Lowest version that may be installed.
    pub(crate) floor: u64,
    /// False-alert budget in force, alerts per day.
    pub(crate) alerts_per_day: f32,
    /// Channel, hold and pin, the newest rollout, and why nothing is installed.
    pub(crate) updates: String,
    /// The broker that the agent uses or tries, without the login.
    pub(crate) broker_url: String,
    /// End of the agent's certificate, seconds since the epoch; `None` without one.
    pub(crate) certificate_until_s: Option<u64>,
    /// Seconds until then.
    pub(crate) certificate_left_s: u64,
    /// It should have been renewed long before.
    pub(crate) certificate_ends_soon: bool,
    /// The broker rejected the certificate because it has expired.
    pub(crate) certificate_expired: bool,
}

impl Report {
    /// The certificate in use at `now_s`.
    pub(crate) fn certificate(&mut self, enrolled: Option<&Enrolled>, now_s: u64) {
        self.certificate_until_s = enrolled.map(|enrolled| enrolled.until_s);
        self.certificate_left_s = self.certificate_until_s.unwrap_or(0).saturating_sub(now_s);
        self.certificate_ends_soon = enrolled.is_some_and(|enrolled| enrolled.ends_soon(now_s));
    }

    /// The trial of the release that scores has ended, if the network thread, which confirms releases, says so. The scoring
    /// thread sets a release only when it begins to score with it.
    pub(crate) fn trial_ended(&mut self, (version, on_trial): (u64, bool)) {
        if version == self.release {
            self.on_trial &= on_trial;
        }
    }

    /// The state of the connection, with what the broker refuses.
    pub(crate) fn broker(&self) -> String {
        let mut text = self.connection.clone();
        if text == "connected" && !self.broker_url.is_empty() {
            text = text + " to " + &self.broker_url;
        }
        if !self.broker_refusals.is_empty() {
            text = text + ", but it refuses " + &self.broker_refusals.join("; ");
        }
        text
    }
}

fn alerts_as_json<S: Serializer>(alerts: &[Alert], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(alerts.iter().map(AlertJson::new))
}

/// The report, shared by the threads that write and read it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedReport {
    report: Arc<Mutex<Report>>,
    /// Newest last. They are copied into the report only when it is read.
    alerts: Arc<Mutex<heapless::Deque<Box<Alert>, LAST_ALERTS>>>,
}

impl SharedReport {
    /// The report without its alerts, locked for a change: keep the guard only briefly.
    pub(crate) fn edit(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of the report with its alerts.
    pub(crate) fn snapshot(&self) -> Report {
        let mut report = self.edit().clone();
        let alerts = self.alerts.lock().unwrap_or_else(PoisonError::into_inner);
        report.last_alerts = alerts.iter().rev().map(|alert| (**alert).clone()).collect();
        report
    }

    /// Adds an alert; it replaces the oldest of [`LAST_ALERTS`].
    pub(crate) fn add_alert(&self, alert: Box<Alert>) {
        let mut alerts = self.alerts.lock().unwrap_or_else(PoisonError::into_inner);
        if alerts.is_full() {
            alerts.pop_front();
        }
        // There is room now.
        let _ = alerts.push_back(alert);
    }

    /// Sets the release that scores from now on; version 0 means none.
    pub(crate) fn set_release(&self, version: u64, on_trial: bool, engine: &str) {
        let mut report = self.edit();
        (report.release, report.on_trial) = (version, on_trial);
        engine.clone_into(&mut report.engine);
    }

    /// Sets the state of the connection to the broker.
    pub(crate) fn set_connection(&self, state: &str) {
        state.clone_into(&mut self.edit().connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_release_that_scores_leaves_its_trial() {
        let mut report = Report { release: 3, on_trial: true, ..Report::default() };
        report.trial_ended((2, false));
        report.trial_ended((3, true));
        assert!(report.on_trial);
        report.trial_ended((3, false));
        assert!(!report.on_trial);
        let waits = Report { enrolment: "attic waits for an operator".into(), ..Report::default() };
        assert!(crate::status::text::Text(&waits).to_string().contains("NOT ENROLLED: attic waits"));
    }
}
