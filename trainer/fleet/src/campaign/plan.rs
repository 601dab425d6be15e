//! The plan of a campaign: waves, thresholds of the gates, and what a failed gate does.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Groups with fewer agents have two waves: one agent, then the rest.
pub(super) const SMALL_GROUP: u32 = 20;
/// Limit on waves of a plan.
pub(super) const WAVES: usize = 8;

/// Which gates a wave must pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gates {
    /// Those about the installation: golden vectors and take-up. Decided as soon as the agents have confirmed.
    Install,
    /// All gates.
    #[default]
    All,
}

/// What happens to agents on the release when its campaign is aborted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AbortMode {
    /// They keep it; no other agent installs it.
    Stop,
    /// They go back to the version before.
    #[default]
    Withdraw,
}

/// One wave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct WavePlan {
    /// Share of the group, percent.
    pub percent: f64,
    /// Agents at least.
    pub agents: u32,
    /// Share of the wave's agents (online in the last day, not held) that must confirm before the soak begins, percent.
    pub confirmed_percent: u32,
    /// Shortest time after that, hours.
    pub soak_hours: u32,
    /// Time after which an undecided wave pauses the campaign, hours.
    pub deadline_hours: u32,
    /// Gates that decide.
    pub gates: Gates,
}

impl Default for WavePlan {
    fn default() -> Self {
        Self { percent: 100.0, agents: 1, confirmed_percent: 50, soak_hours: 6, deadline_hours: 168, gates: Gates::All }
    }
}

/// Thresholds of the gates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Limits {
    /// Ratio of alerts to the expected ones that the alerts gate must detect.
    pub alerts_ratio: f64,
    /// Probability with which a wave of a good release fails the alerts gate by chance.
    pub alerts_false_stop: f64,
    /// Probability with which a wave with `alerts-ratio` passes it by chance.
    pub alerts_miss: f64,
    /// The same in groups with fewer than 20 agents, which otherwise would wait for weeks.
    pub alerts_miss_small: f64,
    /// Agent-days that the alerts gate needs at least.
    pub alerts_agent_days: f64,
    /// Share of failed, refused or silent agents above which take-up fails, percent.
    pub take_up_fail_percent: f64,
    /// Share up to which it passes, percent.
    pub take_up_pass_percent: f64,
    /// Share of rows with p < 1 % below which the release is blind, percent.
    pub blind_fail_percent: f64,
    /// Share from which it is not, percent.
    pub blind_pass_percent: f64,
    /// Rows needed to fail.
    pub blind_fail_rows: u64,
    /// Rows needed to pass.
    pub blind_pass_rows: u64,
    /// Stability index of an agent's scores from which they have drifted.
    pub drift_index: f64,
    /// Share of drifted agents, beyond that of the control, from which the gate fails, percent.
    pub drift_fail_percent: f64,
    /// Median ratio of CPU time per packet to the agent's own on the release before, above which the gate fails.
    pub cost_fail_ratio: f64,
    /// Ratio up to which it passes.
    pub cost_pass_ratio: f64,
    /// Probability of as many drifted or newly degraded agents by chance, below which drift and coverage fail.
    pub count_false_stop: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            alerts_ratio: 4.0,
            alerts_false_stop: 0.00001,
            alerts_miss: 0.00005,
            alerts_miss_small: 0.02,
            alerts_agent_days: 3.0,
            take_up_fail_percent: 10.0,
            take_up_pass_percent: 5.0,
            blind_fail_percent: 0.2,
            blind_pass_percent: 0.3,
            blind_fail_rows: 20_000,
            blind_pass_rows: 5_000,
            drift_index: 0.25,
            drift_fail_percent: 20.0,
            cost_fail_ratio: 1.5,
            cost_pass_ratio: 1.2,
            count_false_stop: 0.001,
        }
    }
}

/// The plan of a campaign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Plan {
    /// Waves, of growing size; the last one has 100 %.
    pub waves: Vec<WavePlan>,
    /// Another person than the one who created the campaign must approve it.
    pub approval: bool,
    /// What a failed gate does.
    pub on_failure: AbortMode,
    /// Agents of a wave spread their downloads over this time, seconds.
    pub spread_s: u32,
    /// Share of the group that keeps the old release until the last wave has passed, as its control, percent.
    pub control_percent: f64,
    /// Thresholds of the gates.
    pub limits: Limits,
}

