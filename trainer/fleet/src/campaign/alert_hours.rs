//! Alert episodes by hour, of agents on the new release and of the control in the same hours.
//!
//! The number of episodes that a wave should have is, for each hour, the sum of its agents' own usual rates, times the
//! control's episodes relative to *its* usual rates. So neither a home that is noisier than others, nor an attack on the
//! whole fleet, nor a quiet night changes the comparison. With a small control the factor is close to 1, and the agents'
//! own past alone decides.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Days of an agent's own past that make its usual rate.
pub const HISTORY_DAYS: f64 = 14.0;
/// Hours that are stored: 31 days.
const HOURS: usize = 31 * 24;
/// Weight of the usual rates in the control's factor, episodes.
const CONTROL_PRIOR: f64 = 3.0;
/// Weight of the group's mean in an agent's usual rate, episodes: the shape of a gamma distribution of rates.
const RATE_PRIOR: f64 = 1.0;
/// Episodes of one agent that count at most, beyond [`AGENT_FACTOR`] times those expected of it: one home alone decides
/// nothing.
const AGENT_EPISODES: f64 = 5.0;
/// See [`AGENT_EPISODES`].
const AGENT_FACTOR: f64 = 6.0;

/// An agent's usual episodes per day: its own past, and the mean of the group (`mean_per_day`) where that is short. This is
/// the mean of the rate's distribution after the observation, if rates among agents are gamma distributed.
pub fn usual_rate(episodes: u32, days: f64, mean_per_day: f64) -> f64 {
    (f64::from(episodes) + RATE_PRIOR) / (days + RATE_PRIOR / mean_per_day.max(1e-3))
}

/// Which release an agent runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arm {
    /// The campaign's.
    Wave,
    /// The one before.
    Control,
}

/// One agent in one hour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AgentHour {
    /// Alert episodes that began.
    pub episodes: u32,
    /// Part of the hour in which it was online, 0 to 1.
    pub online: f64,
    /// Its [`usual_rate`].
    pub usual_per_day: f64,
    /// Its false-alert budget.
    pub budget_per_day: f64,
}

/// Episodes of one agent in its arm so far, to limit its weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentCount {
    episodes: f64,
    expected: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct ArmHour {
    agent_days: f64,
    expected: f64,
    budget: f64,
    episodes: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Hour {
    hour: u64,
    wave: ArmHour,
    control: ArmHour,
}

/// Sums over the hours since a wave began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AlertCounts {
    /// Episodes of agents on the new release.
    pub episodes: f64,
    /// Days of these agents.
    pub agent_days: f64,
    /// Episodes expected of them from their own past and the control.
    pub expected: f64,
    /// Episodes that their false-alert budgets allow.
    pub budget: f64,
    /// Episodes of the control.
    pub control_episodes: f64,
    /// Days of the control.
    pub control_agent_days: f64,
}

/// Alert episodes by hour.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AlertHours {
    hours: VecDeque<Hour>,
}

impl AlertHours {
    /// Adds one agent in the hour `hour` (since the epoch), which is the newest or a new one. `count` is the agent's, in this
    /// campaign.
    pub fn add(&mut self, hour: u64, arm: Arm, agent: &AgentHour, count: &mut AgentCount) {
        let expected = agent.usual_per_day * agent.online / 24.0;
        count.expected += expected;
        let room = AGENT_EPISODES + AGENT_FACTOR * count.expected - count.episodes;
        let episodes = f64::from(agent.episodes).min(room.max(0.0));
        count.episodes += episodes;
        let Some(place) = self.hour(hour) else { return };
        let sum = if arm == Arm::Wave { &mut place.wave } else { &mut place.control };
        sum.agent_days += agent.online / 24.0;
        sum.expected += expected;
        sum.budget += agent.budget_per_day * agent.online / 24.0;
        sum.episodes += episodes;
    }

    fn hour(&mut self, hour: u64) -> Option<&mut Hour> {
        if self.hours.back().is_none_or(|last| last.hour < hour) {
            if self.hours.len() >= HOURS {
                self.hours.pop_front();
            }
            self.hours.push_back(Hour { hour, ..Hour::default() });
        }
        self.hours.back_mut().filter(|last| last.hour == hour)
    }

    /// Sums from the hour `first` on.
    pub fn since(&self, first: u64) -> AlertCounts {
        let mut sum = AlertCounts::default();
        for Hour { wave, control, .. } in self.hours.iter().rev().take_while(|hour| hour.hour >= first) {
            let factor = (control.episodes + CONTROL_PRIOR) / (control.expected + CONTROL_PRIOR);
            sum.episodes += wave.episodes;
            sum.agent_days += wave.agent_days;
            sum.expected += wave.expected * factor;
            sum.budget += wave.budget;
            sum.control_episodes += control.episodes;
            sum.control_agent_days += control.agent_days;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(episodes: u32) -> AgentHour {
        AgentHour { episodes, online: 1.0, usual_per_day: 24.0, budget_per_day: 1.0 }
    }

    #[test]
    fn an_attack_on_the_whole_fleet_raises_what_is_expected_of_a_wave() {
        let mut hours = AlertHours::default();
        for at in 0..2 {
            let episodes = if at == 1 { 10 } else { 1 };
            for _ in 0..100 {
                hours.add(at, Arm::Control, &hour(episodes), &mut AgentCount { episodes: 0.0, expected: 99.0 });
            }
            hours.add(at, Arm::Wave, &hour(episodes), &mut AgentCount { episodes: 0.0, expected: 99.0 });
        }
        let counts = hours.since(0);
        assert_eq!((counts.episodes, counts.control_episodes), (11.0, 1_100.0));
        assert!((counts.expected - 11.0).abs() < 0.5, "{counts:?}");
        assert!(hours.since(1).episodes == 10.0 && hours.since(2) == AlertCounts::default());
    }

    #[test]
    fn one_noisy_home_counts_for_a_few_episodes_only() {
        let (mut hours, mut count) = (AlertHours::default(), AgentCount::default());
        let noisy = AgentHour { usual_per_day: 0.5, ..hour(50) };
        (0..24).for_each(|at| hours.add(at, Arm::Wave, &noisy, &mut count));
        assert!((hours.since(0).episodes - 8.0).abs() < 1e-9, "{:?}", hours.since(0));
    }

    #[test]
    fn a_short_past_gives_the_mean_of_the_group_and_a_long_one_its_own_rate() {
        assert!((usual_rate(0, 0.0, 0.7) - 0.7).abs() < 1e-12);
        assert!((usual_rate(700, 1_000.0, 3.0) - 0.7).abs() < 0.01);
        assert!(usual_rate(0, 7.0, 0.7) > 0.0 && usual_rate(0, 7.0, 0.0) > 0.0);
    }

    #[test]
    fn old_hours_are_forgotten_and_late_ones_ignored() {
        let mut hours = AlertHours::default();
        (0..1_000).for_each(|at| hours.add(at, Arm::Wave, &hour(1), &mut AgentCount::default()));
        hours.add(3, Arm::Wave, &hour(1), &mut AgentCount::default());
        assert_eq!(hours.since(0).episodes as usize, HOURS);
    }
}
