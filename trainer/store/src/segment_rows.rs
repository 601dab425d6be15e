//! What a store keeps of its segments; plain types without SQL.

use crate::rows::StoredBatch;
use lapwing_segments::{AgentExtent, Row, Segment};
use lapwing_shared::features::FeatureVector;
use lapwing_shared::messages::{Body, Message, SampleRow, Samples};
use lapwing_shared::release::name::parse_name;

/// Name of the setting that says where the segments are.
pub(crate) const PLACE: &str = "segments";

/// A segment of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSegment {
    /// Its number; a segment that was added later has a higher one.
    pub id: i64,
    /// The file. Times beyond signed 64-bit numbers are [`lapwing_shared::units::Timestamp::MAX`].
    pub segment: Segment,
    /// Position of its first batch in the order of arrival.
    pub first_arrival: u64,
    /// Made of other segments.
    pub is_rewritten: bool,
    /// The file has rows of an agent that an operator removed.
    pub has_forgotten: bool,
    /// Agents whose rows count.
    pub agents: Vec<i64>,
    /// Rows that count.
    pub counted_rows: u64,
}

/// A segment to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSegment {
    /// The file, which is durable.
    pub segment: Segment,
    /// Position of its first batch in the order of arrival.
    pub first_arrival: u64,
    /// Its agents, with their numbers in the store.
    pub agents: Vec<(i64, AgentExtent)>,
}

impl NewSegment {
    /// Bytes of the file that count as an agent's, by its rows.
    pub(crate) fn bytes_of(&self, extent: &AgentExtent) -> i64 {
        let share = u128::from(self.segment.bytes) * u128::from(extent.rows) / u128::from(self.segment.rows.max(1));
        i64::try_from(share).unwrap_or(i64::MAX)
    }
}

/// Identifies a sample batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the fields document them")]
pub struct BatchKey {
    pub arrival: u64,
    pub agent_id: i64,
    pub run: u64,
    pub number: u64,
}

/// Rows of an agent that are in no segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalPart {
    /// Number of the agent in this store.
    pub agent_id: i64,
    /// Rows of the schema.
    pub rows: u64,
    /// Group of the agent; `None` until it sends its status.
    pub group: Option<String>,
}

/// Size of all segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the fields document them")]
pub struct SegmentTotals {
    pub segments: u64,
    /// Rows that count.
    pub rows: u64,
    pub bytes: u64,
}

/// The newest batch of an agent that is in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewestRow {
    /// Number of the agent in this store.
    pub agent_id: i64,
    /// Position of the batch in the order of arrival.
    pub arrival: u64,
    /// Time of the newest row in the batch, nanoseconds.
    pub at_ns: i64,
}

/// The rows of a batch that have every feature, and whether these are all; `None` if it no longer decodes.
pub(crate) fn rows_of(batch: &StoredBatch) -> Option<(Vec<Row>, bool)> {
    let agent = parse_name(&batch.agent)?;
    let Message { run, number, sent_s, body } = Message::decode(&batch.payload).ok()?;
    let Body::Samples(Samples { flows_seen, rows, .. }) = body else { return None };
    let batch_rows = rows.len() as u32;
    let row = |(index, row): (usize, &SampleRow)| {
        Some(Row {
            agent: agent.clone(),
            at: row.at,
            arrival: batch.arrival,
            run,
            number,
            row: index as u32,
            batch_rows,
            flows_seen,
            sent_s,
            score: row.score,
            in_episode: row.in_episode,
            hosts: row.hosts,
            features: FeatureVector::try_from(row.features.as_slice()).ok()?,
        })
    };
    let found: Vec<Row> = rows.iter().enumerate().filter_map(row).collect();
    let is_complete = found.len() == rows.len();
    Some((found, is_complete))
}