impl Default for Plan {
    fn default() -> Self {
        let wave = WavePlan::default();
        Self {
            waves: vec![
                WavePlan {
                    percent: 0.0,
                    agents: 2,
                    confirmed_percent: 100,
                    soak_hours: 0,
                    gates: Gates::Install,
                    ..wave
                },
                WavePlan { percent: 1.0, agents: 5, confirmed_percent: 80, soak_hours: 24, ..wave },
                WavePlan { percent: 5.0, ..wave },
                WavePlan { percent: 25.0, ..wave },
                wave,
            ],
            approval: false,
            on_failure: AbortMode::default(),
            spread_s: 3_600,
            control_percent: 5.0,
            limits: Limits::default(),
        }
    }
}

/// An invalid value of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError {
    /// The key.
    pub key: String,
    /// What is expected.
    pub expected: &'static str,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rollout plan: {}: expected {}", self.key, self.expected)
    }
}

impl std::error::Error for PlanError {}

/// A wave of a certain group.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaveSize {
    /// Agents that may install the release in this wave, those of earlier waves included.
    pub agents: u32,
    /// Its plan.
    pub plan: WavePlan,
    /// It is the last one.
    pub is_last: bool,
}

impl Plan {
    /// Checks every value.
    ///
    /// # Errors
    /// The first invalid one.
    pub fn validate(&self) -> Result<(), PlanError> {
        let invalid = |key: &str, expected| Err(PlanError { key: key.into(), expected });
        if self.waves.is_empty() || self.waves.len() > WAVES {
            return invalid("waves", "1 to 8 waves");
        }
        for (index, wave) in self.waves.iter().enumerate() {
            let before =
                index.checked_sub(1).and_then(|before| self.waves.get(before)).map_or(-1.0, |wave| wave.percent);
            if let Some((name, expected)) = invalid_key(wave, before) {
                return invalid(&format!("waves[{index}].{name}"), expected);
            }
        }
        if self.waves.last().is_some_and(|wave| wave.percent < 100.0 || wave.gates == Gates::Install) {
            return invalid("waves", "a last wave with `percent = 100` and all gates");
        }
        if self.spread_s > 86_400 {
            return invalid("spread-s", "0 to 86400 seconds");
        }
        if !(0.0..=50.0).contains(&self.control_percent) {
            return invalid("control-percent", "0 to 50");
        }
        self.limits.validate()
    }

    /// The waves of a group. A wave that would add no agent is merged into the one before it.
    pub fn sizes(&self, agents: u32) -> Vec<WaveSize> {
        let mut sizes: Vec<WaveSize> = Vec::new();
        let first = self.waves.iter().find(|wave| wave.gates == Gates::All);
        let waves: Vec<(WavePlan, f64)> = if agents < SMALL_GROUP {
            let one = first.map(|wave| (WavePlan { confirmed_percent: 100, ..*wave }, 1.0));
            one.into_iter().chain(self.waves.last().map(|wave| (*wave, f64::from(agents)))).collect()
        } else {
            let size = |wave: &WavePlan| (wave.percent / 100.0 * f64::from(agents)).round().max(f64::from(wave.agents));
            self.waves.iter().map(|wave| (*wave, size(wave))).collect()
        };
        for (plan, size) in waves {
            let size = (size as u32).clamp(1, agents.max(1));
            if sizes.last().is_none_or(|last| last.agents < size) {
                sizes.push(WaveSize { agents: size, plan, is_last: false });
            }
        }
        if let Some(last) = sizes.last_mut() {
            last.is_last = true;
        }
        sizes
    }

    /// Share of the places that the last wave reaches. A group without enough agents for a control is reached as a whole.
    pub fn last_share(&self, agents: u32) -> f64 {
        if agents < SMALL_GROUP { 1.0 } else { 1.0 - self.control_percent / 100.0 }
    }
}

fn invalid_key(wave: &WavePlan, before: f64) -> Option<(&'static str, &'static str)> {
    let checks = [
        (
            wave.percent > before && (0.0..=100.0).contains(&wave.percent),
            "percent",
            "0 to 100, more than in the wave before",
        ),
        (wave.agents >= 1, "agents", "1 or more"),
        ((1..=100).contains(&wave.confirmed_percent), "confirmed-percent", "1 to 100"),
        (wave.soak_hours <= 720, "soak-hours", "0 to 720"),
        ((1..=2_160).contains(&wave.deadline_hours), "deadline-hours", "1 to 2160"),
        (wave.deadline_hours > wave.soak_hours, "deadline-hours", "more than `soak-hours`"),
    ];
    checks.into_iter().find(|(is_valid, ..)| !is_valid).map(|(_, key, expected)| (key, expected))
}

