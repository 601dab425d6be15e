//! What pages, lists and commands read from a store, and how they select it; plain types without SQL.

use lapwing_fleet::{AgentState, Episode};
use lapwing_shared::messages::{Health, Status};
use serde::Serialize;
use std::collections::BTreeSet;

/// One agent, as `agents` lists it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct StoredAgent {
    pub name: String,
    /// Highest run number received.
    pub run: u64,
    /// When its last message arrived, seconds since the epoch.
    pub last_seen_s: u64,
    /// Feature rows received in total.
    pub sample_rows: u64,
    /// Alert messages received in total.
    pub alerts: u64,
    /// Group that an operator assigned instead of the reported one.
    #[serde(skip)]
    pub assigned_group: Option<String>,
    /// Last status; `None` if the agent has not sent one or it no longer decodes.
    #[serde(skip)]
    pub status: Option<Box<Status>>,
    /// Last health; `None` if the agent has not sent one or it no longer decodes.
    #[serde(skip)]
    pub health: Option<Box<Health>>,
    /// The identity with its name was revoked: collectors refuse its messages, though it may be connected to a broker.
    pub revoked: bool,
}

impl StoredAgent {
    /// Group that its rows train: the assigned one, otherwise the reported one; `None` until it sends its status.
    pub fn group(&self) -> Option<&str> {
        self.assigned_group.as_deref().or_else(|| self.status.as_ref().map(|status| status.group.as_str()))
    }
}

/// Feature rows of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupRows {
    /// Rows that arrived from agents while they were in the group.
    pub stored: u64,
    /// Value of `stored` when training of the last release began.
    pub trained: u64,
}

/// Number of agents of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct AgentsOfGroup {
    pub group: String,
    pub agents: u64,
}

/// Selects episodes.
#[derive(Clone, Debug, Default)]
pub struct AlertFilter {
    /// Only episodes of this agent.
    pub agent: Option<String>,
    /// Only episodes without a label.
    pub unlabelled: bool,
    /// Episodes to return, at most.
    pub limit: u32,
}

/// Names that one query for a part of a name looks at, at most. [`AgentFilter::after`] continues.
pub const MAX_NAMES_SEARCHED: u32 = 5_000;

/// Selects agents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentFilter {
    /// Only agents whose name begins with this text.
    pub prefix: Option<String>,
    /// Only agents whose name contains this text.
    pub contains: Option<String>,
    /// Only agents of this group.
    pub group: Option<String>,
    /// Only agents in this state.
    pub state: Option<AgentState>,
    /// Only agents after this place: [`AgentPage::next`] of the previous page.
    pub after: Option<i64>,
    /// Agents per page, at most.
    pub limit: u32,
}

/// One page of agents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentPage {
    /// The agents: those with open alerts first, and in each half the worst state first, then by name.
    pub agents: Vec<AgentRow>,
    /// [`AgentFilter::after`] of the next page; `None` on the last page. With [`AgentFilter::contains`], a page may be
    /// short or empty and still have a next one.
    pub next: Option<i64>,
}

/// Number of agents that agree in these fields.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct AgentCount {
    pub state: AgentState,
    /// Empty until an agent sends its status.
    pub group: String,
    /// Release in use, 0 for none.
    pub release: u64,
    pub on_trial: bool,
    /// Release that they refused or rolled back, 0 for none.
    pub failed_release: u64,
    pub agents: u64,
    /// Their open alert episodes.
    pub open_alerts: u64,
}

/// One step of an agent's update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredUpdate {
    /// Release version, 0 if the manifest could not be read.
    pub release: u64,
    /// `downloading`, `verified`, `trial`, `confirmed`, `refused` or `rolled-back`.
    pub step: String,
    /// Why the release was refused or rolled back.
    pub reason: Option<String>,
    /// When the store received it, seconds since the epoch.
    pub received_s: u64,
}

/// Episodes that one agent opened on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct DayCount {
    /// Days since the epoch.
    pub day: i64,
    pub agent: String,
    pub episodes: u64,
}

