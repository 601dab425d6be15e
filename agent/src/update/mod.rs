//! Releases ↔ the state folder, and release bytes → engines.

pub mod engine;
pub mod highest;
pub(crate) mod rollout;
pub(crate) mod root;
pub(crate) mod settings;
pub(crate) mod starts;
pub mod store;

#[cfg(test)]
pub(crate) mod halver;
