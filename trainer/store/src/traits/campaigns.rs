//! Campaigns, their rollouts, and what the store knows of the agents that they reach.

use crate::error::StoreError;
use crate::highest_version::HighestVersion;
use crate::rows::StoredUpdate;
use lapwing_fleet::campaign::gates::Finding;
use lapwing_fleet::campaign::{Campaign, Outcome, Transition};
use lapwing_shared::messages::{DeviceHealth, ReleaseHealth, Status};
use lapwing_shared::rollout::message::{Rollout, RolloutError};

/// A campaign as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredCampaign {
    /// Its number in the store.
    pub id: i64,
    /// Number of changes since it was added.
    pub revision: u64,
    /// The group that it is for.
    pub group: String,
    /// When it was created, seconds since the epoch.
    pub made_s: u64,
    /// When it was last stored, seconds since the epoch.
    pub changed_s: u64,
    /// The campaign.
    pub campaign: Campaign,
}

impl StoredCampaign {
    /// A change of this campaign, to be stored unless another one came first.
    pub const fn change<'a>(&self, outcome: &'a Outcome) -> CampaignChange<'a> {
        CampaignChange { id: self.id, revision: self.revision, outcome }
    }
}

/// A changed campaign.
#[derive(Clone, Copy, Debug)]
pub struct CampaignChange<'a> {
    /// Its number.
    pub id: i64,
    /// The revision that it had before.
    pub revision: u64,
    /// What it has become.
    pub outcome: &'a Outcome,
}

/// Whether a change of a campaign was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It was; the campaign has this revision now.
    Stored(u64),
    /// Nothing was stored, because another process has changed the campaign. Read it again.
    Changed,
}

/// Campaigns to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CampaignFilter {
    /// Those of this group; `None`: of every group.
    pub group: Option<String>,
    /// Those of this version; `None`: of every version.
    pub version: Option<u64>,
    /// Only those that have not ended.
    pub is_open: bool,
    /// Those with a lower number: the last one of the previous page.
    pub before: Option<i64>,
    /// Most campaigns to list.
    pub limit: u32,
}

/// A rollout, not signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRollout {
    /// The group.
    pub group: String,
    /// Its serial.
    pub serial: u64,
    /// Its frame, which is what is signed.
    pub body: Vec<u8>,
    /// When it was issued, seconds since the epoch.
    pub issued_s: u64,
    /// Number of its campaign; 0 if it was made without one.
    pub campaign: i64,
}

impl StoredRollout {
    /// The rollout.
    ///
    /// # Errors
    /// When the frame is damaged.
    pub fn rollout(&self) -> Result<Rollout, RolloutError> {
        Rollout::decode(&self.body)
    }
}

/// The result of a gate at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct GateResult {
    /// Number of the wave.
    pub wave: usize,
    /// When it was first evaluated with this verdict, or the last hour began, seconds since the epoch.
    pub since_s: u64,
    /// When the numbers were computed, seconds since the epoch.
    pub at_s: u64,
    /// The result; its numbers are finite.
    pub finding: Finding,
}

/// The newest step that an agent reported about a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CampaignAgent {
    /// Number of the agent.
    pub agent: i64,
    /// Its name.
    pub name: String,
    /// The step, e.g. `confirmed`.
    pub step: String,
    /// Why it failed.
    pub reason: Option<String>,
    /// When it was received, seconds since the epoch.
    pub at_s: u64,
}

/// Alert episodes of an agent that began in one hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentAlertHour {
    /// Number of the agent.
    pub agent: i64,
    /// The hour, since the epoch, by the agent's clock.
    pub hour: u64,
    /// Episodes.
    pub episodes: u32,
}

/// What an agent reported of the release that it runs, and the costs of the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredReleaseHealth {
    /// Number of the agent.
    pub agent: i64,
    /// Its name.
    pub name: String,
    /// When the newest message of the agent was received, seconds since the epoch.
    pub at_s: u64,
    /// Its newest report.
    pub release: ReleaseHealth,
    /// What it reports of itself.
    pub device: DeviceHealth,
    /// The version that it ran before; 0 if it is not known.
    pub before_version: u64,
    /// CPU time with it, milliseconds.
    pub before_cpu_ms: u64,
    /// Packets with it.
    pub before_packets: u64,
    /// Since when its coverage is degraded, seconds since the epoch; `None` if it is not.
    pub degraded_since_s: Option<u64>,
    /// When the first report with these fields was received, seconds since the epoch.
    pub first_s: u64,
}

