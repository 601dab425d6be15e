//! Signing keys (Ed25519, RFC 8032) → files; the secret key is readable by its owner only.
//!
//! Secret file: one line `lapwing-secret-key-v1 NAME 64-HEX-DIGITS`. Public file: the line that
//! [`TrustedKey`] displays, as agents read it.

use ed25519_dalek::{Signer, SigningKey};
use lapwing_shared::release::digest::{Hex, parse_digest};
use lapwing_shared::release::manifest::Name;
use lapwing_shared::release::name::parse_name;
use lapwing_shared::release::root::root_signing_bytes;
use lapwing_shared::release::signature::{
    KeyUse, SIGNATURE_BYTES, SIGNED_MANIFEST_BYTES, SignatureError, SignedManifest, TrustedKey, signing_bytes,
};
use lapwing_shared::rollout::assignment::{Assignment, seal_assignment};
use lapwing_shared::rollout::message::{ROLLOUT_BYTES, Rollout, RolloutError};
use lapwing_shared::rollout::signed::seal;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

const SECRET_TAG: &str = "lapwing-secret-key-v1";
/// Longest secret file, bytes.
const SECRET_FILE_BYTES: u64 = 256;

/// Why a key cannot be made, read or used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum KeyError {
    /// The name is invalid.
    #[error("invalid key name {0:?}, expected 1 to 32 of a-z A-Z 0-9 - _ . with a letter or digit first")]
    Name(String),
    /// A file cannot be read or written.
    #[error("key file {path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    /// The file already exists.
    #[error("key file {path} already exists, and keys are never overwritten; choose another name")]
    Exists { path: PathBuf },
    /// The secret file has other content.
    #[error(
        "key file {path}: expected one line `{SECRET_TAG} NAME 64-HEX-DIGITS`, as written by `lapwing-trainer keys new NAME`"
    )]
    Secret { path: PathBuf },
    /// Other users can read the secret file.
    #[error("key file {path} is readable by other users (mode {mode:03o}); run chmod 600 on it")]
    Exposed {
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The system has no random bytes.
    #[error("cannot get random bytes from the system")]
    Random,
    /// The signed manifest cannot be written.
    #[error("cannot sign: {0}")]
    Sign(#[from] SignatureError),
}

/// A named signing key.
pub struct ReleaseKey {
    name: Name,
    signing: SigningKey,
}

impl ReleaseKey {
    /// Generates a key.
    ///
    /// # Errors
    /// [`KeyError::Name`], [`KeyError::Random`].
    pub fn generate(name: &str) -> Result<Self, KeyError> {
        let mut secret = [0; 32];
        let random = rustls::crypto::ring::default_provider().secure_random;
        random.fill(&mut secret).map_err(|_| KeyError::Random)?;
        Self::from_secret(name, &secret)
    }

    /// The key of 32 secret bytes.
    ///
    /// # Errors
    /// [`KeyError::Name`].
    pub fn from_secret(name: &str, secret: &[u8; 32]) -> Result<Self, KeyError> {
        let name = parse_name(name).ok_or_else(|| KeyError::Name(name.into()))?;
        Ok(Self { name, signing: SigningKey::from_bytes(secret) })
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key.
    ///
    /// # Errors
    /// [`KeyError::Sign`]; never for a key from this type.
    pub fn public(&self) -> Result<TrustedKey, KeyError> {
        Ok(TrustedKey::new(self.name.clone(), self.signing.verifying_key().to_bytes())?)
    }

    /// Writes the secret file (mode 600) and the public file, which restricts the key to releases of this source and
    /// group; never overwrites a file.
    ///
    /// # Errors
    /// [`KeyError::Exists`], [`KeyError::File`].
    pub fn save(&self, secret: &Path, public: &Path, key_use: KeyUse, group: Option<Name>) -> Result<(), KeyError> {
        let secret_line = format!("{SECRET_TAG} {} {}\n", self.name, Hex(&self.signing.to_bytes()));
        write_new(secret, &secret_line, 0o600)?;
        write_new(public, &format!("{}\n", self.public()?.bound(key_use, group)), 0o644)
    }

    /// Reads a secret file.
    ///
    /// # Errors
    /// [`KeyError::File`], [`KeyError::Exposed`], [`KeyError::Secret`].
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.into(), source };
        let file = std::fs::File::open(path).map_err(failed)?;
        check_mode(path, &file)?;
        let mut text = String::new();
        file.take(SECRET_FILE_BYTES).read_to_string(&mut text).map_err(failed)?;
        let mut words = text.split_whitespace();
        let secret = || KeyError::Secret { path: path.into() };
        match (words.next(), words.next(), words.next().and_then(parse_digest), words.next()) {
            (Some(SECRET_TAG), Some(name), Some(bytes), None) => Self::from_secret(name, &bytes),
            _ => Err(secret()),
        }
    }

    /// Public key and signature of an encoded root document.
    pub(crate) fn sign_root(&self, document: &[u8]) -> ([u8; 32], [u8; SIGNATURE_BYTES]) {
        let signature = self.signing.sign(&root_signing_bytes(document)).to_bytes();
        (self.signing.verifying_key().to_bytes(), signature)
    }

    /// Signs a rollout: the same bytes each time, so that publishing it again changes nothing.
    ///
    /// # Errors
    /// [`RolloutError`] for an invalid rollout.
    pub fn sign_rollout(&self, rollout: &Rollout) -> Result<Vec<u8>, RolloutError> {
        let sign = |bytes: &[u8]| self.signing.sign(bytes).to_bytes();
        Ok(seal(rollout, &self.name, sign, &mut [0; ROLLOUT_BYTES])?.to_vec())
    }

    /// Signs an assignment.
    ///
    /// # Errors
    /// [`RolloutError`] for an invalid assignment.
    pub fn sign_assignment(&self, assignment: &Assignment) -> Result<Vec<u8>, RolloutError> {
        let sign = |bytes: &[u8]| self.signing.sign(bytes).to_bytes();
        Ok(seal_assignment(assignment, &self.name, sign, &mut [0; ROLLOUT_BYTES])?.to_vec())
    }

    /// Signs an encoded manifest.
    ///
    /// # Errors
    /// [`KeyError::Sign`] when it is too long.
    pub(crate) fn sign(&self, manifest: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.signing.sign(&signing_bytes(manifest)).to_bytes();
        let mut room = vec![0; SIGNED_MANIFEST_BYTES];
        let signed = SignedManifest { key: self.name.clone(), signature, manifest };
        let length = signed.encode(&mut room)?.len();
        room.truncate(length);
        Ok(room)
    }
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), KeyError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.into() },
        _ => KeyError::File { path: path.into(), source },
    };
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

#[cfg(unix)]
fn check_mode(path: &Path, file: &std::fs::File) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = file.metadata().map_err(|source| KeyError::File { path: path.into(), source })?;
    match metadata.permissions().mode() & 0o777 {
        mode if mode & 0o077 != 0 => Err(KeyError::Exposed { path: path.into(), mode }),
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &std::fs::File) -> Result<(), KeyError> {
    Ok(())
}
