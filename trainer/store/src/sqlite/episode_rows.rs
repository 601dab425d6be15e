//! Alert messages → rows of the table of episodes; rows → typed episodes.

use super::write::BatchWriter;
use crate::episode_fields::{RECORD, RECORD_COLUMNS, record};
use crate::fields::day_of;
use crate::received::{Received, stored_ns};
use lapwing_fleet::{EpisodeRecord, MessageKey};
use lapwing_shared::messages::Alert;
use lapwing_shared::verdict::alert::NO_HOST;
use lapwing_shared::verdict::tracker::UPDATE_INTERVAL;
use rusqlite::{Connection, OptionalExtension, Row, Statement, params};
use std::collections::BTreeSet;

/// Parameters that [`bind_record`] binds.
const BOUND: usize = 23;

/// Binds the first [`BOUND`] parameters of a statement that writes an episode: the row of its newest message, the columns
/// of its record except the start, and the derived ones.
fn bind_record(
    statement: &mut Statement<'_>,
    record: &EpisodeRecord,
    message: i64,
    class: Option<&str>,
) -> rusqlite::Result<()> {
    let values = params![
        message,
        record.newest.run.cast_signed(),
        record.newest.number.cast_signed(),
        record.state as u8,
        record.host.0,
        record.role as u8,
        stored_ns(record.at),
        record.peak_nats,
        record.limit_nats,
        record.flows,
        record.odd_flows,
        record.service_port,
        record.resembles,
        record.release.cast_signed(),
        stored_ns(record.first),
        stored_ns(record.last),
        record.open_at.map(stored_ns),
        record.closed_at.map(stored_ns),
        record.highest_limit_nats,
        record.is_open(),
        record.shown_class(class),
        needs_class(record),
        record.addresses.code(),
    ];
    debug_assert_eq!(values.len(), BOUND);
    (1..).zip(values).try_for_each(|(index, value)| statement.raw_bind_parameter(index, value))
}

/// A row to update.
struct StoredEpisode {
    id: i64,
    message: i64,
    class: Option<String>,
    record: EpisodeRecord,
}

impl BatchWriter<'_> {
    /// Adds an alert, stored in row `message` of the alerts, to its episode.
    pub(super) fn add_to_episode(
        &mut self,
        agent: i64,
        received: &Received,
        alert: &Alert,
        message: i64,
    ) -> rusqlite::Result<()> {
        let key = MessageKey { run: received.run, number: received.number };
        let Some(stored) = self.stored_episode(agent, alert.episode)? else {
            return self.insert_episode(agent, alert.episode, &EpisodeRecord::new(key, alert), message);
        };
        let mut record = stored.record.clone();
        let is_newest = record.add(key, alert);
        let message = if is_newest { message } else { stored.message };
        self.update_episode(agent, &stored, &record, message)
    }

    fn stored_episode(&self, agent: i64, episode: u64) -> rusqlite::Result<Option<StoredEpisode>> {
        let text = format!(
            "SELECT {RECORD}, e.id, e.message, e.class FROM episodes AS e WHERE e.agent = ?1 AND e.episode = ?2"
        );
        let read = |row: &Row<'_>| {
            let (id, message) = (row.get(RECORD_COLUMNS)?, row.get(RECORD_COLUMNS + 1)?);
            Ok(StoredEpisode { id, message, class: row.get(RECORD_COLUMNS + 2)?, record: record(row)? })
        };
        self.transaction.prepare_cached(&text)?.query_row((agent, episode.cast_signed()), read).optional()
    }

    fn insert_episode(
        &mut self,
        agent: i64,
        episode: u64,
        record: &EpisodeRecord,
        message: i64,
    ) -> rusqlite::Result<()> {
        let text = "INSERT INTO episodes (message, run, number, state, host, role, at_ns, peak_nats, limit_nats, flows, \
                    odd_flows, service_port, resembles, release, first_ns, last_ns, open_ns, closed_ns, \
                    highest_limit_nats, is_open, shown_class, to_classify, address_key, agent, episode, since_ns, to_join) \
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, \
                    ?21, ?22, ?23, ?24, ?25, ?26, 1)";
        let mut statement = self.transaction.prepare_cached(text)?;
        bind_record(&mut statement, record, message, None)?;
        statement.raw_bind_parameter(BOUND + 1, agent)?;
        statement.raw_bind_parameter(BOUND + 2, episode.cast_signed())?;
        statement.raw_bind_parameter(BOUND + 3, stored_ns(record.since))?;
        statement.raw_execute()?;
        drop(statement);
        self.count_episode(agent, record, 1);
        Ok(())
    }

    fn update_episode(
        &mut self,
        agent: i64,
        stored: &StoredEpisode,
        record: &EpisodeRecord,
        message: i64,
    ) -> rusqlite::Result<()> {
        // Without the start, whose index needs no change then.
        let text = "UPDATE episodes SET message = ?1, run = ?2, number = ?3, state = ?4, host = ?5, role = ?6, \
                    at_ns = ?7, peak_nats = ?8, limit_nats = ?9, flows = ?10, odd_flows = ?11, service_port = ?12, \
                    resembles = ?13, release = ?14, first_ns = ?15, last_ns = ?16, open_ns = ?17, closed_ns = ?18, \
                    highest_limit_nats = ?19, is_open = ?20, shown_class = ?21, to_classify = to_classify + ?22, \
                    address_key = ?23, to_join = to_join + 1 WHERE id = ?24";
        let mut statement = self.transaction.prepare_cached(text)?;
        bind_record(&mut statement, record, message, stored.class.as_deref())?;
        statement.raw_bind_parameter(BOUND + 1, stored.id)?;
        statement.raw_execute()?;
        drop(statement);
        if record.since != stored.record.since {
            let text = "UPDATE episodes SET since_ns = ?2 WHERE id = ?1";
            self.transaction.prepare_cached(text)?.execute((stored.id, stored_ns(record.since)))?;
        }
        if (record.since, record.is_open()) != (stored.record.since, stored.record.is_open()) {
            self.count_episode(agent, &stored.record, -1);
            self.count_episode(agent, record, 1);
        }
        Ok(())
    }

    /// Adds an episode to the counts by day and of open ones, or subtracts it.
    fn count_episode(&mut self, agent: i64, record: &EpisodeRecord, sign: i64) {
        *self.pending.days.entry((day_of(stored_ns(record.since)), agent)).or_default() += sign;
        self.activity(agent).open_episodes += sign * i64::from(record.is_open());
    }

    /// Queues the episodes of an agent that a batch of sample rows overlaps for classification. The last flow of an
    /// episode may be up to one update interval newer than its newest message.
    pub(super) fn queue_overlapped(&self, agent: i64, first_ns: i64, last_ns: i64) -> rusqlite::Result<()> {
        let text = "UPDATE episodes SET to_classify = to_classify + 1 \
                    WHERE agent = ?1 AND last_ns >= ?2 AND first_ns <= ?3 AND host <> ?4";
        let first_ns = first_ns.saturating_sub(UPDATE_INTERVAL.0.cast_signed());
        self.transaction.prepare_cached(text)?.execute((agent, first_ns, last_ns, NO_HOST.0)).map(drop)
    }

    /// Writes the changes of the counts by day.
    pub(super) fn write_days(&self) -> rusqlite::Result<()> {
        for ((day, agent), change) in self.pending.days.iter().filter(|(_, change)| **change != 0) {
            change_day(&self.transaction, *day, *agent, *change)?;
        }
        Ok(())
    }
}

