//! The trainer: samples in, releases out.
#![forbid(unsafe_code)]

pub mod collect;
pub mod store;
