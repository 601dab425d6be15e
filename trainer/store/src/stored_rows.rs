//! The journal and the segments of a store → its feature rows, one segment or page in memory at a time.
//!
//! First come the segments, then the journal; within a group of agents, in order of arrival. Meanwhile batches may move from
//! the journal to new segments. The reader notices it, because a new segment has a higher number than the newest one when
//! a page was read: rows of that page were still in the journal, rows of later pages were not. Segments made of other
//! segments have no rows that the reader would miss, and the files of the others stay for [`crate::REMOVED_FILES_KEPT_S`].

use crate::error::StoreError;
use crate::row_store::RowStore;
use crate::rows::StoredBatch;
use crate::segment_rows::{NewestRow, StoredSegment, rows_of};
use lapwing_segments::{Filter, Place, Row, SegmentError, SegmentReader, Selector};
use lapwing_shared::features::SchemaId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::ErrorKind;
use std::ops::RangeInclusive;

/// Batches per query; a checkpoint can run between two queries.
const PAGE: u32 = 256;

/// What a store has at one moment.
pub(crate) struct Snapshot {
    pub(crate) segments: Vec<StoredSegment>,
    /// Newest batch.
    pub(crate) up_to: u64,
    /// Newest batches of agents in segments.
    pub(crate) newest: Vec<NewestRow>,
    /// Changes of the segments up to then.
    changes: u64,
}

impl Snapshot {
    /// Reads again if a segment is added meanwhile.
    pub(crate) fn of(store: RowStore<'_>, schema: &SchemaId) -> Result<Self, StoreError> {
        loop {
            let changes = store.segment_changes()?;
            let (up_to, newest) = (store.newest_batch()?, store.newest_in_segments()?);
            let segments = store.segments(Some(schema))?;
            if store.segment_changes()? == changes {
                return Ok(Self { segments, up_to, newest, changes });
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Segments,
    Journal,
    Late,
    Ended,
}

/// Iterator over the rows of a schema that are in a store when it begins, each with the number of its agent.
pub struct StoredRows<'store> {
    store: RowStore<'store>,
    schema: SchemaId,
    filter: Filter,
    names: BTreeMap<i64, String>,
    stage: Stage,
    segments: VecDeque<StoredSegment>,
    /// Only batches after this position.
    from: u64,
    after: u64,
    up_to: u64,
    /// Changes of the segments when the iterator began.
    changes: u64,
    /// Changes of the segments when the journal was read up to a position.
    pages: Vec<(u64, u64)>,
    page: std::vec::IntoIter<(i64, Row)>,
    unreadable: u64,
}

impl<'store> StoredRows<'store> {
    pub(crate) fn new(
        store: RowStore<'store>,
        schema: &SchemaId,
        filter: Filter,
        from: u64,
        snapshot: Snapshot,
    ) -> Result<Self, StoreError> {
        let Snapshot { segments, up_to, changes, .. } = snapshot;
        Ok(Self {
            store,
            schema: *schema,
            // A segment's group is the one that its agents had; which agents count now is the caller's choice.
            filter: Filter { group: None, ..filter },
            names: store.agent_names()?,
            stage: Stage::Segments,
            segments: segments.into_iter().filter(|segment| segment.segment.last_arrival > from).collect(),
            from,
            after: from,
            up_to,
            changes,
            pages: Vec::new(),
            page: Vec::new().into_iter(),
            unreadable: 0,
        })
    }

    /// Batches so far that no longer decode.
    pub fn unreadable_batches(&self) -> u64 {
        self.unreadable
    }

    /// Position of the newest batch that it reads.
    pub fn newest_batch(&self) -> u64 {
        self.up_to
    }

    /// Reads the next segment or page of the journal; false at the end.
    fn next_page(&mut self) -> Result<bool, StoreError> {
        match self.stage {
            Stage::Segments | Stage::Late => match self.segments.pop_front() {
                Some(segment) => {
                    let after = self.seen(&segment).max(self.from);
                    self.read(&segment, after)?;
                }
                None if self.stage == Stage::Segments => self.stage = Stage::Journal,
                None => self.stage = Stage::Ended,
            },
            Stage::Journal => {
                let (batches, changes) = self.journal_page()?;
                if batches.is_empty() {
                    self.find_late()?;
                } else {
                    self.take(&batches);
                    self.pages.push((changes, self.after));
                    self.pages.dedup_by(|later, earlier| {
                        earlier.0 == later.0 && {
                            earlier.1 = later.1;
                            true
                        }
                    });
                }
            }
            Stage::Ended => return Ok(false),
        }
        Ok(true)
    }

    /// A page of the journal, and the changes of the segments at that moment.
    fn journal_page(&self) -> Result<(Vec<StoredBatch>, u64), StoreError> {
        loop {
            let changes = self.store.segment_changes()?;
            let batches = self.store.sample_batches(&self.schema, self.after, self.up_to, PAGE)?;
            if self.store.segment_changes()? == changes {
                return Ok((batches, changes));
            }
        }
    }

    /// Up to this position, the rows of a segment were read from the journal.
    fn seen(&self, segment: &StoredSegment) -> u64 {
        let before = self.pages.iter().rev().find(|(changes, _)| *changes < segment.id.cast_unsigned());
        before.map_or(0, |(_, after)| *after)
    }

    /// Finds the segments that were made of the journal meanwhile.
    fn find_late(&mut self) -> Result<(), StoreError> {
        self.stage = Stage::Late;
        if self.store.segment_changes()? == self.changes {
            return Ok(());
        }
        let is_late = |segment: &StoredSegment| {
            segment.id.cast_unsigned() > self.changes && !segment.is_rewritten && segment.first_arrival <= self.up_to
        };
        self.segments = self.store.segments(Some(&self.schema))?.into_iter().filter(is_late).collect();
        Ok(())
    }

    fn take(&mut self, batches: &[StoredBatch]) {
        let mut selector = Selector::new(&self.filter);
        let mut page = Vec::new();
        for batch in batches {
            self.after = batch.arrival;
            let Some((rows, _)) = rows_of(batch) else {
                self.unreadable += 1;
                continue;
            };
            let selected = rows.into_iter().filter(|row| selector.selects(row));
            page.extend(selected.map(|row| (batch.agent_id, row)));
        }
        self.page = page.into_iter();
    }

    /// Reads the rows of a segment after a position.
    fn read(&mut self, segment: &StoredSegment, after: u64) -> Result<(), StoreError> {
        let read = rows_of_segment(self.store, &self.names, segment, &self.filter, after + 1..=self.up_to);
        match read {
            Ok(mut rows) => {
                rows.sort_unstable_by_key(|(_, row)| (row.arrival, row.row));
                self.page = rows.into_iter();
                Ok(())
            }
            // A limit removed it.
            Err(StoreError::Segment(SegmentError::Read { source, .. }))
                if source.kind() == ErrorKind::NotFound && !self.is_listed(segment)? =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn is_listed(&self, segment: &StoredSegment) -> Result<bool, StoreError> {
        Ok(self.store.segments(Some(&self.schema))?.iter().any(|listed| listed.id == segment.id))
    }
}

impl Iterator for StoredRows<'_> {
    type Item = Result<(i64, Row), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.page.next() {
                return Some(Ok(row));
            }
            match self.next_page() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.stage = Stage::Ended;
                    return Some(Err(error));
                }
            }
        }
    }
}

