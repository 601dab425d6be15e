//! The store → facts about a group, again and again: what has not changed is not read again.
//!
//! `serve` steps a campaign every ten seconds, and a group has up to thousands of agents. Most of what the facts need is the
//! past: alerts of the last weeks, and campaigns before this one. It is read every ten minutes, so that messages which arrive
//! late count then.

use crate::agents::{Scope, is_failure};
use crate::facts::{OwnedFacts, Rows, facts};
use lapwing_fleet::campaign::HISTORY_DAYS;
use lapwing_store::traits::{AgentAlertHour, CampaignAgent, GroupAgent};
use lapwing_store::{StoreError, StoreHandle};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

const HOUR_S: u64 = 3_600;
const DAY_S: u64 = 24 * HOUR_S;
/// Time for which a failed campaign counts against an agent.
const FAILURES_S: u64 = 30 * DAY_S;
/// Campaigns that are looked at for that.
const CAMPAIGNS: u32 = 8;
/// Interval at which the past is read again, seconds.
const PAST_S: u64 = 600;

/// Reads the facts of one campaign after the other.
#[derive(Default)]
pub struct FactsReader {
    past: Option<Past>,
    /// Agents that take part, by the newest facts.
    agents: usize,
}

/// What is kept between two steps of a campaign.
struct Past {
    group: String,
    scope: Scope,
    /// When it was read, seconds since the epoch.
    read_s: u64,
    /// Alert episodes before `hour`, by agent and hour.
    episodes: Vec<AgentAlertHour>,
    /// First hour, since the epoch, whose episodes are read in every step.
    hour: u64,
    /// Campaigns that failed on each agent.
    failures: HashMap<String, u32>,
    /// The newest report of each agent about the campaign's version.
    reports: Vec<CampaignAgent>,
    /// Digest of the agents' newest reports, when `reports` was read.
    updates: Option<u64>,
}

impl FactsReader {
    /// Reads the facts about a group for a campaign.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn load(
        &mut self,
        handle: &StoreHandle,
        scope: &Scope,
        group: &str,
        now_s: u64,
    ) -> Result<OwnedFacts, StoreError> {
        // Before the reports: one that arrives in between is noticed in the next step.
        let agents = handle.group_agents(group)?;
        let kept = self.past.take().filter(|past| past.is_fresh(group, scope, now_s));
        let mut past = kept.map_or_else(|| Past::read(handle, group, scope, now_s), Ok)?;
        past.read_reports(handle, digest(&agents))?;
        let newest = handle.alert_hours(group, past.hour * HOUR_S)?;
        let (reports, failures) = (&past.reports, &past.failures);
        let rows = Rows { agents: &agents, reports, episodes: [&past.episodes, &newest], failures };
        let facts = facts(&rows, scope, group, now_s);
        (self.past, self.agents) = (Some(past), facts.agents.len());
        Ok(facts)
    }

    /// Number of agents that take part, by the newest facts; 0 before the first.
    pub fn agents(&self) -> usize {
        self.agents
    }
}

/// A digest that changes whenever an agent reports a step.
fn digest(agents: &[GroupAgent]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for agent in agents {
        let update = agent.update.as_ref();
        let step = update.map(|update| (update.release, &update.step, &update.reason, update.received_s));
        (&agent.name, step).hash(&mut hasher);
    }
    hasher.finish()
}

impl Past {
    fn read(handle: &StoreHandle, group: &str, scope: &Scope, now_s: u64) -> Result<Self, StoreError> {
        let history_s = scope.since_s.saturating_sub((HISTORY_DAYS * DAY_S as f64) as u64);
        let hour = (now_s / HOUR_S).saturating_sub(1);
        let mut episodes = handle.alert_hours(group, history_s)?;
        episodes.retain(|row| row.hour < hour);
        let failures = failures(handle, scope.version, group, now_s)?;
        let (group, scope) = (group.to_owned(), *scope);
        Ok(Self { group, scope, read_s: now_s, episodes, hour, failures, reports: Vec::new(), updates: None })
    }

    /// Whether it is of this campaign, and was read within the interval.
    fn is_fresh(&self, group: &str, scope: &Scope, now_s: u64) -> bool {
        let age_s = now_s.checked_sub(self.read_s);
        self.group == group && self.scope == *scope && age_s.is_some_and(|age_s| age_s < PAST_S)
    }

    /// Reads the reports about the campaign's version, if an agent has reported a step since the last time.
    fn read_reports(&mut self, handle: &StoreHandle, updates: u64) -> Result<(), StoreError> {
        if self.updates != Some(updates) {
            self.reports = handle.campaign_agents(&self.group, self.scope.version, self.scope.since_s)?;
            self.updates = Some(updates);
        }
        Ok(())
    }
}

