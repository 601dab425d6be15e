//! Random properties of a home: when it is online, how many alerts and rows it has.

use super::random::Random;

/// When a home is online.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Habit {
    /// Always, but for an outage of about two hours every ten days.
    Steady,
    /// Switched off for eight hours every night, from this hour of the day on.
    Nightly { from_h: u64 },
    /// Online for a day, offline for two, on average.
    Rare,
}

/// Share of homes that are steady, and steady or nightly.
const STEADY: f64 = 0.88;
const NIGHTLY: f64 = 0.96;
/// Outages of a steady home per day.
const OUTAGES_PER_DAY: f64 = 0.1;
const HOUR_S: f64 = 3_600.0;

/// Properties of a home.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traits {
    pub(super) habit: Habit,
    /// It had no outage in the last week.
    pub(super) is_fit: bool,
    /// Device target and engine.
    pub(super) pair: u8,
    /// Alert episodes per day on the old release.
    pub(super) alerts_per_day: f64,
    /// Rows per hour.
    pub(super) rows_per_hour: f64,
    /// Share of anomalous rows on a release that is not blind.
    pub(super) anomalous: f64,
    /// Stability index of its scores.
    pub(super) drift_index: f32,
}

impl Traits {
    pub(super) fn draw(random: &mut Random, alerts_per_day: f64) -> Self {
        let habit = match random.unit() {
            share if share < STEADY => Habit::Steady,
            share if share < NIGHTLY => Habit::Nightly { from_h: (22 + random.below(3)) % 24 },
            _ => Habit::Rare,
        };
        let pair = match random.below(20) {
            0..10 => 0,
            10..15 => 1,
            15..19 => 2,
            _ => 3,
        };
        Self {
            habit,
            is_fit: habit == Habit::Steady && random.chance((-7.0 * OUTAGES_PER_DAY).exp()),
            pair,
            alerts_per_day: random.exponential(alerts_per_day),
            rows_per_hour: random.log_normal(600.0, 0.8),
            anomalous: random.log_normal(0.01, 0.5),
            drift_index: random.log_normal(0.05, 0.6) as f32,
        }
    }

    /// Time until an online home goes offline, or an offline one returns, seconds.
    pub(super) fn changes_in_s(&self, is_online: bool, now_s: u64, random: &mut Random) -> u64 {
        let seconds = match (self.habit, is_online) {
            (Habit::Steady, true) => random.exponential(24.0 * HOUR_S / OUTAGES_PER_DAY),
            (Habit::Steady, false) => random.exponential(2.0 * HOUR_S),
            (Habit::Nightly { from_h }, true) => {
                let until_s = (from_h * 3_600 + 86_400 - now_s % 86_400) % 86_400;
                until_s as f64 + random.unit() * HOUR_S
            }
            (Habit::Nightly { .. }, false) => 8.0 * HOUR_S,
            (Habit::Rare, true) => random.exponential(24.0 * HOUR_S),
            (Habit::Rare, false) => random.exponential(48.0 * HOUR_S),
        };
        (seconds as u64).max(600)
    }

    /// Whether it is online when the simulation begins, at noon.
    pub(super) fn begins_online(&self, random: &mut Random) -> bool {
        match self.habit {
            Habit::Steady => self.is_fit || random.chance(0.99),
            Habit::Nightly { .. } => true,
            Habit::Rare => random.chance(1.0 / 3.0),
        }
    }

    /// Part of the time that it is online.
    pub(super) fn online_share(&self) -> f64 {
        match self.habit {
            Habit::Steady => 0.99,
            Habit::Nightly { .. } => 2.0 / 3.0,
            Habit::Rare => 1.0 / 3.0,
        }
    }
}
