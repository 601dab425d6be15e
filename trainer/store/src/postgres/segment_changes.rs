//! Changes of the list of segments, each in the caller's transaction.
//!
//! A change locks, in this order, the agents whose rows it moves or removes, then the list ([`Lock::Segments`]), then
//! counters. Retention and the removal of agents delete parts of segments (rows of `segment_agents`) only while they have
//! locked the agent. So whoever has locked the agents of a segment knows that its parts stay, and segments are numbered in
//! the order of their commits.

use super::schema::Lock;
use super::session::{Queried, Session};
use super::tally::{Sizes, Tally};
use crate::counter::Counter;
use crate::received::stored_ns;
use crate::segment_rows::{BatchKey, NewSegment, StoredSegment};
use crate::statements::{ADD_SEGMENT, FORGET_REMOVED_SEGMENT};
use lapwing_segments::AgentExtent;
use postgres::Row;
use std::collections::{BTreeMap, BTreeSet};

/// Counts the compactors that have begun; the newest one's number is the value.
const COMPACTORS: &str = "compactors";

/// Changes of what is stored, by agent.
#[derive(Default)]
struct Moved(BTreeMap<i64, Sizes>);

impl Moved {
    fn removed(&mut self, agent: i64, less: &Sizes) {
        self.0.entry(agent).or_default().subtract(less);
    }

    /// Rows of a new segment.
    fn added(&mut self, new: &NewSegment) {
        for (agent, extent) in &new.agents {
            self.0.entry(*agent).or_default().add(&Sizes {
                sample_bytes: new.bytes_of(extent),
                sample_rows: extent.rows.cast_signed(),
                sample_batches: extent.batches.cast_signed(),
                ..Sizes::default()
            });
        }
    }

    /// Writes the changes of the agents' sizes; returns those of the counters, for the end of the transaction.
    fn write(self, session: &mut Session) -> Queried<Tally> {
        let mut tally = Tally::default();
        self.0.values().for_each(|sizes| tally.add_sizes(sizes, 1));
        let agents: Vec<i64> = self.0.keys().copied().collect();
        let bytes: Vec<i64> = self.0.values().map(|sizes| sizes.sample_bytes).collect();
        let rows: Vec<i64> = self.0.values().map(|sizes| sizes.sample_rows).collect();
        let text = "UPDATE agents SET stored_sample_bytes = stored_sample_bytes + m.bytes, \
                    stored_sample_rows = stored_sample_rows + m.rows \
                    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS m (id, bytes, rows) WHERE agents.id = m.id";
        session.execute(text, &[&agents, &bytes, &rows])?;
        Ok(tally)
    }
}

/// Begins a compaction; returns its number. Earlier ones cannot change the list any more.
pub(super) fn begin(session: &mut Session) -> Queried<i64> {
    session.lock(Lock::Segments)?;
    increase(session, COMPACTORS)
}

/// Locks the list; false if a later compactor than this one has begun.
fn lock_list(session: &mut Session, compactor: Option<i64>) -> Queried<bool> {
    session.lock(Lock::Segments)?;
    let newest = counted(session, COMPACTORS)?;
    Ok(compactor.is_none_or(|number| number == newest))
}

/// Adds a segment and deletes its batches from the journal; false, without any change, if one is not there, or if a later
/// compactor than this one has begun.
pub(super) fn add(
    session: &mut Session,
    compactor: Option<i64>,
    new: &NewSegment,
    batches: &[BatchKey],
) -> Queried<bool> {
    let agents: BTreeSet<i64> = batches.iter().map(|batch| batch.agent_id).collect();
    session.lock_agents(&agents.into_iter().collect::<Vec<_>>())?;
    let mut moved = Moved::default();
    if delete_batches(session, batches, &mut moved)? != batches.len() || !lock_list(session, compactor)? {
        return roll_back(session);
    }
    insert(session, new, false)?;
    moved.added(new);
    moved.write(session)?.write(session)?;
    Ok(true)
}

/// Undoes what the transaction has changed. The caller's COMMIT then only confirms it.
fn roll_back(session: &mut Session) -> Queried<bool> {
    session.batch("ROLLBACK; BEGIN").map(|()| false)
}

