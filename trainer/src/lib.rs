//! The trainer: samples in, releases out.

pub mod quantize;
