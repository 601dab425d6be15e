//! A campaign over simulated homes, in virtual time.
//!
//! The campaign is [`crate::campaign::Campaign`], and every home has the update state machine and the decisions of a real
//! agent ([`lapwing_shared::release::update`], [`lapwing_shared::rollout::decide`]). Simulated are the network between them
//! (messages are lost, delayed, duplicated and reordered), the homes (when they are online, how many alerts and rows they
//! have), and what a release does.
//!
//! Simplifications: time advances in steps of ten minutes; rollouts are not signed and artifacts have no bytes; alerts and
//! rows are counted by hour; score drift and cost are one number for each home; whether a home is fit for the canary is
//! decided at the start; no person acts, so a paused campaign has ended.

mod agent;
mod home;
#[cfg(test)]
mod interleaving_tests;
mod network;
mod random;
mod run;
mod scenario;
mod summary;
mod traits;

pub use home::{Conduct, Home, Report, TrialOutcome};
pub use random::Random;
pub use run::{RunResult, Sample, simulate};
pub use scenario::{ReleaseKind, Scenario};
pub use summary::Summary;
