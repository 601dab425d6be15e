//! A campaign and the facts → what people see of it: waves, agents that are late, gates.

use super::facts::OwnedFacts;
use super::outline::is_within;
use lapwing_common::format::ago;
use lapwing_fleet::campaign::gates::{Finding, evaluate};
use lapwing_fleet::campaign::{
    AgentFacts, AgentStep, Campaign, CampaignState, Observations, Progress, Tally, WaveSize,
};
use lapwing_store::traits::{GateResult, StoredCampaign};
use serde::Serialize;

/// Agents that are named at most.
pub(crate) const NAMED: usize = 20;

/// One wave of a campaign.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct WaveView {
    /// Number, from 1.
    pub(crate) number: usize,
    /// Agents that may install the release in it, those of earlier waves included.
    pub(crate) agents: u32,
    /// `passed`, `delivering`, `soaking`, `failed`, `undecided` or `waiting`.
    pub(crate) state: &'static str,
    /// Shortest soak, hours.
    pub(crate) soak_hours: u32,
    /// Start, seconds since the epoch; none before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) began_s: Option<u64>,
    /// Start of the soak.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) soaking_s: Option<u64>,
    /// Time at which the wave, if undecided, pauses the campaign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deadline_s: Option<u64>,
}

/// Steps of the agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct TallyView {
    pub(crate) reached: u32,
    pub(crate) needed: u32,
    pub(crate) tried: u32,
    pub(crate) confirmed: u32,
    pub(crate) refused: u32,
    pub(crate) rolled_back: u32,
    pub(crate) silent: u32,
    pub(crate) held: u32,
    pub(crate) on_version: u32,
}

impl From<Tally> for TallyView {
    fn from(tally: Tally) -> Self {
        let Tally { reached, needed, tried, confirmed, refused, rolled_back, silent, held, on_version, .. } = tally;
        Self { reached, needed, tried, confirmed, refused, rolled_back, silent, held, on_version }
    }
}

/// An agent within the reach that has not confirmed, or that has not gone back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Laggard {
    pub(crate) agent: String,
    /// What it did last, or why it does nothing.
    pub(crate) why: String,
}

/// A campaign as people see it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct CampaignView {
    pub(crate) version: u64,
    pub(crate) base: u64,
    pub(crate) state: CampaignState,
    pub(crate) made_by: String,
    pub(crate) made_s: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) approved_by: Option<String>,
    /// Serial of the newest rollout.
    pub(crate) serial: u64,
    pub(crate) waves: Vec<WaveView>,
    pub(crate) tally: TallyView,
    /// Results of the gates now.
    pub(crate) gates: Vec<Finding>,
    /// At most [`NAMED`] of them.
    pub(crate) laggards: Vec<Laggard>,
    /// All of them.
    pub(crate) laggards_total: usize,
    /// Agents that take part, and those of them that are fit for the first waves.
    pub(crate) agents: usize,
    pub(crate) fit: usize,
    /// Agents that get the release when the campaign is completed.
    pub(crate) last: usize,
    /// Names of agents that are set aside, at most [`NAMED`].
    pub(crate) set_aside: Vec<String>,
}

impl CampaignView {
    /// The campaign at `now_s`. The gates are as they are now while it runs, otherwise the last `results`.
    pub(crate) fn new(stored: &StoredCampaign, results: &[GateResult], facts: &OwnedFacts, now_s: u64) -> Self {
        let (campaign, made_s) = (&stored.campaign, stored.made_s);
        let mut seen = Observations::of(campaign, &facts.facts(), now_s);
        let running = campaign.wave().filter(|_| campaign.state() == CampaignState::Running);
        let gates = running.map(|wave| {
            let size = wave.size.agents.min(seen.agents);
            evaluate(wave.size.plan.gates, &campaign.plan().limits, &seen, size)
        });
        let gates = gates.unwrap_or_else(|| results.iter().map(|result| result.finding.clone()).collect());
        // A campaign that does not run has no reach; people want to know whom its wave had reached.
        let reach = campaign.wave().map_or([0; 3], |wave| wave.reach);
        let reached = facts.agents.iter().filter(|agent| is_within(agent, reach)).count();
        seen.tally.reached = u32::try_from(reached).unwrap_or(u32::MAX);
        let (laggards, laggards_total) = laggards(campaign, facts, now_s);
        Self {
            version: campaign.version(),
            base: campaign.base(),
            state: campaign.state(),
            made_by: campaign.made_by().to_owned(),
            made_s,
            approved_by: campaign.approved_by().map(str::to_owned),
            serial: campaign.rollout().serial,
            waves: waves(campaign, facts),
            tally: seen.tally.into(),
            gates,
            laggards,
            laggards_total,
            agents: facts.agents.len(),
            fit: facts.fit(),
            last: facts.last.len(),
            set_aside: facts.set_aside.iter().take(NAMED).map(ToString::to_string).collect(),
        }
    }
}

