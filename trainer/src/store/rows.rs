//! Stored sample batches → rows to train on, with the reason for every row that is kept out.
//!
//! A row that its agent marked as of a host in an alert episode, or half-way to one, is kept out where an episode of that
//! agent covers its time, unless an operator called every such episode benign. A span runs from the episode's `since` to
//! its newest message, and [`SPAN_SLACK`] further on both sides, since a flow's record is made only some time after its
//! packets. Where no episode covers a marked row, its host never got all the way: such rows are given as suspect. They
//! are what ordinary traffic looks like at its oddest, so that limits counted without them come out too low; but nothing
//! should be taught that an agent was in doubt of. Until [`UNDECIDED`] has passed, the rest of the way may still come.

use super::Desk;
use super::error::StoreError;
use super::write::stored_ns;
use crate::calibrate::limits::Unlabelled;
use lapwing_shared::features::{FeatureVector, SchemaId};
use lapwing_shared::messages::{Body, Message, RowHosts, SampleRow};
use lapwing_shared::units::Timestamp;
use std::collections::{BTreeMap, VecDeque};

/// How far beyond an episode's span its rows may lie, nanoseconds.
const SPAN_SLACK: i64 = 120 * 1_000_000_000;
/// A marked row that is younger than this when its agent's newest row was made is kept out, nanoseconds: evidence halves
/// in half an hour.
const UNDECIDED: i64 = 3_600 * 1_000_000_000;
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
    /// Whose evidence it counts for, of this agent's hosts; nothing known from older agents.
    pub hosts: RowHosts,
    /// A host of it was half-way to an alert that never came: it is to be judged, not learnt from.
    pub suspect: bool,
}

/// What was given and what was kept out, in rows where nothing else is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowSummary {
    /// Rows given, suspect ones included.
    pub rows: u64,
    /// Rows given that are not to be learnt from.
    pub suspect: u64,
    /// Rows of alert episodes, or of what may become one, kept out.
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

/// What a row may be given for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Learn,
    /// Thresholds only.
    Judge,
    Nothing,
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
    /// Up to when it is decided whether a marked row was of an episode, by agent.
    decided_ns: BTreeMap<i64, i64>,
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
        let (spans, decided_ns) = (self.spans()?, self.decided(up_to)?);
        let page = VecDeque::new();
        Ok(TrainingRows { desk: self, schema, spans, decided_ns, after: 0, up_to, page, summary, ended: false })
    }

    /// Alert episodes that nobody labelled; a test alert, which has no limit, is none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn unlabelled(&self) -> Result<Unlabelled, StoreError> {
        let text = "SELECT count(*), coalesce(avg(limit_nats), 0) FROM \
                    (SELECT a.agent, a.episode, max(a.limit_nats) AS limit_nats FROM alerts AS a \
                     LEFT JOIN labels ON labels.agent = a.agent AND labels.episode = a.episode \
                     WHERE labels.label IS NULL AND a.limit_nats > 0 GROUP BY a.agent, a.episode)";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, f64>(1)?));
        let (episodes, limit_nats) = self.connection.query_row(text, [], read).map_err(self.sql())?;
        Ok(Unlabelled { episodes: episodes.cast_unsigned(), limit_nats: limit_nats as f32 })
    }

    /// [`UNDECIDED`] before the newest row of each agent's newest batch.
    fn decided(&self, up_to: i64) -> Result<BTreeMap<i64, i64>, StoreError> {
        let text = "SELECT agent, payload FROM samples \
                    WHERE id IN (SELECT max(id) FROM samples WHERE id <= ?1 GROUP BY agent)";
        let mut statement = self.connection.prepare(text).map_err(self.sql())?;
        let mut batches = statement.query([up_to]).map_err(self.sql())?;
        let mut decided = BTreeMap::new();
        while let Some(row) = batches.next().map_err(self.sql())? {
            let (agent, payload): (i64, Vec<u8>) = row.try_into().map_err(self.sql())?;
            let Ok(Message { body: Body::Samples(samples), .. }) = Message::decode(&payload) else { continue };
            if let Some(newest) = samples.rows.iter().map(|row| stored_ns(row.at)).max() {
                decided.insert(agent, newest.saturating_sub(UNDECIDED));
            }
        }
        Ok(decided)
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

    /// What the row is good for; counts it either way.
    fn admit(&mut self, agent: i64, row: &SampleRow) -> Use {
        let found = if row.in_episode { self.decide(agent, stored_ns(row.at)) } else { Use::Learn };
        match found {
            Use::Nothing => {
                self.summary.in_episode += 1;
                return found;
            }
            Use::Judge => self.summary.suspect += 1,
            Use::Learn => self.summary.called_benign += u64::from(row.in_episode),
        }
        self.summary.rows += 1;
        *self.summary.per_agent.entry(agent).or_default() += 1;
        found
    }

    /// Of a row that its agent marked.
    fn decide(&self, agent: i64, at_ns: i64) -> Use {
        let covers = |span: &&Span| (span.first_ns..=span.last_ns).contains(&at_ns);
        let mut covering = self.spans.get(&agent).into_iter().flatten().filter(covers).peekable();
        if covering.peek().is_none() {
            let decided = self.decided_ns.get(&agent).is_some_and(|decided| at_ns <= *decided);
            return if decided { Use::Judge } else { Use::Nothing };
        }
        if covering.all(|span| span.benign) { Use::Learn } else { Use::Nothing }
    }
}

impl Iterator for TrainingRows<'_> {
    type Item = Result<TrainingRow, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            while let Some((agent, flows, row)) = self.page.pop_front() {
                let Ok(features) = <FeatureVector>::try_from(row.features.as_slice()) else { continue };
                let found = self.admit(agent, &row);
                if found != Use::Nothing {
                    let (suspect, SampleRow { at, score, hosts, .. }) = (found == Use::Judge, row);
                    return Some(Ok(TrainingRow { agent, at, features, score, flows, hosts, suspect }));
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
