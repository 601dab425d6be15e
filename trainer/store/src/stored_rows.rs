//! The journal and the segments of a store → its feature rows, one segment or page in memory at a time.
//!
//! First come the segments, then the journal; within a group of agents, in order of arrival. Meanwhile batches may move from
//! the journal to new segments, and segments may be replaced by others. So the reader remembers which batches it has read,
//! and then reads the segments that were added meanwhile, without those batches. A batch is never split between segments.
//! Files of replaced segments stay for [`crate::REMOVED_FILES_KEPT_S`]; a slower reader finds their rows in the added ones.

use crate::error::StoreError;
use crate::positions::Positions;
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

/// How many times segments are listed again because a file was gone, at most: each time, the reader was slower than
/// [`crate::REMOVED_FILES_KEPT_S`].
const MAX_REPETITIONS: u32 = 2;

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
    /// Changes of the segments when they were listed.
    changes: u64,
    /// Batches that were read.
    read: Positions,
    /// How many times segments may be listed again because a file of a listed one was gone.
    repetitions: u32,
    /// The file of a segment that was listed is gone: its rows are in a later one, or were removed.
    is_file_gone: bool,
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
            read: Positions::default(),
            repetitions: MAX_REPETITIONS,
            is_file_gone: false,
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
                Some(segment) => self.read_segment(&segment)?,
                None if self.stage == Stage::Segments => self.stage = Stage::Journal,
                None if self.is_file_gone && self.repetitions > 0 => {
                    self.repetitions -= 1;
                    self.find_late()?;
                }
                None => self.stage = Stage::Ended,
            },
            Stage::Journal => {
                let batches = self.store.sample_batches(&self.schema, self.after, self.up_to, PAGE)?;
                if batches.is_empty() {
                    self.find_late()?;
                } else {
                    self.take(&batches);
                }
            }
            Stage::Ended => return Ok(false),
        }
        Ok(true)
    }

    /// Finds the segments that were made meanwhile, of the journal or of others.
    fn find_late(&mut self) -> Result<(), StoreError> {
        self.stage = Stage::Late;
        self.is_file_gone = false;
        let changes = self.store.segment_changes()?;
        if changes == self.changes {
            return Ok(());
        }
        let is_late = |segment: &StoredSegment| {
            segment.id.cast_unsigned() > self.changes
                && segment.first_arrival <= self.up_to
                && segment.segment.last_arrival > self.from
        };
        self.segments = self.store.segments(Some(&self.schema))?.into_iter().filter(is_late).collect();
        self.changes = changes;
        Ok(())
    }

    fn take(&mut self, batches: &[StoredBatch]) {
        let mut selector = Selector::new(&self.filter);
        let mut page = Vec::new();
        for batch in batches {
            self.after = batch.arrival;
            self.read.insert(batch.arrival);
            let Some((rows, _)) = rows_of(batch) else {
                self.unreadable += 1;
                continue;
            };
            let selected = rows.into_iter().filter(|row| selector.selects(row));
            page.extend(selected.map(|row| (batch.agent_id, row)));
        }
        self.page = page.into_iter();
    }

    /// Reads the rows of a segment that were not read.
    fn read_segment(&mut self, segment: &StoredSegment) -> Result<(), StoreError> {
        let arrivals = self.from + 1..=self.up_to;
        match rows_of_segment(self.store, &self.names, segment, &self.filter, arrivals) {
            Ok(mut rows) => {
                rows.retain(|(_, row)| !self.read.contains(row.arrival));
                rows.sort_unstable_by_key(|(_, row)| (row.arrival, row.row));
                rows.iter().for_each(|(_, row)| self.read.insert(row.arrival));
                self.page = rows.into_iter();
                Ok(())
            }
            Err(StoreError::Segment(SegmentError::Read { source, .. }))
                if source.kind() == ErrorKind::NotFound && self.repetitions > 0 && !self.is_listed(segment)? =>
            {
                self.is_file_gone = true;
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
