//! Segments of a store: their list, and the journal that they are made of.

use crate::error::StoreError;
use crate::rows::EpisodeSpan;
use crate::segment_rows::{BatchKey, JournalPart, NewSegment, NewestRow, SegmentTotals, StoredSegment};
use lapwing_shared::features::SchemaId;

/// Feature rows in Parquet files, of which the store keeps the descriptions. [`super::Samples`] has the batches that are in no
/// segment, the journal.
pub trait Segments {
    /// Segments, of this schema only or of every one, by their newest batch.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn segments(&self, schema: Option<&SchemaId>) -> Result<Vec<StoredSegment>, StoreError>;

    /// Number of changes of the list of segments so far; an added segment has it as its number.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn segment_changes(&self) -> Result<u64, StoreError>;

    /// Size of all segments.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn segment_totals(&self) -> Result<SegmentTotals, StoreError>;

    /// Agents with rows of a schema in the journal.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn journal(&self, schema: &SchemaId) -> Result<Vec<JournalPart>, StoreError>;

    /// Makes this handle the only one that may add or replace segments: later attempts of an earlier one change nothing.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn begin_compaction(&self) -> Result<(), StoreError>;

    /// Adds a segment and deletes its batches from the journal, in one transaction. False, without any change, if a batch is
    /// not in the journal any more, because a limit or an operator removed it, or if another handle has begun a compaction.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn add_segment(&self, new: &NewSegment, batches: &[BatchKey]) -> Result<bool, StoreError>;

    /// Replaces segments by one with the rows that count, or by none, in one transaction at `now_s`. False, without any
    /// change, if other agents count than those of `old`, because a limit or an operator removed some, or if another handle has
    /// begun a compaction.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn replace_segments(&self, old: &[StoredSegment], new: Option<&NewSegment>, now_s: u64)
    -> Result<bool, StoreError>;

    /// Removes a segment with all its rows, which count as dropped; returns their number.
    ///
    /// # Errors
    /// When there is no such segment, or the store cannot be written.
    fn drop_segment(&self, file: &str, now_s: u64) -> Result<u64, StoreError>;

    /// Files that were removed from the list at `until_s` or earlier.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn removed_segments(&self, until_s: u64) -> Result<Vec<String>, StoreError>;

    /// Forgets a removed file, which is deleted.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn forget_removed_segment(&self, file: &str) -> Result<(), StoreError>;

    /// The newest batch of each agent that is in a segment.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn newest_in_segments(&self) -> Result<Vec<NewestRow>, StoreError>;

    /// At most `limit` segments of a schema with marked rows of an agent during an episode, oldest rows first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn overlapping_segments(
        &self,
        span: &EpisodeSpan,
        schema: &SchemaId,
        limit: u32,
    ) -> Result<Vec<StoredSegment>, StoreError>;

    /// Where the segments are, if it is not the default place.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn segments_place(&self) -> Result<Option<String>, StoreError>;

    /// Sets where the segments are; `None`: at the default place.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn set_segments_place(&self, place: Option<&str>) -> Result<(), StoreError>;
}
