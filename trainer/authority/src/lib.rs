//! The trainer's certificate authority, and the port on which agents enrol: requests of agents → certificates.
//!
//! Its key is ECDSA P-256, because agents verify RSA and ECDSA only (ADR 8); agents' keys are Ed25519. The key is a
//! PKCS #8 file with mode 600, encrypted if there is a passphrase. All times are arguments.
#![forbid(unsafe_code)]

mod authority;
mod error;
mod files;
mod foreign;
mod issue;
mod port;
mod secret;

#[cfg(test)]
mod tests;

pub use authority::{AUTHORITY_FILES, Authority, ROTATION_DAYS};
pub use error::AuthorityError;
pub use files::Passphrase;
pub use foreign::{FOREIGN_REQUEST_BYTES, ForeignRequest};
pub use issue::{Issued, IssuedPem, Subject};
pub use port::{EnrolmentPort, Grants, PortCount, PortCounts, PortError};
pub use secret::random;
