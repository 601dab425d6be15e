//! Which episodes are to be named, by which rows, and what they were named.
//!
//! An alert carries the rows that raised its evidence most; all messages of an episode together have those that it is
//! named by. Agents of before that, and those that are told to send none, leave their samples: the rows made during the
//! episode and marked as of a host in one. Samples say no host, so episodes of one agent that run at the same time share
//! those.

use super::Desk;
use super::counters::{self, Counter};
use super::error::StoreError;
use super::write::stored_ns;
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::features::{FEATURES, FeatureVector, SchemaId};
use lapwing_shared::messages::{Body, MESSAGE_VERSION, Message};
use lapwing_shared::verdict::judge::UPDATE_INTERVAL;
use rusqlite::{Connection, OptionalExtension};
use std::collections::BTreeSet;

/// What an episode is called whose kind nobody is sure of.
pub const NO_KIND: &str = "unknown";
/// Sample batches that one episode is named by, at most: the first ones of a long episode.
const BATCHES: u32 = 32;
/// Messages of one episode whose rows it is named by, at most: the newest ones of a long episode.
const MESSAGES: u32 = 32;

/// How far messages were looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LookedAt {
    alert: i64,
    sample: i64,
}

/// An episode that is to be named, and when its flows were made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpisodeSpan {
    agent: i64,
    /// Name of its agent.
    pub agent_name: String,
    /// Its number.
    pub episode: u64,
    first_ns: i64,
    last_ns: i64,
}

/// What an episode is named.
#[derive(Clone, Debug, PartialEq)]
pub struct EpisodeKind {
    /// Attack kind, or [`NO_KIND`].
    pub kind: String,
    /// Its probability, or that of the likeliest kind; nothing without rows.
    pub probability: Option<f32>,
    /// Rows that say so.
    pub rows: u32,
}

impl Desk {
    /// How far messages were looked at, in this run of the server or an earlier one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn looked_at(&self) -> Result<LookedAt, StoreError> {
        let last = |counter| self.counter(counter).map(u64::cast_signed);
        Ok(LookedAt { alert: last(Counter::AlertsLookedAt)?, sample: last(Counter::SamplesLookedAt)? })
    }

    /// Episodes of which something is known that was not looked at: an alert message, or a batch with rows made meanwhile;
    /// and how far this look got, at most `limit` messages of either sort. [`Desk::set_kinds`] keeps that.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn episodes_to_name(&self, before: LookedAt, limit: u32) -> Result<(Vec<EpisodeSpan>, LookedAt), StoreError> {
        let read = || {
            let (mut found, looked_at) = told_of(&self.connection, before, limit)?;
            let mut spans = Vec::new();
            while let Some((agent, episode)) = found.pop_first() {
                spans.extend(span(&self.connection, agent, episode)?);
            }
            Ok((spans, looked_at))
        };
        read().map_err(self.sql())
    }

    /// Rows of one feature schema that an episode is named by: those that its messages carry, else those of its agent's
    /// samples that were made while it lasted and whose host was in an episode.
    ///
    /// # Errors
    /// When the store cannot be read. A batch that no longer decodes is left out.
    pub fn episode_rows(&self, span: &EpisodeSpan, schema: &SchemaId) -> Result<Vec<FeatureVector>, StoreError> {
        // Rows of another schema than this program's do not outlive their decoding.
        let carried = if *schema == schema_id() { self.carried_rows(span)? } else { Vec::new() };
        if carried.is_empty() { self.sampled_rows(span, schema) } else { Ok(carried) }
    }

    /// Different rows of the episode's messages, in the order in which they came.
    fn carried_rows(&self, span: &EpisodeSpan) -> Result<Vec<FeatureVector>, StoreError> {
        let text = "SELECT payload FROM alerts WHERE agent = ?1 AND episode = ?2 ORDER BY id DESC LIMIT ?3";
        let values = (span.agent, span.episode.cast_signed(), MESSAGES);
        let mut statement = self.connection.prepare_cached(text).map_err(self.sql())?;
        let payloads = statement.query_map(values, |row| row.get::<_, Vec<u8>>(0)).and_then(Iterator::collect);
        let payloads: Vec<Vec<u8>> = payloads.map_err(self.sql())?;
        let mut rows: Vec<FeatureVector> = Vec::new();
        for payload in payloads.iter().rev() {
            let Ok(Body::Alert(alert)) = Message::decode(payload).map(|message| message.body) else { continue };
            for row in alert.rows {
                if !rows.contains(&row) {
                    rows.push(row);
                }
            }
        }
        Ok(rows)
    }

    fn sampled_rows(&self, span: &EpisodeSpan, schema: &SchemaId) -> Result<Vec<FeatureVector>, StoreError> {
        let text = "SELECT samples.payload FROM samples JOIN schemas ON schemas.id = samples.schema \
                    WHERE samples.agent = ?1 AND schemas.sha256 = ?2 AND suspect_last_ns >= ?3 \
                    AND suspect_first_ns <= ?4 ORDER BY suspect_last_ns LIMIT ?5";
        let values = (span.agent, schema, span.first_ns, span.last_ns, BATCHES);
        let mut statement = self.connection.prepare_cached(text).map_err(self.sql())?;
        let payloads = statement.query_map(values, |row| row.get::<_, Vec<u8>>(0)).map_err(self.sql())?;
        let mut rows = Vec::new();
        for payload in payloads {
            let message = Message::decode(&payload.map_err(self.sql())?);
            let Ok(Body::Samples(samples)) = message.map(|message| message.body) else { continue };
            let within = |at| (span.first_ns..=span.last_ns).contains(&stored_ns(at));
            let of_episode = samples.rows.iter().filter(|row| row.in_episode && within(row.at));
            rows.extend(
                of_episode.filter_map(|row| <&[f32; FEATURES]>::try_from(row.features.as_slice()).ok().copied()),
            );
        }
        Ok(rows)
    }

    /// Agents that have told of alerts and send no rows that could name them, neither in their newest alert nor in
    /// samples; by name, `limit` at the most.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn agents_without_rows(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        let text = "SELECT name FROM agents WHERE alerts > 0 AND sample_rows = 0 AND (SELECT substr(payload, 1, 1) \
                    FROM alerts WHERE alerts.agent = agents.id AND release > 0 ORDER BY id DESC LIMIT 1) = ?1 ORDER BY name LIMIT ?2";
        let read = || {
            let mut statement = self.connection.prepare_cached(text)?;
            let names = statement.query_map(([MESSAGE_VERSION], limit), |row| row.get(0))?;
            names.collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.sql())
    }

    /// Writes what episodes are named, and how far that is; all of it or nothing.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn set_kinds(
        &self,
        named: &[(EpisodeSpan, EpisodeKind)],
        looked_at: LookedAt,
        model: &str,
        now_s: u64,
    ) -> Result<(), StoreError> {
        let write = || {
            let transaction = self.connection.unchecked_transaction()?;
            let text = "INSERT INTO kinds (agent, episode, kind, probability, rows, model, named_s) \
                        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (agent, episode) DO UPDATE \
                        SET kind = ?3, probability = ?4, rows = ?5, model = ?6, named_s = ?7";
            let mut statement = transaction.prepare_cached(text)?;
            for (span, EpisodeKind { kind, probability, rows }) in named {
                let episode = span.episode.cast_signed();
                statement.execute((span.agent, episode, kind, probability, rows, model, now_s.cast_signed()))?;
            }
            drop(statement);
            counters::set(&transaction, Counter::AlertsLookedAt, looked_at.alert.cast_unsigned())?;
            counters::set(&transaction, Counter::SamplesLookedAt, looked_at.sample.cast_unsigned())?;
            transaction.commit()
        };
        write().map_err(self.sql())
    }
}

