//! Alert episodes of the whole fleet → incidents: one entry for what ten sites report of one thing.
//!
//! Four levels: a message belongs to an episode, repeats of one episode (same agent, host, role and cause) are a [series],
//! and an incident has series of two sites or more, or what a person raised. [`Joiner`] compares new episodes with recent
//! ones and with the incidents that accept episodes, by rules in a fixed order, and gives every join its sentence.
//!
//! An episode is only compared with the *key* of an incident: a release, a network of an outside peer, or a cause with role and
//! port. The key never changes, so no episode can lead from one incident to another one, and an incident never grows by
//! what its episodes have in common with a third one.
//!
//! [series]: Sighting::series

mod cause;
mod joiner;
mod record;
mod remote;
mod rules;
mod severity;
mod sighting;
#[cfg(test)]
mod recorded_tests;
#[cfg(test)]
mod tests;

pub use cause::Cause;
pub use joiner::{EPISODES_PER_INCIDENT, Joiner, Joins, NewIncident, NewMember, OPEN_INCIDENTS, Target, Touched};
pub use record::{ACCEPTS_S, Incident, IncidentAction, IncidentState, Note, QUIET_S, Rule, Verdict, joined_key};
pub use remote::{Common, Network};
pub use rules::{CANDIDATES_S, Usual};
pub use severity::Severity;
pub use sighting::{Membership, Remote, Sighting};
