//! The trainer: samples in, releases out.

pub mod quantize;
pub mod synthetic;
pub mod train;
