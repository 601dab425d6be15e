//! Stored sample batches → training rows, with a count of the excluded rows by reason.
//!
//! An agent marks the rows of hosts that are in an alert episode or halfway to one. A marked row is excluded if an episode
//! of its agent covers its time, unless an operator labelled all such episodes benign. An episode covers the time from its
//! `since` to its newest message, plus [`SPAN_SLACK`] on both sides, because a flow record is created some time after its
//! packets. A marked row outside all episodes is returned as suspect: its host never raised an alert. Such rows are the
//! most unusual part of normal traffic. They calibrate thresholds, which would be too low without them, but they do not
//! train. Rows younger than [`UNDECIDED`] are excluded, because their alert may still follow.
//! Rows of revoked agents are excluded, whenever they were stored: whoever controls an agent can teach what it likes.

use crate::error::StoreError;
use crate::received::stored_ns;
use crate::row_store::RowStore;
use crate::stored_rows::{Snapshot, StoredRows};
use lapwing_segments::{Filter, Row};
use lapwing_shared::features::{FeatureVector, SchemaId};
use lapwing_shared::messages::{Body, Message, RowHosts};
use lapwing_shared::units::Timestamp;
use std::collections::BTreeMap;

/// Extension of an episode's time span on both sides, nanoseconds.
const SPAN_SLACK: i64 = 120 * 1_000_000_000;
/// A marked row within this time before its agent's newest row is excluded, nanoseconds. Evidence halves every 30 min.
const UNDECIDED: i64 = 3_600 * 1_000_000_000;

/// A row of a stored sample batch that training may use.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingRow {
    /// Agent id, as in [`RowSummary::agents`].
    pub agent: i64,
    /// When the flow record was created, capture time.
    pub at: Timestamp,
    /// Features in plain units, schema order.
    pub features: FeatureVector,
    /// Score by the agent's release at the time.
    pub score: Option<u32>,
    /// Weight: the number of flow records that this sampled row represents.
    pub flows: f32,
    /// Hosts whose evidence the row contributes to; empty from older agents.
    pub hosts: RowHosts,
    /// A host of the row was halfway to an alert that did not follow: calibrate with the row, do not train on it.
    pub suspect: bool,
    /// Position of its batch in the order of arrival, and its index in the batch: they order rows of the same agent and time,
    /// wherever the rows are stored.
    pub place: (u64, u32),
}

impl TrainingRow {
    /// A row of a store or of a segment.
    pub fn new(agent: i64, row: Row, suspect: bool) -> Self {
        let Row { at, features, score, hosts, arrival, row: index, .. } = row;
        let flows = (row.flows_seen as f32 / row.batch_rows.max(1) as f32).max(1.0);
        Self { agent, at, features, score, flows, hosts, suspect, place: (arrival, index) }
    }
}

/// Numbers of returned and excluded rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowSummary {
    /// Returned rows, including suspect ones.
    pub rows: u64,
    /// Returned suspect rows, which calibrate but do not train.
    pub suspect: u64,
    /// Excluded rows of alert episodes, or of hosts that may still raise an alert.
    pub in_episode: u64,
    /// Returned rows of alert episodes that an operator labelled benign.
    pub labelled_benign: u64,
    /// Excluded rows of revoked agents, and of revoked keys that had the name of an agent before it.
    pub revoked: u64,
    /// Excluded rows of other feature schemas.
    pub other_schema: u64,
    /// Excluded batches (not rows) that no longer decode.
    pub unreadable_batches: u64,
    /// Returned rows by agent id, so that training can cap each agent's share.
    pub per_agent: BTreeMap<i64, u64>,
    /// Agent names by id.
    pub agents: BTreeMap<i64, String>,
}

/// What a row is used for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Train,
    CalibrateOnly,
    Exclude,
}

/// Time span of one episode, with slack.
struct Span {
    first_ns: i64,
    last_ns: i64,
    benign: bool,
}

/// Iterator over rows, within a group of agents in order of arrival; [`TrainingRows::summary`] is complete at the end.
pub struct TrainingRows<'handle> {
    rows: StoredRows<'handle>,
    spans: BTreeMap<i64, Vec<Span>>,
    /// By agent id: up to this time, it is certain whether an alert followed a marked row.
    decided_ns: BTreeMap<i64, i64>,
    /// By agent id: rows up to this position in the order of arrival are excluded.
    distrusted: BTreeMap<i64, u64>,
    summary: RowSummary,
}

