//! Trusted certificates → TLS configuration of the client.
//!
//! Trusts the certificates of the operator's file and no others; without a file, those that the system trusts
//! (`SSL_CERT_FILE`, or the usual places such as `/etc/ssl/certs`). A compiled-in list would add over 100 KB to the program
//! and age with the firmware; the system's packages update theirs. TLS 1.3 only (docs/adr/0008-a-small-tls.md).

#[cfg(feature = "small-tls")]
mod small;

use super::error::ClientError;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// A client that trusts the certificates in `ca_pem`, or the system's.
///
/// # Errors
/// [`ClientError::Certificates`] if there are no usable certificates.
pub(super) fn client_config(ca_pem: Option<&[u8]>) -> Result<Arc<ClientConfig>, ClientError> {
    let roots = match ca_pem {
        Some(pem) => from_file(pem)?,
        None => from_system()?,
    };
    let invalid = |error: rustls::Error| ClientError::Certificates(error.to_string());
    let config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(invalid)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
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
            let error = client_config(Some(pem.as_bytes())).unwrap_err().to_string();
            assert!(error.contains("ca-file must be a PEM file with certificates"), "{error}");
        }
    }
}
