//! Stored campaigns → where each release is, and why its campaign stopped.

use lapwing_fleet::campaign::Transition;
use lapwing_store::traits::StoredCampaign;
use serde::Serialize;
use utoipa::ToSchema;

/// A campaign: one release on its way through its group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct CampaignView {
    /// Group.
    pub(crate) group: String,
    /// Version of the release.
    pub(crate) version: u64,
    /// `draft`, `waiting`, `running`, `paused`, `aborting`, `aborted`, `completed`, `superseded` or `refused`.
    pub(crate) state: String,
    /// Number of the wave, from 1; null before the first.
    pub(crate) wave: Option<usize>,
    /// State of the wave: `delivering`, `soaking`, `passed`, `failed` or `undecided`; null before the first.
    pub(crate) wave_state: Option<String>,
    /// Who created it.
    pub(crate) made_by: String,
    /// Time of its creation, seconds since the epoch.
    pub(crate) made_s: u64,
    /// Time of its last change, seconds since the epoch; null without one.
    pub(crate) changed_s: Option<u64>,
    /// Reason of its last change; null without one.
    pub(crate) reason: Option<String>,
}

impl CampaignView {
    /// A campaign with its last change.
    pub(crate) fn new(stored: StoredCampaign, last: Option<Transition>) -> Self {
        let StoredCampaign { group, made_s, campaign, .. } = stored;
        Self {
            group,
            version: campaign.version(),
            state: campaign.state().as_str().into(),
            wave: campaign.wave().map(|wave| wave.number + 1),
            wave_state: campaign.wave().map(|wave| wave.state.as_str().into()),
            made_by: campaign.made_by().into(),
            made_s,
            changed_s: last.as_ref().map(|last| last.at_s),
            reason: last.map(|last| last.why),
        }
    }
}
