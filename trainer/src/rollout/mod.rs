//! The store → facts for campaigns, and campaigns → the store: what `serve` and the commands share.
//!
//! Campaigns are decided by [`lapwing_fleet::campaign`]. Here is what surrounds it: reading the facts, and storing a change
//! only if no other process changed the campaign in the meantime. Nothing is signed or published here: `serve` publishes the
//! newest rollout that the store has, so that a command needs no key, and a crash between storing and publishing loses nothing.

mod agents;
mod create;
mod episodes;
mod error;
pub(crate) mod facts;
mod facts_reader;
mod measures;
pub(crate) mod outline;
mod steps;
pub(crate) mod view;
#[cfg(test)]
#[cfg(feature = "postgres")]
mod scale_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub(crate) use agents::Scope;
pub(crate) use create::{Order, propose, start};
pub(crate) use error::ChangeError;
pub(crate) use facts_reader::FactsReader;
pub(crate) use steps::{act, advance, scope_of};