/// What a campaign needs to know of an agent of its group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupAgent {
    /// Its name.
    pub name: String,
    /// When its last message arrived, seconds since the epoch.
    pub last_seen_s: u64,
    /// Its last status.
    pub status: Box<Status>,
    /// Its coverage is degraded.
    pub is_degraded: bool,
    /// The newest step that it reported, about any version.
    pub update: Option<StoredUpdate>,
    /// What it reported of its release; `None` if it never sent these fields, or its rows train another group.
    pub release: Option<StoredReleaseHealth>,
}

/// Campaigns of every group, and their rollouts.
pub trait Campaigns {
    /// Adds a campaign to its rollout's group, and `superseded`, the change of the campaign that it supersedes, in one
    /// transaction. `None`, without any change, if the superseded campaign has changed, or a newer rollout exists than the
    /// one from which the campaign was made: begin again with what is stored now.
    ///
    /// # Errors
    /// [`StoreError::OpenCampaign`] when another campaign of the group has not ended, or the store cannot be written.
    fn add_campaign(
        &self,
        added: &Outcome,
        superseded: Option<CampaignChange<'_>>,
        now_s: u64,
    ) -> Result<Option<StoredCampaign>, StoreError>;

    /// Stores a change, in one transaction: the campaign, its transitions, also in the audit log, results of gates that have
    /// changed, and the rollout to publish.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn save_campaign(&self, change: CampaignChange<'_>, now_s: u64) -> Result<Saved, StoreError>;

    /// A campaign by its number.
    ///
    /// # Errors
    /// When the store cannot be read, or the campaign is damaged or of a newer version.
    fn campaign(&self, id: i64) -> Result<Option<StoredCampaign>, StoreError>;

    /// The campaign of a group that has not ended.
    ///
    /// # Errors
    /// As [`Campaigns::campaign`].
    fn open_campaign(&self, group: &str) -> Result<Option<StoredCampaign>, StoreError>;

    /// At most `limit` campaigns of a group, or of all, newest first.
    ///
    /// # Errors
    /// As [`Campaigns::campaign`].
    fn campaigns(&self, group: Option<&str>, limit: u32) -> Result<Vec<StoredCampaign>, StoreError>;

    /// The campaigns that match a filter, newest first.
    ///
    /// # Errors
    /// As [`Campaigns::campaign`].
    fn campaign_page(&self, filter: &CampaignFilter) -> Result<Vec<StoredCampaign>, StoreError>;

    /// At most `limit` changes of a campaign, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn transitions(&self, id: i64, limit: u32) -> Result<Vec<Transition>, StoreError>;

    /// The newest result of each of a campaign's gates that was evaluated, with the newest numbers.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn newest_gate_results(&self, id: i64) -> Result<Vec<GateResult>, StoreError>;

    /// At most `limit` results of a campaign's gates, newest first: one for each wave and verdict, and one each hour.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn gate_results(&self, id: i64, limit: u32) -> Result<Vec<GateResult>, StoreError>;

    /// Adds a rollout of its group that no campaign makes. `false`, without any change, if the group has an open campaign, or a
    /// rollout with this serial or a higher one.
    ///
    /// # Errors
    /// When the rollout is invalid, or the store cannot be written.
    fn add_rollout(&self, rollout: &Rollout) -> Result<bool, StoreError>;

    /// The newest rollout of a group.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn newest_rollout(&self, group: &str) -> Result<Option<StoredRollout>, StoreError>;

    /// The newest step of each agent of a group about a version, received at `since_s` or later, by agent.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn campaign_agents(&self, group: &str, version: u64, since_s: u64) -> Result<Vec<CampaignAgent>, StoreError>;

    /// Alert episodes of a group's agents that began at `since_s` or later, by agent and hour. There are at most as many rows
    /// as the limit on alerts allows messages. Test alerts count, too.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn alert_hours(&self, group: &str, since_s: u64) -> Result<Vec<AgentAlertHour>, StoreError>;

    /// The agents that report this group, by name. Those without a status that decodes are left out.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn group_agents(&self, group: &str) -> Result<Vec<GroupAgent>, StoreError>;

    /// What agents of a group reported of their releases, by agent. An agent that never sent these fields has no row.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn release_health(&self, group: &str) -> Result<Vec<StoredReleaseHealth>, StoreError>;

    /// The highest versions of a group that the store or an agent knows.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn highest_version(&self, group: &str) -> Result<HighestVersion, StoreError>;
}
