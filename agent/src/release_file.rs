//! A configured release file → a release that may score.

use crate::config::UpdateSection;
use crate::detector::Engine;
use crate::engines::Engines;
use crate::update::engine::{EngineFactory, InstallError, InstalledRelease, install};
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::release::accept::{Refusal, Terms, Verified, accept_held, accept_without_checking_the_signature};
use lapwing_shared::release::file::{FILE_BYTES, FileError, ReleaseFile};
use lapwing_shared::release::manifest::{Artifact, Name};
use lapwing_shared::release::root::{CHAIN_BYTES, ChainDocuments, RootError};
use lapwing_shared::release::signature::{KeyUse, SignatureError, Source, TrustedKeys};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Why a release or key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum ReleaseFileError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    /// A key file is wrong.
    #[error("key file {path}: {source}")]
    Key { path: PathBuf, source: SignatureError },
    /// It is not a chain of root documents.
    #[error("{path}: {source}")]
    Root { path: PathBuf, source: RootError },
    /// It is not a release file.
    #[error("{path}: {source}")]
    File { path: PathBuf, source: FileError },
    /// The release fails a check.
    #[error("release {path}: {source}")]
    Refused { path: PathBuf, source: Refusal },
    /// Its network cannot be installed.
    #[error("release {path}: {source}")]
    Install { path: PathBuf, source: InstallError },
    /// The file lacks a form that its manifest names.
    #[error("release {path}: the file lacks the {form:?} form that its manifest names")]
    Missing { path: PathBuf, form: lapwing_shared::release::manifest::ArtifactForm },
}

/// Reads at most `limit` + 1 bytes, so that a wrong file does not exhaust the memory.
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
/// When a file cannot be read or has no valid key.
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

/// The keys of the configuration: from their files, and those that came with the agent's identity.
///
/// # Errors
/// When a file cannot be read or has no valid key.
pub(crate) fn configured_keys(update: &UpdateSection) -> Result<TrustedKeys, ReleaseFileError> {
    let mut keys = trusted_keys(&update.keys)?;
    let wrong = |source| ReleaseFileError::Key { path: "of the identity".into(), source };
    for key in TrustedKeys::parse(&update.enrolled_keys.join("\n")).map_err(wrong)?.iter() {
        keys.add(key.clone()).map_err(wrong)?;
    }
    Ok(keys)
}

/// The signed root document to begin with: the newest one in the file of the configuration, or else the one of the identity.
///
/// # Errors
/// When the file cannot be read or is not a chain of root documents.
pub(crate) fn first_root(update: &UpdateSection) -> Result<Option<Vec<u8>>, ReleaseFileError> {
    let Some(path) = &update.root else {
        return Ok(Some(update.enrolled_root.clone()).filter(|bytes| !bytes.is_empty()));
    };
    let chain = read(path, CHAIN_BYTES)?;
    let newest =
        ChainDocuments::new(&chain).and_then(|mut documents| documents.try_fold(None, |_, next| next.map(Some)));
    let newest = newest.map_err(|source| ReleaseFileError::Root { path: path.clone(), source })?;
    Ok(newest.map(<[u8]>::to_vec))
}

/// Names of the keys whose files do not say which releases they may sign.
pub fn unbound(keys: &TrustedKeys) -> Vec<String> {
    keys.iter().filter(|key| key.key_use() == KeyUse::Unstated).map(|key| key.id().to_string()).collect()
}

/// What a warning about an unbound key says.
pub const UNBOUND: &str = "trusted for releases from files and from the broker, of any group; \
                           add use=file, use=broker or use=any, and group=NAME, to its line in the key file";

/// A release file in memory.
pub struct Loaded {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Loaded {
    /// Reads the file, without verifying it.
    ///
    /// # Errors
    /// When it cannot be read or is not a release file.
    pub fn open(path: &Path) -> Result<Self, ReleaseFileError> {
        let bytes = read(path, FILE_BYTES)?;
        ReleaseFile::decode(&bytes).map_err(|source| ReleaseFileError::File { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), bytes })
    }

    /// Size of the file, bytes.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    fn parts(&self) -> Result<ReleaseFile<'_>, ReleaseFileError> {
        ReleaseFile::decode(&self.bytes).map_err(|source| ReleaseFileError::File { path: self.path.clone(), source })
    }

    /// Checks the manifest for the given engine, and the signature if there are keys.
    ///
    /// # Errors
    /// When the manifest or its signature is invalid.
    pub fn verify(&self, engines: &Engines, keys: &TrustedKeys) -> Result<Verified, ReleaseFileError> {
        let (signed, schema, form) = (self.parts()?.signed, schema_id(), engines.form());
        let verified = if keys.iter().next().is_none() {
            accept_without_checking_the_signature(signed, &schema, form)
        } else {
            let terms = Terms { keys: keys.clone(), root: None, group: Name::new(), schema, form };
            accept_held(signed, &terms, Source::File)
        };
        verified.map_err(|source| ReleaseFileError::Refused { path: self.path.clone(), source })
    }

    /// Bytes of an artifact.
    ///
    /// # Errors
    /// When the file lacks it.
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
