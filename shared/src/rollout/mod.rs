//! Which agents of a group may install which release: the rollout message, an agent's place, and its next step.
//!
//! The trainer publishes one retained, signed message per group. It names the version that the whole group should run and,
//! during a campaign, the next one with the share of agents that may install it. Every agent computes its own place, so
//! widening the share takes one message for any number of agents, and an agent that was offline needs only the newest one.
//! Exceptions for single agents have a retained, signed message of their own, the assignment.
//! The rollout key cannot make releases: it selects among those that the release key signed.

pub mod accept;
pub mod assignment;
pub mod decide;
pub mod message;
pub mod place;
pub mod signed;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
