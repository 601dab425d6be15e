//! Sample batches in the journal → segments; small and partly unused segments → fewer ones.
//!
//! A segment is written under a temporary name, synced, renamed, and its folder synced; then one transaction adds it to the
//! list and deletes its batches from the journal. When the program stops between the two, the batches are still in the
//! journal, and the next start removes the file, which nothing names. Files that left the list are deleted after
//! [`REMOVED_FILES_KEPT_S`], when nothing reads them any more.

use crate::error::StoreError;
use crate::segment_rows::{BatchKey, JournalPart, NewSegment, SegmentTotals, StoredSegment, rows_of};
use crate::store::StoreHandle;
use lapwing_segments::{Limits, Pending, Planner, Row, agent_extents, mergeable, write_segment};
use lapwing_shared::features::schema::schema_id;
use std::collections::{BTreeMap, BTreeSet};

/// Seconds for which the file of a removed segment stays, for readers that have its name.
pub const REMOVED_FILES_KEPT_S: u64 = 3_600;
/// Batches per query.
const PAGE: u32 = 256;

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compaction {
    /// Segments written from the journal.
    pub segments: u64,
    /// Their rows.
    pub rows: u64,
    /// Segments replaced by fewer or smaller ones.
    pub replaced: u64,
    /// Files deleted.
    pub deleted: u64,
    /// Segments given up, because a limit or an operator removed some of their rows meanwhile. A later pass writes the rest.
    pub conflicts: u64,
}

/// A point at which a pass may be interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A file is complete; no list names it.
    Written,
    /// The list of segments has changed.
    Listed,
}

/// Moves rows of a store from the journal into segments. Only one may exist for a store.
pub struct Compactor {
    handle: StoreHandle,
    limits: Limits,
    /// Group of agents that have not sent a status.
    group: String,
    planner: Planner,
    is_started: bool,
}

/// Rows of a segment that is being collected.
#[derive(Default)]
struct Collected {
    rows: Vec<Row>,
    batches: Vec<BatchKey>,
    agents: BTreeMap<String, i64>,
}

/// The rest of a pass was skipped.
struct Stopped;

impl Compactor {
    /// Begins with the journal and the segments of a store. `group` is that of agents that have not sent a status.
    pub fn new(handle: StoreHandle, limits: Limits, group: &str) -> Self {
        Self { handle, limits, group: group.to_owned(), planner: Planner::default(), is_started: false }
    }

