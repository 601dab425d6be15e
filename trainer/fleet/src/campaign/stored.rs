//! Campaign ↔ the JSON text that a store has of it.

use super::plan::{PlanError, WAVES};
use super::state::Campaign;
use lapwing_shared::rollout::message::{PLACES, RolloutError};
use std::fmt;

/// Why a stored campaign cannot be read, or a campaign not be stored.
#[derive(Debug)]
pub enum CampaignError {
    /// Not JSON of a campaign; a field that this version does not know is an error, because it may change the meaning.
    Json(serde_json::Error),
    /// Its plan is invalid.
    Plan(PlanError),
    /// Its rollout is invalid.
    Rollout(RolloutError),
    /// Its plan does not allow its wave.
    Wave,
}

impl fmt::Display for CampaignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "{error}"),
            Self::Plan(error) => write!(f, "{error}"),
            Self::Rollout(error) => write!(f, "rollout: {error}"),
            Self::Wave => write!(f, "invalid wave"),
        }
    }
}

impl std::error::Error for CampaignError {}

impl From<serde_json::Error> for CampaignError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

impl From<PlanError> for CampaignError {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}

impl From<RolloutError> for CampaignError {
    fn from(error: RolloutError) -> Self {
        Self::Rollout(error)
    }
}

impl Campaign {
    /// Its JSON text.
    ///
    /// # Errors
    /// When a value has no JSON form.
    pub fn to_json(&self) -> Result<String, CampaignError> {
        Ok(serde_json::to_string(self)?)
    }

    /// Reads the JSON text of a campaign.
    ///
    /// # Errors
    /// [`CampaignError`].
    pub fn from_json(text: &str) -> Result<Self, CampaignError> {
        let campaign: Self = serde_json::from_str(text)?;
        campaign.plan.validate()?;
        campaign.rollout.validate()?;
        let is_valid = campaign.wave.is_none_or(|wave| {
            wave.number < WAVES && wave.reach.iter().all(|reach| *reach <= PLACES) && wave.deadline_s >= wave.began_s
        });
        if is_valid { Ok(campaign) } else { Err(CampaignError::Wave) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{agent, draft};
    use super::super::{Action, AlertHours, Facts};
    use super::*;

    fn running() -> Campaign {
        let agents = vec![agent(1); 30];
        let facts = Facts { agents: &agents, alerts: &AlertHours::default(), reported: 0 };
        draft().act(Action::Submit, "ann", &facts, draft().stepped_s()).unwrap().campaign
    }

    #[test]
    fn a_campaign_is_read_as_it_was_written() {
        for campaign in [draft(), running()] {
            let text = campaign.to_json().unwrap();
            assert_eq!(Campaign::from_json(&text).unwrap(), campaign);
        }
    }

    #[test]
    fn damaged_and_unknown_campaigns_are_errors_that_name_the_fault() {
        let text = running().to_json().unwrap();
        let error = |text: &str| Campaign::from_json(text).unwrap_err().to_string();
        assert!(error("").contains("EOF"), "{}", error(""));
        assert!(error(&text[..text.len() / 2]).contains("EOF"));
        let unknown = text.replacen('{', "{\"colour\":1,", 1);
        assert!(error(&unknown).contains("unknown field `colour`"), "{}", error(&unknown));
        let state = text.replace("\"running\"", "\"dreaming\"");
        assert!(error(&state).contains("unknown variant `dreaming`"), "{}", error(&state));
        assert_eq!(error(&text.replace("\"serial\":8", "\"serial\":0")), "rollout: invalid serial");
        assert_eq!(error(&text.replacen("\"number\":0", "\"number\":8", 1)), "invalid wave");
        let plan = text.replacen("\"waves\":[{\"percent\":0.0", "\"waves\":[{\"percent\":101.0", 1);
        assert!(error(&plan).contains("waves[0].percent"), "{}", error(&plan));
    }
}
