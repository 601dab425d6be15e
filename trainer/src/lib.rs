//! The trainer: samples in, releases out.
#![forbid(unsafe_code)]

pub mod clock;
pub mod collect;
pub mod store;
pub mod quantize;
pub mod synthetic;
pub mod train;
