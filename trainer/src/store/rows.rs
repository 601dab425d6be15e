//! Stored sample batches → rows to train on, with the reason for every row that is kept out.
//!
//! A row that its agent marked as part of an alert episode is kept out, unless an operator called every episode of that
//! agent benign whose span covers the row's time. A span runs from the episode's `since` to its newest message, and
//! [`SPAN_SLACK`] further on both sides, since a flow's record is made only some time after its packets.

use super::Desk;
use super::error::StoreError;
use super::write::stored_ns;
use lapwing_shared::features::{FEATURES, FeatureVector, SchemaId};
use lapwing_shared::messages::{Body, Message, SampleRow};
use lapwing_shared::units::Timestamp;
use std::collections::{BTreeMap, VecDeque};

/// How far beyond an episode's span its rows may lie, nanoseconds.
const SPAN_SLACK: i64 = 120 * 1_000_000_000;
/// Batches read at once; between two reads the writer may work.
const PAGE: u32 = 256;

/// One row to train on.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingRow {
    /// The agent's number in [`RowSummary::agents`].
    pub agent: i64,
    /// When the flow's record was made, capture time.
    pub at: Timestamp,
    /// The row, plain units, schema order.
    pub features: FeatureVector,
    /// Score under the release that the agent used.
    pub score: Option<u32>,
    /// Flow records that the row stands for: its agent sends a sample of what it sees.
    pub flows: f32,
}

/// What was given and what was kept out, in rows where nothing else is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowSummary {
    /// Rows given.
    pub rows: u64,
    /// Rows of alert episodes, kept out.
    pub in_episode: u64,
    /// Rows of alert episodes given, because an operator called them benign.
    pub called_benign: u64,
    /// Rows of other feature schemas, kept out.
    pub other_schema: u64,
    /// Batches that no longer decode, kept out.
    pub unreadable_batches: u64,
    /// Rows given, by agent number: so that training can cap any agent's share.
    pub per_agent: BTreeMap<i64, u64>,
    /// Names of the agent numbers.
    pub agents: BTreeMap<i64, String>,
}

/// Span of one episode.
struct Span {
    first_ns: i64,
    last_ns: i64,
    benign: bool,
}

/// Iterator over rows, oldest first; [`TrainingRows::summary`] is complete when it has ended.
pub struct TrainingRows<'desk> {
    desk: &'desk Desk,
    schema: Option<i64>,
    spans: BTreeMap<i64, Vec<Span>>,
    after: i64,
    up_to: i64,
    page: VecDeque<(i64, f32, SampleRow)>,
    summary: RowSummary,
    ended: bool,
}

impl Desk {
    /// Rows of one feature schema, as the store stands now; rows that arrive later are not given.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn training_rows(&self, schema: &SchemaId) -> Result<TrainingRows<'_>, StoreError> {
        let known = "SELECT (SELECT id FROM schemas WHERE sha256 = ?1), coalesce((SELECT max(id) FROM samples), 0)";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let (schema, up_to) = self.connection.query_row(known, [schema], read).map_err(self.sql())?;
        let mut summary = RowSummary::default();
        let mut names = self.connection.prepare("SELECT id, name FROM agents").map_err(self.sql())?;
        let pairs = names.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).and_then(Iterator::collect);
        summary.agents = pairs.map_err(self.sql())?;
        let spans = self.spans()?;
        Ok(TrainingRows { desk: self, schema, spans, after: 0, up_to, page: VecDeque::new(), summary, ended: false })
    }

    fn spans(&self) -> Result<BTreeMap<i64, Vec<Span>>, StoreError> {
        let text = "SELECT a.agent, min(a.since_ns), max(a.at_ns), coalesce(labels.label = 'benign', 0) \
                    FROM alerts AS a LEFT JOIN labels ON labels.agent = a.agent AND labels.episode = a.episode \
                    GROUP BY a.agent, a.episode";
        let mut statement = self.connection.prepare(text).map_err(self.sql())?;
        let mut spans: BTreeMap<i64, Vec<Span>> = BTreeMap::new();
        let mut rows = statement.query([]).map_err(self.sql())?;
        while let Some(row) = rows.next().map_err(self.sql())? {
            let get = || -> rusqlite::Result<(i64, Span)> {
                let (first_ns, last_ns): (i64, i64) = (row.get(1)?, row.get(2)?);
                let first_ns = first_ns.saturating_sub(SPAN_SLACK);
                let last_ns = last_ns.saturating_add(SPAN_SLACK);
                Ok((row.get(0)?, Span { first_ns, last_ns, benign: row.get(3)? }))
            };
            let (agent, span) = get().map_err(self.sql())?;
            spans.entry(agent).or_default().push(span);
        }
        Ok(spans)
    }
}

impl TrainingRows<'_> {
    /// What was given and kept out so far.
    pub fn summary(&self) -> &RowSummary {
        &self.summary
    }

    /// Reads the next page of batches; false at the end.
    fn turn(&mut self) -> Result<bool, StoreError> {
        let text =
            "SELECT id, agent, schema, rows, payload FROM samples WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3";
        let sql = self.desk.sql();
        let mut statement = self.desk.connection.prepare_cached(text).map_err(&sql)?;
        let mut batches = statement.query((self.after, self.up_to, PAGE)).map_err(&sql)?;
        let mut any = false;
        while let Some(row) = batches.next().map_err(&sql)? {
            let get = || Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?));
            let (id, agent, schema, rows, payload): (i64, i64, i64, i64, Vec<u8>) = get().map_err(&sql)?;
            (self.after, any) = (id, true);
            if Some(schema) != self.schema {
                self.summary.other_schema += rows.cast_unsigned();
                continue;
            }
            match Message::decode(&payload).map(|message| message.body) {
                Ok(Body::Samples(samples)) => {
                    let flows = samples.flows_seen as f32 / samples.rows.len().max(1) as f32;
                    self.page.extend(samples.rows.into_iter().map(|row| (agent, flows.max(1.0), row)));
                }
                _ => self.summary.unreadable_batches += 1,
            }
        }
        Ok(any)
    }

    /// True when the row may be trained on; counts it either way.
    fn admit(&mut self, agent: i64, row: &SampleRow) -> bool {
        if row.in_episode {
            let at = stored_ns(row.at);
            let covers = |span: &&Span| (span.first_ns..=span.last_ns).contains(&at);
            let mut covering = self.spans.get(&agent).into_iter().flatten().filter(covers).peekable();
            if covering.peek().is_none() || !covering.all(|span| span.benign) {
                self.summary.in_episode += 1;
                return false;
            }
            self.summary.called_benign += 1;
        }
        self.summary.rows += 1;
        *self.summary.per_agent.entry(agent).or_default() += 1;
        true
    }
}

impl Iterator for TrainingRows<'_> {
    type Item = Result<TrainingRow, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            while let Some((agent, flows, row)) = self.page.pop_front() {
                let mut features = [0.0; FEATURES];
                if row.features.len() == FEATURES && self.admit(agent, &row) {
                    features.copy_from_slice(&row.features);
                    return Some(Ok(TrainingRow { agent, at: row.at, features, score: row.score, flows }));
                }
            }
            match self.turn() {
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
