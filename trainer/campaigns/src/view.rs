//! A campaign and the facts → what people see of it: waves, agents by stage, gates.

use crate::facts::{OwnedFacts, load};
use crate::history::{CHANGES, Change, changes};
use crate::scope_of;
use lapwing_common::format::ago;
use lapwing_fleet::campaign::gates::{Finding, evaluate};
use lapwing_fleet::campaign::{
    AgentFacts, AgentStage, AgentStep, Campaign, CampaignState, Observations, Progress, Tally, WaveSize, WaveState,
};
use lapwing_store::traits::{GateResult, StoredCampaign};
use lapwing_store::{StoreError, StoreHandle};
use serde::Serialize;

/// Agents of one stage that are named, at most.
pub const NAMED: usize = 20;

/// One wave of a campaign.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub struct WaveView {
    /// Number, from 1.
    pub number: usize,
    /// Agents that may install the release in it, those of earlier waves included.
    pub agents: u32,
    /// `passed`, `delivering`, `soaking`, `failed`, `undecided` or `waiting`.
    pub state: &'static str,
    /// Shortest soak, hours.
    pub soak_hours: u32,
    /// Start, seconds since the epoch; none before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began_s: Option<u64>,
    /// Start of the soak.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soaking_s: Option<u64>,
    /// When it passed, failed or was undecided at its deadline, or the campaign stopped in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_s: Option<u64>,
    /// Time at which the wave, if undecided, pauses the campaign; none unless the campaign runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_s: Option<u64>,
}

/// Steps of the agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub struct TallyView {
    /// Agents that the newest wave includes.
    pub reached: u32,
    /// Agents that must confirm before the soak begins.
    pub needed: u32,
    /// Agents that took a step.
    pub tried: u32,
    /// Agents that confirmed.
    pub confirmed: u32,
    /// Agents that refused the release.
    pub refused: u32,
    /// Agents that rolled it back.
    pub rolled_back: u32,
    /// Agents that have been silent since a step.
    pub silent: u32,
    /// Agents that the wave includes and that are held.
    pub held: u32,
    /// Agents that run the release, or have it on trial.
    pub on_version: u32,
}

impl From<Tally> for TallyView {
    fn from(tally: Tally) -> Self {
        let Tally { reached, needed, tried, confirmed, refused, rolled_back, silent, held, on_version, .. } = tally;
        Self { reached, needed, tried, confirmed, refused, rolled_back, silent, held, on_version }
    }
}

/// An agent with the reason why it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub struct NamedAgent {
    /// Name.
    pub agent: String,
    /// What it did last, or why it does nothing.
    pub why: String,
}

/// Agents in one stage of the campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub struct StageView {
    /// The stage.
    pub stage: AgentStage,
    /// Number of agents in it.
    pub agents: usize,
    /// The first 20 of them; none of those from which nothing more is expected.
    pub named: Vec<NamedAgent>,
}

/// A campaign as people see it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub struct CampaignView {
    /// Number in the store.
    pub id: i64,
    /// Version of the release.
    pub version: u64,
    /// Version that the rest of the group runs.
    pub base: u64,
    /// State.
    pub state: CampaignState,
    /// Who created it.
    pub made_by: String,
    /// Time of its creation, seconds since the epoch.
    pub made_s: u64,
    /// Who approved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// Serial of the newest rollout.
    pub serial: u64,
    /// Its waves, those of the plan included that have not begun.
    pub waves: Vec<WaveView>,
    /// Steps of the agents.
    pub tally: TallyView,
    /// Results of the gates now; the last ones if the campaign does not run.
    pub gates: Vec<Finding>,
    /// Agents by stage, those that need attention first; stages without agents are omitted.
    pub stages: Vec<StageView>,
    /// Agents that take part.
    pub agents: usize,
    /// Agents that are fit for the first waves.
    pub fit: usize,
    /// Agents that get the release when the campaign is completed.
    pub last: usize,
    /// Names of agents that are set aside, at most 20.
    pub set_aside: Vec<String>,
    /// Number of agents that are set aside.
    pub set_aside_total: usize,
}

/// A campaign, and why it changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub struct CampaignReport {
    /// Group.
    pub group: String,
    /// Time to which the numbers refer, seconds since the epoch.
    pub at_s: u64,
    /// The campaign.
    pub campaign: CampaignView,
    /// Its changes, newest first, at most 500.
    pub changes: Vec<Change>,
}

impl CampaignReport {
    /// The report of a stored campaign at `now_s`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn read(handle: &StoreHandle, stored: &StoredCampaign, now_s: u64) -> Result<Self, StoreError> {
        let facts = load(handle, &scope_of(stored), &stored.group, now_s)?;
        let results = handle.newest_gate_results(stored.id)?;
        let changes = changes(handle, stored.id, CHANGES)?;
        let campaign = CampaignView::new(stored, &results, &changes, &facts, now_s);
        Ok(Self { group: stored.group.clone(), at_s: now_s, campaign, changes })
    }
}

