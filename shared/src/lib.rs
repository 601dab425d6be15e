//! Packet bytes → verdict, and the formats that are signed and sent: the code that agent and trainer share.
//!
//! This crate has no I/O, clock, randomness, logging or `unsafe`; time and seeds are arguments. It is `no_std`; the
//! `alloc` feature adds the tables whose capacity is chosen at start-up.
//!
//! Packages compile this crate for speed and the agent for size (`profile.release` in Cargo.toml). Functions here that run
//! rarely, for releases, messages and settings, are `#[inline]`: then they are compiled in the agent.
//!
//! Modules are in data-flow order, and each imports only those before it.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod units;
pub mod packet;
pub mod flow;
mod lanes;
pub mod context;
pub mod features;
pub mod verdict;
pub mod release;
pub mod privacy;
pub mod rollout;
pub mod messages;
pub mod enrolment;
