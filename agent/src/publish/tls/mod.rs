//! Trusted certificates → TLS configuration of the client.
//!
//! Trusts the certificates of the operator's file and no others; without a file, those that the system trusts
//! (`SSL_CERT_FILE`, or the usual places such as `/etc/ssl/certs`). A compiled-in list would add over 100 KB to the program
//! and age with the firmware; the system's packages update theirs. TLS 1.3 only (docs/adr/0008-a-small-tls.md).

mod own;
mod pinned;
mod signed;
#[cfg(feature = "small-tls")]
mod small;

pub(super) use own::Own;
pub(super) use pinned::pinned_config;
pub(super) use signed::is_signed;

use super::error::ClientError;
use crate::clock;
use crate::identity::Identity;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use std::sync::Arc;
use std::time::Duration;

/// A client that trusts the certificates in `ca_pem`, or those of the identity, or the system's, and presents its `own`
/// certificate, or that of the identity.
///
/// # Errors
/// [`ClientError::Certificates`] if there are no usable certificates.
pub(super) fn client_config(
    ca_pem: Option<&[u8]>,
    own: Option<&Own>,
    identity: Option<&Identity>,
) -> Result<Arc<ClientConfig>, ClientError> {
    let roots = match (ca_pem, identity) {
        (Some(pem), _) => from_file(pem)?,
        (None, Some(identity)) => from_identity(identity)?,
        (None, None) => from_system()?,
    };
    let invalid = |error: rustls::Error| ClientError::Certificates(error.to_string());
    let config = builder(Arc::new(provider())).map_err(invalid)?.with_root_certificates(roots);
    let own = own.cloned().or_else(|| identity.map(Own::new));
    Ok(Arc::new(match own {
        Some(own) => config.with_client_cert_resolver(Arc::new(own)),
        None => config.with_no_client_auth(),
    }))
}

/// TLS 1.3 by the agent's clock.
fn builder(provider: Arc<CryptoProvider>) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, rustls::Error> {
    ClientConfig::builder_with_details(provider, Arc::new(AgentClock))
        .with_protocol_versions(&[&rustls::version::TLS13])
}

/// The wall clock; if it is not set, the newest second that has certainly passed.
#[derive(Debug)]
struct AgentClock;

impl TimeProvider for AgentClock {
    fn current_time(&self) -> Option<UnixTime> {
        clock::at_least_s().map(|seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

#[cfg(feature = "small-tls")]
fn provider() -> CryptoProvider {
    small::provider()
}

#[cfg(not(feature = "small-tls"))]
fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

fn from_file(pem: &[u8]) -> Result<RootCertStore, ClientError> {
    let invalid =
        |reason: String| ClientError::Certificates(format!("{reason}; ca-file must be a PEM file with certificates"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| invalid(error.to_string()))?;
        roots.add(certificate).map_err(|error| invalid(error.to_string()))?;
    }
    if roots.is_empty() { Err(invalid("the file has none".into())) } else { Ok(roots) }
}

fn from_identity(identity: &Identity) -> Result<RootCertStore, ClientError> {
    let mut roots = RootCertStore::empty();
    for certificate in &identity.enrolled.authorities {
        let added = roots.add(CertificateDer::from(certificate.to_vec()));
        added.map_err(|error| ClientError::Certificates(format!("{error}; enrol again with a new token")))?;
    }
    Ok(roots)
}

fn from_system() -> Result<RootCertStore, ClientError> {
    let mut roots = RootCertStore::empty();
    // Unreadable certificates are skipped: if the broker's authority is among them, the connection fails with a reason.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let none = "this system trusts none; install the package ca-certificates (OpenWrt: ca-bundle), or name the broker's \
                authority with ca-file";
    if roots.is_empty() { Err(ClientError::Certificates(none.into())) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused_with_a_hint() {
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for pem in ["", "lapwing-public-key-v1 site 00", broken] {
            let error = client_config(Some(pem.as_bytes()), None, None).unwrap_err().to_string();
            assert!(error.contains("ca-file must be a PEM file with certificates"), "{error}");
        }
    }
}
