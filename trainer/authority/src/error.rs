//! Errors of the authority.

use std::path::PathBuf;

/// Why the authority cannot be created, read or used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum AuthorityError {
    /// A file cannot be read or written.
    #[error("authority file {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    /// The folder has an authority.
    #[error("{} exists, and an authority is never overwritten; choose another folder", path.display())]
    Exists { path: PathBuf },
    /// There is no authority.
    #[error("{} has no authority; run `lapwing-trainer enroll`, which creates one, or restore a backup", folder.display())]
    Missing { folder: PathBuf },
    /// Other users can read a key.
    #[error("authority key {} is readable by other users (mode {mode:03o}); run chmod 600 on it", path.display())]
    Exposed {
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A key is encrypted, and there is no passphrase.
    #[error("authority key {} is encrypted; set enrolment.passphrase-file to a file with its passphrase", path.display())]
    Encrypted { path: PathBuf },
    /// A key cannot be decrypted.
    #[error("authority key {}: wrong passphrase, or the file is damaged", path.display())]
    Passphrase { path: PathBuf },
    /// The file of a passphrase has none.
    #[error("passphrase file {}: expected one line of at least {least} characters", path.display())]
    NoPassphrase {
        path: PathBuf,
        /// Fewest characters.
        least: usize,
    },
    /// A file has other content.
    #[error("authority file {}: expected {expected}; restore a backup", path.display())]
    Content { path: PathBuf, expected: &'static str },
    /// A certificate cannot be made.
    #[error("cannot issue a certificate: {0}")]
    Issue(String),
    /// A certificate request cannot be used.
    #[error(
        "certificate request: {0}; expected PKCS #10, PEM or DER, e.g. of `openssl req -new`, with a key of Ed25519, ECDSA P-256 or \
         RSA of at least 2048 bits"
    )]
    Request(String),
    /// The system has no random bytes.
    #[error("cannot get random bytes from the system")]
    Random,
    /// The rotation is not at this step.
    #[error("{0}")]
    Rotation(&'static str),
}

impl From<rcgen::Error> for AuthorityError {
    fn from(error: rcgen::Error) -> Self {
        Self::Issue(error.to_string())
    }
}
