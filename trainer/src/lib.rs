//! The trainer: samples in, releases out.
