//! The store → what a campaign needs to know about the agents of its group.

use crate::agents::{FAILURES, Known, Scope};
use crate::episodes::{Episodes, alert_hours, usual_rates};
use crate::facts_reader::{FactsReader, failures};
use lapwing_fleet::campaign::{AgentFacts, AlertHours, Facts};
use lapwing_shared::messages::{DeviceHealth, Status};
use lapwing_shared::release::manifest::Name;
use lapwing_store::traits::{AgentAlertHour, CampaignAgent, GroupAgent};
use lapwing_store::{StoreError, StoreHandle};
use std::collections::{BTreeMap, HashMap, HashSet};

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
    /// Highest serial of a rollout that an agent reports.
    pub reported: u64,
}

impl OwnedFacts {
    /// The facts, as the campaign takes them.
    pub fn facts(&self) -> Facts<'_> {
        Facts { agents: &self.agents, alerts: &self.alerts, reported: self.reported }
    }

    /// Agents that are fit for the first waves.
    pub fn fit(&self) -> usize {
        self.agents.iter().filter(|agent| agent.is_fit).count()
    }
}

/// Everything that the facts are computed from.
pub(crate) struct Rows<'a> {
    pub(crate) agents: &'a [GroupAgent],
    pub(crate) reports: &'a [CampaignAgent],
    /// Episodes of earlier hours, and those of the newest ones.
    pub(crate) episodes: [&'a [AgentAlertHour]; 2],
    /// Campaigns that failed on an agent, by its name.
    pub(crate) failures: &'a HashMap<String, u32>,
}

/// Reads the facts about a group for a campaign once; a process that steps a campaign uses [`FactsReader`].
///
/// # Errors
/// When the store cannot be read.
pub fn load(handle: &StoreHandle, scope: &Scope, group: &str, now_s: u64) -> Result<OwnedFacts, StoreError> {
    FactsReader::default().load(handle, scope, group, now_s)
}

/// The same without the alerts, whose rows take half of the time: enough for the stages of the agents.
///
/// # Errors
/// When the store cannot be read.
pub fn load_agents(handle: &StoreHandle, scope: &Scope, group: &str, now_s: u64) -> Result<OwnedFacts, StoreError> {
    let rows = Rows {
        agents: &handle.group_agents(group)?,
        reports: &handle.campaign_agents(group, scope.version, scope.since_s)?,
        episodes: [&[], &[]],
        failures: &failures(handle, scope.version, group, now_s)?,
    };
    Ok(facts(&rows, scope, group, now_s))
}

/// Names of agents of a group that are set aside: two campaigns of the last 30 days failed on them. The open one does not count
/// yet.
///
/// # Errors
/// When the store cannot be read.
pub fn set_aside(handle: &StoreHandle, group: &str, now_s: u64) -> Result<HashSet<String>, StoreError> {
    let open = handle.open_campaign(group)?.map_or(0, |open| open.campaign.version());
    let failures = failures(handle, open, group, now_s)?.into_iter();
    Ok(failures.filter(|(_, failures)| *failures >= FAILURES).map(|(name, _)| name).collect())
}

/// Facts from what the store has.
pub(crate) fn facts(rows: &Rows<'_>, scope: &Scope, group: &str, now_s: u64) -> OwnedFacts {
    let mut owned = OwnedFacts::default();
    let mut presences = Vec::new();
    let mut pairs = Pairs::default();
    let mut places = HashMap::new();
    let reports: HashMap<&str, &CampaignAgent> = rows.reports.iter().map(|row| (row.name.as_str(), row)).collect();
    // An agent follows the rollouts of the group in its own configuration, whatever group its rows train.
    for stored in rows.agents.iter().filter(|agent| agent.status.group.as_str() == group) {
        let accepted = stored.release.as_ref().filter(|row| row.release.serial > 0);
        let (Some(health), Ok(name)) = (accepted, Name::try_from(stored.name.as_str())) else {
            owned.last.push(stored.name.clone());
            continue;
        };
        owned.reported = owned.reported.max(health.release.serial);
        let report = reports.get(stored.name.as_str()).copied();
        let failures = rows.failures.get(&stored.name).copied().unwrap_or(0);
        let known = Known { name, stored, health, report, failures };
        let agent = known.facts(scope, pairs.number(&health.device, &stored.status), now_s);
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
fn episodes(rows: &Rows<'_>, places: &HashMap<i64, usize>) -> Vec<Episodes> {
    let place = |row: &AgentAlertHour| {
        let agent = places.get(&row.agent).copied()?;
        Some(Episodes { agent, hour: row.hour, count: row.episodes })
    };
    rows.episodes.iter().copied().flatten().filter_map(place).collect()
}

/// Pairs that are counted separately, at most; agents of other pairs count as one more.
const PAIRS: u8 = 15;

/// Numbers of pairs of device target and engine. Agents that do not report their target have one in common.
#[derive(Default)]
struct Pairs<'a>(BTreeMap<(&'a str, &'a str), u8>);

impl<'a> Pairs<'a> {
    /// The number of an agent's pair.
    fn number(&mut self, device: &'a DeviceHealth, status: &'a Status) -> u8 {
        let pair = (device.target.as_str(), status.engine.as_str());
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
