//! The store → facts for campaigns, and campaigns → the store: what `serve`, the commands and the dashboard share.
//!
//! Campaigns are decided by [`lapwing_fleet::campaign`]. Here is what surrounds it: reading the facts, and storing a change
//! only if no other process changed the campaign in the meantime. Nothing is signed or published here: `serve` publishes the
//! newest rollout that the store has, so that a command needs no key, and a crash between storing and publishing loses nothing.

#![forbid(unsafe_code)]

mod agents;
mod create;
pub mod decisions;
mod episodes;
mod error;
pub mod facts;
mod facts_reader;
pub mod figures;
pub mod history;
mod measures;
pub mod outline;
mod steps;
pub mod view;
#[cfg(test)]
mod scale_tests;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

pub use agents::Scope;
pub use create::{GateFindings, Order, Proposal, propose, start};
pub use error::ChangeError;
pub use facts::set_aside;
pub use facts_reader::FactsReader;
pub use steps::{act, advance, scope_of};
