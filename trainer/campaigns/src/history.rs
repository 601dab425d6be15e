//! Changes of a campaign, as people see them.

use lapwing_common::format::when;
use lapwing_fleet::campaign::{CampaignState, Transition, WaveState};
use lapwing_store::{StoreError, StoreHandle};
use serde::Serialize;

/// Changes of a campaign that are listed, at most: the newest ones.
pub const CHANGES: u32 = 500;

/// A change of a campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Change {
    /// Time, seconds since the epoch.
    pub at_s: u64,
    /// State of the campaign after it.
    pub state: CampaignState,
    /// Number of the wave, from 1, and its state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wave: Option<(usize, WaveState)>,
    /// Person; none if the campaign changed by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// The reason.
    pub why: String,
}

impl From<Transition> for Change {
    fn from(transition: Transition) -> Self {
        let Transition { at_s, state, wave, who, why } = transition;
        Self { at_s, state, wave: wave.map(|(number, state)| (number + 1, state)), who, why }
    }
}

impl Change {
    /// State of the campaign and of its wave.
    pub fn state_text(&self) -> String {
        let wave = self.wave.map(|(number, state)| format!(", wave {number} {}", state.as_str())).unwrap_or_default();
        format!("{}{wave}", self.state.as_str())
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let by = self.who.as_ref().map(|who| format!(" by {who}")).unwrap_or_default();
        format!("{} UTC  {}: {}{by}", when(self.at_s), self.state_text(), self.why)
    }
}

/// At most `limit` changes of a campaign, newest first.
///
/// # Errors
/// When the store cannot be read.
pub fn changes(handle: &StoreHandle, campaign: i64, limit: u32) -> Result<Vec<Change>, StoreError> {
    Ok(handle.transitions(campaign, limit)?.into_iter().map(Change::from).collect())
}

/// Why a campaign is in its state: of changes that are newest first, the newest one while it runs, otherwise the one that ended
/// the run. An aborted campaign was stopped by what made it abort, not by the return of its last agent.
pub fn cause(changes: &[Change]) -> Option<&Change> {
    let kind = |state| if state == CampaignState::Aborting { CampaignState::Aborted } else { state };
    let newest = changes.first()?;
    if newest.state == CampaignState::Running {
        return Some(newest);
    }
    changes.iter().take_while(|change| kind(change.state) == kind(newest.state)).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(state: CampaignState, why: &str) -> Change {
        Change { at_s: 0, state, wave: None, who: None, why: why.into() }
    }

    #[test]
    fn an_aborted_campaign_names_what_stopped_it() {
        use CampaignState::{Aborted, Aborting, Paused, Running};
        let changes = [
            change(Aborted, "every agent is back"),
            change(Aborting, "alerts failed"),
            change(Paused, "paused"),
            change(Running, "wave begins"),
            change(Running, "started"),
        ];
        let why = |changes: &[Change]| cause(changes).map(|change| change.why.clone());
        assert_eq!(why(&changes).as_deref(), Some("alerts failed"));
        assert_eq!(why(&changes[2..]).as_deref(), Some("paused"));
        assert_eq!(why(&changes[3..]).as_deref(), Some("wave begins"));
        assert_eq!(why(&[]), None);
    }
}