fn waves(campaign: &Campaign, facts: &OwnedFacts) -> Vec<WaveView> {
    let agents = u32::try_from(facts.agents.len()).unwrap_or(u32::MAX);
    let current = campaign.wave();
    let view = |(place, size): (usize, WaveSize)| {
        let own = current.filter(|wave| wave.number == place);
        let is_past = current.is_some_and(|wave| place < wave.number);
        WaveView {
            number: place + 1,
            agents: size.agents,
            state: own.map_or(if is_past { "passed" } else { "waiting" }, |wave| wave.state.as_str()),
            soak_hours: size.plan.soak_hours,
            began_s: own.map(|wave| wave.began_s),
            soaking_s: own.and_then(|wave| wave.soaking_s),
            deadline_s: own.map(|wave| wave.deadline_s),
        }
    };
    campaign.plan().sizes(agents).into_iter().enumerate().map(view).collect()
}

/// Agents within the reach of the wave that have not confirmed, or that are not back after a withdrawal.
fn laggards(campaign: &Campaign, facts: &OwnedFacts, now_s: u64) -> (Vec<Laggard>, usize) {
    let is_withdrawn = campaign.rollout().is_withdrawn(campaign.version());
    let reach = campaign.wave().map_or([0; 3], |wave| wave.reach);
    let is_late = |agent: &AgentFacts| {
        let is_on_version = agent.running == campaign.version();
        let is_concerned = agent.progress.is_some() || is_within(agent, reach);
        if is_withdrawn { is_on_version } else { is_concerned && !is_on_version }
    };
    let rows = facts.agents.iter().zip(&facts.names).zip(&facts.reports);
    let late: Vec<_> = rows.filter(|((agent, _), _)| is_late(agent)).collect();
    let named = late.iter().take(NAMED).map(|((agent, name), report)| {
        let reason = report.as_ref().and_then(|report| report.reason.as_deref());
        Laggard { agent: name.to_string(), why: why(agent, reason, is_withdrawn, now_s) }
    });
    (named.collect(), late.len())
}

fn why(agent: &AgentFacts, reason: Option<&str>, is_withdrawn: bool, now_s: u64) -> String {
    let since = |at_s: u64| ago(now_s.saturating_sub(at_s));
    let is_offline = now_s.saturating_sub(agent.last_seen_s) > lapwing_fleet::SILENT_S;
    let offline = if is_offline { format!("; no message for {}", since(agent.last_seen_s)) } else { String::new() };
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    let step = match agent.progress {
        _ if is_withdrawn => "not back".into(),
        None if agent.is_held => "held".into(),
        None => "has not begun".into(),
        Some(Progress { step, at_s }) => match step {
            AgentStep::Downloading => format!("downloading for {}{reason}", since(at_s)),
            AgentStep::Verified => format!("verified {} ago", since(at_s)),
            AgentStep::Trial => format!("on trial for {}", since(at_s)),
            AgentStep::Confirmed => format!("confirmed {} ago, runs release {} now", since(at_s), agent.running),
            AgentStep::Defect | AgentStep::Refused => format!("refused{reason}"),
            AgentStep::RolledBack => format!("rolled back{reason}"),
        },
    };
    format!("{step}{offline}")
}
