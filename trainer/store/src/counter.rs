//! Named counters of the store, which survive a restart.

/// A counter in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Sample rows dropped by a limit.
    SampleRowsDropped,
    /// Sample batches dropped by a limit.
    SampleBatchesDropped,
    /// Alert messages dropped by a limit.
    AlertsDropped,
    /// Update reports dropped by a limit.
    UpdatesDropped,
    /// Messages refused because the table of agents is full.
    AgentsRefused,
    /// Missing message numbers given up, because their run had too many gaps or the gap was too old.
    NumbersGivenUp,
    /// Runs forgotten because an agent had too many.
    RunsForgotten,
    /// Duplicates, which are not stored again.
    Duplicates,
    /// Sample rows stored since the store was created.
    SampleRowsStored,
    /// Value of `SampleRowsStored` when training of the last release began.
    SampleRowsTrained,
    /// Duplicates of alerts, among the duplicates.
    DuplicateAlerts,
    /// Alerts with the number of another stored message, stored nevertheless.
    ConflictingAlerts,
    /// Messages rejected because their number was too far beyond the highest stored one.
    NumbersRejected,
    /// Sample batches rejected because they had no rows or one schema too many.
    BatchesRejected,
    /// Agents that an operator removed.
    AgentsForgotten,
    /// Hosts whose data an operator removed.
    HostsForgotten,
    /// Silent agents with few messages, removed to make room for new ones.
    AgentsEvicted,
    /// Rows of campaigns beyond their limits that were deleted: rollouts, results of gates, transitions, ended campaigns.
    CampaignRowsDropped,
    /// Incidents that were not made, because too many were open.
    IncidentsRefused,
    /// Episodes that joined no incident, because theirs had too many.
    IncidentEpisodesRefused,
    /// Recent episodes that were not compared with new ones, because there were too many.
    IncidentCandidatesSkipped,
    /// Incidents that were deleted: beyond their limit, or without episodes that are stored.
    IncidentsDropped,
    /// Notes on incidents that were deleted beyond their limit.
    NotesDropped,
    /// When this store began to join episodes, seconds since the epoch.
    IncidentsSince,
    /// Versions up to this one may be in use although the store does not list them: it was restored from a backup.
    ReleaseVersionFloor,
    /// Changes of the list of segments.
    SegmentChanges,
    /// Position of the newest batch that was ever in a segment.
    SegmentArrivals,
}

impl Counter {
    /// Key in the table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::SampleRowsDropped => "sample-rows-dropped",
            Self::SampleBatchesDropped => "sample-batches-dropped",
            Self::AlertsDropped => "alerts-dropped",
            Self::UpdatesDropped => "updates-dropped",
            Self::AgentsRefused => "agents-refused",
            Self::NumbersGivenUp => "numbers-given-up",
            Self::RunsForgotten => "runs-forgotten",
            Self::Duplicates => "duplicates",
            Self::SampleRowsStored => "sample-rows-stored",
            Self::SampleRowsTrained => "sample-rows-trained",
            Self::DuplicateAlerts => "duplicate-alerts",
            Self::ConflictingAlerts => "conflicting-alerts",
            Self::NumbersRejected => "numbers-rejected",
            Self::BatchesRejected => "batches-rejected",
            Self::AgentsForgotten => "agents-forgotten",
            Self::HostsForgotten => "hosts-forgotten",
            Self::AgentsEvicted => "agents-evicted",
            Self::CampaignRowsDropped => "campaign-rows-dropped",
            Self::IncidentsRefused => "incidents-refused",
            Self::IncidentEpisodesRefused => "incident-episodes-refused",
            Self::IncidentCandidatesSkipped => "incident-candidates-skipped",
            Self::IncidentsDropped => "incidents-dropped",
            Self::NotesDropped => "notes-dropped",
            Self::IncidentsSince => "incidents-since",
            Self::ReleaseVersionFloor => "release-version-floor",
            Self::SegmentChanges => "segment-changes",
            Self::SegmentArrivals => "segment-arrivals",
        }
    }
}
