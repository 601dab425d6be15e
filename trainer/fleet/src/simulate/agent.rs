//! A simulated agent: its home, its past, and what the trainer knows about it at the start.

use super::home::{Conduct, Home, Report, TrialOutcome};
use super::random::Random;
use super::run::{NEW, OLD, START_S};
use super::scenario::{ReleaseKind, Scenario};
use super::traits::Traits;
use crate::campaign::{AgentCount, AgentFacts, HISTORY_DAYS, usual_rate};
use lapwing_shared::release::manifest::Name;
use lapwing_shared::rollout::decide::Settings;
use lapwing_shared::rollout::message::Channel;
use lapwing_shared::rollout::place::Place;

pub(super) struct Agent {
    pub(super) home: Home,
    pub(super) traits: Traits,
    pub(super) is_online: bool,
    /// Reports that wait for a connection.
    pub(super) outbox: Vec<Report>,
    /// Number of the newest report that the trainer has.
    pub(super) reported: u64,
    pub(super) wake_s: Option<u64>,
    pub(super) usual_per_day: f64,
    pub(super) count: AgentCount,
    /// Factor of today's alerts.
    pub(super) mood: f64,
    pub(super) is_touched: bool,
}

pub(super) fn conduct(scenario: &Scenario, traits: &Traits, random: &mut Random, version: u64) -> Conduct {
    let kind = (version == NEW).then_some(scenario.release);
    let outcome = match kind {
        Some(ReleaseKind::Crashing) => TrialOutcome::Crash,
        Some(_) if random.chance(scenario.roll_back) => TrialOutcome::RollBack,
        _ => TrialOutcome::Confirm,
    };
    // 256 rows, and at least five minutes.
    let trial_s = (256.0 / traits.rows_per_hour.max(1.0) * 3_600.0).max(300.0);
    Conduct {
        download_s: 60 + random.exponential(300.0) as u64,
        has_defect: kind == Some(ReleaseKind::Refusing),
        trial_s: trial_s as u64,
        outcome,
        floor: 0,
    }
}

impl Agent {
    pub(super) fn draw(index: usize, scenario: &Scenario, group: &Name, random: &mut Random) -> Self {
        let traits = Traits::draw(random, scenario.alerts_per_day);
        // A name of at most 23 characters.
        let name = Name::try_from(format!("gw-{index}").as_str()).unwrap_or_default();
        let channel = match random.below(50) {
            0 => Channel::Late,
            _ => Channel::Normal,
        };
        let settings = Settings { channel, hold: random.chance(0.01), pin: None };
        Self {
            home: Home::new(name, group.clone(), settings, OLD),
            traits,
            is_online: traits.begins_online(random),
            outbox: Vec::new(),
            reported: 0,
            wake_s: None,
            usual_per_day: 0.0,
            count: AgentCount::default(),
            mood: random.gamma(4),
            is_touched: false,
        }
    }

    pub(super) fn facts(&self, random: &mut Random) -> AgentFacts {
        AgentFacts {
            place: Place::of(&[0; 8], &self.home.name),
            channel: self.home.settings.channel,
            is_held: self.home.settings.hold,
            is_fit: self.traits.is_fit && self.is_online,
            last_seen_s: START_S - if self.is_online { 0 } else { random.exponential(86_400.0) as u64 },
            pair: self.traits.pair,
            usual_per_day: self.usual_per_day as f32,
            running: OLD,
            progress: None,
            rows: 0,
            anomalous: 0,
            drift_index: Some(self.traits.drift_index),
            cost_ratio: None,
            is_newly_degraded: false,
        }
    }
}

impl Scenario {
    /// Factor of the alerts on a version.
    pub(super) fn factor(&self, version: u64) -> f64 {
        if version == NEW && self.release == ReleaseKind::BadAlerts { self.alerts_factor } else { 1.0 }
    }
}

/// Draws the past of every home, and what follows from it for its usual rate.
pub(super) fn set_usual_rates(agents: &mut [Agent], random: &mut Random) {
    let past: Vec<(u32, f64)> = agents
        .iter()
        .map(|agent| {
            let days = HISTORY_DAYS * agent.traits.online_share();
            let mut of_day = || {
                let mood = random.gamma(4);
                random.poisson(agent.traits.alerts_per_day * days / HISTORY_DAYS * mood)
            };
            ((0..HISTORY_DAYS as u32).map(|_| of_day()).sum(), days)
        })
        .collect();
    let (episodes, days) =
        past.iter().fold((1.0, 1.0), |(e, d), (episodes, days)| (e + f64::from(*episodes), d + days));
    for (agent, (own, own_days)) in agents.iter_mut().zip(past) {
        agent.usual_per_day = usual_rate(own, own_days, episodes / days);
    }
}
