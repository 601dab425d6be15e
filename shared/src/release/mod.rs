//! Releases: what a manifest says, who may sign it, and the steps by which one reaches the detector.

pub mod manifest;
