//! A release file that the person at the command line named → a release that may score.

use crate::detector::Engine;
use crate::engines::Engines;
use crate::update::engine::{EngineFactory, InstallError, InstalledRelease, install};
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::release::accept::{Refusal, Terms, Verified, accept_held, accept_without_checking_the_signature};
use lapwing_shared::release::file::{FILE_BYTES, FileError, ReleaseFile};
use lapwing_shared::release::manifest::{Artifact, Name};
use lapwing_shared::release::signature::{SignatureError, TrustedKeys};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Why a release or key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseFileError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key file is wrong.
    #[error("key file {path}: {source}")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SignatureError,
    },
    /// It is no release file.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: FileError,
    },
    /// The release is not taken.
    #[error("release {path}: {source}")]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Refusal,
    },
    /// Its network cannot be used.
    #[error("release {path}: {source}")]
    Install {
        /// The file.
        path: PathBuf,
        /// Why.
        source: InstallError,
    },
    /// The manifest names a form that the file does not hold.
    #[error("release {path}: the file does not hold the {form:?} form that its manifest names")]
    Missing {
        /// The file.
        path: PathBuf,
        /// The form.
        form: lapwing_shared::release::manifest::ArtifactForm,
    },
}

/// Reads at most `limit` bytes and one more, so that a wrong file does not fill the memory.
fn read(path: &Path, limit: usize) -> Result<Vec<u8>, ReleaseFileError> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(limit as u64 + 1).read_to_end(&mut bytes))
        .map_err(|source| ReleaseFileError::Read { path: path.to_owned(), source })?;
    Ok(bytes)
}

/// Public keys from their files.
///
/// # Errors
/// When a file cannot be read or holds no key.
pub fn trusted_keys(paths: &[PathBuf]) -> Result<TrustedKeys, ReleaseFileError> {
    let mut keys = TrustedKeys::default();
    for path in paths {
        let text = String::from_utf8_lossy(&read(path, 4096)?).into_owned();
        let wrong = |source| ReleaseFileError::Key { path: path.clone(), source };
        for key in TrustedKeys::parse(&text).map_err(wrong)?.iter() {
            keys.add(key.clone()).map_err(wrong)?;
        }
    }
    Ok(keys)
}

/// A release file in memory.
pub struct Loaded {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Loaded {
    /// Reads the file; nothing of it is believed yet.
    ///
    /// # Errors
    /// When it cannot be read or is no release file.
    pub fn open(path: &Path) -> Result<Self, ReleaseFileError> {
        let bytes = read(path, FILE_BYTES)?;
        ReleaseFile::decode(&bytes).map_err(|source| ReleaseFileError::File { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), bytes })
    }

    /// Bytes of the file.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    fn parts(&self) -> Result<ReleaseFile<'_>, ReleaseFileError> {
        ReleaseFile::decode(&self.bytes).map_err(|source| ReleaseFileError::File { path: self.path.clone(), source })
    }

    /// Checks the manifest for the given engine; the signature too, where there are keys.
    ///
    /// # Errors
    /// When the manifest or its signature is wrong.
    pub fn verify(&self, engines: &Engines, keys: &TrustedKeys) -> Result<Verified, ReleaseFileError> {
        let (signed, schema, form) = (self.parts()?.signed, schema_id(), engines.form());
        let verified = if keys.iter().next().is_none() {
            accept_without_checking_the_signature(signed, &schema, form)
        } else {
            accept_held(signed, &Terms { keys: keys.clone(), group: Name::new(), schema, form })
        };
        verified.map_err(|source| ReleaseFileError::Refused { path: self.path.clone(), source })
    }

    /// Bytes of an artifact.
    ///
    /// # Errors
    /// When the file does not hold it.
    pub fn artifact(&self, verified: &Verified, artifact: &Artifact) -> Result<&[u8], ReleaseFileError> {
        let missing = || ReleaseFileError::Missing { path: self.path.clone(), form: artifact.form };
        self.parts()?.artifact(verified.manifest(), artifact).ok_or_else(missing)
    }

    /// Builds the engine and runs the golden vectors.
    ///
    /// # Errors
    /// When the artifact is not the manifest's, or the engine does not reproduce the golden vectors.
    pub fn install(
        &self,
        verified: Verified,
        engines: &Engines,
    ) -> Result<InstalledRelease<Box<dyn Engine>>, ReleaseFileError> {
        let artifact = *verified.artifact();
        let bytes = self.artifact(&verified, &artifact)?;
        install(verified, bytes, engines, false)
            .map_err(|source| ReleaseFileError::Install { path: self.path.clone(), source })
    }
}
