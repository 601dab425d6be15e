//! The agent: packets in, alerts out.

pub mod detector;
