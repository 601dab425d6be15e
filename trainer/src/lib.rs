//! The trainer: samples in, releases out.

pub mod calibrate;
pub mod quantize;
pub mod release;
pub mod synthetic;
pub mod train;
