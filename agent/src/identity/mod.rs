//! Token → the agent's identity, in two files of the state folder.
//!
//! ```text
//! identity    key, certificate and what came with it, and the last certificate; replaced atomically
//! enrolment   key and token of an enrolment that has begun; removed at its end
//! ```
//! The key is durable before its first request. So an enrolment that a power cut interrupts goes on with the same key,
//! and the trainer, which knows the key by then, counts no second use of the token.

mod enrol;
mod files;
mod keeper;
#[cfg(test)]
mod keeper_tests;
#[cfg(test)]
mod tests;

pub(crate) use enrol::{Asked, EnrolError, Enrolment, Port, Progress, enrol};
pub(crate) use files::{FILES, Identity, read};
pub(crate) use keeper::Keeper;