/// The rows of a segment that count, that a filter selects, and whose batches arrived at some positions, in the order of the
/// file, each with the number of its agent.
pub(crate) fn rows_of_segment(
    store: RowStore<'_>,
    names: &BTreeMap<i64, String>,
    segment: &StoredSegment,
    filter: &Filter,
    arrivals: RangeInclusive<u64>,
) -> Result<Vec<(i64, Row)>, StoreError> {
    let selects = |name: &&String| filter.selects_agent(name);
    let numbers: BTreeMap<&str, i64> = segment
        .agents
        .iter()
        .filter_map(|agent| names.get(agent).filter(selects).map(|name| (name.as_str(), *agent)))
        .collect();
    let agents: BTreeSet<String> = numbers.keys().map(|name| (*name).to_owned()).collect();
    let filter = Filter { agents: Some(agents), ..filter.clone() };
    if numbers.is_empty() || !filter.may_select(&segment.segment) {
        return Ok(Vec::new());
    }
    let place = store.place()?;
    let mut rows = Vec::new();
    for row in open(store, place.as_ref(), segment, &filter)? {
        let row = row?;
        if let Some(agent) = numbers.get(row.agent.as_str()).filter(|_| arrivals.contains(&row.arrival)) {
            rows.push((*agent, row));
        }
    }
    Ok(rows)
}

/// Opens a segment. A file that this handle has compared with its digest is not compared again: segments never change.
fn open<'f>(
    store: RowStore<'_>,
    place: &dyn Place,
    segment: &StoredSegment,
    filter: &'f Filter,
) -> Result<SegmentReader<'f>, SegmentError> {
    let mut verified = store.segments.verified.borrow_mut();
    if verified.contains(&segment.id) {
        return SegmentReader::open_undescribed(place, &segment.segment.file, filter);
    }
    let reader = SegmentReader::open(place, &segment.segment, filter)?;
    verified.insert(segment.id);
    Ok(reader)
}