/// Number of campaigns that failed on each agent in the last 30 days, other than that of `current`.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn failures(
    handle: &StoreHandle,
    current: u64,
    group: &str,
    now_s: u64,
) -> Result<HashMap<String, u32>, StoreError> {
    let mut failures = HashMap::new();
    for stored in handle.campaigns(Some(group), CAMPAIGNS)? {
        let version = stored.campaign.version();
        if version == current || now_s.saturating_sub(stored.made_s) > FAILURES_S {
            continue;
        }
        let reports = handle.campaign_agents(group, version, stored.made_s)?;
        for report in reports.into_iter().filter(is_failure) {
            *failures.entry(report.name).or_insert(0) += 1;
        }
    }
    Ok(failures)
}

#[cfg(test)]
mod tests {
    use super::super::facts::load;
    use super::super::testing::{Conduct, NEXT, Stage};
    use super::super::{Order, advance, scope_of, start};
    use super::*;
    use lapwing_fleet::campaign::{AgentFacts, AlertCounts, CampaignState, Plan};
    use lapwing_shared::messages::UpdateStep;

    const NOW_S: u64 = 1_800_000_000;

    fn started(agents: usize) -> (Stage, Scope) {
        let stage = Stage::new(agents, NOW_S);
        let order =
            Order { group: "home", version: NEXT, plan: Plan::default(), who: "ann", supersede: false, findings: &[] };
        let (stored, _) = start(&stage.handle, &order, stage.now_s).unwrap();
        (stage, scope_of(&stored))
    }

    fn seen(facts: &OwnedFacts) -> (&[AgentFacts], AlertCounts, u64) {
        (&facts.agents, facts.alerts.since(0), facts.reported)
    }

    #[test]
    fn a_reader_that_keeps_the_past_gives_the_same_facts_as_one_that_reads_everything() {
        let (mut stage, _) = started(30);
        stage.conduct = Conduct::Alerts;
        let mut reader = FactsReader::default();
        for minute in 0..200 {
            if minute % 4 == 3 {
                stage.hour();
            } else {
                stage.now_s += 60;
            }
            let Some(open) = stage.handle.open_campaign("home").unwrap() else { break };
            let scope = scope_of(&open);
            let kept = reader.load(&stage.handle, &scope, "home", stage.now_s).unwrap();
            assert_eq!(seen(&kept), seen(&load(&stage.handle, &scope, "home", stage.now_s).unwrap()), "{minute}");
            advance(&stage.handle, &mut reader, "home", stage.now_s).unwrap();
        }
        let newest = stage.handle.campaigns(Some("home"), 1).unwrap().remove(0);
        assert_ne!(newest.campaign.state(), CampaignState::Running, "agents confirmed and had alerts");
    }

    #[test]
    fn a_step_of_an_agent_counts_at_once_also_within_a_second() {
        let (mut stage, scope) = started(30);
        let mut reader = FactsReader::default();
        let mut steps = |stage: &Stage| {
            let facts = reader.load(&stage.handle, &scope, "home", stage.now_s).unwrap();
            facts.agents.iter().filter_map(|agent| Some(agent.progress?.step)).collect::<Vec<_>>()
        };
        assert_eq!(steps(&stage), []);
        for step in [UpdateStep::Downloading, UpdateStep::Verified, UpdateStep::Trial] {
            let message = stage.agents[0].step(NEXT, step);
            stage.commit(&[message]);
            let message = stage.agents[1].step(7, UpdateStep::Downloading);
            stage.commit(&[message]);
            assert_eq!(steps(&stage).len(), 1);
        }
        use lapwing_fleet::campaign::AgentStep::Trial;
        assert_eq!(steps(&stage), [Trial]);
    }

    #[test]
    fn the_past_is_read_again_after_ten_minutes_for_another_campaign_and_with_an_earlier_clock() {
        let (stage, scope) = started(20);
        let past = Past::read(&stage.handle, "home", &scope, NOW_S).unwrap();
        assert!(past.is_fresh("home", &scope, NOW_S) && past.is_fresh("home", &scope, NOW_S + PAST_S - 1));
        assert!(!past.is_fresh("home", &scope, NOW_S + PAST_S) && !past.is_fresh("home", &scope, NOW_S - 1));
        assert!(!past.is_fresh("shop", &scope, NOW_S));
        assert!(!past.is_fresh("home", &Scope { salt: [9; 8], ..scope }, NOW_S));
    }
}
