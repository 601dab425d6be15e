//! An agent and a campaign → where the agent is in it, for lists and metrics.

use super::facts::{AgentFacts, AgentStep, Progress};
use super::state::{Campaign, CampaignState};
use serde::Serialize;

/// Where an agent is in a campaign. Each agent is in one stage at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum AgentStage {
    /// The release was withdrawn, and the agent still runs it.
    NotBack,
    /// It refused the release.
    Refused,
    /// It rolled the release back after its trial.
    RolledBack,
    /// It took a step and then sent nothing for six hours.
    Silent,
    /// It has the release on trial.
    Trial,
    /// It has verified the release and not begun its trial.
    Verified,
    /// It is downloading the release.
    Downloading,
    /// The wave includes it, but it is held.
    Held,
    /// The wave includes it; it has not taken a step.
    Offered,
    /// It confirmed the release and runs another one now.
    Left,
    /// It runs the release.
    Confirmed,
    /// It ran the withdrawn release and went back.
    Back,
}

impl AgentStage {
    /// Every stage, those that need attention first.
    pub const ALL: [Self; 12] = [
        Self::NotBack,
        Self::Refused,
        Self::RolledBack,
        Self::Silent,
        Self::Trial,
        Self::Verified,
        Self::Downloading,
        Self::Held,
        Self::Offered,
        Self::Left,
        Self::Confirmed,
        Self::Back,
    ];

    /// Its name for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotBack => "not back",
            Self::Refused => "refused",
            Self::RolledBack => "rolled back",
            Self::Silent => "silent",
            Self::Trial => "on trial",
            Self::Verified => "verified",
            Self::Downloading => "downloading",
            Self::Held => "held",
            Self::Offered => "not begun",
            Self::Left => "runs another release",
            Self::Confirmed => "confirmed",
            Self::Back => "back",
        }
    }

    /// Whether nothing more is expected of an agent in it, so that lists need not name it.
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Confirmed | Self::Back)
    }
}

impl AgentFacts {
    /// Where it is in a campaign; `None` if the campaign has not reached it, or its release is not for it any more.
    pub fn stage(&self, campaign: &Campaign, now_s: u64) -> Option<AgentStage> {
        let is_on_version = self.running == campaign.version();
        let is_withdrawn = campaign.rollout().is_withdrawn(campaign.version());
        if is_on_version {
            return Some(if is_withdrawn { AgentStage::NotBack } else { AgentStage::Confirmed });
        }
        let Some(Progress { step, at_s }) = self.progress else {
            return self.before_first_step(campaign).filter(|_| !is_withdrawn);
        };
        let unless_silent = |stage| if self.is_silent(at_s, now_s) { AgentStage::Silent } else { stage };
        Some(match step {
            AgentStep::Defect | AgentStep::Refused => AgentStage::Refused,
            AgentStep::RolledBack => AgentStage::RolledBack,
            AgentStep::Trial => unless_silent(AgentStage::Trial),
            AgentStep::Confirmed if is_withdrawn => AgentStage::Back,
            AgentStep::Confirmed => AgentStage::Left,
            // It stopped when it read that the release is withdrawn.
            AgentStep::Verified | AgentStep::Downloading if is_withdrawn => return None,
            AgentStep::Verified => unless_silent(AgentStage::Verified),
            AgentStep::Downloading => unless_silent(AgentStage::Downloading),
        })
    }