impl CampaignView {
    /// The campaign at `now_s`. The gates are as they are now while it runs, otherwise the last `results`. `changes` are newest
    /// first.
    pub fn new(
        stored: &StoredCampaign,
        results: &[GateResult],
        changes: &[Change],
        facts: &OwnedFacts,
        now_s: u64,
    ) -> Self {
        let campaign = &stored.campaign;
        let mut seen = Observations::of(campaign, &facts.facts(), now_s);
        let running = campaign.wave().filter(|_| campaign.state() == CampaignState::Running);
        let gates = running.map(|wave| {
            let size = wave.size.agents.min(seen.agents);
            evaluate(wave.size.plan.gates, &campaign.plan().limits, &seen, size)
        });
        // A campaign that does not run has no reach; people want to know whom its wave had reached.
        let reach = campaign.wave().map_or([0; 3], |wave| wave.reach);
        let reached = facts.agents.iter().filter(|agent| agent.is_within(reach)).count();
        seen.tally.reached = u32::try_from(reached).unwrap_or(u32::MAX);
        Self {
            id: stored.id,
            version: campaign.version(),
            base: campaign.base(),
            state: campaign.state(),
            made_by: campaign.made_by().to_owned(),
            made_s: stored.made_s,
            approved_by: campaign.approved_by().map(str::to_owned),
            serial: campaign.rollout().serial,
            waves: waves(campaign, changes, facts),
            tally: seen.tally.into(),
            gates: gates.unwrap_or_else(|| results.iter().map(|result| result.finding.clone()).collect()),
            stages: stages(campaign, facts, now_s),
            agents: facts.agents.len(),
            fit: facts.fit(),
            last: facts.last.len(),
            set_aside: facts.set_aside.iter().take(NAMED).map(ToString::to_string).collect(),
            set_aside_total: facts.set_aside.len(),
        }
    }
}

fn waves(campaign: &Campaign, changes: &[Change], facts: &OwnedFacts) -> Vec<WaveView> {
    let agents = u32::try_from(facts.agents.len()).unwrap_or(u32::MAX);
    let current = campaign.wave();
    let is_running = campaign.state() == CampaignState::Running;
    let stopped = changes.iter().take_while(|change| change.state != CampaignState::Running).last();
    let view = |(place, size): (usize, WaveSize)| {
        let own = current.filter(|wave| wave.number == place);
        let is_past = current.is_some_and(|wave| place < wave.number);
        let state = own.map_or(if is_past { "passed" } else { "waiting" }, |wave| wave.state.as_str());
        let first = |states: &[WaveState]| {
            let is_it =
                |change: &&Change| change.wave.is_some_and(|(wave, is)| wave == place + 1 && states.contains(&is));
            changes.iter().rev().find(is_it).map(|change| change.at_s)
        };
        let has_ended = !matches!(state, "waiting" | "delivering" | "soaking");
        let ended = [WaveState::Passed, WaveState::Failed, WaveState::Undecided];
        WaveView {
            number: place + 1,
            agents: size.agents,
            state,
            soak_hours: size.plan.soak_hours,
            began_s: own.map(|wave| wave.began_s).or_else(|| first(&[WaveState::Delivering])),
            soaking_s: own.map_or_else(|| first(&[WaveState::Soaking]), |wave| wave.soaking_s),
            ended_s: match has_ended {
                true => first(&ended),
                false => own.and(stopped).map(|change| change.at_s),
            },
            deadline_s: own.filter(|_| is_running).map(|wave| wave.deadline_s),
        }
    };
    campaign.plan().sizes(agents).into_iter().enumerate().map(view).collect()
}

/// Agents by stage, with the names of those from which something is expected.
fn stages(campaign: &Campaign, facts: &OwnedFacts, now_s: u64) -> Vec<StageView> {
    let rows = facts.agents.iter().zip(&facts.names).zip(&facts.reports);
    let staged: Vec<_> =
        rows.filter_map(|((agent, name), report)| Some((agent.stage(campaign, now_s)?, agent, name, report))).collect();
    let view = |stage: AgentStage| {
        let all = || staged.iter().filter(|(of, ..)| *of == stage);
        let named = all().take(if stage.is_settled() { 0 } else { NAMED }).map(|(_, agent, name, report)| {
            let reason = report.as_ref().and_then(|report| report.reason.as_deref());
            NamedAgent { agent: name.to_string(), why: why(agent, stage, reason, now_s) }
        });
        StageView { stage, agents: all().count(), named: named.collect() }
    };
    AgentStage::ALL.into_iter().map(view).filter(|view| view.agents > 0).collect()
}

fn why(agent: &AgentFacts, stage: AgentStage, reason: Option<&str>, now_s: u64) -> String {
    let since = |at_s: u64| ago(now_s.saturating_sub(at_s));
    let is_offline = now_s.saturating_sub(agent.last_seen_s) > lapwing_fleet::SILENT_S;
    let offline = if is_offline { format!("; no message for {}", since(agent.last_seen_s)) } else { String::new() };
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    let step = match (stage, agent.progress) {
        (AgentStage::Offered, _) => "has not begun".into(),
        (AgentStage::Refused | AgentStage::RolledBack, _) => format!("{}{reason}", stage.as_str()),
        (AgentStage::Left, Some(Progress { at_s, .. })) => {
            format!("confirmed {} ago, runs release {} now", since(at_s), agent.running)
        }
        (AgentStage::NotBack | AgentStage::Held, _) | (_, None) => stage.as_str().into(),
        (_, Some(Progress { step, at_s })) => match step {
            AgentStep::Downloading => format!("downloading for {}{reason}", since(at_s)),
            AgentStep::Verified => format!("verified {} ago", since(at_s)),
            _ => format!("on trial for {}", since(at_s)),
        },
    };
    format!("{step}{offline}")
}
