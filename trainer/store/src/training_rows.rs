//! Stored sample batches → training rows, with a count of the excluded rows by reason.
//!
//! An agent marks the rows of hosts that are in an alert episode or halfway to one. A marked row is excluded if an episode
//! of its agent covers its time, unless an operator labelled all such episodes benign. An episode covers the time from its
//! `since` to its newest message, plus [`SPAN_SLACK`] on both sides, because a flow record is created some time after its
//! packets. A marked row outside all episodes is returned as suspect: its host never raised an alert. Such rows are the
//! most unusual part of normal traffic. They calibrate thresholds, which would be too low without them, but they do not
//! train. Rows younger than [`UNDECIDED`] are excluded, because their alert may still follow.

use crate::error::StoreError;
use crate::received::stored_ns;
use crate::traits::Samples;
use lapwing_shared::features::{FeatureVector, SchemaId};
use lapwing_shared::messages::{Body, Message, RowHosts, SampleRow};
use lapwing_shared::units::Timestamp;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Extension of an episode's time span on both sides, nanoseconds.
const SPAN_SLACK: i64 = 120 * 1_000_000_000;
/// A marked row within this time before its agent's newest row is excluded, nanoseconds. Evidence halves every 30 min.
const UNDECIDED: i64 = 3_600 * 1_000_000_000;
/// Batches per query; a checkpoint can run between two queries.
const PAGE: u32 = 256;

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

/// Iterator over rows in order of arrival; [`TrainingRows::summary`] is complete at the end.
pub struct TrainingRows<'handle> {
    store: &'handle dyn Samples,
    schema: SchemaId,
    /// Agents whose rows to return; `None`: of all.
    only: Option<BTreeSet<i64>>,
    spans: BTreeMap<i64, Vec<Span>>,
    /// By agent id: up to this time, it is certain whether an alert followed a marked row.
    decided_ns: BTreeMap<i64, i64>,
    after: u64,
    up_to: u64,
    page: VecDeque<(i64, f32, SampleRow)>,
    summary: RowSummary,
    ended: bool,
}

impl<'handle> TrainingRows<'handle> {
    /// Rows of one feature schema that are in the store now, of the agents in `only` or of all.
    pub(crate) fn new(
        store: &'handle dyn Samples,
        schema: &SchemaId,
        only: Option<BTreeSet<i64>>,
    ) -> Result<Self, StoreError> {
        let up_to = store.newest_batch()?;
        let other_schema = store.rows_of_other_schemas(schema)?;
        let summary = RowSummary { agents: store.agent_names()?, other_schema, ..RowSummary::default() };
        Ok(Self {
            store,
            schema: *schema,
            only,
            spans: spans(store)?,
            decided_ns: decided_ns(store, up_to)?,
            after: 0,
            up_to,
            page: VecDeque::new(),
            summary,
            ended: false,
        })
    }
}

/// By agent id: time of the newest row in the newest batch, minus [`UNDECIDED`].
fn decided_ns(store: &dyn Samples, up_to: u64) -> Result<BTreeMap<i64, i64>, StoreError> {
    let mut decided = BTreeMap::new();
    for batch in store.newest_batches(up_to)? {
        let Ok(Message { body: Body::Samples(samples), .. }) = Message::decode(&batch.payload) else { continue };
        if let Some(newest) = samples.rows.iter().map(|row| stored_ns(row.at)).max() {
            decided.insert(batch.agent_id, newest.saturating_sub(UNDECIDED));
        }
    }
    Ok(decided)
}

fn spans(store: &dyn Samples) -> Result<BTreeMap<i64, Vec<Span>>, StoreError> {
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

    /// Reads the next page of batches; false at the end.
    fn next_page(&mut self) -> Result<bool, StoreError> {
        let batches = self.store.sample_batches(&self.schema, self.after, self.up_to, PAGE)?;
        for batch in &batches {
            self.after = batch.arrival;
            if self.only.as_ref().is_some_and(|only| !only.contains(&batch.agent_id)) {
                continue;
            }
            match Message::decode(&batch.payload).map(|message| message.body) {
                Ok(Body::Samples(samples)) => {
                    let flows = samples.flows_seen as f32 / samples.rows.len().max(1) as f32;
                    self.page.extend(samples.rows.into_iter().map(|row| (batch.agent_id, flows.max(1.0), row)));
                }
                _ => self.summary.unreadable_batches += 1,
            }
        }
        Ok(!batches.is_empty())
    }

    /// Decides the use of a row and counts it.
    fn classify_use(&mut self, agent: i64, row: &SampleRow) -> Use {
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
        while !self.ended {
            while let Some((agent, flows, row)) = self.page.pop_front() {
                let Ok(features) = <FeatureVector>::try_from(row.features.as_slice()) else { continue };
                let usage = self.classify_use(agent, &row);
                if usage != Use::Exclude {
                    let (suspect, SampleRow { at, score, hosts, .. }) = (usage == Use::CalibrateOnly, row);
                    return Some(Ok(TrainingRow { agent, at, features, score, flows, hosts, suspect }));
                }
            }
            match self.next_page() {
                Ok(more) => self.ended = !more,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
