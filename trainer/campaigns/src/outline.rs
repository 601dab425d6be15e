//! A proposed campaign → its waves, with the agents that each adds, and what this group cannot find out.

use crate::create::{GateFindings, Proposal, canary};
use crate::view::NAMED;
use lapwing_fleet::campaign::{AbortMode, AgentFacts, Gates, wave_reach};
use serde::Serialize;

/// Agents below which a group has no control and its gates decide with less.
const FEW_AGENTS: usize = 20;

/// One wave of a proposed campaign.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct WaveOutline {
    /// Number, from 1.
    pub number: usize,
    /// Agents that may install the release in it, those of earlier waves included.
    pub agents: usize,
    /// Agents that it adds, at most [`NAMED`] of their names.
    pub adds: Vec<String>,
    /// Number of agents that it adds.
    pub added: usize,
    /// Shortest soak, hours.
    pub soak_hours: u32,
    /// Time after which the wave, if undecided, pauses the campaign, hours.
    pub deadline_hours: u32,
    /// Gates that it must pass.
    pub gates: Gates,
}

/// What a campaign would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Outline {
    /// Group.
    pub group: String,
    /// Version of the release.
    pub version: u64,
    /// Version that the rest of the group runs.
    pub base: u64,
    /// Why the release was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was made, seconds since the epoch.
    pub made_s: u64,
    /// What the gate before publication found; none if it did not hold the release back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateFindings>,
    /// What a replay of attacks found worse than with the release that the group runs.
    pub findings: Vec<String>,
    /// Agents that take part.
    pub agents: usize,
    /// Those of them that are fit for the first waves.
    pub fit: usize,
    /// Agents that get the release when the campaign is completed.
    pub last: usize,
    /// Agents that are set aside, at most [`NAMED`].
    pub set_aside: Vec<String>,
    /// Its waves.
    pub waves: Vec<WaveOutline>,
    /// Agents that keep the old release until the last wave has passed.
    pub control: usize,
    /// Another person must approve the campaign.
    pub approval: bool,
    /// What happens to agents on a failed release.
    pub on_failure: AbortMode,
    /// The campaign that it supersedes, by its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<u64>,
    /// What should be known before it starts.
    pub notes: Vec<String>,
}

impl Outline {
    /// What a proposed campaign would do.
    pub fn of(proposal: &Proposal) -> Self {
        let Proposal { campaign, facts, release, gate, findings, superseded } = proposal;
        let waves = waves(proposal);
        let reached = waves.last().map_or(0, |wave| wave.agents);
        Self {
            group: release.group.clone(),
            version: campaign.version(),
            base: campaign.base(),
            reason: release.reason.clone(),
            made_s: release.made_s,
            gate: gate.clone(),
            findings: findings.clone(),
            agents: facts.agents.len(),
            fit: facts.fit(),
            last: facts.last.len(),
            set_aside: facts.set_aside.iter().take(NAMED).map(ToString::to_string).collect(),
            control: facts.agents.len().saturating_sub(reached),
            waves,
            approval: campaign.plan().approval,
            on_failure: campaign.plan().on_failure,
            supersedes: superseded.as_ref().map(|open| open.campaign.version()),
            notes: notes(proposal),
        }
    }
}

fn waves(proposal: &Proposal) -> Vec<WaveOutline> {
    let Proposal { campaign, facts, .. } = proposal;
    let agents = count(facts.agents.len());
    let (plan, mut reach) = (campaign.plan(), [0; 3]);
    let mut outlines = Vec::new();
    for (place, size) in plan.sizes(agents).into_iter().enumerate() {
        let wider = wave_reach(&facts.agents, &size, plan.last_share(agents), reach);
        let is_added = |agent: &AgentFacts| agent.is_within(wider) && !agent.is_within(reach);
        let added: Vec<_> = facts.agents.iter().zip(&facts.names).filter(|(agent, _)| is_added(agent)).collect();
        outlines.push(WaveOutline {
            number: place + 1,
            agents: facts.agents.iter().filter(|agent| agent.is_within(wider)).count(),
            adds: added.iter().take(NAMED).map(|(_, name)| name.to_string()).collect(),
            added: added.len(),
            soak_hours: size.plan.soak_hours,
            deadline_hours: size.plan.deadline_hours,
            gates: size.plan.gates,
        });
        reach = wider;
    }
    outlines
}

fn count(agents: usize) -> u32 {
    u32::try_from(agents).unwrap_or(u32::MAX)
}

/// What a person should know before the campaign starts.
fn notes(proposal: &Proposal) -> Vec<String> {
    let Proposal { campaign, facts, .. } = proposal;
    let (agents, fit) = (facts.agents.len(), facts.fit());
    let canary = canary(&campaign.plan().sizes(count(agents))).map_or(0, |canary| canary.agents as usize);
    let mut notes = Vec::new();
    if fit < canary {
        notes.push(format!(
            "the canary needs {canary} fit agents and {fit} are: others are taken too (fit: online in the last 6 h, known \
             for 7 days, not degraded, not held)"
        ));
    }
    if agents < FEW_AGENTS {
        notes.push(format!(
            "with {agents} of at least {FEW_AGENTS} agents there is no control: alerts are compared with each agent's own \
             last 14 days, so an attack during the campaign can stop a good release"
        ));
        let quiet = facts.agents.iter().map(|agent| f64::from(agent.usual_per_day)).sum::<f64>() / agents.max(1) as f64;
        notes.push(format!(
            "whether the release multiplies alerts shows slowly: these agents usually have {quiet:.1} alerts a day; if the \
             evidence is inconclusive at the deadline, the campaign pauses for a person"
        ));
    }
    if agents == 1 {
        notes
            .push("the only agent is the first wave: the release reaches the whole group before a gate decides".into());
    }
    notes
}