    fn before_first_step(&self, campaign: &Campaign) -> Option<AgentStage> {
        // A campaign that does not run has no reach; people want to know whom its wave had reached.
        let reach = campaign.wave().map_or([0; 3], |wave| wave.reach);
        let is_offered = match campaign.state() {
            CampaignState::Completed => self.running < campaign.version(),
            state => !state.is_final() && self.is_within(reach),
        };
        is_offered.then_some(if self.is_held { AgentStage::Held } else { AgentStage::Offered })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{agent, draft};
    use super::super::{AbortMode, Action, AlertHours, Facts};
    use super::*;

    /// A running campaign of a group of one agent, so that its wave includes every agent.
    fn running() -> Campaign {
        let agents = [agent(1)];
        let facts = Facts { agents: &agents, alerts: &AlertHours::default(), reported: 0 };
        draft().act(Action::Submit, "ann", &facts, draft().stepped_s()).unwrap().campaign
    }

    fn ended(mode: AbortMode) -> Campaign {
        let facts = Facts { agents: &[agent(1)], alerts: &AlertHours::default(), reported: 0 };
        let campaign = running();
        let now_s = campaign.stepped_s();
        campaign.act(Action::Abort(mode), "ann", &facts, now_s).unwrap().campaign
    }

    fn stage(campaign: &Campaign, step: Option<AgentStep>, running: u64) -> Option<AgentStage> {
        let now_s = campaign.stepped_s();
        let progress = step.map(|step| Progress { step, at_s: now_s });
        AgentFacts { running, progress, ..agent(1) }.stage(campaign, now_s)
    }

    #[test]
    fn each_step_is_a_stage_while_the_campaign_runs() {
        let campaign = running();
        let (version, base) = (campaign.version(), campaign.base());
        for (step, running, expected) in [
            (None, base, AgentStage::Offered),
            (Some(AgentStep::Downloading), base, AgentStage::Downloading),
            (Some(AgentStep::Verified), base, AgentStage::Verified),
            (Some(AgentStep::Trial), 0, AgentStage::Trial),
            (Some(AgentStep::Confirmed), version, AgentStage::Confirmed),
            (Some(AgentStep::Confirmed), version + 1, AgentStage::Left),
            (Some(AgentStep::Defect), base, AgentStage::Refused),
            (Some(AgentStep::Refused), base, AgentStage::Refused),
            (Some(AgentStep::RolledBack), base, AgentStage::RolledBack),
        ] {
            assert_eq!(stage(&campaign, step, running), Some(expected), "{step:?} {running}");
        }
        let held = AgentFacts { is_held: true, running: base, progress: None, ..agent(1) };
        assert_eq!(held.stage(&campaign, campaign.stepped_s()), Some(AgentStage::Held));
    }

    #[test]
    fn an_agent_without_messages_for_six_hours_after_a_step_is_silent() {
        let campaign = running();
        let at_s = campaign.stepped_s();
        let trial = |last_seen_s| {
            let progress = Some(Progress { step: AgentStep::Trial, at_s });
            AgentFacts { running: 0, progress, last_seen_s, ..agent(1) }.stage(&campaign, at_s + 6 * 3_600)
        };
        assert_eq!(trial(at_s), Some(AgentStage::Silent));
        assert_eq!(trial(at_s + 3_600), Some(AgentStage::Trial));
    }

    #[test]
    fn after_a_withdrawal_only_agents_on_the_release_are_not_back() {
        let campaign = ended(AbortMode::Withdraw);
        let (version, base) = (campaign.version(), campaign.base());
        assert_eq!(stage(&campaign, Some(AgentStep::Confirmed), version), Some(AgentStage::NotBack));
        assert_eq!(stage(&campaign, Some(AgentStep::Confirmed), base), Some(AgentStage::Back));
        assert_eq!(stage(&campaign, Some(AgentStep::RolledBack), base), Some(AgentStage::RolledBack));
        assert_eq!((stage(&campaign, Some(AgentStep::Downloading), base), stage(&campaign, None, base)), (None, None));
    }

    #[test]
    fn a_stopped_campaign_offers_its_release_to_no_agent() {
        let campaign = ended(AbortMode::Stop);
        assert_eq!(stage(&campaign, None, campaign.base()), None);
        assert_eq!(stage(&campaign, None, campaign.version()), Some(AgentStage::Confirmed), "and none loses it");
    }
}
