//! A store in a PostgreSQL database.
//!
//! Any number of [`PostgresWriter`]s and [`PostgresHandle`]s, in this process or others, use it at the same time.
//!
//! **Locks.** Whoever changes rows of an agent (its messages, numbers, episodes, sizes) first locks its row of `agents`,
//! several of them in ascending order of their ids: [`lock_agents`](session::Session::lock_agents). Two transactions that
//! follow this rule cannot deadlock. A label, which changes one row, needs no lock. Further locks follow those of agents: of the list of
//! segments ([`segment_changes`]), then of counters, and last of the audit log ([`audit`]). Should PostgreSQL end a transaction
//! because of a deadlock or a serialization failure nevertheless, it is repeated, see [`connection`]. Every connection that
//! writes shares a lock of the store, which a copy of the store takes for itself.

mod address;
mod agent_rows;
mod agents;
mod assignments;
mod arrivals;
mod audit;
mod batch;
mod campaigns;
mod classes;
mod connection;
mod copying;
mod counters;
mod episode_pages;
mod episode_rows;
mod episodes;
mod errors;
mod fields;
mod forget;
mod groups;
mod held;
mod hosts;
mod identities;
mod incidents;
mod people;
mod renewals;
mod ingest;
mod insert;
mod jobs;
mod leases;
mod maintenance;
#[cfg(test)]
mod migration_tests;
#[cfg(test)]
mod page_tests;
mod partitions;
mod progress;
mod prune;
mod read;
mod releases;
mod roots;
mod samples;
mod schema;
mod schemas;
mod segment_changes;
#[cfg(test)]
mod segment_tests;
mod seals;
mod segments;
mod session;
mod tally;
mod tls;
#[cfg(test)]
mod writer_tests;

pub(crate) use connection::PostgresHandle;
pub(crate) use ingest::PostgresWriter;
