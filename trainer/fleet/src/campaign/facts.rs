//! What the trainer knows about the agents of a group → counts of a campaign.

use super::alert_hours::{AlertCounts, AlertHours};
use super::state::Campaign;
use lapwing_shared::rollout::message::Channel;
use lapwing_shared::rollout::place::Place;

/// An agent that took a step and then sent nothing for this time is silent, seconds.
const SILENT_S: u64 = 6 * 3_600;
/// Agents that sent a message within this time count for the number that must confirm, seconds.
const RECENT_S: u64 = 86_400;

/// The last step that an agent reported about the campaign's release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentStep {
    /// Downloading.
    Downloading,
    /// Verified and written.
    Verified,
    /// In use, on trial.
    Trial,
    /// Trial passed.
    Confirmed,
    /// Refused because of a defect: golden vectors, schema, form, damaged manifest.
    Defect,
    /// Refused for another reason.
    Refused,
    /// Trial failed.
    RolledBack,
}

/// A reported step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The step.
    pub step: AgentStep,
    /// When it was received, seconds since the epoch.
    pub at_s: u64,
}

/// An agent of the group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AgentFacts {
    /// Its place under the campaign's salt.
    pub place: Place,
    /// Its channel; [`Channel::Late`] also for agents that are set aside.
    pub channel: Channel,
    /// It is held.
    pub is_held: bool,
    /// It was online for a week, is not degraded, in no open incident: suited for the first waves.
    pub is_fit: bool,
    /// Time of its last message, seconds since the epoch.
    pub last_seen_s: u64,
    /// Number of its pair of device target and engine.
    pub pair: u8,
    /// Its usual alert episodes per day, from [`super::usual_rate`].
    pub usual_per_day: f32,
    /// Confirmed version in use, 0 if none.
    pub running: u64,
    /// Its last step about the campaign's release.
    pub progress: Option<Progress>,
    /// Rows scored since it runs the release that it runs, within the campaign.
    pub rows: u32,
    /// Anomalous ones (p < 1 %).
    pub anomalous: u32,
    /// Stability index of its scores against the release's calibration, if it has enough rows.
    pub drift_index: Option<f32>,
    /// CPU time per packet relative to its own on the release before, if known.
    pub cost_ratio: Option<f32>,
    /// Its coverage became degraded within the campaign.
    pub is_newly_degraded: bool,
}

impl AgentFacts {
    /// Whether a reach includes it.
    pub fn is_within(&self, reach: [u32; 3]) -> bool {
        u32::from(self.place.place) < reach.get(self.channel as usize).copied().unwrap_or(0)
    }

    /// Whether it has sent nothing for six hours since a step at `step_s`.
    pub(super) fn is_silent(&self, step_s: u64, now_s: u64) -> bool {
        now_s.saturating_sub(self.last_seen_s.max(step_s)) >= SILENT_S
    }
}

/// What a step of a campaign needs.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The agents of the group.
    pub agents: &'a [AgentFacts],
    /// Their alert episodes by hour.
    pub alerts: &'a AlertHours,
    /// Highest serial of a rollout that one of them reports. It is above that of the campaign's rollout if an older store was
    /// restored.
    pub reported: u64,
}

/// Steps of the agents that the rollout reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Agents within the reach.
    pub reached: u32,
    /// Agents that must confirm before the soak begins.
    pub needed: u32,
    /// Agents that took a step.
    pub tried: u32,
    /// Agents that confirmed.
    pub confirmed: u32,
    /// Agents that refused it because of a defect.
    pub defects: u32,
    /// Agents that refused it, those with a defect included.
    pub refused: u32,
    /// Agents that rolled it back.
    pub rolled_back: u32,
    /// Agents that have been silent since a step.
    pub silent: u32,
    /// Agents within the reach that are held.
    pub held: u32,
    /// Agents that run the campaign's version, or have it on trial.
    pub on_version: u32,
}

impl Tally {
    /// Agents on which the release failed.
    pub const fn failed(&self) -> u32 {
        self.refused + self.rolled_back + self.silent
    }
}

