//! Segments are not written yet: feature rows stay in the database.

use super::PostgresHandle;
use crate::error::StoreError;
use crate::rows::EpisodeSpan;
use crate::segment_rows::{BatchKey, JournalPart, NewSegment, NewestRow, SegmentTotals, StoredSegment};
use crate::traits::Segments;
use lapwing_shared::features::SchemaId;

impl Segments for PostgresHandle {
    fn segments(&self, _schema: Option<&SchemaId>) -> Result<Vec<StoredSegment>, StoreError> {
        Ok(Vec::new())
    }

    fn segment_changes(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    fn segment_totals(&self) -> Result<SegmentTotals, StoreError> {
        Ok(SegmentTotals::default())
    }

    fn journal(&self, _schema: &SchemaId) -> Result<Vec<JournalPart>, StoreError> {
        Ok(Vec::new())
    }

    fn add_segment(&self, _new: &NewSegment, _batches: &[BatchKey]) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn replace_segments(
        &self,
        _old: &[StoredSegment],
        _new: Option<&NewSegment>,
        _now_s: u64,
    ) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn drop_segment(&self, file: &str, _now_s: u64) -> Result<u64, StoreError> {
        Err(StoreError::Missing { what: format!("segment `{file}`"), list: "store check" })
    }

    fn removed_segments(&self, _until_s: u64) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    fn forget_removed_segment(&self, _file: &str) -> Result<(), StoreError> {
        Ok(())
    }

    fn newest_in_segments(&self) -> Result<Vec<NewestRow>, StoreError> {
        Ok(Vec::new())
    }

    fn overlapping_segments(
        &self,
        _span: &EpisodeSpan,
        _schema: &SchemaId,
        _limit: u32,
    ) -> Result<Vec<StoredSegment>, StoreError> {
        Ok(Vec::new())
    }

    fn segments_place(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    fn set_segments_place(&self, _place: Option<&str>) -> Result<(), StoreError> {
        Ok(())
    }
}
