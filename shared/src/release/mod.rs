//! Release file or download → verified release on trial, and the state that survives a restart.

pub mod accept;
mod codec;
pub mod digest;
pub mod download;
pub mod file;
pub mod framing;
pub mod golden;
pub mod manifest;
pub mod name;
pub mod refusal_text;
pub mod root;
pub mod signature;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod trial;
pub mod update;

pub use codec::ManifestError;
