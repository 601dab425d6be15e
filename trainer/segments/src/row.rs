//! One sampled feature row, with the parts of its batch that training needs and that identify it.

use lapwing_shared::features::FeatureVector;
use lapwing_shared::messages::{AgentName, RowHosts};
use lapwing_shared::units::Timestamp;

/// A sampled feature row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Agent that sent it.
    pub agent: AgentName,
    /// Time of the flow record, capture time.
    pub at: Timestamp,
    /// Position of its batch in the order in which the store received the batches.
    pub arrival: u64,
    /// Run number of the agent.
    pub run: u64,
    /// Number of the batch within the run.
    pub number: u64,
    /// Index in the batch.
    pub row: u32,
    /// Rows in the batch.
    pub batch_rows: u32,
    /// Flow records that the batch was sampled from; the weight of a row is this over [`Self::batch_rows`], at least 1.
    pub flows_seen: u32,
    /// When the agent sent the batch, seconds since the epoch by the agent's clock.
    pub sent_s: u64,
    /// Score under the release that the agent used; `None` without a release.
    pub score: Option<u32>,
    /// A host of the row was in an alert episode or halfway to one.
    pub in_episode: bool,
    /// Hosts whose evidence the row counted for.
    pub hosts: RowHosts,
    /// Features in plain units, schema order.
    pub features: FeatureVector,
}

impl Row {
    /// Orders the rows of a segment: agent, time, arrival, index in the batch.
    pub fn order(&self) -> (&str, Timestamp, u64, u32) {
        (self.agent.as_str(), self.at, self.arrival, self.row)
    }
}
