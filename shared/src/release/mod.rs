//! Releases: what a manifest says, who may sign it, and the steps by which one reaches the detector.

pub mod accept;
mod codec;
pub mod digest;
pub mod download;
pub mod file;
pub mod framing;
pub mod golden;
pub mod manifest;
pub mod name;
pub mod signature;
#[cfg(test)]
mod testing;
pub mod trial;
pub mod update;

pub use codec::ManifestError;
