//! Bytes of a release file → its parts and manifest, checked against each other.

use lapwing_shared::release::ManifestError;
use lapwing_shared::release::digest::sha256;
use lapwing_shared::release::file::{FileError, ReleaseFile};
use lapwing_shared::release::manifest::Manifest;
use lapwing_shared::release::signature::{SignatureError, SignedManifest};

/// Why a release file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not a release file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The signed manifest is malformed.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The manifest violates a rule.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// An artifact differs from the manifest.
    #[error("artifact {index} of the release file does not match the manifest")]
    Artifact {
        /// Index of the artifact.
        index: usize,
    },
}

/// Reads a release file and checks the artifacts against the manifest, but not the signature; agents verify that.
///
/// # Errors
/// When the file is malformed or an artifact does not match.
pub fn read(bytes: &[u8]) -> Result<(ReleaseFile<'_>, Manifest), ReadError> {
    let file = ReleaseFile::decode(bytes)?;
    let manifest = Manifest::decode(SignedManifest::decode(file.signed)?.manifest)?;
    for (index, artifact) in manifest.artifacts.iter().enumerate() {
        let bytes = file.artifacts.get(index).copied().unwrap_or_default();
        if bytes.len() != artifact.size_bytes as usize || sha256(bytes) != artifact.sha256 {
            return Err(ReadError::Artifact { index });
        }
    }
    Ok((file, manifest))
}