/// Changes the number of episodes of an agent that began on a day; a number of 0 needs no row.
fn change_day(connection: &Connection, day: i64, agent: i64, change: i64) -> rusqlite::Result<()> {
    let text = "INSERT INTO episode_days (day, agent, episodes) VALUES (?1, ?2, ?3) \
                ON CONFLICT (day, agent) DO UPDATE SET episodes = episodes + ?3";
    connection.prepare_cached(text)?.execute((day, agent, change))?;
    if change < 0 {
        let text = "DELETE FROM episode_days WHERE day = ?1 AND agent = ?2 AND episodes <= 0";
        connection.prepare_cached(text)?.execute((day, agent))?;
    }
    Ok(())
}

/// Removes the episodes of an agent among `episodes` that have no message left, with their counts. Of the others, shows the
/// newest message that is left.
pub(super) fn remove_empty(connection: &Connection, agent: i64, episodes: &BTreeSet<i64>) -> rusqlite::Result<()> {
    let text = "DELETE FROM episodes WHERE agent = ?1 AND episode = ?2 AND NOT EXISTS \
                (SELECT 1 FROM alerts WHERE alerts.agent = ?1 AND alerts.episode = ?2) RETURNING since_ns, is_open";
    let mut open = 0;
    for episode in episodes {
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let removed = connection.prepare_cached(text)?.query_row((agent, episode), read).optional()?;
        let Some((since_ns, is_open)): Option<(i64, i64)> = removed else {
            let text = "UPDATE episodes SET message = (SELECT id FROM alerts WHERE agent = ?1 AND episode = ?2 \
                        ORDER BY run DESC, number DESC, id DESC LIMIT 1) WHERE agent = ?1 AND episode = ?2 \
                        AND NOT EXISTS (SELECT 1 FROM alerts WHERE alerts.id = episodes.message)";
            connection.prepare_cached(text)?.execute((agent, episode))?;
            continue;
        };
        open += is_open;
        change_day(connection, day_of(since_ns), agent, -1)?;
    }
    let text = "UPDATE agents SET open_episodes = open_episodes - ?2 WHERE id = ?1";
    connection.prepare_cached(text)?.execute((agent, open)).map(drop)
}

/// 1 for an episode of a host; alerts about the whole site have no rows to classify.
fn needs_class(record: &EpisodeRecord) -> i64 {
    i64::from(record.host != NO_HOST)
}