impl Limits {
    fn validate(&self) -> Result<(), PlanError> {
        let chance = |value: f64| value > 0.0 && value <= 0.2;
        let percent = |value: f64| (0.0..=100.0).contains(&value);
        let checks = [
            (self.alerts_ratio > 1.0 && self.alerts_ratio <= 100.0, "alerts-ratio", "more than 1, at most 100"),
            (chance(self.alerts_false_stop), "alerts-false-stop", "more than 0, at most 0.2"),
            (chance(self.alerts_miss), "alerts-miss", "more than 0, at most 0.2"),
            (chance(self.alerts_miss_small), "alerts-miss-small", "more than 0, at most 0.2"),
            ((0.0..=1_000.0).contains(&self.alerts_agent_days), "alerts-agent-days", "0 to 1000"),
            (percent(self.take_up_fail_percent), "take-up-fail-percent", "0 to 100"),
            (
                self.take_up_pass_percent >= 0.0 && self.take_up_pass_percent <= self.take_up_fail_percent,
                "take-up-pass-percent",
                "0 to `take-up-fail-percent`",
            ),
            (percent(self.blind_pass_percent), "blind-pass-percent", "0 to 100"),
            (
                self.blind_fail_percent >= 0.0 && self.blind_fail_percent <= self.blind_pass_percent,
                "blind-fail-percent",
                "0 to `blind-pass-percent`",
            ),
            (self.drift_index > 0.0, "drift-index", "more than 0"),
            (percent(self.drift_fail_percent), "drift-fail-percent", "0 to 100"),
            (self.cost_fail_ratio > 1.0, "cost-fail-ratio", "more than 1"),
            (
                self.cost_pass_ratio > 0.0 && self.cost_pass_ratio <= self.cost_fail_ratio,
                "cost-pass-ratio",
                "more than 0, at most `cost-fail-ratio`",
            ),
            (chance(self.count_false_stop), "count-false-stop", "more than 0, at most 0.2"),
        ];
        match checks.iter().find(|(is_valid, ..)| !is_valid) {
            Some((_, key, expected)) => Err(PlanError { key: format!("limits.{key}"), expected }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(agents: u32) -> Vec<u32> {
        Plan::default().sizes(agents).iter().map(|wave| wave.agents).collect()
    }

    #[test]
    fn waves_grow_and_those_that_add_no_agent_are_merged() {
        Plan::default().validate().unwrap();
        assert_eq!(sizes(10_000), [2, 100, 500, 2_500, 10_000]);
        assert_eq!(sizes(1_000), [2, 10, 50, 250, 1_000]);
        assert_eq!(sizes(100), [2, 5, 25, 100]);
        assert_eq!(sizes(20), [2, 5, 20]);
        assert_eq!((sizes(19), sizes(2), sizes(1)), (vec![1, 19], vec![1, 2], vec![1]));
        let single = Plan::default().sizes(1);
        assert!(single[0].is_last && single[0].plan.gates == Gates::All && single[0].plan.soak_hours == 24);
        assert_eq!((Plan::default().last_share(19), Plan::default().last_share(20)), (1.0, 0.95));
    }

    #[test]
    fn invalid_plans_name_the_key() {
        type Breakage = (&'static str, fn(&mut Plan));
        let breakages: &[Breakage] = &[
            ("waves", |plan| plan.waves.clear()),
            ("waves", |plan| plan.waves.truncate(3)),
            ("waves[1].percent", |plan| plan.waves[1].percent = 0.0),
            ("waves[2].agents", |plan| plan.waves[2].agents = 0),
            ("waves[2].confirmed-percent", |plan| plan.waves[2].confirmed_percent = 101),
            ("waves[1].deadline-hours", |plan| plan.waves[1].deadline_hours = 24),
            ("spread-s", |plan| plan.spread_s = 86_401),
            ("control-percent", |plan| plan.control_percent = f64::NAN),
            ("limits.alerts-ratio", |plan| plan.limits.alerts_ratio = 1.0),
            ("limits.alerts-miss", |plan| plan.limits.alerts_miss = 0.0),
            ("limits.blind-fail-percent", |plan| plan.limits.blind_fail_percent = 0.5),
            ("limits.cost-pass-ratio", |plan| plan.limits.cost_pass_ratio = 2.0),
        ];
        for (key, change) in breakages {
            let mut plan = Plan::default();
            change(&mut plan);
            assert_eq!(plan.validate().map_err(|error| error.key), Err((*key).to_owned()));
        }
    }
}
