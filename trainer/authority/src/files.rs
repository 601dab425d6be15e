//! Keys and certificates of the authority ↔ files.
//!
//! A file has the certificate and behind it the key, PKCS #8 in PEM, so that one rename replaces both. With a passphrase it is encrypted as in PKCS #5 (PBES2: scrypt and AES-256-CBC), which
//! `openssl pkey` reads as well.

use super::error::AuthorityError;
use lapwing_common::private_file;
use pkcs8::der::pem::LineEnding;
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef, SecretDocument};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Longest file, bytes.
const FILE_BYTES: u64 = 16 << 10;
/// Shortest passphrase, characters.
const PASSPHRASE_CHARACTERS: usize = 12;
const CERTIFICATE_END: &str = "-----END CERTIFICATE-----";
const PLAIN: &str = "PRIVATE KEY";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// What encrypts the authority's keys.
#[derive(Clone)]
pub struct Passphrase(String);

impl Passphrase {
    /// Reads the first line of a file that only its owner can read.
    ///
    /// # Errors
    /// [`AuthorityError::File`], [`AuthorityError::Exposed`], [`AuthorityError::NoPassphrase`].
    pub fn read(path: &Path) -> Result<Self, AuthorityError> {
        let text = read_private(path)?;
        let line = text.lines().next().unwrap_or_default().trim();
        if line.chars().count() < PASSPHRASE_CHARACTERS {
            return Err(AuthorityError::NoPassphrase { path: path.into(), least: PASSPHRASE_CHARACTERS });
        }
        Ok(Self(line.to_owned()))
    }
}

/// A key and its certificate.
pub(super) struct Pair {
    pub(super) key: KeyPair,
    pub(super) certificate: CertificateDer<'static>,
}

/// Writes a certificate and its key, encrypted if there is a passphrase, into one file with mode 600, whole or not at all;
/// never overwrites a file.
pub(super) fn write_pair(
    path: &Path,
    certificate_pem: &str,
    key: &KeyPair,
    passphrase: Option<&Passphrase>,
) -> Result<(), AuthorityError> {
    let text = format!("{certificate_pem}{}", key_pem(key, passphrase)?);
    let fresh = path.with_extension(format!("new-{}", std::process::id()));
    let written = write(&fresh, &text).and_then(|()| {
        fs::hard_link(&fresh, path).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => AuthorityError::Exists { path: path.into() },
            _ => file_error(path, source),
        })
    });
    let removed = fs::remove_file(&fresh).map_err(|source| file_error(&fresh, source));
    written.and(removed)
}

/// Replaces a file of certificates, whole or not at all.
pub(super) fn replace(path: &Path, pem: &str) -> Result<(), AuthorityError> {
    let fresh = path.with_extension("new");
    write(&fresh, pem)?;
    fs::rename(&fresh, path).map_err(|source| file_error(path, source))
}

fn write(path: &Path, text: &str) -> Result<(), AuthorityError> {
    let write = || {
        let mut file = private_file::create(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| file_error(path, source))
}

fn key_pem(key: &KeyPair, passphrase: Option<&Passphrase>) -> Result<String, AuthorityError> {
    let Some(Passphrase(passphrase)) = passphrase else { return Ok(key.serialize_pem()) };
    let failed = |error: String| AuthorityError::Issue(error);
    let info = PrivateKeyInfoRef::try_from(key.serialized_der()).map_err(|error| failed(error.to_string()))?;
    let encrypted = info.encrypt(passphrase).map_err(|error| failed(error.to_string()))?;
    Ok(encrypted.to_pem(ENCRYPTED, LineEnding::LF).map_err(|error| failed(error.to_string()))?.to_string())
}

/// Reads a certificate and its key.
pub(super) fn read_pair(path: &Path, passphrase: Option<&Passphrase>) -> Result<Pair, AuthorityError> {
    let text = read_private(path)?;
    let key = parse_key(path, &text, passphrase)?;
    let certificate = parse_certificate(path, &text)?;
    let public = key.public_key_raw();
    if !certificate.windows(public.len()).any(|part| part == public) {
        return Err(AuthorityError::Content { path: path.into(), expected: "a certificate of the key in it" });
    }
    Ok(Pair { key, certificate })
}

/// The key is behind the certificate.
fn parse_key(path: &Path, text: &str, passphrase: Option<&Passphrase>) -> Result<KeyPair, AuthorityError> {
    let content = || AuthorityError::Content { path: path.into(), expected: "a certificate and a PKCS #8 key in PEM" };
    let (_, behind) = text.split_once(CERTIFICATE_END).ok_or_else(content)?;
    let (label, document) = SecretDocument::from_pem(behind.trim_start()).map_err(|_| content())?;
    let key = match (label, passphrase) {
        (PLAIN, _) => document,
        (ENCRYPTED, None) => return Err(AuthorityError::Encrypted { path: path.into() }),
        (ENCRYPTED, Some(Passphrase(passphrase))) => {
            let info = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| content())?;
            info.decrypt(passphrase).map_err(|_| AuthorityError::Passphrase { path: path.into() })?
        }
        _ => return Err(content()),
    };
    let der = key.as_bytes().to_vec().into();
    KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256).map_err(|_| content())
}

fn parse_certificate(path: &Path, text: &str) -> Result<CertificateDer<'static>, AuthorityError> {
    let content = |_| AuthorityError::Content { path: path.into(), expected: "a certificate in PEM" };
    CertificateDer::from_pem_slice(text.as_bytes()).map_err(content)
}

/// The certificates in a file, without the key.
pub(super) fn read_certificate_pem(path: &Path) -> Result<String, AuthorityError> {
    let text = read_private(path)?;
    let (certificate, _) = text
        .split_once(CERTIFICATE_END)
        .ok_or_else(|| AuthorityError::Content { path: path.into(), expected: "a certificate in PEM" })?;
    Ok(format!("{certificate}{CERTIFICATE_END}\n"))
}

/// Reads one certificate.
pub(super) fn read_certificate(path: &Path) -> Result<CertificateDer<'static>, AuthorityError> {
    parse_certificate(path, &read_private(path)?)
}

/// Reads a file that only its owner may read.
fn read_private(path: &Path) -> Result<String, AuthorityError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let metadata = fs::metadata(path).map_err(|source| file_error(path, source))?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(AuthorityError::Exposed { path: path.into(), mode });
        }
    }
    read_limited(path)
}

fn read_limited(path: &Path) -> Result<String, AuthorityError> {
    let mut text = String::new();
    let file = File::open(path).map_err(|source| file_error(path, source))?;
    file.take(FILE_BYTES).read_to_string(&mut text).map_err(|source| file_error(path, source))?;
    Ok(text)
}

pub(super) fn file_error(path: &Path, source: io::Error) -> AuthorityError {
    AuthorityError::File { path: PathBuf::from(path), source }
}
