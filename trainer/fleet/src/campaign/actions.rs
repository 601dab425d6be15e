//! A person's action → what the campaign does, or why not.

use super::facts::Facts;
use super::plan::AbortMode;
use super::state::{Campaign, CampaignState, Outcome, Terms};
use crate::actor::is_same_person;
use lapwing_shared::rollout::message::RolloutError;
use std::fmt;

/// What a person does with a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Submits the draft: it begins, or waits for approval.
    Submit,
    /// Approves it.
    Approve,
    /// Refuses it, or discards the draft.
    Refuse,
    /// Lets no other agent begin.
    Pause,
    /// Continues.
    Resume,
    /// Ends it.
    Abort(AbortMode),
    /// Ends it in favour of a later campaign, which starts from its rollout.
    Supersede,
}

/// Why an action is not possible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionError {
    /// The campaign's state does not allow it.
    State(CampaignState),
    /// The person who created a campaign cannot approve it.
    OwnCampaign,
    /// The version is not above `base` and all withdrawn ones.
    Version {
        /// The version.
        version: u64,
        /// What is expected.
        expected: &'static str,
    },
    /// The plan or the group's rollout is invalid.
    Invalid(String),
}

impl fmt::Display for ActionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(state) => write!(f, "the campaign is {}, which does not allow this", state.as_str()),
            Self::OwnCampaign => write!(f, "another person than its creator must approve the campaign"),
            Self::Version { version, expected } => write!(f, "release version {version}: expected {expected}"),
            Self::Invalid(text) => write!(f, "{text}"),
        }
    }
}

impl std::error::Error for ActionError {}

impl From<RolloutError> for ActionError {
    fn from(error: RolloutError) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl Campaign {
    /// Creates a draft.
    ///
    /// # Errors
    /// [`ActionError`] for an invalid plan, rollout or version.
    pub fn draft(terms: Terms, now_s: u64) -> Result<Self, ActionError> {
        let Terms { version, plan, salt, made_by, mut rollout } = terms;
        plan.validate().map_err(|error| ActionError::Invalid(error.to_string()))?;
        rollout.next = None;
        rollout.validate()?;
        let refused = |expected| Err(ActionError::Version { version, expected });
        if version <= rollout.base {
            return refused("a version above the one that the group runs");
        }
        // Also because the oldest of many withdrawn versions are not listed.
        if rollout.is_withdrawn(version) || rollout.withdrawn.first().is_some_and(|newest| version < *newest) {
            return refused("a version above all withdrawn ones");
        }
        rollout.spread_s = plan.spread_s;
        Ok(Self {
            version,
            plan,
            salt,
            made_by,
            approved_by: None,
            state: CampaignState::Draft,
            wave: None,
            rollout,
            stepped_s: now_s,
            back_by_s: 0,
        })
    }

    /// Applies a person's action.
    ///
    /// # Errors
    /// [`ActionError`] if the state or the person does not allow it.
    pub fn act(self, action: Action, who: &str, facts: &Facts<'_>, now_s: u64) -> Result<Outcome, ActionError> {
        use CampaignState::{Draft, Paused, Running, Waiting};
        let state = self.state;
        let mut outcome = Outcome::unchanged(self);
        outcome.campaign.stepped_s = now_s;
        match (action, state) {
            (Action::Submit, Draft) if outcome.campaign.plan.approval => {
                outcome.campaign.state = Waiting;
                outcome.note(now_s, Some(who), "submitted for approval");
            }
            (Action::Submit, Draft) => outcome.start(Some(who), "started", facts, now_s),
            (Action::Approve, Waiting) if is_same_person(&outcome.campaign.made_by, who) => {
                return Err(ActionError::OwnCampaign);
            }
            (Action::Approve, Waiting) => {
                outcome.campaign.approved_by = Some(who.to_owned());
                outcome.start(Some(who), "approved", facts, now_s);
            }
            (Action::Refuse, Draft | Waiting) => {
                outcome.campaign.state = CampaignState::Refused;
                outcome.note(now_s, Some(who), "refused");
            }
            (Action::Pause, Running) => outcome.pause(Some(who), "paused", now_s),
            (Action::Resume, Paused) => outcome.resume(who, now_s),
            (Action::Abort(mode), Running | Paused) => {
                Self::end(&mut outcome, mode, now_s);
                outcome.note(now_s, Some(who), if mode == AbortMode::Stop { "stopped" } else { "withdrawn" });
            }
            (Action::Supersede, state) if !state.is_final() => {
                outcome.campaign.state = CampaignState::Superseded;
                outcome.note(now_s, Some(who), "superseded by a later campaign");
            }
            _ => return Err(ActionError::State(state)),
        }
        outcome.rise_above(facts.reported, now_s);
        Ok(outcome)
    }
}

impl Outcome {
    pub(super) fn pause(&mut self, who: Option<&str>, why: impl Into<String>, now_s: u64) {
        self.campaign.state = CampaignState::Paused;
        self.publish(now_s);
        self.note(now_s, who, why);
    }

    /// The wave gets its whole time again: how long the campaign was paused says nothing about its agents.
    fn resume(&mut self, who: &str, now_s: u64) {
        self.campaign.state = CampaignState::Running;
        if let Some(wave) = &mut self.campaign.wave {
            wave.deadline_s = now_s.saturating_add(u64::from(wave.size.plan.deadline_hours) * 3_600);
            wave.state = super::state::WaveState::Delivering;
        }
        self.publish(now_s);
        self.note(now_s, Some(who), "resumed");
    }
}
