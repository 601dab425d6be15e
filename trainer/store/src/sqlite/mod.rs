//! A store in one SQLite file.
//!
//! One [`SqliteWriter`] writes messages, in transactions of many messages each (`synchronous=FULL`: when a commit returns,
//! its data is on disk). Any number of [`SqliteHandle`]s, in this process or others, read, label and request retraining at
//! the same time: with the write-ahead log, readers and the writer do not block each other, and a reader sees the file as
//! it was when its query began. Every table has a limit and a counter of removed rows.

mod agent_states;
mod agents;
mod assignments;
mod audit;
mod backup;
mod batch;
mod campaigns;
mod cache;
mod check;
mod classes;
mod copying;
mod counters;
mod episode_pages;
mod episode_rows;
mod fields;
mod forget;
mod groups;
mod handle;
mod held;
mod hosts;
mod identities;
mod incidents;
mod people;
mod renewals;
mod insert;
mod jobs;
#[cfg(any(test, feature = "testing"))]
pub mod old_store;
mod progress;
mod prune;
mod releases;
mod roots;
mod samples;
pub(crate) mod schema;
mod seals;
mod segments;
mod write;

#[cfg(test)]
mod episode_tests;
#[cfg(test)]
mod migration_tests;
#[cfg(test)]
mod private_tests;
#[cfg(test)]
mod tests;

pub(crate) use handle::SqliteHandle;
pub(crate) use write::{SqliteWriter, lock};