/// Episodes that messages behind the last look tell of, and how far this look got.
fn told_of(
    connection: &Connection,
    before: LookedAt,
    limit: u32,
) -> rusqlite::Result<(BTreeSet<(i64, i64)>, LookedAt)> {
    let mut looked_at = before;
    let mut found = BTreeSet::new();
    let text = "SELECT id, agent, episode FROM alerts WHERE id > ?1 ORDER BY id LIMIT ?2";
    let mut alerts = connection.prepare_cached(text)?;
    let mut rows = alerts.query((looked_at.alert, limit))?;
    while let Some(row) = rows.next()? {
        looked_at.alert = row.get(0)?;
        found.insert((row.get(1)?, row.get(2)?));
    }
    let text = "SELECT id, agent, suspect_first_ns, suspect_last_ns FROM samples WHERE id > ?1 ORDER BY id LIMIT ?2";
    let mut samples = connection.prepare_cached(text)?;
    let mut rows = samples.query((looked_at.sample, limit))?;
    while let Some(row) = rows.next()? {
        looked_at.sample = row.get(0)?;
        let Some((first_ns, last_ns)) = row.get::<_, Option<i64>>(2)?.zip(row.get::<_, Option<i64>>(3)?) else {
            continue;
        };
        // The newest message of an episode may be one update older than its last flow.
        let first_ns = first_ns.saturating_sub(UPDATE_INTERVAL.0.cast_signed());
        let text = "SELECT DISTINCT episode FROM alerts WHERE agent = ?1 AND at_ns >= ?2 AND since_ns <= ?3";
        let agent: i64 = row.get(1)?;
        let mut episodes = connection.prepare_cached(text)?;
        for episode in episodes.query_map((agent, first_ns, last_ns), |row| row.get(0))? {
            found.insert((agent, episode?));
        }
    }
    Ok((found, looked_at))
}

/// When the flows of an episode were made; nothing where a limit has removed its messages meanwhile.
///
/// An open episode that grows is told again after [`UPDATE_INTERVAL`]: its last flow came before that. Its closing comes
/// up to [`lapwing_shared::verdict::judge::EPISODE_TIMEOUT`] later, and flows of others lie between.
fn span(connection: &Connection, agent: i64, episode: i64) -> rusqlite::Result<Option<EpisodeSpan>> {
    let text = "SELECT agents.name, min(a.since_ns), max(CASE WHEN a.state < 2 THEN a.at_ns END), \
                max(CASE WHEN a.state = 2 THEN a.at_ns END) FROM alerts AS a JOIN agents ON agents.id = a.agent \
                WHERE a.agent = ?1 AND a.episode = ?2 GROUP BY agents.name";
    let read = |row: &rusqlite::Row<'_>| {
        let (open, closed): (Option<i64>, Option<i64>) = (row.get(2)?, row.get(3)?);
        let open = open.map_or(i64::MAX, |at| at.saturating_add(UPDATE_INTERVAL.0.cast_signed()));
        Ok(EpisodeSpan {
            agent,
            agent_name: row.get(0)?,
            episode: episode.cast_unsigned(),
            first_ns: row.get(1)?,
            last_ns: open.min(closed.unwrap_or(i64::MAX)),
        })
    };
    connection.prepare_cached(text)?.query_row((agent, episode), read).optional()
}
