//! What Lapwing's agent and trainer must compute alike: from one packet's bytes to a verdict, and what is signed and
//! sent between the two sides.
//!
//! No input or output, no clock, no randomness, no logging and no `unsafe` live here; time and seeds are arguments.
//! The crate is `no_std`; the `alloc` feature adds the tables whose capacity is chosen at start-up.
//!
//! Modules stand in data-flow order, and each imports only those before it.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate self as lapwing_shared;
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
pub mod messages;