/// A count among agents or rows of the wave, and of the control.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// Count.
    pub count: u64,
    /// Out of.
    pub of: u64,
    /// Count in the control.
    pub control: u64,
    /// Out of.
    pub control_of: u64,
}

impl Shares {
    fn add(&mut self, is_wave: bool, count: u64, of: u64) {
        let (sum, total) =
            if is_wave { (&mut self.count, &mut self.of) } else { (&mut self.control, &mut self.control_of) };
        *sum += count;
        *total += of;
    }
}

/// Counts of a campaign.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observations {
    /// Agents of the group.
    pub agents: u32,
    /// Steps.
    pub tally: Tally,
    /// Alert episodes since the wave began.
    pub alerts: AlertCounts,
    /// Anomalous rows.
    pub rows: Shares,
    /// Agents whose scores have drifted.
    pub drift: Shares,
    /// Agents whose coverage became degraded.
    pub coverage: Shares,
    /// Median of the agents' CPU time per packet, relative to their own on the release before.
    pub median_cost: f64,
    /// Agents of that median.
    pub costs: u32,
}

impl Observations {
    /// Counts the facts for the current wave of a campaign.
    pub fn of(campaign: &Campaign, facts: &Facts<'_>, now_s: u64) -> Self {
        let mut seen = Self { agents: u32::try_from(facts.agents.len()).unwrap_or(u32::MAX), ..Self::default() };
        let reach = campaign.reach();
        let mut recent = 0;
        let mut costs = Vec::new();
        for agent in facts.agents {
            let is_wave = agent.running == campaign.version();
            if agent.is_within(reach) {
                seen.tally.reached += 1;
                seen.tally.held += u32::from(agent.is_held && !is_wave);
                let is_recent = now_s.saturating_sub(agent.last_seen_s) < RECENT_S;
                recent += u32::from(is_wave || is_recent && !agent.is_held);
            }
            seen.tally.add(agent, is_wave, now_s);
            if is_wave || agent.running == campaign.base() {
                seen.behaviour(agent, is_wave, campaign.plan().limits.drift_index);
            }
            if is_wave {
                costs.extend(agent.cost_ratio);
            }
        }
        let percent = campaign.wave().map_or(100, |wave| wave.size.plan.confirmed_percent);
        seen.tally.needed = (recent * percent).div_ceil(100).max(1);
        seen.costs = u32::try_from(costs.len()).unwrap_or(u32::MAX);
        seen.median_cost = f64::from(median(&mut costs));
        seen.alerts = facts.alerts.since(campaign.wave().map_or(0, |wave| wave.began_s / 3_600));
        seen
    }

    fn behaviour(&mut self, agent: &AgentFacts, is_wave: bool, drift_index: f64) {
        self.rows.add(is_wave, agent.anomalous.into(), agent.rows.into());
        self.coverage.add(is_wave, agent.is_newly_degraded.into(), 1);
        if let Some(index) = agent.drift_index {
            self.drift.add(is_wave, (f64::from(index) > drift_index).into(), 1);
        }
    }
}

impl Tally {
    fn add(&mut self, agent: &AgentFacts, is_wave: bool, now_s: u64) {
        let Some(Progress { step, at_s }) = agent.progress else {
            self.on_version += u32::from(is_wave);
            return;
        };
        self.tried += 1;
        self.on_version += u32::from(is_wave || step == AgentStep::Trial);
        match step {
            AgentStep::Confirmed => self.confirmed += 1,
            AgentStep::Defect => (self.defects, self.refused) = (self.defects + 1, self.refused + 1),
            AgentStep::Refused => self.refused += 1,
            AgentStep::RolledBack => self.rolled_back += 1,
            AgentStep::Downloading | AgentStep::Verified | AgentStep::Trial => {
                self.silent += u32::from(agent.is_silent(at_s, now_s));
            }
        }
    }
}

fn median(values: &mut [f32]) -> f32 {
    let middle = values.len() / 2;
    if values.is_empty() { 0.0 } else { *values.select_nth_unstable_by(middle, f32::total_cmp).1 }
}