/// Deletes batches from the journal; returns their number.
fn delete_batches(session: &mut Session, batches: &[BatchKey], moved: &mut Moved) -> Queried<usize> {
    let column = |of: fn(&BatchKey) -> i64| batches.iter().map(of).collect::<Vec<_>>();
    let text = "DELETE FROM samples AS s USING unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) \
                AS k (id, agent, run, number) WHERE s.id = k.id AND s.agent = k.agent AND s.run = k.run \
                AND s.number = k.number RETURNING s.agent, s.rows, octet_length(s.payload)::bigint";
    let arrivals = column(|batch| batch.arrival.cast_signed());
    let (agents, runs) = (column(|batch| batch.agent_id), column(|batch| batch.run.cast_signed()));
    let numbers = column(|batch| batch.number.cast_signed());
    // A plan that was made after the last segment emptied the journal would read the whole table for each batch.
    session.batch("SET LOCAL enable_seqscan = off")?;
    let deleted = session.query(text, &[&arrivals, &agents, &runs, &numbers])?;
    for row in &deleted {
        let (sample_rows, sample_bytes) = (row.try_get(1)?, row.try_get(2)?);
        moved.removed(row.try_get(0)?, &Sizes { sample_rows, sample_bytes, sample_batches: 1, ..Sizes::default() });
    }
    Ok(deleted.len())
}

/// Replaces segments by one with their rows that count, or by none; false, without any change, if other agents count, or if
/// a later compactor than this one has begun.
pub(super) fn replace(
    session: &mut Session,
    compactor: Option<i64>,
    old: &[StoredSegment],
    new: Option<&NewSegment>,
    now_s: i64,
) -> Queried<bool> {
    let agents: BTreeSet<i64> = old.iter().flat_map(|segment| &segment.agents).copied().collect();
    session.lock_agents(&agents.into_iter().collect::<Vec<_>>())?;
    let is_newest = lock_list(session, compactor)?;
    let ids: Vec<i64> = old.iter().map(|segment| segment.id).collect();
    let mut moved = Moved::default();
    let parts = delete_parts(session, &ids, &mut moved)?.len();
    // Parts are only ever removed, so the same number of all means the same of each.
    let known: usize = old.iter().map(|segment| segment.agents.len()).sum();
    if !is_newest || parts != known || remove(session, &ids, now_s)? != ids.len() as u64 {
        return roll_back(session);
    }
    match new {
        Some(new) => {
            insert(session, new, true)?;
            moved.added(new);
        }
        None => count_change(session).map(drop)?,
    }
    moved.write(session)?.write(session)?;
    Ok(true)
}

/// Removes the segment of a file, whose rows count as dropped; returns their number, `None` without such a segment.
pub(super) fn drop_file(session: &mut Session, file: &str, now_s: i64) -> Queried<Option<u64>> {
    let text = "SELECT id FROM agents WHERE id IN (SELECT agent FROM segment_agents WHERE segment = \
                (SELECT id FROM segments WHERE file = $1)) ORDER BY id FOR NO KEY UPDATE";
    session.query(text, &[&file])?;
    session.lock(Lock::Segments)?;
    let Some(row) = session.query_opt("SELECT id FROM segments WHERE file = $1", &[&file])? else { return Ok(None) };
    let (ids, mut moved) = ([row.try_get::<_, i64>(0)?], Moved::default());
    let mut dropped = Sizes::default();
    delete_parts(session, &ids, &mut moved)?.iter().for_each(|part| dropped.add(part));
    remove(session, &ids, now_s)?;
    count_change(session)?;
    let mut tally = moved.write(session)?;
    let rows = dropped.sample_rows.cast_unsigned();
    tally.add(Counter::SampleRowsDropped, rows);
    tally.add(Counter::SampleBatchesDropped, dropped.sample_batches.cast_unsigned());
    tally.write(session)?;
    Ok(Some(rows))
}

/// Deletes the parts of segments; returns them.
fn delete_parts(session: &mut Session, segments: &[i64], moved: &mut Moved) -> Queried<Vec<Sizes>> {
    let text = "DELETE FROM segment_agents WHERE segment = ANY($1) RETURNING rows, bytes, batches, agent";
    let rows = session.query(text, &[&segments])?;
    let part = |row: &Row| {
        let part = sizes_of_part(row)?;
        moved.removed(row.try_get(3)?, &part);
        Ok(part)
    };
    rows.iter().map(part).collect()
}

