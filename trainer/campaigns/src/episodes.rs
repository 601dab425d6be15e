//! Alert episodes by agent and hour → the episodes of each arm of a campaign, and usual rates.

use lapwing_fleet::campaign::{AgentCount, AgentHour, AlertHours, Arm, HISTORY_DAYS, usual_rate};

const HOUR_S: u64 = 3_600;
const DAY_S: u64 = 86_400;
/// Hours of a campaign that count: the newest ones.
const HOURS: u64 = 31 * 24;
/// Time before a change of release that counts for neither arm: the new one was on trial.
const TRIAL_S: u64 = HOUR_S;

/// Episodes of one agent that began in one hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Episodes {
    /// Place of the agent in the list of agents.
    pub(crate) agent: usize,
    /// Hours since the epoch.
    pub(crate) hour: u64,
    pub(crate) count: u32,
}

/// When an agent ran which release.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Presence {
    /// When the store first saw it, seconds since the epoch.
    pub(crate) known_s: u64,
    /// Time of its last message.
    pub(crate) seen_s: u64,
    /// When its release changed within the campaign.
    pub(crate) changed_s: Option<u64>,
    /// The arm before the change.
    pub(crate) before: Option<Arm>,
    /// The arm after it, or all the time without one.
    pub(crate) after: Option<Arm>,
    /// Its false-alert budget, alerts per day.
    pub(crate) budget_per_day: f64,
}

impl Presence {
    /// Arm in an hour that begins at `start_s`, and the part of the hour for which the agent is known to have been there.
    fn in_hour(&self, start_s: u64, now_s: u64) -> Option<(Arm, f64)> {
        let end_s = (start_s + HOUR_S).min(now_s).min(self.seen_s);
        let online_s = end_s.saturating_sub(start_s.max(self.known_s));
        let arm = match self.changed_s {
            Some(changed_s) if start_s >= changed_s => self.after,
            Some(changed_s) if end_s.saturating_add(TRIAL_S) <= changed_s => self.before,
            Some(_) => None,
            None => self.after,
        };
        arm.filter(|_| online_s > 0).map(|arm| (arm, online_s as f64 / HOUR_S as f64))
    }
}

/// Episodes per day of each agent in the 14 days before `since_s`, drawn towards the mean of the group where its past is
/// short.
pub(crate) fn usual_rates(agents: &[Presence], episodes: &[Episodes], since_s: u64) -> Vec<f64> {
    let from_s = since_s.saturating_sub((HISTORY_DAYS * DAY_S as f64) as u64);
    let hours = from_s / HOUR_S..since_s / HOUR_S;
    let mut known_s: Vec<u64> = agents.iter().map(|agent| agent.known_s.clamp(from_s, since_s)).collect();
    let mut counts = vec![0_u32; agents.len()];
    for Episodes { agent, hour, count } in episodes.iter().filter(|one| hours.contains(&one.hour)) {
        let (Some(sum), Some(known_s)) = (counts.get_mut(*agent), known_s.get_mut(*agent)) else { continue };
        *sum = sum.saturating_add(*count);
        // Its counters are newer than its episodes, if the agent was upgraded.
        *known_s = (*known_s).min(hour * HOUR_S).max(from_s);
    }
    let days: Vec<f64> = known_s.iter().map(|known_s| (since_s - known_s) as f64 / DAY_S as f64).collect();
    let all: f64 = 1.0 + counts.iter().map(|count| f64::from(*count)).sum::<f64>();
    let mean = all / (1.0 + days.iter().sum::<f64>());
    counts.iter().zip(days).map(|(count, days)| usual_rate(*count, days, mean)).collect()
}

