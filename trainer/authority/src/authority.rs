//! A folder with keys → the authority, and its rotation.
//!
//! Files: `authority.key`, during a rotation `next.key`, each with certificate and key, and after it `previous.pem`.
//! Agents learn the next authority with their certificates, so brokers can be switched once all agents have renewed.

use super::error::AuthorityError;
use super::files::{self, Pair, Passphrase, file_error};
use super::foreign::{self, ForeignRequest};
use super::issue::{self, Issued, IssuedPem, Subject};
use lapwing_common::private_file;
use lapwing_shared::enrolment::{CertificateRequest, join_signed, signed_part};
use lapwing_shared::messages::access::is_service_name;
use lapwing_shared::release::digest::sha256;
use lapwing_shared::release::manifest::Digest;
use lapwing_shared::release::name::NAME_RULE;
use rcgen::{Issuer, KeyPair, PublicKeyData, SigningKey};
use rustls::pki_types::CertificateDer;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Days for which a next authority should be announced before it is used: the life of agents' certificates.
pub const ROTATION_DAYS: u64 = 365;

const CURRENT: &str = "authority.key";
const NEXT: &str = "next.key";
/// The certificate of the authority before the last rotation.
const PREVIOUS: &str = "previous.pem";

/// Files that a backup needs; those that exist.
pub const AUTHORITY_FILES: [&str; 3] = [CURRENT, NEXT, PREVIOUS];

/// The authority, with its key in memory.
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    public_hash: Digest,
    next: Option<CertificateDer<'static>>,
}

impl Authority {
    /// Creates an authority in a folder that has none.
    ///
    /// # Errors
    /// [`AuthorityError::Exists`], or when the files cannot be written.
    pub fn create(folder: &Path, passphrase: Option<&Passphrase>, now_s: u64) -> Result<Self, AuthorityError> {
        create_pair(folder, CURRENT, passphrase, now_s)?;
        Self::open(folder, passphrase)
    }

    /// Opens the authority of a folder.
    ///
    /// # Errors
    /// [`AuthorityError::Missing`], or when the files cannot be read, are readable by others, or do not belong together.
    pub fn open(folder: &Path, passphrase: Option<&Passphrase>) -> Result<Self, AuthorityError> {
        let path = folder.join(CURRENT);
        if !path.exists() {
            return Err(AuthorityError::Missing { folder: folder.into() });
        }
        let Pair { key, certificate } = files::read_pair(&path, passphrase)?;
        let next = folder.join(NEXT);
        let next = if next.exists() { Some(files::read_certificate(&next)?) } else { None };
        let public_hash = sha256(&key.subject_public_key_info());
        let issuer = issue::issuer(key, &public_hash);
        Ok(Self { folder: folder.into(), issuer, certificate, public_hash, next })
    }

    /// Opens the authority of a folder, and creates it first if the folder has none. Two processes may do so at once.
    ///
    /// # Errors
    /// As [`Authority::open`] and [`Authority::create`].
    pub fn open_or_create(folder: &Path, passphrase: Option<&Passphrase>, now_s: u64) -> Result<Self, AuthorityError> {
        match Self::open(folder, passphrase) {
            Err(AuthorityError::Missing { .. }) => match create_pair(folder, CURRENT, passphrase, now_s) {
                Ok(()) | Err(AuthorityError::Exists { .. }) => Self::open(folder, passphrase),
                Err(error) => Err(error),
            },
            opened => opened,
        }
    }

    /// SHA-256 of the public key, which tokens carry.
    pub fn public_hash(&self) -> &Digest {
        &self.public_hash
    }

    /// Certificates that agents should trust: the present authority's and, during a rotation, the next one's.
    pub fn announced(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        [&self.certificate].into_iter().chain(&self.next)
    }

