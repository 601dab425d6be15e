//! Releases ↔ the state folder, and release bytes → engines.

pub mod engine;
pub mod highest;
pub(crate) mod root;
pub mod store;

#[cfg(test)]
pub(crate) mod halver;