/// Rows, bytes and batches of a part.
pub(super) fn sizes_of_part(row: &Row) -> Queried<Sizes> {
    let (sample_rows, sample_bytes, sample_batches) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    Ok(Sizes { sample_rows, sample_bytes, sample_batches, ..Sizes::default() })
}

/// Deletes segments without parts, and returns their number; their files are deleted later.
fn remove(session: &mut Session, ids: &[i64], now_s: i64) -> Queried<u64> {
    let text = "INSERT INTO removed_segments (file, removed_s) SELECT file, $2 FROM segments WHERE id = ANY($1) \
                ON CONFLICT (file) DO UPDATE SET removed_s = excluded.removed_s";
    session.execute(text, &[&ids, &now_s])?;
    session.execute("DELETE FROM segments WHERE id = ANY($1)", &[&ids])
}

/// Counts a change of the list, which the transaction has locked, and returns its number.
fn count_change(session: &mut Session) -> Queried<i64> {
    increase(session, Counter::SegmentChanges.name())
}

/// Adds 1 to a counter; returns its value.
fn increase(session: &mut Session, name: &str) -> Queried<i64> {
    let text = "INSERT INTO counters AS c (name, shard, value) VALUES ($1, 0, 1) \
                ON CONFLICT (name, shard) DO UPDATE SET value = c.value + 1";
    session.execute(text, &[&name])?;
    counted(session, name)
}

fn counted(session: &mut Session, name: &str) -> Queried<i64> {
    let text = "SELECT coalesce(sum(value), 0)::bigint FROM counters WHERE name = $1";
    Ok(session.query_one(text, &[&name])?.try_get(0)?)
}

fn insert(session: &mut Session, new: &NewSegment, is_rewritten: bool) -> Queried<()> {
    let (id, file) = (count_change(session)?, &new.segment);
    session.change(
        &ADD_SEGMENT,
        &[
            &id,
            &file.file,
            &file.group,
            &file.schema.as_slice(),
            &file.bytes.cast_signed(),
            &file.sha256.as_slice(),
            &file.rows.cast_signed(),
            &file.batches.cast_signed(),
            &stored_ns(file.first),
            &stored_ns(file.last),
            &new.first_arrival.cast_signed(),
            &file.last_arrival.cast_signed(),
            &file.written_s.cast_signed(),
            &i16::from(is_rewritten),
        ],
    )?;
    insert_parts(session, id, new)?;
    session.change(&FORGET_REMOVED_SEGMENT, &[&file.file])?;
    let text = "INSERT INTO counters AS c (name, shard, value) VALUES ($1, 0, $2) \
                ON CONFLICT (name, shard) DO UPDATE SET value = greatest(c.value, excluded.value)";
    let name = Counter::SegmentArrivals.name();
    session.execute(text, &[&name, &file.last_arrival.cast_signed()]).map(drop)
}

/// Adds the agents of a segment.
fn insert_parts(session: &mut Session, id: i64, new: &NewSegment) -> Queried<()> {
    fn column<T>(new: &NewSegment, of: impl Fn(&AgentExtent) -> T) -> Vec<T> {
        new.agents.iter().map(|(_, extent)| of(extent)).collect()
    }
    let text = "INSERT INTO segment_agents (segment, agent, rows, batches, bytes, last_arrival, newest_ns, \
                suspect_first_ns, suspect_last_ns) SELECT $1::bigint, * FROM unnest($2::bigint[], $3::bigint[], \
                $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[])";
    let agents: Vec<i64> = new.agents.iter().map(|(agent, _)| *agent).collect();
    let suspects = |extent: &AgentExtent| extent.suspects.map(|(first, last)| (stored_ns(first), stored_ns(last)));
    session
        .execute(
            text,
            &[
                &id,
                &agents,
                &column(new, |extent| extent.rows.cast_signed()),
                &column(new, |extent| extent.batches.cast_signed()),
                &column(new, |extent| new.bytes_of(extent)),
                &column(new, |extent| extent.last_arrival.cast_signed()),
                &column(new, |extent| stored_ns(extent.newest)),
                &column(new, |extent| suspects(extent).map(|(first, _)| first)),
                &column(new, |extent| suspects(extent).map(|(_, last)| last)),
            ],
        )
        .map(drop)
}
