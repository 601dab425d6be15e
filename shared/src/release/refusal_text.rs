//! Texts of reasons for which a release is at fault: agents begin them like this, and the trainer recognizes them.

/// Beginning of reasons about an invalid manifest.
pub const MANIFEST: &str = "manifest: ";
/// Beginning of reasons about golden vectors.
pub const GOLDEN: &str = "golden vector";
/// Reason for another feature schema.
pub const SCHEMA: &str = "release uses another feature schema than this agent";
/// Beginning of the reason for a missing artifact.
pub const FORM: &str = "release has no artifact in the form ";
/// Reason for an artifact that is not the manifest's.
pub const ARTIFACT: &str = "artifact does not match the size and SHA-256 in the manifest";
/// Beginning of reasons about an artifact that the engine cannot read.
pub const ENGINE: &str = "engine cannot read the artifact: ";