impl<'handle> TrainingRows<'handle> {
    /// Rows of one feature schema that are in the store now and that a filter selects.
    pub(crate) fn new(store: RowStore<'handle>, schema: &SchemaId, filter: Filter) -> Result<Self, StoreError> {
        let snapshot = Snapshot::of(store, schema)?;
        let other_schema = store.rows_of_other_schemas(schema)?;
        let summary = RowSummary { agents: store.agent_names()?, other_schema, ..RowSummary::default() };
        Ok(Self {
            spans: spans(store)?,
            decided_ns: decided_ns(store, &snapshot)?,
            distrusted: store.distrusted()?,
            rows: StoredRows::new(store, schema, filter, 0, snapshot)?,
            summary,
        })
    }
}

/// By agent id: time of the newest row in the newest batch, minus [`UNDECIDED`].
fn decided_ns(store: RowStore<'_>, snapshot: &Snapshot) -> Result<BTreeMap<i64, i64>, StoreError> {
    let in_segments = snapshot.newest.iter().map(|newest| (newest.agent_id, newest.at_ns.saturating_sub(UNDECIDED)));
    let mut decided: BTreeMap<i64, i64> = in_segments.collect();
    // Batches in the journal are newer than those of the same agent in segments.
    for batch in store.newest_batches(snapshot.up_to)? {
        let Ok(Message { body: Body::Samples(samples), .. }) = Message::decode(&batch.payload) else { continue };
        if let Some(newest) = samples.rows.iter().map(|row| stored_ns(row.at)).max() {
            decided.insert(batch.agent_id, newest.saturating_sub(UNDECIDED));
        }
    }
    Ok(decided)
}

fn spans(store: RowStore<'_>) -> Result<BTreeMap<i64, Vec<Span>>, StoreError> {
    let mut spans: BTreeMap<i64, Vec<Span>> = BTreeMap::new();
    for extent in store.episode_extents()? {
        let first_ns = extent.first_ns.saturating_sub(SPAN_SLACK);
        let last_ns = extent.last_ns.saturating_add(SPAN_SLACK);
        spans.entry(extent.agent_id).or_default().push(Span { first_ns, last_ns, benign: extent.benign });
    }
    Ok(spans)
}

impl TrainingRows<'_> {
    /// Numbers of rows returned and excluded so far.
    pub fn summary(&self) -> &RowSummary {
        &self.summary
    }

    /// Decides the use of a row and counts it.
    fn classify_use(&mut self, agent: i64, row: &Row) -> Use {
        if self.distrusted.get(&agent).is_some_and(|up_to| row.arrival <= *up_to) {
            self.summary.revoked += 1;
            return Use::Exclude;
        }
        let usage = if row.in_episode { self.use_of_marked(agent, stored_ns(row.at)) } else { Use::Train };
        match usage {
            Use::Exclude => {
                self.summary.in_episode += 1;
                return usage;
            }
            Use::CalibrateOnly => self.summary.suspect += 1,
            Use::Train => self.summary.labelled_benign += u64::from(row.in_episode),
        }
        self.summary.rows += 1;
        *self.summary.per_agent.entry(agent).or_default() += 1;
        usage
    }

    /// Decides the use of a row that its agent marked.
    fn use_of_marked(&self, agent: i64, at_ns: i64) -> Use {
        let covers = |span: &&Span| (span.first_ns..=span.last_ns).contains(&at_ns);
        let mut covering = self.spans.get(&agent).into_iter().flatten().filter(covers).peekable();
        if covering.peek().is_none() {
            let decided = self.decided_ns.get(&agent).is_some_and(|decided| at_ns <= *decided);
            return if decided { Use::CalibrateOnly } else { Use::Exclude };
        }
        if covering.all(|span| span.benign) { Use::Train } else { Use::Exclude }
    }
}

impl Iterator for TrainingRows<'_> {
    type Item = Result<TrainingRow, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let next = self.rows.next();
            self.summary.unreadable_batches = self.rows.unreadable_batches();
            let (agent, row) = match next? {
                Ok(next) => next,
                Err(error) => return Some(Err(error)),
            };
            let usage = self.classify_use(agent, &row);
            if usage != Use::Exclude {
                return Some(Ok(TrainingRow::new(agent, row, usage == Use::CalibrateOnly)));
            }
        }
    }
}