/// One agent, as the dashboard shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentRow {
    /// The same as in the list of agents.
    pub line: StoredAgent,
    /// The health message before the newest one, to compute rates.
    pub health_before: Option<Box<Health>>,
    /// Newest update report.
    pub update: Option<StoredUpdate>,
    /// Open episodes.
    pub open_alerts: u64,
}

/// Selects episodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpisodeFilter {
    /// Only episodes of this agent.
    pub agent: Option<String>,
    /// Only episodes with this [`Episode::shown_class`].
    pub kind: Option<String>,
    /// Only open (true) or only closed (false) episodes.
    pub open: Option<bool>,
    /// Earliest start, seconds since the epoch, capture time. With a start, episodes are ordered by it.
    pub from_s: Option<u64>,
    /// Latest start, seconds since the epoch, capture time. With a start, episodes are ordered by it.
    pub to_s: Option<u64>,
    /// Only episodes after this place: [`EpisodePage::next`] of the previous page.
    pub before: Option<i64>,
    /// Episodes per page, at most.
    pub limit: u32,
}

/// One page of episodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EpisodePage {
    /// The episodes, newest first.
    pub episodes: Vec<Episode>,
    /// [`EpisodeFilter::before`] of the next page; `None` on the last page.
    pub next: Option<i64>,
}

/// One alert message of an episode.
#[derive(Clone, Debug, PartialEq)]
pub struct EpisodeMessage {
    /// 0 opened, 1 updated, 2 closed.
    pub state: u8,
    /// Time of the message, seconds since the epoch, capture time.
    pub at_s: u64,
    /// Highest evidence so far, nats.
    pub peak_nats: f64,
    /// Flows so far.
    pub flows: u32,
    /// When the store received it, seconds since the epoch.
    pub received_s: u64,
}

/// An episode to classify, and the time span of its flows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct EpisodeSpan {
    pub(crate) id: i64,
    pub(crate) agent: i64,
    pub agent_name: String,
    pub episode: u64,
    pub(crate) first_ns: i64,
    pub(crate) last_ns: i64,
    /// Changes of the episode since it was classified, when it was read.
    pub(crate) changes: i64,
}

/// A stored sample batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBatch {
    /// Its position in the order of arrival.
    pub arrival: u64,
    /// Number of its agent in this store.
    pub agent_id: i64,
    /// Name of its agent.
    pub agent: String,
    /// Encoded message, as received.
    pub payload: Vec<u8>,
}

/// Time from the first to the last message of an episode, for training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpisodeExtent {
    /// Number of its agent in this store.
    pub agent_id: i64,
    /// Earliest start, nanoseconds.
    pub first_ns: i64,
    /// Latest message, nanoseconds.
    pub last_ns: i64,
    /// An operator labelled it benign.
    pub benign: bool,
}

/// Alert episodes without a label. Their rows are excluded from training, although a release in use raises as many false
/// alerts as its budget allows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Unlabelled {
    pub episodes: u64,
    /// Evidence limit that they exceeded, nats; the mean where there were several limits.
    pub limit_nats: f32,
}

impl Unlabelled {
    /// The sum over these agents, or over all; from the agents' names, numbers of episodes and sums of limits.
    pub(crate) fn of(agents: Option<&[String]>, lines: Vec<(String, u64, f64)>) -> Self {
        let agents: Option<BTreeSet<&str>> = agents.map(|agents| agents.iter().map(String::as_str).collect());
        let (mut episodes, mut nats) = (0, 0.0);
        for (name, count, sum) in lines {
            if agents.as_ref().is_none_or(|agents| agents.contains(name.as_str())) {
                episodes += count;
                nats += sum;
            }
        }
        Self { episodes, limit_nats: (nats / episodes.max(1) as f64) as f32 }
    }
}

/// Versions that a restored store skips, because the agents may have releases that were made after the backup. Far below
/// the largest step between two versions that an agent accepts.
pub const BACKUP_VERSIONS: u64 = 1_000;
