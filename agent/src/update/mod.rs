//! Releases on the agent's disk: two slots and the state that says which of them is in use.

pub mod counted;
pub mod disk;
pub mod engine;
pub mod memory;
pub mod store;

#[cfg(test)]
pub(crate) mod halver;
#[cfg(test)]
pub(crate) mod power;
#[cfg(test)]
#[path = "../../../shared/src/release/testing.rs"]
#[allow(dead_code, reason = "shared with the tests of the release module")]
pub(crate) mod testing;