    /// Size of all segments.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn totals(&self) -> Result<SegmentTotals, StoreError> {
        self.handle.segment_totals()
    }

    /// Writes the segments that are due at `now_s`, rewrites or merges old ones, and deletes files that are no longer needed.
    /// `go_on` is called after each step; if it returns false, the pass ends at once.
    ///
    /// # Errors
    /// When the store or the place of the segments cannot be used. No row is lost; the next pass continues.
    pub fn pass(&mut self, now_s: u64, go_on: &mut dyn FnMut(Step) -> bool) -> Result<Compaction, StoreError> {
        let mut done = Compaction::default();
        if !self.is_started {
            done.deleted += self.start()?;
            self.is_started = true;
        }
        if self.write_due(now_s, &mut done, go_on)?.is_ok() {
            // First, because a segment that cannot be read would prevent it.
            done.deleted += self.delete_removed(now_s)?;
            // When it is stopped, there is nothing left to skip.
            let _ = self.replace_old(now_s, &mut done, go_on)?;
        }
        Ok(done)
    }

    /// Claims the place for this store and removes files that nothing names; returns their number.
    fn start(&self) -> Result<u64, StoreError> {
        // An earlier compactor may still run, in a process that has lost its lease without noticing. It must not list a
        // file that is removed below.
        self.handle.begin_compaction()?;
        let (place, segments) = (self.handle.place()?, self.handle.segments(None)?);
        place.claim(self.handle.id()?, segments.is_empty())?;
        let mut known: BTreeSet<String> = segments.into_iter().map(|segment| segment.segment.file).collect();
        known.extend(self.handle.removed_segments(u64::MAX)?);
        Ok(place.remove_unknown(&known)? as u64)
    }

    fn write_due(
        &mut self,
        now_s: u64,
        done: &mut Compaction,
        go_on: &mut dyn FnMut(Step) -> bool,
    ) -> Result<Result<(), Stopped>, StoreError> {
        let mut groups: BTreeMap<String, (u64, BTreeSet<i64>)> = BTreeMap::new();
        for JournalPart { agent_id, rows, group } in self.handle.journal(&schema_id())? {
            let (of_group, agents) = groups.entry(group.unwrap_or_else(|| self.group.clone())).or_default();
            *of_group += rows;
            agents.insert(agent_id);
        }
        let pending: Vec<Pending> =
            groups.iter().map(|(group, (rows, _))| Pending { group: group.clone(), rows: *rows }).collect();
        for group in self.planner.due(&pending, &self.limits, now_s) {
            let Some((_, agents)) = groups.get(&group) else { continue };
            if self.write_group(&group, agents, now_s, done, go_on)?.is_err() {
                return Ok(Err(Stopped));
            }
            self.planner.written(&group);
        }
        Ok(Ok(()))
    }

    /// Writes every row of some agents that is in the journal.
    fn write_group(
        &self,
        group: &str,
        agents: &BTreeSet<i64>,
        now_s: u64,
        done: &mut Compaction,
        go_on: &mut dyn FnMut(Step) -> bool,
    ) -> Result<Result<(), Stopped>, StoreError> {
        let (mut collected, mut after, up_to) = (Collected::default(), 0, self.handle.newest_batch()?);
        loop {
            let page = self.handle.sample_batches(&schema_id(), after, up_to, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.arrival;
            for batch in page.iter().filter(|batch| agents.contains(&batch.agent_id)) {
                // Batches of which a segment would lose something stay in the journal.
                let Some((rows, true)) = rows_of(batch) else { continue };
                let is_full = (collected.rows.len() + rows.len()) as u64 > self.limits.rows();
                if is_full && self.add(group, &mut collected, now_s, done, go_on)?.is_err() {
                    return Ok(Err(Stopped));
                }
                collected.push(batch.agent_id, rows);
            }
        }
        self.add(group, &mut collected, now_s, done, go_on)
    }

    /// Writes the collected rows as a segment and lists it.
    fn add(
        &self,
        group: &str,
        collected: &mut Collected,
        now_s: u64,
        done: &mut Compaction,
        go_on: &mut dyn FnMut(Step) -> bool,
    ) -> Result<Result<(), Stopped>, StoreError> {
        let mut collected = std::mem::take(collected);
        let Some(new) = self.write(group, &mut collected, now_s)? else { return Ok(Ok(())) };
        if !go_on(Step::Written) {
            return Ok(Err(Stopped));
        }
        if self.handle.add_segment(&new, &collected.batches)? {
            (done.segments, done.rows) = (done.segments + 1, done.rows + new.segment.rows);
        } else {
            self.abandon(&new)?;
            done.conflicts += 1;
        }
        Ok(if go_on(Step::Listed) { Ok(()) } else { Err(Stopped) })
    }

    fn write(&self, group: &str, collected: &mut Collected, now_s: u64) -> Result<Option<NewSegment>, StoreError> {
        let rows = &mut collected.rows;
        let Some(segment) = write_segment(self.handle.place()?.as_ref(), group, rows, now_s)? else { return Ok(None) };
        let first_arrival = rows.iter().map(|row| row.arrival).min().unwrap_or(0);
        let numbered = |extent: lapwing_segments::AgentExtent| {
            collected.agents.get(extent.agent.as_str()).map(|number| (*number, extent))
        };
        let agents = agent_extents(rows).into_iter().filter_map(numbered).collect();
        Ok(Some(NewSegment { segment, first_arrival, agents }))
    }

    /// Removes segments without rows that count, and rewrites or merges others: at most one file in each pass.
    fn replace_old(
        &self,
        now_s: u64,
        done: &mut Compaction,
        go_on: &mut dyn FnMut(Step) -> bool,
    ) -> Result<Result<(), Stopped>, StoreError> {
        let segments = self.handle.segments(None)?;
        for segment in &segments {
            let is_foreign = segment.segment.schema != schema_id();
            if segment.agents.is_empty() {
                done.replaced += u64::from(self.handle.replace_segments(std::slice::from_ref(segment), None, now_s)?);
            } else if is_foreign && segment.has_forgotten {
                // This program cannot write it again without the rows of the agent that an operator removed.
                self.handle.drop_segment(&segment.segment.file, now_s)?;
                done.replaced += 1;
            }
        }
        let mut own: Vec<StoredSegment> =
            segments.into_iter().filter(|segment| is_rewritable(segment, now_s)).collect();
        if let Some(surplus) = own.iter().position(has_surplus) {
            return self.replace(&[own.swap_remove(surplus)], now_s, done, go_on);
        }
        let groups: BTreeSet<String> = own.iter().map(|segment| segment.segment.group.clone()).collect();
        for group in groups {
            let of_group: Vec<&StoredSegment> = own.iter().filter(|segment| segment.segment.group == group).collect();
            let sizes: Vec<(u64, u64)> =
                of_group.iter().map(|segment| (segment.counted_rows, segment.segment.written_s)).collect();
            let found = mergeable(&sizes, &self.limits, now_s).and_then(|range| of_group.get(range));
            if let Some(old) = found {
                let old: Vec<StoredSegment> = old.iter().map(|segment| (*segment).clone()).collect();
                return self.replace(&old, now_s, done, go_on);
            }
        }
        Ok(Ok(()))
    }

    /// Replaces segments of a group by one with their rows that count.
    fn replace(
        &self,
        old: &[StoredSegment],
        now_s: u64,
        done: &mut Compaction,
        go_on: &mut dyn FnMut(Step) -> bool,
    ) -> Result<Result<(), Stopped>, StoreError> {
        let (names, mut collected) = (self.handle.agent_names()?, Collected::default());
        for segment in old {
            for (agent, row) in self.handle.rows_of_segment(segment, &names)? {
                collected.agents.entry(row.agent.to_string()).or_insert(agent);
                collected.rows.push(row);
            }
        }
        let group = old.first().map_or("", |segment| segment.segment.group.as_str());
        let new = self.write(group, &mut collected, now_s)?;
        if !go_on(Step::Written) {
            return Ok(Err(Stopped));
        }
        if self.handle.replace_segments(old, new.as_ref(), now_s)? {
            done.replaced += old.len() as u64;
        } else {
            new.map(|new| self.abandon(&new)).transpose()?;
            done.conflicts += 1;
        }
        Ok(if go_on(Step::Listed) { Ok(()) } else { Err(Stopped) })
    }

    /// Deletes the file of a segment that was not listed, unless another process has listed the same rows under its name.
    fn abandon(&self, new: &NewSegment) -> Result<(), StoreError> {
        let file = &new.segment.file;
        if self.handle.segments(None)?.iter().all(|listed| listed.segment.file != *file) {
            self.handle.place()?.remove(file)?;
        }
        Ok(())
    }

    /// Deletes files that left the list long ago; returns their number.
    fn delete_removed(&self, now_s: u64) -> Result<u64, StoreError> {
        let mut deleted = 0;
        let Some(until_s) = now_s.checked_sub(REMOVED_FILES_KEPT_S) else { return Ok(0) };
        for file in self.handle.removed_segments(until_s)? {
            deleted += u64::from(self.handle.place()?.remove(&file)?);
            self.handle.forget_removed_segment(&file)?;
        }
        Ok(deleted)
    }
}

impl Collected {
    fn push(&mut self, agent_id: i64, rows: Vec<Row>) {
        let Some(Row { agent, arrival, run, number, .. }) = rows.first() else { return };
        self.batches.push(BatchKey { arrival: *arrival, agent_id, run: *run, number: *number });
        self.agents.entry(agent.to_string()).or_insert(agent_id);
        self.rows.extend(rows);
    }
}

/// Whether a segment may be written again. Not within [`REMOVED_FILES_KEPT_S`] after it was made: a reader that began before
/// finds the rows that left its journal in the segment that they went to, rather than in a later one that it must compare
/// with everything it has read, and a young segment is not written again for each agent that an operator removes.
fn is_rewritable(segment: &StoredSegment, now_s: u64) -> bool {
    let is_old = segment.segment.written_s.saturating_add(REMOVED_FILES_KEPT_S) <= now_s;
    segment.segment.schema == schema_id() && !segment.agents.is_empty() && is_old
}

/// Whether a file is written again without the rows that do not count, because they are many, or of an agent that an operator
/// removed.
fn has_surplus(segment: &StoredSegment) -> bool {
    segment.has_forgotten || segment.counted_rows.saturating_mul(4) < segment.segment.rows.saturating_mul(3)
}