    /// PEM of all certificates that brokers should trust: [`Authority::announced`], and the previous authority's.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn trusted_pem(&self) -> Result<String, AuthorityError> {
        let mut all = String::new();
        for name in AUTHORITY_FILES {
            let path = self.folder.join(name);
            if path.exists() {
                all += &files::read_certificate_pem(&path)?;
            }
        }
        Ok(all)
    }

    /// Issues an agent's certificate.
    ///
    /// # Errors
    /// When the request has another name than the subject, or a time is invalid.
    pub fn issue(
        &self,
        request: &CertificateRequest,
        subject: &Subject,
    ) -> Result<CertificateDer<'static>, AuthorityError> {
        issue::agent(&self.issuer, request, subject)
    }

    /// Issues a certificate to a request of another program, PEM.
    ///
    /// # Errors
    /// When a time is invalid.
    pub fn issue_foreign(&self, request: &ForeignRequest, subject: &Subject) -> Result<String, AuthorityError> {
        foreign::certificate(&self.issuer, request, subject)
    }

    /// Signs a response that reaches its agent through a broker, with the signature before it.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn sign_response(&self, response: &[u8]) -> Result<Vec<u8>, AuthorityError> {
        let signature = self.issuer.key().sign(&signed_part(response))?;
        let too_long = || AuthorityError::Issue("the signature of a response is too long".into());
        join_signed(&signature, response).map(|joined| joined.to_vec()).ok_or_else(too_long)
    }

    /// Issues a certificate with a new key for a server with these names and addresses.
    ///
    /// # Errors
    /// When a name is invalid.
    pub fn issue_server(&self, names: &[String], now_s: u64) -> Result<Issued, AuthorityError> {
        issue::server(&self.issuer, &self.certificate, names, now_s)
    }

    /// The same in PEM, for a broker.
    ///
    /// # Errors
    /// When a name is invalid, or a file cannot be read.
    pub fn issue_server_pem(&self, names: &[String], now_s: u64) -> Result<IssuedPem, AuthorityError> {
        let own = files::read_certificate_pem(&self.folder.join(CURRENT))?;
        issue::server_pem(&self.issuer, &own, names, now_s)
    }

    /// Issues a certificate with a new key, in PEM, for a program that reads alerts at brokers. Its name is one that no agent
    /// has ([`is_service_name`]).
    ///
    /// # Errors
    /// When the name or a time is invalid.
    pub fn issue_client_pem(&self, name: &str, now_s: u64, until_s: u64) -> Result<IssuedPem, AuthorityError> {
        if !is_service_name(name) {
            return Err(AuthorityError::Issue(format!("`{name}`: expected `_` and a name; {NAME_RULE}")));
        }
        issue::client_pem(&self.issuer, name, (now_s, until_s))
    }

    /// Begins a rotation: creates the next authority, which agents learn from now on.
    ///
    /// # Errors
    /// [`AuthorityError::Rotation`] if one has begun, or when the files cannot be written.
    pub fn announce_next(self, passphrase: Option<&Passphrase>, now_s: u64) -> Result<Self, AuthorityError> {
        if self.next.is_some() {
            return Err(AuthorityError::Rotation("a next authority is announced already"));
        }
        create_pair(&self.folder, NEXT, passphrase, now_s)?;
        Self::open(&self.folder, passphrase)
    }

    /// When the next authority was announced, seconds since the epoch, by the time of its file; 0 without one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn announced_s(&self) -> Result<u64, AuthorityError> {
        if self.next.is_none() {
            return Ok(0);
        }
        let path = self.folder.join(NEXT);
        let changed =
            fs::metadata(&path).and_then(|file| file.modified()).map_err(|source| file_error(&path, source))?;
        Ok(changed.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }

    /// Ends a rotation: the next authority issues from now on. Tokens of the present one are void.
    ///
    /// # Errors
    /// [`AuthorityError::Rotation`] if none has begun, or when a file cannot be renamed; then call it again.
    pub fn switch(self, passphrase: Option<&Passphrase>) -> Result<Self, AuthorityError> {
        if self.next.is_none() {
            return Err(AuthorityError::Rotation("no next authority is announced"));
        }
        let (folder, current, next) = (&self.folder, self.folder.join(CURRENT), self.folder.join(NEXT));
        // A wrong passphrase must not leave a trainer without a usable authority.
        files::read_pair(&next, passphrase)?;
        files::replace(&folder.join(PREVIOUS), &files::read_certificate_pem(&current)?)?;
        fs::rename(&next, &current).map_err(|source| file_error(&next, source))?;
        sync(folder)?;
        Self::open(&self.folder, passphrase)
    }
}

/// Creates a key and its certificate.
fn create_pair(folder: &Path, name: &str, passphrase: Option<&Passphrase>, now_s: u64) -> Result<(), AuthorityError> {
    private_file::create_folder(folder).map_err(|source| file_error(folder, source))?;
    let key = KeyPair::generate()?;
    let public_hash = sha256(&key.subject_public_key_info());
    let certificate = issue::authority(&key, &public_hash, now_s)?;
    files::write_pair(&folder.join(name), &certificate.pem(), &key, passphrase)?;
    sync(folder)
}

fn sync(folder: &Path) -> Result<(), AuthorityError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|source| file_error(folder, source))
}