/// Episodes of each arm by hour, since the campaign began at `since_s`.
pub(crate) fn alert_hours(
    agents: &[Presence],
    usual_per_day: &[f64],
    episodes: &[Episodes],
    since_s: u64,
    now_s: u64,
) -> AlertHours {
    let last = now_s / HOUR_S;
    let first = (since_s / HOUR_S).max(last.saturating_sub(HOURS - 1));
    let mut episodes: Vec<&Episodes> = episodes.iter().filter(|one| (first..=last).contains(&one.hour)).collect();
    episodes.sort_unstable_by_key(|one| one.hour);
    let mut rest = episodes.as_slice();
    let (mut hours, mut sums) = (AlertHours::default(), vec![AgentCount::default(); agents.len()]);
    let mut counts = vec![0_u32; agents.len()];
    for hour in first..=last {
        let (of_hour, later) = rest.split_at(rest.partition_point(|one| one.hour == hour));
        rest = later;
        counts.fill(0);
        for one in of_hour {
            if let Some(count) = counts.get_mut(one.agent) {
                *count = count.saturating_add(one.count);
            }
        }
        for (((agent, usual), episodes), sum) in agents.iter().zip(usual_per_day).zip(&counts).zip(&mut sums) {
            if let Some((arm, online)) = agent.in_hour(hour * HOUR_S, now_s) {
                let (usual_per_day, budget_per_day) = (*usual, agent.budget_per_day);
                hours.add(hour, arm, &AgentHour { episodes: *episodes, online, usual_per_day, budget_per_day }, sum);
            }
        }
    }
    hours
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A full hour, 20 days after the epoch of the tests' agents.
    const SINCE_S: u64 = 480_000 * HOUR_S;

    fn agent(after: Arm) -> Presence {
        Presence {
            known_s: 0,
            seen_s: u64::MAX,
            changed_s: None,
            before: None,
            after: Some(after),
            budget_per_day: 1.0,
        }
    }

    fn episodes(agent: usize, hour: i64, count: u32) -> Episodes {
        Episodes { agent, hour: (SINCE_S / HOUR_S).checked_add_signed(hour).unwrap(), count }
    }

    #[test]
    fn each_agent_counts_for_the_release_that_it_ran_in_that_hour() {
        let changed =
            Presence { changed_s: Some(SINCE_S + 5 * HOUR_S), before: Some(Arm::Control), ..agent(Arm::Wave) };
        let agents = [changed, agent(Arm::Control)];
        let all: Vec<_> = (0..10).map(|hour| episodes(0, hour, 1)).collect();
        let counts = alert_hours(&agents, &[24.0; 2], &all, SINCE_S, SINCE_S + 10 * HOUR_S).since(0);
        // Hours 0 to 3 as control, 4 on trial, 5 to 9 in the wave; the other agent has ten hours.
        assert_eq!((counts.episodes, counts.control_episodes), (5.0, 4.0));
        assert!((counts.agent_days - 5.0 / 24.0).abs() < 1e-9, "{counts:?}");
        assert!((counts.control_agent_days - 14.0 / 24.0).abs() < 1e-9, "{counts:?}");
    }

    #[test]
    fn time_without_messages_and_of_other_releases_does_not_count() {
        let gone = Presence { seen_s: SINCE_S + HOUR_S / 2, ..agent(Arm::Wave) };
        let new = Presence { known_s: SINCE_S + 3 * HOUR_S / 2, ..agent(Arm::Wave) };
        let other = Presence { after: None, ..agent(Arm::Wave) };
        let counts = |agent| alert_hours(&[agent], &[1.0], &[], SINCE_S, SINCE_S + 2 * HOUR_S).since(0).agent_days;
        assert_eq!(counts(gone), 0.5 / 24.0);
        assert_eq!(counts(new), 0.5 / 24.0);
        assert_eq!(counts(other), 0.0);
    }

    #[test]
    fn the_usual_rate_is_that_of_the_14_days_before() {
        let agents = [agent(Arm::Control), agent(Arm::Control)];
        let mut all: Vec<_> = (1..=14 * 24).map(|hour| episodes(0, -hour, 1)).collect();
        let rates = usual_rates(&agents, &all, SINCE_S);
        assert!(rates[0] > 22.0 && rates[0] < 24.5, "{rates:?}");
        assert!(rates[1] > 0.0 && rates[1] < 0.2, "{rates:?}");
        all.extend([episodes(1, -14 * 24 - 1, 900), episodes(1, 0, 900)]);
        assert_eq!(usual_rates(&agents, &all, SINCE_S), rates, "before and after the 14 days");
    }

    #[test]
    fn a_short_past_counts_as_long_as_it_is() {
        let young = Presence { known_s: SINCE_S - DAY_S, ..agent(Arm::Control) };
        let agents = [young, agent(Arm::Control)];
        let day: Vec<_> = (1..=24).map(|hour| episodes(0, -hour, 1)).collect();
        let old: Vec<_> = (1..=24).map(|hour| episodes(0, -24 * 10 - hour, 1)).collect();
        let (short, long) = (usual_rates(&agents, &day, SINCE_S), usual_rates(&agents, &old, SINCE_S));
        assert!(short[0] > 3.0 * long[0], "{short:?} {long:?}: episodes show that it is older than its counters");
        assert!(usual_rates(&[young], &[], SINCE_S)[0] > 0.0 && usual_rates(&[], &day, SINCE_S).is_empty());
    }

    #[test]
    fn a_long_campaign_counts_its_newest_hours() {
        let now_s = SINCE_S + 60 * DAY_S;
        let counts = alert_hours(&[agent(Arm::Wave)], &[1.0], &[], SINCE_S, now_s).since(0);
        assert!((counts.agent_days - 31.0).abs() < 0.1, "{counts:?}");
    }
}
