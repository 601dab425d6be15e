//! What the store has of an agent → its facts for a campaign.

use crate::episodes::Presence;
use crate::measures::{Usage, cost_ratio, drift_index};
use lapwing_fleet::campaign::{AgentFacts, AgentStep, Arm, Progress};
use lapwing_shared::messages::RefusalKind;
use lapwing_shared::release::manifest::Name;
use lapwing_shared::rollout::message::Channel;
use lapwing_shared::rollout::place::Place;
use lapwing_store::traits::{CampaignAgent, GroupAgent, StoredReleaseHealth};

/// An agent without a message in this time is not fit for the first waves, seconds.
const ONLINE_S: u64 = 6 * 3_600;
/// A newer agent is not fit for the first waves: it has no usual rate of alerts yet.
const KNOWN_S: u64 = 7 * 86_400;
/// False-alert budget of an agent that does not report it: the default of agents.
const DEFAULT_BUDGET_PER_DAY: f64 = 1.0;
/// Failed campaigns after which an agent is set aside.
pub(crate) const FAILURES: u32 = 2;

/// The part of a campaign on which the facts depend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Version to install.
    pub version: u64,
    /// Version that the rest of the group runs.
    pub base: u64,
    /// Salt of the agents' places.
    pub salt: [u8; 8],
    /// When the campaign was created, seconds since the epoch.
    pub since_s: u64,
}

/// What the store has of an agent that takes part in rollouts.
pub(crate) struct Known<'a> {
    pub(crate) name: Name,
    pub(crate) stored: &'a GroupAgent,
    pub(crate) health: &'a StoredReleaseHealth,
    /// Its newest report about the campaign's version.
    pub(crate) report: Option<&'a CampaignAgent>,
    /// Campaigns that failed on it recently.
    pub(crate) failures: u32,
}

/// The step that a report means. An agent that tries again later is still downloading.
fn step_of(report: &CampaignAgent) -> Option<AgentStep> {
    Some(match report.step.as_str() {
        "downloading" => AgentStep::Downloading,
        "verified" => AgentStep::Verified,
        "trial" => AgentStep::Trial,
        "confirmed" => AgentStep::Confirmed,
        "rolled-back" => AgentStep::RolledBack,
        "refused" => match RefusalKind::of(report.reason.as_deref().unwrap_or_default()) {
            RefusalKind::Defect => AgentStep::Defect,
            RefusalKind::Temporary => AgentStep::Downloading,
            RefusalKind::Other => AgentStep::Refused,
        },
        _ => return None,
    })
}

/// Whether a report means that the release failed on the agent.
pub(crate) fn is_failure(report: &CampaignAgent) -> bool {
    matches!(step_of(report), Some(AgentStep::Defect | AgentStep::Refused | AgentStep::RolledBack))
}

impl Known<'_> {
    /// Confirmed version in use; 0 while one is on trial.
    fn running(&self) -> u64 {
        let status = &self.stored.status;
        if status.on_trial { 0 } else { status.release }
    }

    pub(crate) fn is_set_aside(&self) -> bool {
        self.failures >= FAILURES
    }

    /// Its last step about the campaign's release. Reports may be lost, so that the version in use decides: an agent that runs
    /// the release has confirmed it, and one that runs another is no longer trying it.
    fn progress(&self, scope: &Scope) -> Option<Progress> {
        let reported = self.report.and_then(|report| Some(Progress { step: step_of(report)?, at_s: report.at_s }));
        let is_running = self.running() == scope.version;
        match reported {
            Some(Progress { at_s, .. }) if is_running => Some(Progress { step: AgentStep::Confirmed, at_s }),
            None if is_running => Some(Progress { step: AgentStep::Confirmed, at_s: scope.since_s }),
            Some(Progress { step: AgentStep::Trial, at_s }) if self.has_left(scope, at_s) => None,
            other => other,
        }
    }

    /// Whether it ended a trial that it reported at `at_s`: a later message came, and neither status nor health are those of the
    /// release.
    fn has_left(&self, scope: &Scope, at_s: u64) -> bool {
        let is_in_use = [self.stored.status.release, self.health.release.version].contains(&scope.version);
        self.stored.last_seen_s > at_s && !is_in_use
    }

    fn is_fit(&self, now_s: u64) -> bool {
        let is_degraded = self.stored.is_degraded;
        let is_online = self.stored.status.online && now_s.saturating_sub(self.stored.last_seen_s) < ONLINE_S;
        let is_known = now_s.saturating_sub(self.health.first_s) >= KNOWN_S;
        is_online && is_known && !is_degraded && !self.health.release.is_held && !self.is_set_aside()
    }

    /// Its facts; `usual_per_day` is set afterwards, from the past of the whole group.
    pub(crate) fn facts(&self, scope: &Scope, pair: u8, now_s: u64) -> AgentFacts {
        let StoredReleaseHealth { release, before_cpu_ms, before_packets, degraded_since_s, .. } = self.health;
        let (running, progress) = (self.running(), self.progress(scope));
        // Counters of another release say nothing about this one.
        let own = Some(release).filter(|release| release.version == running);
        let is_wave = running == scope.version;
        let now = Usage { cpu_ms: release.cpu_ms, packets: release.packets };
        let before = Usage { cpu_ms: *before_cpu_ms, packets: *before_packets };
        let since_s = progress.filter(|_| is_wave).map_or(scope.since_s, |progress| progress.at_s);
        let saturated = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        AgentFacts {
            place: Place::of(&scope.salt, &self.name),
            channel: if self.is_set_aside() { Channel::Late } else { release.channel },
            is_held: release.is_held,
            is_fit: self.is_fit(now_s),
            last_seen_s: self.stored.last_seen_s,
            pair,
            usual_per_day: 0.0,
            running,
            progress,
            rows: own.map_or(0, |own| saturated(own.rows)),
            anomalous: own.map_or(0, |own| saturated(own.anomalous)),
            drift_index: own.and_then(|own| drift_index(&own.surprise)),
            cost_ratio: own.filter(|_| is_wave).and_then(|_| cost_ratio(now, before)),
            is_newly_degraded: degraded_since_s.is_some_and(|at_s| at_s >= since_s),
        }
    }

    /// Which release it ran when, from its facts.
    pub(crate) fn presence(&self, scope: &Scope, facts: &AgentFacts) -> Presence {
        let arm = |version: u64| match version {
            version if version == scope.version => Some(Arm::Wave),
            version if version == scope.base => Some(Arm::Control),
            _ => None,
        };
        // Until it changed, it ran what the group runs; so does one that never did.
        let changed = facts.progress.filter(|progress| {
            matches!(progress.step, AgentStep::Trial | AgentStep::Confirmed | AgentStep::RolledBack)
        });
        Presence {
            known_s: self.health.first_s,
            seen_s: self.stored.last_seen_s,
            changed_s: changed.map(|progress| progress.at_s),
            before: Some(Arm::Control),
            after: arm(facts.running),
            budget_per_day: match self.health.device.alerts_per_1000_days {
                0 => DEFAULT_BUDGET_PER_DAY,
                alerts => f64::from(alerts) / 1_000.0,
            },
        }
    }
}
