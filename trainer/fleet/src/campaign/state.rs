//! A campaign and its waves.

use super::gates::Finding;
use super::plan::{AbortMode, Plan, WaveSize};
use lapwing_shared::rollout::message::{Next, Rollout};
use serde::{Deserialize, Serialize};

/// State of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum CampaignState {
    /// Created, not submitted.
    Draft,
    /// Waits for another person's approval.
    Waiting,
    /// A wave is running.
    Running,
    /// No agent begins until it is resumed.
    Paused,
    /// Withdrawn; agents are going back.
    Aborting,
    /// Ended without success.
    Aborted,
    /// Every gate of the last wave has passed.
    Completed,
    /// A later campaign of the group has started.
    Superseded,
    /// Approval was refused, or the draft was discarded.
    Refused,
}

impl CampaignState {
    /// Every state.
    pub const ALL: [Self; 9] = [
        Self::Draft,
        Self::Waiting,
        Self::Running,
        Self::Paused,
        Self::Aborting,
        Self::Aborted,
        Self::Completed,
        Self::Superseded,
        Self::Refused,
    ];

    /// Whether nothing changes any more.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Aborted | Self::Completed | Self::Superseded | Self::Refused)
    }

    /// Its name on pages and in lists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Aborting => "aborting",
            Self::Aborted => "aborted",
            Self::Completed => "completed",
            Self::Superseded => "superseded",
            Self::Refused => "refused",
        }
    }

    /// The state with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// State of a wave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum WaveState {
    /// Too few agents have confirmed.
    Delivering,
    /// Enough have; their behaviour is observed.
    Soaking,
    /// Every gate has passed.
    Passed,
    /// A gate has failed.
    Failed,
    /// A gate was undecided at the deadline.
    Undecided,
}

impl WaveState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Delivering, Self::Soaking, Self::Passed, Self::Failed, Self::Undecided];

    /// Its name on pages and in lists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivering => "delivering",
            Self::Soaking => "soaking",
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Undecided => "undecided",
        }
    }

    /// The state with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// A wave that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wave {
    /// Number, from 0.
    pub number: usize,
    /// Its size and plan.
    pub size: WaveSize,
    /// Reach by channel.
    pub reach: [u32; 3],
    /// State.
    pub state: WaveState,
    /// Start, seconds since the epoch.
    pub began_s: u64,
    /// Start of the soak, if it has begun.
    pub soaking_s: Option<u64>,
    /// Time at which an undecided wave pauses the campaign.
    pub deadline_s: u64,
}

/// What a campaign begins with.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// Version to install.
    pub version: u64,
    /// Plan.
    pub plan: Plan,
    /// Salt of the agents' places, from [`super::choose_salt`].
    pub salt: [u8; 8],
    /// Who creates it.
    pub made_by: String,
    /// The group's newest rollout.
    pub rollout: Rollout,
}

/// A campaign: one release of one group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Campaign {
    pub(super) version: u64,
    pub(super) plan: Plan,
    pub(super) salt: [u8; 8],
    pub(super) made_by: String,
    pub(super) approved_by: Option<String>,
    pub(super) state: CampaignState,
    pub(super) wave: Option<Wave>,
    pub(super) rollout: Rollout,
    /// Time of the last step, to notice that the trainer was not available.
    pub(super) stepped_s: u64,
    /// When agents that are not back are listed, while it is aborting.
    pub(super) back_by_s: u64,
}

/// Why a campaign or its wave changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// Time, seconds since the epoch.
    pub at_s: u64,
    /// Campaign state after it.
    pub state: CampaignState,
    /// Number and state of the wave after it.
    pub wave: Option<(usize, WaveState)>,
    /// Who, if a person.
    pub who: Option<String>,
    /// The reason.
    pub why: String,
}

/// What the caller does after it has stored the campaign.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Sign and publish this rollout.
    Publish(Rollout),
}

/// The result of a step or an action.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The campaign.
    pub campaign: Campaign,
    /// What changed, in order.
    pub transitions: Vec<Transition>,
    /// Results of the gates, if they were evaluated.
    pub findings: Vec<Finding>,
    /// What to do.
    pub effects: Vec<Effect>,
}

impl Outcome {
    pub(super) fn unchanged(campaign: Campaign) -> Self {
        Self { campaign, transitions: Vec::new(), findings: Vec::new(), effects: Vec::new() }
    }

    pub(super) fn note(&mut self, now_s: u64, who: Option<&str>, why: impl Into<String>) {
        let campaign = &self.campaign;
        let wave = campaign.wave.map(|wave| (wave.number, wave.state));
        let who = who.map(str::to_owned);
        self.transitions.push(Transition { at_s: now_s, state: campaign.state, wave, who, why: why.into() });
    }

    /// Publishes the rollout that the campaign's state requires, with the next serial.
    pub(super) fn publish(&mut self, now_s: u64) {
        let campaign = &mut self.campaign;
        let reach = campaign.reach();
        let next = Next { version: campaign.version, salt: campaign.salt, reach };
        let names_next = matches!(campaign.state, CampaignState::Running | CampaignState::Paused);
        let rollout = &mut campaign.rollout;
        rollout.next = names_next.then_some(next);
        rollout.serial = rollout.serial.saturating_add(1);
        (rollout.issued_s, rollout.expires_s) = (now_s, now_s.saturating_add(VALID_S));
        self.effects.retain(|effect| !matches!(effect, Effect::Publish(_)));
        self.effects.push(Effect::Publish(rollout.clone()));
    }
}

/// Validity of a rollout: 30 days. A campaign publishes it again after half of that.
pub(super) const VALID_S: u64 = 30 * 86_400;

impl Campaign {
    /// The version that it installs.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The version that the rest of the group runs.
    pub fn base(&self) -> u64 {
        self.rollout.base
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// State.
    pub fn state(&self) -> CampaignState {
        self.state
    }

    /// The current wave, or the last one.
    pub fn wave(&self) -> Option<&Wave> {
        self.wave.as_ref()
    }

    /// Salt of the agents' places.
    pub fn salt(&self) -> [u8; 8] {
        self.salt
    }

    /// Time of the last step or action, seconds since the epoch.
    pub fn stepped_s(&self) -> u64 {
        self.stepped_s
    }

    /// Who created it.
    pub fn made_by(&self) -> &str {
        &self.made_by
    }

    /// Who approved it, if that was required.
    pub fn approved_by(&self) -> Option<&str> {
        self.approved_by.as_deref()
    }

    /// The newest rollout. Publishing it again changes nothing, whatever became of the first time.
    pub fn rollout(&self) -> &Rollout {
        &self.rollout
    }

    /// The reach that agents may use now: none while it is paused.
    pub fn reach(&self) -> [u32; 3] {
        match self.state {
            CampaignState::Running => self.wave.map_or([0; 3], |wave| wave.reach),
            _ => [0; 3],
        }
    }

    /// Ends it: `withdraw` lists the version as withdrawn.
    pub(super) fn end(outcome: &mut Outcome, mode: AbortMode, now_s: u64) {
        let campaign = &mut outcome.campaign;
        match mode {
            AbortMode::Stop => campaign.state = CampaignState::Aborted,
            AbortMode::Withdraw => {
                campaign.state = CampaignState::Aborting;
                campaign.back_by_s = now_s.saturating_add(BACK_S);
                campaign.rollout.withdraw(campaign.version);
            }
        }
        outcome.publish(now_s);
    }
}

/// Time after which agents that have not gone back are listed: seven days.
const BACK_S: u64 = 7 * 86_400;
