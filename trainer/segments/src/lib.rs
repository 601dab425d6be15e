//! Sampled feature rows ↔ Parquet files, called segments, that pandas, DuckDB and Polars read as they are.
//!
//! A [`SegmentWriter`] collects sample batches of one group of agents and writes a segment to a [`Place`] when a limit of
//! [`Limits`] is reached. A segment is complete and durable before its [`Segment`], the description that an index keeps,
//! is returned. A [`SegmentReader`] checks a file against its description and returns the rows that a [`Filter`] selects,
//! one row group in memory at a time. Time is an argument everywhere.
#![forbid(unsafe_code)]

#[cfg(feature = "object-store")]
mod bucket;
mod columns;
mod description;
mod error;
mod extent;
mod filter;
mod index;
mod place;
mod plan;
mod reader;
mod row;
mod writer;

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod round_trip_tests;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

#[cfg(feature = "object-store")]
pub use bucket::Bucket;
pub use columns::{FORMAT, ROW_GROUP_ROWS};
pub use description::Segment;
pub use error::SegmentError;
pub use extent::{AgentExtent, agent_extents};
pub use filter::{Filter, Sample, Selector};
pub use index::{INDEX_BYTES, Index};
pub use place::{Folder, Place};
pub use plan::{Pending, Planner, mergeable};
pub use reader::{FILE_BYTES, SegmentReader, verify};
pub use row::Row;
pub use writer::{Limits, SEGMENT_AGE_S, SEGMENT_BYTES, SEGMENT_ROWS, SegmentWriter, write_segment};
