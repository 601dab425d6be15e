//! The store → what a campaign needs to know about the agents of its group.

use crate::agents::{Known, Scope, is_failure};
use crate::episodes::{Episodes, alert_hours, usual_rates};
use lapwing_fleet::campaign::{AgentFacts, AlertHours, Facts, HISTORY_DAYS};
use lapwing_shared::messages::Status;
use lapwing_shared::release::manifest::Name;
use lapwing_store::traits::{AgentAlertHour, CampaignAgent, StoredReleaseHealth};
use lapwing_store::{StoreError, StoreHandle, StoredAgent};
use std::collections::{BTreeMap, HashMap};

const DAY_S: u64 = 86_400;
/// Time for which a failed campaign counts against an agent.
const FAILURES_S: u64 = 30 * DAY_S;
/// Campaigns that are looked at for that.
const CAMPAIGNS: u32 = 8;

/// Facts about the agents of a group.
#[derive(Clone, Debug, Default)]
pub struct OwnedFacts {
    /// Agents that take part in rollouts.
    pub agents: Vec<AgentFacts>,
    /// Their names, in the same order.
    pub names: Vec<Name>,
    /// Their newest reports about the campaign's version, in the same order.
    pub reports: Vec<Option<CampaignAgent>>,
    /// Names of agents that are set aside after two failed campaigns.
    pub set_aside: Vec<Name>,
    /// Names of agents that have no rollout yet: they do not support rollouts, or do not trust the key. They get the release
    /// when its campaign is completed.
    pub last: Vec<String>,
    /// Alert episodes by hour.
    pub alerts: AlertHours,
}

impl OwnedFacts {
    /// The facts, as the campaign takes them.
    pub fn facts(&self) -> Facts<'_> {
        Facts { agents: &self.agents, alerts: &self.alerts }
    }

    /// Agents that are fit for the first waves.
    pub fn fit(&self) -> usize {
        self.agents.iter().filter(|agent| agent.is_fit).count()
    }
}

/// Everything that the facts are computed from.
pub(crate) struct Rows {
    pub(crate) agents: Vec<StoredAgent>,
    pub(crate) health: Vec<StoredReleaseHealth>,
    pub(crate) reports: Vec<CampaignAgent>,
    pub(crate) episodes: Vec<AgentAlertHour>,
    /// Campaigns that failed on an agent, by its name.
    pub(crate) failures: HashMap<String, u32>,
}

/// Reads the facts about a group for a campaign.
///
/// # Errors
/// When the store cannot be read.
pub fn load(handle: &StoreHandle, scope: &Scope, group: &str, now_s: u64) -> Result<OwnedFacts, StoreError> {
    let history_s = scope.since_s.saturating_sub((HISTORY_DAYS * DAY_S as f64) as u64);
    let episodes = handle.alert_hours(group, history_s)?;
    Ok(facts(&Rows { episodes, ..rows(handle, scope, group, now_s)? }, scope, group, now_s))
}

/// The same without the alerts, whose rows take half of the time: enough for the stages of the agents.
///
/// # Errors
/// When the store cannot be read.
pub fn load_agents(handle: &StoreHandle, scope: &Scope, group: &str, now_s: u64) -> Result<OwnedFacts, StoreError> {
    Ok(facts(&rows(handle, scope, group, now_s)?, scope, group, now_s))
}

/// Everything but the episodes.
fn rows(handle: &StoreHandle, scope: &Scope, group: &str, now_s: u64) -> Result<Rows, StoreError> {
    Ok(Rows {
        agents: handle.agents()?,
        health: handle.release_health(group)?,
        reports: handle.campaign_agents(group, scope.version, scope.since_s)?,
        episodes: Vec::new(),
        failures: failures(handle, scope, group, now_s)?,
    })
}

/// Number of campaigns that failed on each agent in the last 30 days, other than this one.
fn failures(handle: &StoreHandle, scope: &Scope, group: &str, now_s: u64) -> Result<HashMap<String, u32>, StoreError> {
    let mut failures = HashMap::new();
    for stored in handle.campaigns(Some(group), CAMPAIGNS)? {
        let version = stored.campaign.version();
        if version == scope.version || now_s.saturating_sub(stored.made_s) > FAILURES_S {
            continue;
        }
        let reports = handle.campaign_agents(group, version, stored.made_s)?;
        for report in reports.into_iter().filter(is_failure) {
            *failures.entry(report.name).or_insert(0) += 1;
        }
    }
    Ok(failures)
}

/// Facts from what the store has.
pub(crate) fn facts(rows: &Rows, scope: &Scope, group: &str, now_s: u64) -> OwnedFacts {
    let mut owned = OwnedFacts::default();
    let mut presences = Vec::new();
    let mut pairs = Pairs::default();
    let mut places = HashMap::new();
    let health: HashMap<&str, &StoredReleaseHealth> = rows.health.iter().map(|row| (row.name.as_str(), row)).collect();
    let reports: HashMap<&str, &CampaignAgent> = rows.reports.iter().map(|row| (row.name.as_str(), row)).collect();
    for stored in &rows.agents {
        // An agent follows the rollouts of the group in its own configuration, whatever group its rows train.
        let Some(status) = stored.status.as_deref().filter(|status| status.group.as_str() == group) else { continue };
        let accepted = health.get(stored.name.as_str()).copied().filter(|row| row.release.serial > 0);
        let (Some(health), Ok(name)) = (accepted, Name::try_from(stored.name.as_str())) else {
            owned.last.push(stored.name.clone());
            continue;
        };
        let report = reports.get(stored.name.as_str()).copied();
        let failures = rows.failures.get(&stored.name).copied().unwrap_or(0);
        let known = Known { name, stored, status, health, report, failures };
        let agent = known.facts(scope, pairs.number(status), now_s);
        places.insert(health.agent, presences.len());
        presences.push(known.presence(scope, &agent));
        owned.agents.push(agent);
        owned.reports.push(report.cloned());
        if known.is_set_aside() {
            owned.set_aside.push(known.name.clone());
        }
        owned.names.push(known.name);
    }
    let episodes = episodes(rows, &places);
    let usual = usual_rates(&presences, &episodes, scope.since_s);
    for (agent, usual) in owned.agents.iter_mut().zip(&usual) {
        agent.usual_per_day = *usual as f32;
    }
    owned.alerts = alert_hours(&presences, &usual, &episodes, scope.since_s, now_s);
    owned
}

/// Episodes of the agents that take part; `places` has their numbers in the store.
fn episodes(rows: &Rows, places: &HashMap<i64, usize>) -> Vec<Episodes> {
    let place = |row: &AgentAlertHour| {
        let agent = places.get(&row.agent).copied()?;
        Some(Episodes { agent, hour: row.hour, count: row.episodes })
    };
    rows.episodes.iter().filter_map(place).collect()
}

/// Pairs that are counted separately, at most; agents of other pairs count as one more.
const PAIRS: u8 = 15;

/// Numbers of pairs of engine and agent version: what a device is, as far as agents report it.
#[derive(Default)]
struct Pairs<'a>(BTreeMap<(&'a str, &'a str), u8>);

impl<'a> Pairs<'a> {
    /// The number of an agent's pair.
    fn number(&mut self, status: &'a Status) -> u8 {
        let pair = (status.engine.as_str(), status.agent_version.as_str());
        if let Some(number) = self.0.get(&pair) {
            return *number;
        }
        let next = u8::try_from(self.0.len()).map_or(PAIRS, |next| next.min(PAIRS));
        if next < PAIRS {
            self.0.insert(pair, next);
        }
        next
    }
}
